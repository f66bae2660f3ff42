"""`speechgru compare`: what its options ask for, what it shows, and its exit status."""

import json
import re
import shutil
from pathlib import Path

import pytest
from tones import recipe_values

from speechgru.compare import Analysis, Means, Question
from speechgru.compare.analysis import read_analysis
from speechgru.files import write_json


@pytest.fixture
def recipe(tones: Path, tmp_path: Path) -> Path:
    write_json(tmp_path / "recipe.yaml", recipe_values(tones))  # JSON is YAML
    return tmp_path / "recipe.yaml"


@pytest.fixture
def carried_out(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[Question, Path, Means]]:
    """What would have been compared; shown are the results of `finished`."""
    calls = []

    def compare(question: Question, folder: Path, means: Means) -> Analysis:
        calls.append((question, folder, means))
        return read_analysis(finished)

    monkeypatch.setattr("speechgru.compare.compare", compare)
    return calls


def test_every_option_reaches_the_question_or_the_means(speechgru, carried_out, recipe):
    said = speechgru(
        "compare", recipe, "model.hidden_size=16", "training.epochs=2", "--cells", "gru,lstm",
        "--vary", "features.kind=logmel,mfcc", "--seeds", 3, "--test", "data/test.jsonl",
        "--folds", "speaker", "--match", "params", "--tune", "lr=0.003,0.001", "--jobs", 2,
        "--threads", 3, "--no-cost", "--device", "cpu", "--out", "some/where",
    )  # fmt: skip
    assert said.status == 0
    ((question, folder, means),) = carried_out
    assert (question.recipe.model.hidden_size, question.recipe.training.epochs) == (16, 2)
    assert question.key == "features.kind"  # --vary goes before --cells
    assert [v.recipe.features.kind for v in question.variants] == ["logmel", "mfcc"]
    assert (question.seeds, question.test, question.by_speaker) == (3, "data/test.jsonl", True)
    assert (question.match, question.rates) == ("params", (0.001, 0.003))
    assert folder == Path("some/where")
    assert (means.device, means.threads, means.jobs, means.cost) == ("cpu", 3, 2, False)


@pytest.mark.parametrize(("jobs", "threads"), [(1, 8), (3, 2), (16, 1)])
def test_without_options_little_is_asked(
    speechgru, carried_out, recipe, monkeypatch, jobs, threads
):
    """And the processors are shared among the jobs."""
    monkeypatch.setattr("speechgru.cli.compare.cpu_count", lambda: 8)
    assert speechgru("compare", recipe, "--jobs", jobs, "--out", "o").status == 0
    ((question, _, means),) = carried_out
    assert [v.recipe.model.cell for v in question.variants] == ["rnn", "gru", "lstm"]
    assert (question.key, question.seeds, question.test) == ("model.cell", 1, None)
    assert (question.by_speaker, question.match, question.rates) == (False, "width", ())
    assert (means.device, means.threads, means.jobs, means.cost) == ("auto", threads, jobs, True)


def rows(table: str) -> dict[str, list[str]]:
    """The cells of a printed table's lines, by their first."""
    lines = [re.split(r" {2,}", line.strip()) for line in table.splitlines()]
    return {cells[0]: cells[1:] for cells in lines if len(cells) == 7}


def test_the_report_alone_is_rebuilt_and_shown(speechgru, finished: Path, tmp_path: Path):
    written = shutil.ignore_patterns("runs", "results.json", "report.*")
    out = shutil.copytree(finished, tmp_path / "out", ignore=written)
    said = speechgru("compare", "--report-only", "--out", out)
    assert said.status == 0
    for name in ("results.json", "report.html", "report.md"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    analysis = read_analysis(out)
    shown = rows(said.out)
    for system in analysis.systems:
        assert system.rates is not None
        cells = shown[system.name]
        assert cells[0] == f"{100 * system.rates.wer_mean:.2f}"
        assert cells[2] == f"{100 * system.rates.cer_mean:.2f}"
        assert cells[3:5] == [str(system.size.hidden_size), f"{system.size.parameters:,}"]
    assert f"p = {analysis.pairs[0].comparison.p:.3f}" in said.out


def test_tables_fit_a_terminal_of_80_columns(speechgru, tmp_path: Path):
    kept = Path(__file__).parents[2] / "docs" / "results" / "fsdd-speakers"
    out = shutil.copytree(kept, tmp_path / "out")
    said = speechgru("compare", "--report-only", "--out", out)
    table = [line for line in said.out.splitlines() if line.startswith(" ")]
    assert max(map(len, table)) <= 80
    assert "…" not in said.out
    for system in read_analysis(out).systems:
        assert len(rows(said.out)[system.name]) == 6


@pytest.mark.parametrize("runs", [["gru-seed2"], ["gru-seed1", "gru-seed2"]])
def test_failures_are_reported_and_set_the_status(
    speechgru, finished: Path, tmp_path: Path, runs: list[str]
):
    out = shutil.copytree(finished, tmp_path / "out")
    for run in runs:
        file = out / "results" / f"{run}.json"
        result = json.loads(file.read_text())
        for key in ("scored", "scores", "width", "model"):
            result.pop(key, None)
        failure = {"kind": "diverged", "reason": "the loss is NaN"}
        file.write_text(json.dumps(result | {"failed": failure, "failure": failure}))
    said = speechgru("compare", "--report-only", "--out", out)
    assert said.status == 1
    assert [line for line in said.err.splitlines() if "NaN" in line] == [
        f"failed: {run}: the loss is NaN" for run in runs
    ]
    assert (rows(said.out)["gru"][0] == "–") == (len(runs) == 2)  # no seed, no rate


def test_missing_runs_are_no_failure(speechgru, finished: Path, tmp_path: Path):
    out = shutil.copytree(finished, tmp_path / "out")
    (out / "results" / "gru-seed2.json").unlink()
    said = speechgru("compare", "--report-only", "--out", out)
    assert said.status == 0
    assert "1 of 4 runs" in said.err


def test_ctrl_c_is_status_130(speechgru, recipe, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("speechgru.compare.compare", interrupted)
    said = speechgru("compare", recipe, "--out", "o")
    assert (said.status, said.err) == (130, "speechgru: interrupted\n")
