"""`speechgru compare`: what its options ask for, what it shows, and its exit status."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tones import recipe_values

from speechgru.compare import Means, Question
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

    def compare(question: Question, folder: Path, means: Means) -> dict[str, Any]:
        calls.append((question, folder, means))
        return json.loads((finished / "results.json").read_text())

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
    """The cells of a shown table's lines, by their first."""
    lines = [[c.strip() for c in line.split("│")[1:-1]] for line in table.splitlines()]
    return {cells[0]: cells[1:] for cells in lines if cells and cells[0]}


def test_the_report_alone_is_rebuilt_and_shown(speechgru, finished: Path, tmp_path: Path):
    written = shutil.ignore_patterns("runs", "results.json", "report.*")
    out = shutil.copytree(finished, tmp_path / "out", ignore=written)
    said = speechgru("compare", "--report-only", "--out", out)
    assert (said.status, said.err) == (0, "")
    results = json.loads((out / "results.json").read_text())
    assert results == json.loads((finished / "results.json").read_text())
    shown = rows(said.out)
    for row in results["systems"]:
        cells = shown[row["name"]]
        assert cells[:2] == [str(row["width"]), f"{row['parameters']:,}"]
        assert cells[3:5] == [f"{100 * row['wer_mean']:.2f}", f"{100 * row['wer_std']:.2f}"]
        assert cells[-1] == "2"
    assert results["pairs"][0]["sentence"] in said.out
    assert (out / "report.html").exists()


@pytest.mark.parametrize("runs", [["gru-seed2"], ["gru-seed1", "gru-seed2"]])
def test_a_failure_is_told_and_is_the_status(speechgru, finished: Path, tmp_path: Path, runs):
    out = shutil.copytree(finished, tmp_path / "out")
    for run in runs:
        file = out / "results" / f"{run}.json"
        result = json.loads(file.read_text())
        del result["scored"]
        failed = {"kind": "diverged", "reason": "the loss is NaN"}
        file.write_text(json.dumps(result | {"failed": failed}))
    said = speechgru("compare", "--report-only", "--out", out)
    assert said.status == 1
    assert said.err.splitlines() == [f"failed: {run}: the loss is NaN" for run in runs]
    shown = rows(said.out)
    assert shown["rnn"][-1] == "2"
    assert shown["gru"][-1] == str(2 - len(runs))
    assert (shown["gru"][3] == "–") == (len(runs) == 2)  # no seed, no rate


def test_runs_that_are_still_to_come_are_no_failure(speechgru, finished: Path, tmp_path: Path):
    out = shutil.copytree(finished, tmp_path / "out")
    (out / "results" / "gru-seed2.json").unlink()
    said = speechgru("compare", "--report-only", "--out", out)
    assert said.status == 0
    assert "1 runs are still to come" in said.err


def test_ctrl_c_is_status_130(speechgru, recipe, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("speechgru.compare.compare", interrupted)
    said = speechgru("compare", recipe, "--out", "o")
    assert (said.status, said.err) == (130, "speechgru: interrupted\n")
