"""Errors by length, on a table of six utterances that can be worked by hand."""

from dataclasses import replace

import numpy as np
import pytest

from speechgru.compare.lengths import by_length
from speechgru.compare.systems import System
from speechgru.scoring.significance import holm

SECONDS = [5.0, 1.0, 3.0, 2.0, 6.0, 4.0]  # thirds: the 2nd and 4th; the 3rd and 6th; 1st and 5th
WORDS = [4, 2, 5, 1, 6, 3]  # of the thirds: 3, 8, 10
SPEAKERS: list[str | None] = ["ann", "ann", "bob", "bob", "cy", "cy"]


def system(name: str, *errors: list[int]) -> System:
    """`errors`: of each utterance, a list a seed."""
    table, words = np.array(errors), np.array(WORDS)
    ids = [str(k) for k in range(6)]
    seeds = list(range(1, len(errors) + 1))
    return System(name, seeds, table, 5 * table, words, 5 * words, ids, SPEAKERS, SECONDS)


SYSTEMS = {
    "rnn": system("rnn", [2, 1, 0, 1, 3, 1], [1, 1, 2, 0, 2, 0]),
    "gru": system("gru", [1, 0, 1, 0, 1, 1]),
    "lstm": system("lstm", [0, 2, 3, 1, 1, 2]),
}


def test_thirds_by_hand():
    found = by_length(SYSTEMS, held_out=False)
    assert found is not None
    assert found["seconds"] == [[1, 2], [3, 4], [5, 6]]
    assert found["words"] == [3, 8, 10]
    assert found["wer"] == {  # of the rnn the mean of its two seeds
        "rnn": pytest.approx([(2 + 1) / 2 / 3, (1 + 2) / 2 / 8, (5 + 3) / 2 / 10]),
        "gru": pytest.approx([0, 2 / 8, 2 / 10]),
        "lstm": pytest.approx([3 / 3, 5 / 8, 1 / 10]),
    }


def test_pairs_are_compared_on_the_longest_third_and_adjusted_together():
    found = by_length(SYSTEMS, held_out=False)
    assert found is not None
    pairs = found["pairs_on_longest"]
    assert [(p["a"], p["b"]) for p in pairs] == [("rnn", "gru"), ("rnn", "lstm"), ("gru", "lstm")]
    assert [p["rate_a"] for p in pairs] == pytest.approx([0.4, 0.4, 0.2])
    assert [p["difference"] for p in pairs] == pytest.approx([0.2, 0.3, 0.1])
    assert [p["seeds"] for p in pairs] == [[2, 1], [2, 1], [1, 1]]
    assert {(p["unit"], p["units"]) for p in pairs} == {("utterance", 2)}
    assert [p["p_adjusted"] for p in pairs] == pytest.approx(holm([p["p"] for p in pairs]))
    assert max(p["p"] for p in pairs) < max(p["p_adjusted"] for p in pairs)


def test_growth_is_the_wer_on_the_longest_third_less_that_on_the_shortest():
    found = by_length(SYSTEMS, held_out=False)
    assert found is not None
    pairs = found["growth"]
    assert [(p["a"], p["b"]) for p in pairs] == [("rnn", "gru"), ("rnn", "lstm"), ("gru", "lstm")]
    assert [p["difference"] for p in pairs] == pytest.approx([-0.3, 0.8, 1.1])
    assert {(p["unit"], p["units"]) for p in pairs} == {("utterance", 6)}
    assert [p["p_adjusted"] for p in pairs] == pytest.approx(holm([p["p"] for p in pairs]))


def test_held_out_speakers_are_the_units_by_length_too():
    """Of the longest third one utterance is Ann's and one Cy's; of all, Bob has two."""
    found = by_length(SYSTEMS, held_out=True)
    assert found is not None
    assert {(p["unit"], p["units"]) for p in found["pairs_on_longest"]} == {("speaker", 2)}
    assert {(p["unit"], p["units"]) for p in found["growth"]} == {("speaker", 3)}


def test_there_must_be_something_to_cut():
    assert by_length({}, held_out=False) is None
    silent = replace(SYSTEMS["gru"], words=np.array([4, 0, 5, 0, 6, 3]))  # the shortest third
    assert by_length({"gru": silent}, held_out=False) is None
    few = {
        name: replace(s, ids=s.ids[:5], errors=s.errors[:, :5], words=s.words[:5])
        for name, s in SYSTEMS.items()
    }
    assert by_length(few, held_out=False) is None


def test_systems_that_read_other_words_are_not_cut_together():
    other = replace(SYSTEMS["gru"], words=SYSTEMS["gru"].words + 1)
    assert by_length(SYSTEMS | {"gru": other}, held_out=False) is None


def test_a_lead_that_is_the_same_everywhere_is_no_noise_in_its_growth():
    """The standard error is that of the difference of two ratios, drawn anew with their words."""
    rng = np.random.default_rng(3)
    words = rng.integers(5, 40, 90)
    fewer = rng.binomial(words, 0.2)
    more = fewer + rng.binomial(words - fewer, 0.6)
    each = {
        name: replace(
            SYSTEMS["gru"], name=name, errors=errors[None], words=words, seconds=list(words),
            ids=[str(place) for place in range(90)], speakers=[None] * 90,
        )
        for name, errors in (("a", more), ("b", fewer))
    }  # fmt: skip
    found = by_length(each, held_out=False)
    assert found is not None
    parts = np.array_split(np.argsort(words, kind="stable"), 3)
    third = np.empty(90, int)
    for number, part in enumerate(parts):
        third[part] = number

    def lead(places: np.ndarray, number: int) -> float:
        inside = places[third[places] == number]
        return float((more - fewer)[inside].sum() / words[inside].sum())

    draws = [rng.integers(90, size=90) for _ in range(4000)]
    drawn = [lead(places, 2) - lead(places, 0) for places in draws]
    (pair,) = found["growth"]
    assert pair["standard_error"] == pytest.approx(float(np.std(drawn)), rel=0.06)
