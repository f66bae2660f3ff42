"""What probes say of the article's claims: no surer than what was measured."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from speechgru.compare.claims import CURED, EASIER, LONG, LOSES, VANISHING
from speechgru.compare.grid import report
from speechgru.compare.probed import verdicts

Values = dict[str, Any]


def reach(models: int = 5, **per_frame: tuple[float, float]) -> Values:
    """A finding of gradient reach on noise: cell → lowest and highest factor a frame."""
    spreads = {
        cell.replace("_", ", "): {
            "models": models,
            "per_frame": {"low": low, "median": (low + high) / 2, "high": high},
        }
        for cell, (low, high) in per_frame.items()
    }
    return {"probe": "gradient-reach", "numbers": {"gradient-reach-noise": spreads}}


@pytest.mark.parametrize(
    ("rnn", "gru", "vanishing", "cured"),
    [
        ((0.5, 0.6), (0.8, 0.9), "supported", "supported in part"),  # at least 2.3 × as far
        ((0.5, 0.6), (0.7, 0.8), "supported", "undecided"),  # 1.4 to 3.1 × as far
        ((0.5, 0.6), (0.62, 0.65), "supported", "contradicted"),  # 1.6 × at most
        ((0.5, 0.6), (0.99, 1.0), "supported", "supported"),
        ((0.5, 0.6), (0.55, 0.8), "supported", "undecided"),
        ((0.5, 0.6), (0.3, 0.4), "supported", "contradicted"),
        ((0.5, 0.6), (1.05, 1.1), "supported", "undecided"),  # it explodes
        ((0.992, 0.995), (0.992, 0.995), "undecided", "undecided"),
        ((1.1, 1.2), (0.99, 1.0), "contradicted", "undecided"),
        ((0.9, 1.1), (0.95, 1.0), "undecided", "undecided"),
    ],
)
def test_gradient_reach_judges_vanishing_and_its_cure(rnn, gru, vanishing, cured):
    finding = reach(rnn_trained=rnn, gru_trained=gru, lstm_trained=gru)
    assert [v[:2] for v in verdicts(VANISHING, [finding])] == [("gradient-reach", vanishing)]
    assert [v[:2] for v in verdicts(CURED, [finding])] == [("gradient-reach", cured)]


def test_first_weights_and_one_gated_cell_support_a_claim_in_part():
    gone, steady = (0.5, 0.6), (0.99, 1.0)
    ((_, verdict, words),) = verdicts(VANISHING, [reach(rnn=gone)])
    assert (verdict, "trained models were not measured" in words) == ("supported in part", True)
    ((_, verdict, _),) = verdicts(VANISHING, [reach(rnn=(1.1, 1.2))])
    assert verdict == "undecided"
    ((_, verdict, _),) = verdicts(CURED, [reach(rnn=gone, gru=steady, lstm=steady)])
    assert verdict == "supported in part"
    ((_, verdict, words),) = verdicts(CURED, [reach(rnn_trained=gone, gru_trained=steady)])
    assert (verdict, "lstm was not measured" in words) == ("supported in part", True)
    numbers = {
        "adding-100": {cell: {"runs": 5, "solved": n} for cell, n in (("rnn", 0), ("gru", 5))}
    }
    ((_, verdict, words),) = verdicts(LONG, [{"probe": "memory", "numbers": numbers}])
    assert (verdict, "lstm was not measured" in words) == ("supported in part", True)


@pytest.mark.parametrize(
    ("gru", "lstm", "verdict", "words"),
    [
        ((1.001, 1.005), (0.95, 0.97), "supported in part", "in lstm on noise, trained it reaches"),
        ((1.0, 1.005), (0.7, 0.8), "supported in part", "trained it reaches 1.4 × as far"),
        ((1.0, 1.005), (0.995, 1.0), "supported", "gru × 1"),
    ],
)
def test_one_gated_cell_may_keep_what_the_other_loses(gru, lstm, verdict, words):
    finding = reach(rnn_trained=(0.5, 0.6), gru_trained=gru, lstm_trained=lstm)
    ((_, found, text),) = verdicts(CURED, [finding])
    assert (found, words in text) == (verdict, True)


def test_what_is_kept_on_one_input_alone_is_cured_in_part():
    finding = reach(rnn_trained=(0.5, 0.6), gru_trained=(0.995, 1.0), lstm_trained=(0.99, 1.0))
    joined = reach(rnn_trained=(0.5, 0.6), gru_trained=(0.62, 0.65), lstm_trained=(0.62, 0.65))
    finding["numbers"]["gradient-reach-joined"] = joined["numbers"]["gradient-reach-noise"]
    ((_, found, text),) = verdicts(CURED, [finding])
    assert found == "supported in part"
    assert "in gru on joined, trained and lstm on joined, trained it reaches 1.1 ×" in text


def test_few_models_support_nothing_and_shapes_are_taken_together():
    finding = reach(4, rnn_trained=(0.5, 0.6))
    ((_, verdict, words),) = verdicts(VANISHING, [finding])
    assert (verdict, "of 4 models a cell" in words) == ("supported in part", True)
    labels = finding["numbers"]["gradient-reach-noise"]
    (models,) = labels.values()
    other = models | {"per_frame": {"low": 0.9, "median": 0.92, "high": 0.94}}
    labels |= {"rnn, trained (2 × 8)": other, "rnn, trained (1 × 8)": labels.pop("rnn, trained")}
    ((_, verdict, words),) = verdicts(VANISHING, [finding])
    assert verdict == "supported"
    assert "0.92 (0.5 to 0.94) on noise, trained" in words


def test_trained_models_say_more_than_untrained_ones_and_odd_weights_nothing():
    finding = reach(rnn_untrained=(0.5, 0.6), rnn_trained=(1.1, 1.2))
    finding["numbers"]["gradient-reach-noise-gain-3"] = {
        "rnn": {"models": 5, "per_frame": {"low": 0.1, "median": 0.1, "high": 0.1}}
    }
    ((_, verdict, words),) = verdicts(VANISHING, [finding])
    assert verdict == "contradicted"
    assert "1.15 (1.1 to 1.2) on noise, trained" in words
    del finding["numbers"]["gradient-reach-noise"]
    assert verdicts(VANISHING, [finding]) == []


@pytest.mark.parametrize(
    ("rnn", "gru", "verdict"),
    [(0, 5, "supported"), (0, 3, "undecided"), (5, 0, "contradicted"), (4, 4, "undecided")],
)
def test_memory_judges_long_dependencies_by_fishers_test(rnn, gru, verdict):
    numbers = {"adding-100": {cell: {"runs": 5, "solved": solved}
               for cell, solved in (("rnn", rnn), ("gru", gru), ("lstm", gru))}}  # fmt: skip
    ((_, found, words),) = verdicts(LONG, [{"probe": "memory", "numbers": numbers}])
    assert found == verdict
    assert f"gru solved it in {gru} of 5 runs, rnn solved it in {rnn} of 5 runs" in words


@pytest.mark.parametrize(
    ("gru", "lstm", "verdict"),
    [
        ((5, 5), (5, 5), "supported"),
        ((6, 6), (6, 1), "supported in part"),
        ((6, 0), (6, 0), "undecided"),
    ],
)
def test_several_problems_are_judged_together(gru, lstm, verdict):
    """gru and lstm: how many of 6 runs solved the first and the second problem; the rnn solved
    none of the first, and none of the second unless they solved none of it."""
    rnn = (0, 6 if gru[1] == 0 else 0)
    numbers = {
        problem: {cell: {"runs": 6, "solved": solved[k]}
                  for cell, solved in (("rnn", rnn), ("gru", gru), ("lstm", lstm))}
        for k, problem in enumerate(("adding", "copy"))
    }  # fmt: skip
    ((_, found, _),) = verdicts(LONG, [{"probe": "memory", "numbers": numbers}])
    assert found == verdict


def race(solved: int, updates: tuple[int, int] | None, error: tuple[float, float]) -> Values:
    """Five runs at one problem."""

    def ends(low: float, high: float) -> Values:
        return {"low": low, "median": (low + high) / 2, "high": high}

    return {"runs": 5, "solved": solved, "error": ends(*error), "chance": 0.875, "failed": 0,
            "updates_to_solve": ends(*updates) if updates else None}  # fmt: skip


GUESSING = race(0, None, (0.86, 0.88))
QUICK, SLOW = race(5, (100, 200), (0.001, 0.01)), race(5, (300, 900), (0.001, 0.01))
HALF, NOTHING = race(0, None, (0.4, 0.5)), race(0, None, (0.8, 0.9))


@pytest.mark.parametrize(
    ("gru", "lstm", "easier", "loses"),
    [
        (QUICK, SLOW, "supported", "undecided"),
        (SLOW, QUICK, "contradicted", "undecided"),
        (HALF, NOTHING, "supported", "undecided"),  # unsolved, but ahead in every run
        (NOTHING, HALF, "contradicted", "supported"),
        (QUICK, QUICK, "undecided", "undecided"),
        (race(4, (100, 200), (0.001, 0.1)), SLOW, "undecided", "undecided"),  # one never did
        (QUICK, NOTHING, "supported", "undecided"),
        (GUESSING, race(0, None, (0.9, 1.0)), "undecided", "undecided"),  # nobody remembers
        (HALF | {"failed": 1}, NOTHING, "undecided", "undecided"),
        (race(5, (100, 400), (0.001, 0.01)), SLOW, "undecided", "undecided"),  # they overlap
        (QUICK, race(3, (300, 900), (0.001, 0.2)), "supported", "undecided"),
    ],
)
def test_memory_judges_gru_and_lstm_by_runs_solved_errors_and_updates(gru, lstm, easier, loses):
    finding = {"probe": "memory", "numbers": {"copy-30": {"gru": gru, "lstm": lstm}}}
    assert [v[1] for v in verdicts(EASIER, [finding])] == [easier]
    assert [v[1] for v in verdicts(LOSES, [finding])] == [loses]
    assert verdicts(LONG, [finding]) == []  # nobody to keep more than


def test_few_runs_are_no_test():
    few = {name: {"runs": 3, "solved": solved} for name, solved in (("gru", 3), ("lstm", 0))}
    ((_, verdict, words),) = verdicts(EASIER, [{"probe": "memory", "numbers": {"adding": few}}])
    assert (verdict, "too few runs" in words) == ("not tested", True)


def test_findings_of_one_probe_are_told_apart():
    numbers = {"copy-30": {"gru": HALF, "lstm": NOTHING}}
    found = [{"probe": "memory", "numbers": numbers, "folder": f} for f in ("a", "memory", "")]
    assert [v[0] for v in verdicts(LOSES, found)] == ["memory in a", "memory", "memory"]


def test_fishers_test_is_scipys():
    from scipy.stats import fisher_exact

    from speechgru.compare.probed import _more

    for a, b in [(5, 0), (4, 1), (3, 3), (0, 5)]:
        table = [[a, 5 - a], [b, 6 - b]]
        expected = min(1.0, 2 * fisher_exact(table, "greater").pvalue)
        found = _more({"solved": a, "runs": 5}, {"solved": b, "runs": 6})
        assert found == pytest.approx(expected)


def test_findings_in_folders_enter_the_report(finished: Path, tmp_path: Path):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    for name in ("a", "b"):
        folder = out / "probes" / name
        folder.mkdir(parents=True)
        (folder / "memory.svg").write_text(
            f"<svg role='img' aria-label='it'><title>Drawing {name}</title></svg>"
        )
        table = {"caption": f"said by {name}", "head": ["cell"], "rows": [["gru"]]}
        finding = {"probe": "memory", "claim": "c", "method": "m", "tables": [table],
                   "numbers": {}, "figures": ["memory.svg"]}  # fmt: skip
        (folder / "memory.json").write_text(json.dumps(finding))
    report(out)
    text = (out / "report.md").read_text()
    for name in ("a", "b"):
        assert f"said by {name}" in text
        assert f"Drawing {name}: line, the median" in text
        assert f"### Memory · {name}" in text
