"""Scoring: counts that one can check by eye, agreement with jiwer."""

import json

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.errors import ScoringError
from speechgru.scoring import Counts, alignment_lines, score, superficial, worst

# reference, hypothesis, words: reference S D I, characters: reference S D I
TABLE = [
    ("one two three", "one two three", (3, 0, 0, 0), (13, 0, 0, 0)),
    ("one two three", "one too three", (3, 1, 0, 0), (13, 1, 0, 0)),
    ("one two three", "one three", (3, 0, 1, 0), (13, 0, 4, 0)),
    ("one three", "one two three", (2, 0, 0, 1), (9, 0, 0, 4)),
    ("a b c d", "x b d d e", (4, 2, 0, 1), (7, 2, 0, 2)),
    ("one two", "", (2, 0, 2, 0), (7, 0, 7, 0)),
    ("", "", (0, 0, 0, 0), (0, 0, 0, 0)),
    ("", "uh huh", (0, 0, 0, 2), (0, 0, 0, 6)),
    ("  one \t two ", "one two\u00a0", (2, 0, 0, 0), (7, 0, 0, 0)),
    ("caf\u00e9", "cafe\u0301", (1, 0, 0, 0), (4, 0, 0, 0)),  # é as one code point and as two
    ("Straße", "Strasse", (1, 1, 0, 0), (6, 1, 0, 1)),
    ("日本 語", "日 語", (2, 1, 0, 0), (4, 0, 1, 0)),
    ("One", "one", (1, 1, 0, 0), (3, 1, 0, 0)),  # case is the caller's to normalise
]


@pytest.mark.parametrize(("reference", "hypothesis", "words", "characters"), TABLE)
def test_counts(reference, hypothesis, words, characters):
    result = score([reference], [hypothesis])
    assert result.words == Counts(*words)
    assert result.characters == Counts(*characters)


def test_corpus_rate_is_summed_counts_not_a_mean_of_ratios():
    result = score(["one", "one two three four five six seven eight nine"], ["two", ""])
    assert result.wer == 10 / 10
    result = score(["one", "one two three four five six seven eight nine"], ["two", TABLE[0][0]])
    assert result.wer == pytest.approx(7 / 10)  # the mean of the ratios would be 0.83


def test_rate_of_an_empty_reference_counts_each_insertion_as_one_word():
    assert Counts().rate == 0.0
    assert Counts(0, 0, 0, 2).rate == 2.0
    silence = score(["", "one two"], ["uh", "one two"])
    assert (silence.wer, silence.words.reference) == (0.5, 2)


texts = st.lists(
    st.sampled_from(["a", "b", "ab", "ß", "é", "e\u0301", "語", "a'b"]), max_size=8
).map(" ".join)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_counts_are_consistent_and_agree_with_jiwer(pairs):
    """Word errors are at least those of jiwer, which finds the smallest sum."""
    references, hypotheses = zip(*pairs, strict=True)
    result = score(references, hypotheses)
    for utterance in result.utterances:
        for counts in (utterance.words, utterance.characters):
            assert min(counts.hits, counts.substitutions, counts.deletions, counts.insertions) >= 0
            assert counts.substitutions + counts.deletions + counts.hits == counts.reference
        written = utterance.words.hits + utterance.words.substitutions + utterance.words.insertions
        assert written == len(utterance.hypothesis.split())
    assert sum((u.words for u in result.utterances), Counts()) == result.words
    refs, hyps = (
        [getattr(u, side) for u in result.utterances] for side in ("reference", "hypothesis")
    )
    theirs = jiwer.process_words(refs, hyps)
    assert result.words.errors >= theirs.substitutions + theirs.deletions + theirs.insertions
    characters, counts = jiwer.process_characters(refs, hyps), result.characters
    assert (counts.substitutions, counts.deletions, counts.insertions, counts.hits) == (
        characters.substitutions, characters.deletions, characters.insertions, characters.hits
    )  # fmt: skip
    low, high = result.wer_ci95
    assert 0 <= low <= result.wer <= high


def test_no_interval_is_computed_unless_asked_for(monkeypatch):
    """Dev scoring after every epoch needs the rates only."""
    asked = []

    def interval(errors, words, speakers):
        asked.append((list(errors), list(words), speakers))
        return (0.1, 0.2), "speaker"

    monkeypatch.setattr("speechgru.scoring.wer.rate_interval", interval)
    result = score(["one two", "three"], ["one", "four"], speakers=["ann", "ann"])
    assert (result.wer, result.cer, len(worst(result, 9))) == (2 / 3, 9 / 12, 2)
    assert asked == []
    assert (result.wer_ci95, result.ci_unit, result.wer_ci95) == ((0.1, 0.2), "speaker", (0.1, 0.2))
    assert asked == [([1, 1], [2, 1], ["ann", "ann"])]  # once


def test_interval_covers_the_normal_approximation_on_many_utterances():
    rng = np.random.default_rng(1)
    wrong = rng.random(2000) < 0.1
    result = score(["one"] * 2000, ["two" if bad else "one" for bad in wrong])
    half = 1.96 * np.sqrt(result.wer * (1 - result.wer) / 2000)
    assert result.ci_unit == "utterance"
    assert result.wer_ci95 == pytest.approx((result.wer - half, result.wer + half), abs=0.001)


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_units_of_the_same_rate_leave_an_interval(wrong):
    result = score(["a b"] * 30, [" ".join(["c"] * wrong + ["b"] * (2 - wrong))] * 30)
    low, high = result.wer_ci95
    assert 0 <= low <= result.wer <= high <= 1
    assert 0.0596 < high - low < 0.12  # 1 - 0.025^(1/60) is 0.0596


