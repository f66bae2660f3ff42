"""The article's claims: no verdict is surer than what was found."""

import pytest
from asking import EARLY, LATE, Values, trained

from speechgru.compare.claims import (
    BEST,
    CURED,
    EASIER,
    LONG,
    LOSES,
    quality_claims,
    timing_claims,
)
from speechgru.compare.trainability import trainability
from speechgru.compare.wording import NO_DIFFERENCE as NONE

Verdicts = dict[tuple[str, str], str]


def invented(verdicts: Verdicts, runs: int = 3) -> Values:
    """Results of rnn, gru and lstm whose pairs have these verdicts."""
    pairs = [
        {
            "a": a,
            "b": b,
            "verdict": v,
            "sentence": f"{a} {v} {b}",
            "minimum_detectable": 0.02,
            "seeds": [runs, runs],
            "p_adjusted": 0.02,
        }
        for (a, b), v in verdicts.items()
    ]
    curve = [{"epoch": 1, "step": 10, "dev_wer": 0.1, "loss": 1.0, "skipped_steps": 0}]
    each = [{"seed": k, "fold": "", "curve": curve, "train_hours": 1.0} for k in range(runs)]
    cells = ("rnn", "gru", "lstm")
    return {
        "question": {
            "vary": "model.cell",
            "match": "params",
            "seeds": runs,
            "folds": None,
            "learning_rates": [0.001, 0.002],
        },
        "systems": [
            {"name": cell, "wer": [0.1] * runs, "wer_mean": 0.1, "seeds": list(range(runs))}
            for cell in cells
        ],
        "pairs": pairs,
        "by_length": None,
        "trainability": trainability(dict.fromkeys(cells, each), {c: [] for c in cells}),
        "learning_rates": {},
    }


@pytest.mark.parametrize(
    ("lstm", "rnn", "verdict"),
    [
        ("better", "better", "supported here"),
        ("better", "no difference shown", "undecided here"),
        ("equivalent", "better", "undecided here"),
        ("worse", "better", "contradicted here"),
    ],
)
def test_best_for_speech_is_no_surer_than_its_pairs(lstm, rnn, verdict):
    results = invented({("gru", "lstm"): lstm, ("gru", "rnn"): rnn, ("lstm", "rnn"): "better"})
    claims = {claim["claim"]: claim for claim in quality_claims(results)}
    assert claims[BEST]["verdict"] == verdict


def test_a_difference_larger_than_the_wer_itself_is_not_promised():
    results = invented({("gru", "lstm"): "no difference shown", ("gru", "rnn"): "better"})
    results["pairs"][0]["minimum_detectable"] = 1.2  # an lstm with 120 % would be needed
    claims = {claim["claim"]: claim for claim in quality_claims(results)}
    words = claims[BEST]["words"]
    assert "even a gru without errors would hardly be told from lstm" in words
    assert "120" not in words


def test_a_pair_may_be_named_either_way_round():
    results = invented({("rnn", "gru"): "worse", ("rnn", "lstm"): "worse"})
    claims = {claim["claim"]: claim for claim in quality_claims(results)}
    assert claims[BEST]["evidence"] == ["rnn worse gru"]
    claim = claims[CURED]
    assert claim["verdict"] == "not tested here"  # error rates say nothing of gradients
    assert "gru and lstm made fewer errors than rnn" in claim["words"]


@pytest.mark.parametrize(
    ("gru", "lstm", "verdict"),
    [
        (EARLY, LATE, "supported here"),
        (LATE, EARLY, "contradicted here"),
        (EARLY, EARLY, "undecided here"),
    ],
)
def test_updates_decide_what_is_easier_to_train(gru, lstm, verdict):
    results = invented({})
    results["trainability"] = trained(gru=gru, lstm=lstm)
    claim = {claim["claim"]: claim for claim in quality_claims(results)}[EASIER]
    assert claim["verdict"] == verdict
    assert "can show no difference" not in claim["words"]


