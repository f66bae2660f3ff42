"""Plans, results and costs on disk, of this version and of older ones, which have other names."""

import json
import shutil
from pathlib import Path

import pytest

from speechgru.compare.cost import load_costs
from speechgru.compare.plan import read_plan
from speechgru.compare.runner import read_results
from speechgru.errors import SpeechgruError

KEPT = Path(__file__).parents[2] / "docs" / "results"


@pytest.mark.parametrize("folder", sorted(f.parent for f in KEPT.glob("*/plan.json")), ids=str)
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
