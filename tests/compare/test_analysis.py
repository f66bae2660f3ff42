"""Error rates, tests and rankings, by hand and on kept results."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_runs import compared, finished, run, scores

from speechgru.compare.analysis import System, analyse, by_length, read_analysis
from speechgru.errors import SpeechgruError
from speechgru.manifest import read_manifest
from speechgru.scoring.significance import crossed_bootstrap, holm

GOOD, BAD = [0, 1, 0, 1, 0, 1] * 4, [3, 4, 5, 4, 3, 4] * 4


def test_results_are_the_scores_of_the_runs(finished: Path, tones: Path):
    analysis = read_analysis(finished)
    test = read_manifest(tones / "test.jsonl")
    assert (analysis.failures, analysis.pending) == ({}, ())
    for system in analysis.systems:
        runs = [finished / "runs" / f"{system.name}-seed{k}" for k in (1, 2)]
        stored = [json.loads((run / "results/test/score.json").read_text()) for run in runs]
        rates = system.rates
        assert rates is not None
        assert list(rates.wer) == [score["wer"] for score in stored]
        assert rates.wer_mean == pytest.approx(np.mean(rates.wer))
        assert rates.wer_std == pytest.approx(np.std(rates.wer, ddof=1))
        assert rates.utterances == len(test)
        assert rates.words == sum(len(u.text.split()) for u in test)
    rnn, gru = (system.rates for system in analysis.systems)
    for (pair,), measure in ((analysis.pairs, "wer_mean"), (analysis.cer_pairs, "cer_mean")):
        assert (pair.a, pair.b, pair.comparison.seeds) == ("rnn", "gru", (2, 2))
        rates = [pair.comparison.rate_a, pair.comparison.rate_b]
        assert rates == pytest.approx([getattr(rnn, measure), getattr(gru, measure)])
        assert pair.comparison.difference == pytest.approx(rates[0] - rates[1])


def test_pairs_are_tested_and_adjusted_together():
    analysis = compared({"rnn": [BAD, BAD], "gru": [GOOD, GOOD], "lstm": [GOOD, BAD]})
    assert [(p.a, p.b) for p in analysis.pairs] == [
        ("rnn", "gru"),
        ("rnn", "lstm"),
        ("gru", "lstm"),
    ]
    ps = [pair.comparison.p for pair in analysis.pairs]
    assert [p.comparison.p_adjusted for p in analysis.pairs] == pytest.approx(holm(ps))
    alone = crossed_bootstrap(
        np.array([BAD, BAD]), np.array([GOOD, GOOD]), np.full(24, 10),
        ["ann", "bob", "cy", "dee", "eve", "flo"] * 4,
    )  # fmt: skip
    assert analysis.pairs[0].comparison.p == alone.p
    assert analysis.pairs[0].verdict == "worse"
    assert analysis.pairs[2].verdict == "no difference shown"


def test_the_ranking_is_by_mean_wer_of_what_can_be_compared():
    analysis = compared({"rnn": [BAD, BAD], "gru": [GOOD, GOOD]})
    best, pairs = analysis.ranking() or ("", {})
    assert best == "gru"
    assert {name: pair.verdict for name, pair in pairs.items()} == {"rnn": "worse"}
    other_words = finished("gru", 1, scores(GOOD, words=9))
    assert compared({"rnn": [BAD], "gru": [GOOD]}, changes={"gru-seed1": other_words}).pairs == ()


@pytest.mark.parametrize("key", ["text.case", "text.punctuation"])
def test_errors_against_different_references_are_not_compared(key: str):
    analysis = compared({"lower": [BAD], "upper": [GOOD]}, key=key)
    assert (analysis.pairs, analysis.cer_pairs, analysis.by_length) == ((), (), None)
    assert analysis.ranking() is None
    assert all(system.rates for system in analysis.systems)


def test_units_of_output_are_compared():
    """They leave the references as they are."""
    analysis = compared({"character": [BAD], "bpe": [GOOD]}, key="text.unit")
    assert (analysis.ranking() or ("",))[0] == "bpe"


def test_failures_and_missing_runs_are_counted_and_their_seeds_left_out():
    lost = replace(run(2, 0.9, failed=True), run="gru-seed2", variant="gru")
    changes = {"gru-seed2": lost, "rnn-seed1": None}
    analysis = compared({"rnn": [BAD, BAD], "gru": [GOOD, GOOD]}, changes=changes)
    assert analysis.failures == {"gru-seed2": "NaN"}
    assert analysis.pending == ("rnn-seed1",)
    rnn, gru = analysis.systems
    assert (rnn.runs, rnn.failed_runs, gru.runs, gru.failed_runs) == (1, 0, 1, 1)
    assert rnn.rates is not None
    assert gru.rates is not None
    assert (rnn.rates.seeds, gru.rates.seeds, gru.rates.wer_std) == ((2,), (1,), None)


def test_held_out_speakers_are_pooled_where_all_folds_finished():
    plan = compared({"rnn": [BAD, BAD], "gru": [GOOD, GOOD]}).plan
    rates = {name: {"ann": 0.01, "bob": 0.01} for name in plan.spec.names}
    spec = replace(plan.spec, by_speaker=True)
    plan = replace(plan, folds=("ann", "bob"), spec=spec, learning_rates=rates)
    results = {}
    for planned in plan.runs():
        counts = [1, 2] if planned.fold == "ann" else [3, 4]
        scored = scores(counts, speakers=[planned.fold] * 2)
        result = finished(planned.variant, planned.seed, scored, fold=planned.fold)
        results[planned.name] = replace(result, run=planned.name)
    del results["gru-seed2-bob"]
    rnn, gru = analyse(plan, results, {}).systems
    assert rnn.rates is not None
    assert gru.rates is not None
    assert (rnn.rates.seeds, gru.rates.seeds) == ((1, 2), (1,))
    assert (rnn.rates.wer, rnn.rates.utterances, rnn.rates.speakers) == ((0.25, 0.25), 4, 2)
    assert rnn.rates.ci_unit == "speaker"  # however few: each has models of its own
    (pair,) = analyse(plan, results, {}).pairs
    assert (pair.comparison.unit, pair.comparison.held_out) == ("speaker", True)


def test_results_are_plain_json():
    analysis = compared({"rnn": [BAD], "gru": [BAD]})  # equal: infinite degrees of freedom
    values = analysis.to_json()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["systems"][0]["rates"]["wer_mean"] == analysis.systems[0].rates.wer_mean


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_folder_without_a_comparison_is_refused(tmp_path: Path, name: str):
    with pytest.raises(SpeechgruError, match=r"plan\.json"):
        read_analysis(tmp_path / name)


# By length, on six utterances that can be worked by hand ------------------------------------------

SECONDS = (5.0, 1.0, 3.0, 2.0, 6.0, 4.0)  # thirds: the 2nd and 4th; the 3rd and 6th; 1st and 5th
WORDS = np.array([4, 2, 5, 1, 6, 3])  # of the thirds: 3, 8, 10


def system(name: str, *errors: list[int], words: np.ndarray = WORDS) -> System:
    """`errors` of each utterance, a list per seed."""
    table = np.array(errors)
    speakers = ("ann", "ann", "bob", "bob", "cy", "cy")
    return System(
        name, tuple(range(len(errors))), table, 5 * table, words, 5 * words, tuple("abcdef"),
        speakers, SECONDS,
    )  # fmt: skip


SYSTEMS = [
    system("rnn", [2, 1, 0, 1, 3, 1], [1, 1, 2, 0, 2, 0]),
    system("gru", [1, 0, 1, 0, 1, 1]),
    system("lstm", [0, 2, 3, 1, 1, 2]),
]


@pytest.fixture
def few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechgru.compare.analysis.THIRD", 3)


@pytest.mark.usefixtures("few_words")
def test_thirds_and_the_growth_of_differences():
    found = by_length(SYSTEMS, held_out=False)
    assert found is not None
    assert found.seconds == ((1, 2), (3, 4), (5, 6))
    assert found.words == (3, 8, 10)
    assert found.wer == {  # of the rnn the mean of its two seeds
        "rnn": pytest.approx([(2 + 1) / 2 / 3, (1 + 2) / 2 / 8, (5 + 3) / 2 / 10]),
        "gru": pytest.approx([0, 2 / 8, 2 / 10]),
        "lstm": pytest.approx([3 / 3, 5 / 8, 1 / 10]),
    }
    growth = [pair.comparison for pair in found.growth]
    assert [(p.a, p.b) for p in found.growth] == [("rnn", "gru"), ("rnn", "lstm"), ("gru", "lstm")]
    assert [c.difference for c in growth] == pytest.approx([-0.3, 0.8, 1.1])
    assert {(c.unit, c.units) for c in growth} == {("utterance", 6)}
    assert [c.p_adjusted for c in growth] == pytest.approx(holm([c.p for c in growth]))


@pytest.mark.usefixtures("few_words")
def test_held_out_speakers_are_the_units_of_growth():
    found = by_length(SYSTEMS, held_out=True)
    assert found is not None
    assert {(p.comparison.unit, p.comparison.units) for p in found.growth} == {("speaker", 3)}


@pytest.mark.parametrize(
    "systems",
    [
        [],
        SYSTEMS,  # too few words
        [system("gru", [10] * 6, words=np.full(6, 100))],  # as many words in short utterances
        [*(replace(s, words=50 * s.words) for s in SYSTEMS[:2]), SYSTEMS[2]],  # other references
    ],
)
def test_length_is_not_analysed_where_the_data_cannot_show_an_effect(systems):
    assert by_length(systems, held_out=False) is None


@pytest.mark.usefixtures("few_words")
def test_a_difference_that_is_the_same_everywhere_adds_no_noise_to_its_growth():
    """The standard error is that of the difference of two ratios, drawn anew with their words."""
    rng = np.random.default_rng(3)
    words = rng.integers(5, 40, 90)
    fewer = rng.binomial(words, 0.2)
    more = fewer + rng.binomial(words - fewer, 0.6)
    systems = [
        replace(
            SYSTEMS[1], name=name, errors=errors[None], words=words, seconds=tuple(words),
            ids=tuple(map(str, range(90))), speakers=(None,) * 90,
        )
        for name, errors in (("a", more), ("b", fewer))
    ]  # fmt: skip
    found = by_length(systems, held_out=False)
    assert found is not None
    third = np.empty(90, int)
    for number, part in enumerate(np.array_split(np.argsort(words, kind="stable"), 3)):
        third[part] = number

    def difference(places: np.ndarray, number: int) -> float:
        inside = places[third[places] == number]
        return float((more - fewer)[inside].sum() / words[inside].sum())

    draws = [rng.integers(90, size=90) for _ in range(4000)]
    drawn = [difference(places, 2) - difference(places, 0) for places in draws]
    error = found.growth[0].comparison.to_json()["standard_error"]
    assert error == pytest.approx(float(np.std(drawn)), rel=0.06)
