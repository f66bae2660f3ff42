"""`speechgru compare`: what its options ask for, what it shows, and its exit status."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tones import recipe_values

from speechgru.compare import ComparisonSpec, RunOptions
from speechgru.compare.analysis import read_analysis
from speechgru.files import write_json


@pytest.fixture
def recipe(tones: Path, tmp_path: Path) -> Path:
    write_json(tmp_path / "recipe.yaml", recipe_values(tones))  # JSON is YAML
    return tmp_path / "recipe.yaml"


@dataclass(frozen=True)
class Call:
    spec: ComparisonSpec
    folder: Path
    options: RunOptions


@pytest.fixture
def calls(finished: Path, monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """What would have been carried out; the results of `finished` are shown."""
    found: list[Call] = []
    monkeypatch.setattr("speechgru.compare.run_comparison", lambda *call: found.append(Call(*call)))
    monkeypatch.setattr("speechgru.compare.write_report", lambda folder: read_analysis(finished))
    return found


def test_every_option_reaches_the_spec_or_the_run_options(speechgru, calls, recipe):
    said = speechgru(
        "compare", recipe, "model.hidden_size=16", "training.epochs=2",
        "--vary", "features.kind=logmel,mfcc", "--seeds", 3, "--test", "data/test.jsonl",
        "--folds", "speaker", "--match", "params", "--tune", "lr=0.003,0.001", "--jobs", 2,
        "--threads", 3, "--no-cost", "--device", "cpu", "--out", "some/where",
    )  # fmt: skip
    assert said.status == 0
    ((spec, options),) = [(call.spec, call.options) for call in calls]
    assert (spec.recipe.model.hidden_size, spec.recipe.training.epochs) == (16, 2)
    assert (spec.key, spec.names) == ("features.kind", ["logmel", "mfcc"])
    assert (spec.seeds, spec.test, spec.by_speaker) == (3, "data/test.jsonl", True)
    assert (spec.match, spec.learning_rates) == ("params", (0.001, 0.003))
    assert calls[0].folder == Path("some/where")
    assert (options.device, options.threads, options.jobs, options.cost) == ("cpu", 3, 2, False)


def test_cells_reach_the_spec(speechgru, calls, recipe):
    assert speechgru("compare", recipe, "--cells", "gru,lstm", "--out", "o").status == 0
    assert (calls[0].spec.key, calls[0].spec.names) == ("model.cell", ["gru", "lstm"])


@pytest.mark.parametrize(("jobs", "threads"), [(1, 8), (3, 2), (16, 1)])
def test_defaults_are_cheap_and_share_the_cpus(
    speechgru, calls, recipe, monkeypatch, jobs, threads
):
    monkeypatch.setattr("speechgru.cli.compare.cpu_count", lambda: 8)
    assert speechgru("compare", recipe, "--jobs", jobs, "--out", "o").status == 0
    ((spec, options),) = [(call.spec, call.options) for call in calls]
    assert (spec.key, spec.names) == ("model.cell", ["rnn", "gru", "lstm"])
    assert (spec.seeds, spec.test, spec.by_speaker) == (1, None, False)
    assert (spec.match, spec.learning_rates) == ("hidden-size", ())
    assert (options.device, options.cost) == ("auto", True)
    assert (options.threads, options.jobs) == (threads, jobs)


@pytest.mark.parametrize("columns", ["80", "120"])
def test_help_is_not_cut(speechgru, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    said = speechgru("compare", "--help")
    assert said.status == 0
    assert not re.search(r"[^\W\d_]…", said.out.replace("cell=…", ""))  # a word cut off


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

    monkeypatch.setattr("speechgru.compare.run_comparison", interrupted)
    said = speechgru("compare", recipe, "--out", "o")
    assert (said.status, said.err) == (130, "speechgru: interrupted\n")