def test_interval_resamples_whole_speakers_when_there_are_five():
    wrong = [place < 100 for place in range(600)]  # speaker a fails throughout, the others never
    hypotheses = ["two" if bad else "one" for bad in wrong]
    speakers = [letter for letter in "abcdef" for _ in range(100)]
    by_utterance = score(["one"] * 600, hypotheses)
    by_speaker = score(["one"] * 600, hypotheses, speakers=speakers)
    assert by_speaker.ci_unit == "speaker"
    assert by_speaker.wer_ci95[1] > 2 * by_utterance.wer_ci95[1]
    few = ["a" if speaker in "abc" else "b" for speaker in speakers]
    assert score(["one"] * 600, hypotheses, speakers=few).ci_unit == "utterance"
    assert score(["one"] * 600, hypotheses, speakers=[None, *speakers[1:]]).ci_unit == "utterance"


def test_interval_of_a_test_set_without_errors_is_not_a_point():
    low, high = score(["one two three"] * 100, ["one two three"] * 100).wer_ci95
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 300))  # 1.2 %: Clopper-Pearson at 0 of 300
    assert score(["one"], ["one"]).wer_ci95 == (0.0, 1.0)


def test_the_same_pairs_give_the_same_interval():
    references, hypotheses = ["one two"] * 30, ["one two"] * 20 + ["one"] * 10
    assert score(references, hypotheses).wer_ci95 == score(references, hypotheses).wer_ci95


def test_utterances_are_speakers_where_each_has_its_own():
    references, hypotheses = ["one two"] * 8, ["one two"] * 6 + ["one"] * 2
    alone = score(references, hypotheses, speakers=list("hgfedcba"))
    assert alone.ci_unit == "utterance"
    assert alone.wer_ci95 == score(references, hypotheses).wer_ci95


def test_json_has_the_documented_keys_and_is_json():
    result = score(["one two", "three"], ["one", "three four"], speakers=["ann", "bob"])
    figures = json.loads(json.dumps(result.to_json()))
    assert (
        figures
        | {
            "wer": pytest.approx(2 / 3),
            "words": 3,
            "substitutions": 0,
            "deletions": 1,
            "insertions": 1,
            "utterances": 2,
            "speakers": 2,
            "characters": 12,
            "ci_unit": "utterance",
            "wer_ci95": list(result.wer_ci95),
            "cer": result.cer,
        }
        == figures
    )


def test_worst_first_and_those_without_errors_excluded():
    result = score(
        ["a b c", "a b c d e f", "a", "a b"], ["a b c", "", "b", "x y"], ids=["w", "x", "y", "z"]
    )
    assert [u.id for u in worst(result, 10)] == ["x", "z", "y"]
    assert [u.id for u in worst(result, 1)] == ["x"]


def test_alignment_reads_side_by_side():
    utterance = score(["one two three five"], ["one too three four"], ["u1"], ["ann"]).utterances[0]
    assert alignment_lines(utterance) == (
        "u1 [ann]: 2 errors in 4 words (2 S, 0 D, 0 I)\n"
        "REF: one two three five\n"
        "HYP: one too three four\n"
        "         S         S"
    )


def test_alignment_of_wide_characters_and_gaps():
    utterance = score(["日本 語 e\u0323x"], ["日本 後 語"]).utterances[0]
    ref, hyp, marks = alignment_lines(utterance).split("\n")[1:]
    assert (ref, hyp) == ("REF: 日本 ** 語 \u1eb9x", "HYP: 日本 後 語 **")
    assert marks == "          I     D"


def test_alignment_of_silence_long_lines_and_control_characters():
    assert alignment_lines(score([""], [""]).utterances[0]).split("\n")[0].startswith("1: 0 errors")
    long = " ".join(["word"] * 100)
    rows = alignment_lines(score([long], [long]).utterances[0]).split("\n")
    assert max(map(len, rows)) <= 80
    assert sum(row.count("word") for row in rows if row.startswith("REF:")) == 100
    assert "\x1b" not in alignment_lines(score(["one"], ["\x1b[31mone"]).utterances[0])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (([], []), "no utterances"),
        ((["a"], []), "1 references .* 0 hypotheses"),
        ((["a"], ["a"], ["1", "2"]), "1 references .* 2 ids"),
        ((["a", "b"], ["a", "b"], None, ["ann"]), "2 references .* 1 speakers"),
        ((["a", "b"], ["a", "b"], ["u", "u"]), "'u'"),
    ],
)
def test_lists_that_do_not_match_are_refused(arguments, named):
    with pytest.raises(ScoringError, match=named):
        score(*arguments)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "found"),
    [
        ("Hello world", "hello word", [("Hello", "hello")]),
        ("don't stop", "don\u2019t stop.", [("don't", "don\u2019t"), ("stop", "stop.")]),
        ("a", "a\u200b", [("a", "a\u200b")]),
        ("one two", "two one", []),
        ("-", "?", []),
    ],
)
def test_words_that_only_look_different_are_found(reference, hypothesis, found):
    result = score([reference], [hypothesis])
    assert superficial(result) == found
    if "\u200b" in hypothesis:
        assert "\u200b" not in alignment_lines(result.utterances[0])
