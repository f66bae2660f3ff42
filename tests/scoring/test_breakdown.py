"""Errors per speaker, and confusions."""

import json

from speechgru.scoring import Counts, breakdown, by_speaker, confusions, score
from speechgru.scoring.breakdown import MAX_WORDS, MIN_REPEATS


def test_speakers_with_the_highest_wer_come_first():
    result = score(
        ["one two", "one", "two two", "one two"],
        ["one two", "two", "two", "one two"],
        speakers=["ann", "bob", "ann", None],
    )
    found = by_speaker(result)
    assert [(s.speaker, s.utterances, s.words) for s in found] == [
        ("bob", 1, Counts(1, 1, 0, 0)),
        ("ann", 2, Counts(4, 0, 1, 0)),
    ]
    assert found[1].to_json() == {
        "speaker": "ann", "utterances": 2, "wer": 0.25, "words": 4,
        "substitutions": 0, "deletions": 1, "insertions": 0,
    }  # fmt: skip


def test_confusions_of_a_small_vocabulary():
    references = ["one two"] * MIN_REPEATS
    hypotheses = ["one too", "one too", "two one too", "one", "one two"]
    table = confusions(score(references, hypotheses))
    assert table.words == {"one": 5, "two": 5}
    assert table.errors == [("two", "too", 3), ("", "two", 1), ("two", "", 1)]
    assert table.to_json() == {
        "": {"two": 1}, "one": {"one": 5}, "two": {"": 1, "too": 3, "two": 1}
    }  # fmt: skip
    assert sum(table.counts.values()) == 11


def test_no_confusions_of_a_large_vocabulary_or_a_small_text():
    words = [f"w{n}" for n in range(MAX_WORDS + 1)]
    for count, repeats in ((MAX_WORDS + 1, MIN_REPEATS), (MAX_WORDS, MIN_REPEATS - 1), (0, 0)):
        texts = [" ".join(words[:count])] * (repeats or 1)
        assert confusions(score(texts, texts)) is None
    texts = [" ".join(words[:MAX_WORDS])] * MIN_REPEATS
    assert confusions(score(texts, texts)).errors == []


def test_the_breakdown_is_json():
    figures = json.loads(json.dumps(breakdown(score(["one"] * 5, ["two"] * 5, speakers=["a"] * 5))))
    assert figures["by_speaker"][0]["wer"] == 1
    assert figures["confusions"] == {"one": {"two": 5}}
    assert breakdown(score(["one"], ["one"])) == {"by_speaker": [], "confusions": None}