def test_too_few_runs_to_show_anything_are_told():
    results = invented({})
    results["trainability"] = trained(gru=EARLY[:6], lstm=LATE[:6], rnn=LATE[:6])
    claim = {claim["claim"]: claim for claim in quality_claims(results)}[EASIER]
    assert claim["verdict"] == "not tested here"
    assert "with 6 seeds of 3 cells this test can show no difference at 5 %" in claim["words"]


def cut_by_length(longest: Verdicts, growth: Verdicts) -> Values:
    """As if the thirds had been tested so."""
    return {
        "seconds": [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]],
        "wer": {cell: [0.1, 0.2, 0.4] for cell in ("rnn", "gru", "lstm")},
        "pairs_on_longest": invented(longest)["pairs"],
        "growth": invented(growth)["pairs"],
    }


@pytest.mark.parametrize(
    ("longest", "growth", "verdict"),
    [
        (("better", "better"), ("better", "better"), "supported in part"),
        (("better", "better"), ("better", NONE), "undecided here"),  # one is ahead everywhere
        (("better", NONE), ("better", "better"), "undecided here"),
        ((NONE, NONE), ("better", "better"), "undecided here"),
        (("better", "worse"), ("better", "worse"), "contradicted here"),
        (("worse", "worse"), ("better", NONE), "undecided here"),  # behind on the shortest, too
    ],
)
def test_length_speaks_for_memory_only_where_the_lead_is_shown_to_grow(longest, growth, verdict):
    results, pairs = invented({}), [("gru", "rnn"), ("lstm", "rnn")]
    results["by_length"] = cut_by_length(
        dict(zip(pairs, longest, strict=True)), dict(zip(pairs, growth, strict=True))
    )
    claim = {claim["claim"]: claim for claim in quality_claims(results)}[LONG]
    assert claim["verdict"] == verdict


@pytest.mark.parametrize(
    ("longest", "growth", "verdict"),
    [
        ("worse", "worse", "supported in part"),
        ("worse", NONE, "undecided here"),  # it loses as much on the shortest
        ("better", "better", "undecided here"),  # it may still lose elsewhere
        (NONE, "worse", "undecided here"),
    ],
)
def test_who_loses_on_long_utterances_is_told_with_care(longest, growth, verdict):
    results, pair = invented({}), ("gru", "lstm")
    results["by_length"] = cut_by_length({pair: longest}, {pair: growth})
    claim = {claim["claim"]: claim for claim in quality_claims(results)}[LOSES]
    assert claim["verdict"] == verdict
    assert "on the longest third (2.0 to 3.0 s)" in claim["words"]


@pytest.mark.parametrize(("runs", "told"), [(1, True), (3, False)])
def test_a_verdict_by_single_trainings_says_so(runs, told):
    results = invented({("gru", "lstm"): "worse", ("gru", "rnn"): "better"})
    results["systems"][1]["seeds"] = list(range(runs))
    claim = {claim["claim"]: claim for claim in quality_claims(results)}[BEST]
    assert claim["verdict"] == "contradicted here"
    assert ("with one training of gru, which another seed may turn" in claim["words"]) == told


def cost(seconds: float, share: float = 1.0, device: str = "CPU") -> Values:
    rtf = seconds / 1000
    backend = {"seconds_per_epoch": seconds, "rtf_1_thread": rtf, "rtf_2_threads": rtf}
    roads = {"cpu": backend, "unroll": backend}
    return {"roads": roads, "fastest": "cpu", "share": share, "device": device}


@pytest.mark.parametrize(
    ("gru", "lstm", "verdict"),
    [
        (cost(1.0), cost(2.0), "supported here"),
        (cost(2.0), cost(1.0), "contradicted here"),
        (cost(1.0), cost(1.05), "undecided here"),
        (cost(1.0), cost(2.0, share=0.5), "undecided here"),  # others were at work
        (cost(2.0), cost(1.0, device="a GPU"), "undecided here"),
    ],
)
def test_the_clock_decides_what_is_cheaper(gru, lstm, verdict):
    results = invented({})
    for row in results["systems"]:
        row |= {"width": 10, "parameters": 1000, "macs_per_second": 1000.0}
    (claim,) = timing_claims(results, {"cost": {"gru": gru, "lstm": lstm}})
    assert claim["verdict"] == verdict
