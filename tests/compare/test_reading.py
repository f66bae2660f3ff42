"""Plans, results and costs on disk, of this version and of older ones, which have other names."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speechgru.compare.analysis import read_analysis
from speechgru.compare.cost import load_costs
from speechgru.compare.plan import read_plan
from speechgru.compare.runner import read_results
from speechgru.errors import SpeechgruError

KEPT = Path(__file__).parents[2] / "docs" / "results"


PLANS = sorted(KEPT.glob("*/plan.json"))
OLD = [file.parent for file in PLANS if "speechgru-plan-1" in file.read_text()]


@pytest.mark.parametrize("folder", OLD, ids=str)
def test_kept_comparisons_are_read_whole(folder: Path):
    plan, results = read_plan(folder), read_results(folder)
    old = json.loads((folder / "plan.json").read_text())
    assert plan.spec.names == old["question"]["variants"]
    assert plan.spec.recipe.model.hidden_size == old["question"]["recipe"]["model"]["width"]
    assert plan.learning_rates == old["chosen_learning_rates"]
    for name, size in plan.sizes.items():
        assert size.hidden_size == old["sizes"][name]["width"]
        assert size.ratio == old["sizes"][name]["ratio"]
    assert {run.name for run in [*plan.runs(), *plan.trials()]} == set(results)
    for run in plan.runs():
        result, values = (
            results[run.name],
            json.loads((folder / f"results/{run.name}.json").read_text()),
        )
        assert (result.variant, result.seed, result.fold) == (run.variant, run.seed, run.fold)
        assert result.model
        assert result.scores
        assert not result.failure
        assert result.model.train_hours == values["train_hours"]
        assert result.model.dev_wer == values["dev_wer"]
        assert list(result.scores.errors) == values["scored"]["errors"]
        assert [row.seconds for row in result.curve] == values["timings"]["seconds"]
        assert [e.dev_wer for e in result.curve] == [row.get("dev_wer") for row in values["curve"]]
    costs, measured = (
        load_costs(folder / "cost.json"),
        json.loads((folder / "cost.json").read_text()),
    )
    assert set(costs) == set(plan.spec.names)
    for name, cost in costs.items():
        assert (
            cost.timing("unroll").rtf_1_thread == measured[name]["roads"]["unroll"]["rtf_1_thread"]
        )
        assert (cost.model_bytes, cost.cpu_share) == (
            measured[name]["bytes"],
            measured[name]["share"],
        )


def test_a_failure_of_an_older_version_keeps_its_meaning(tmp_path: Path):
    (tmp_path / "results").mkdir()
    values = {
        "format": "speechgru-run-1", "run": "gru-seed1", "variant": "gru", "seed": 1, "fold": "",
        "recipe": "0", "learning_rate": 0.1, "failed": {"kind": "fault", "reason": "disk full"},
        "curve": [], "timings": {"seconds": []},
    }  # fmt: skip
    (tmp_path / "results" / "gru-seed1.json").write_text(json.dumps(values))
    result = read_results(tmp_path)["gru-seed1"]
    assert result.failure is not None
    assert (result.failure.kind, result.failure.reason) == ("error", "disk full")
    assert (result.model, result.scores) == (None, None)


@pytest.mark.parametrize("text", ["{half", "[]", '{"format": "speechgru-run-9"}', "null"])
@pytest.mark.parametrize("name", ["plan.json", "cost.json", "results/gru-seed1.json"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, text: str):
    folder = shutil.copytree(KEPT / "an4-time", tmp_path / "copy")
    (folder / name).write_text(text)
    with pytest.raises(SpeechgruError, match=Path(name).name):
        _ = read_plan(folder), load_costs(folder / "cost.json"), read_results(folder)


INCONSISTENT: dict[str, tuple[str, Callable[[Any], object]]] = {
    "no size": ("plan.json", lambda plan: plan["sizes"].pop("gru")),
    "no learning rate": ("plan.json", lambda plan: plan["learning_rates"].pop("gru")),
    "no rate of a fold": ("plan.json", lambda plan: plan["learning_rates"]["gru"].clear()),
    "a fold without a rate": ("plan.json", lambda plan: plan["folds"].append("anna")),
    "no curve": ("results/gru-seed1.json", lambda result: result["curve"].clear()),
    "scores without a curve": (
        "results/gru-seed1.json", lambda result: result.update(model=None, curve=[])
    ),
    "a count too few": ("results/gru-seed1.json", lambda result: result["scores"]["errors"].pop()),
    "an id too few": ("results/gru-seed1.json", lambda result: result["scores"]["ids"].pop()),
}  # fmt: skip


def changed(finished: Path, folder: Path, name: str, change: Callable[[Any], object]) -> Path:
    """A copy of a comparison, one of whose files is changed."""
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("runs"))
    values = json.loads((folder / name).read_text())
    change(values)
    (folder / name).write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize("kind", INCONSISTENT)
def test_a_file_that_contradicts_itself_is_named(finished: Path, tmp_path: Path, kind: str):
    name, change = INCONSISTENT[kind]
    folder = changed(finished, tmp_path / "copy", name, change)
    with pytest.raises(SpeechgruError, match=Path(name).name):
        read_analysis(folder)


def test_seeds_that_were_scored_on_other_utterances_are_named(finished: Path, tmp_path: Path):
    def drop_an_utterance(result: Any) -> None:
        for values in result["scores"].values():
            values.pop()

    name = "results/gru-seed2.json"
    folder = changed(finished, tmp_path / "copy", name, drop_an_utterance)
    with pytest.raises(SpeechgruError, match=r"gru.*seed 2"):
        read_analysis(folder)
