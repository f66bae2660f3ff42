"""Scoring: counts that one can check by eye, agreement with jiwer, files in and out."""

import json
import os
from pathlib import Path

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.errors import ScoringError
from speechgru.scoring import (
    Counts,
    alignment_lines,
    read_transcripts,
    score,
    score_files,
    worst,
    write_trn,
)

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
    ("caf\u00e9", "cafe\u0301", (1, 0, 0, 0), (4, 0, 0, 0)),  # one é, typed in two ways
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
    references, hypotheses = zip(*pairs, strict=True)
    result = score(references, hypotheses)
    for utterance in result.utterances:
        for counts in (utterance.words, utterance.characters):
            assert min(counts.hits, counts.substitutions, counts.deletions, counts.insertions) >= 0
            assert counts.substitutions + counts.deletions + counts.hits == counts.reference
        heard = utterance.words.hits + utterance.words.substitutions + utterance.words.insertions
        assert heard == len(utterance.hypothesis.split())
    assert sum((u.words for u in result.utterances), Counts()) == result.words
    for counts, theirs in [
        (
            result.words,
            jiwer.process_words(
                [u.reference for u in result.utterances], [u.hypothesis for u in result.utterances]
            ),
        ),
        (
            result.characters,
            jiwer.process_characters(
                [u.reference for u in result.utterances], [u.hypothesis for u in result.utterances]
            ),
        ),
    ]:
        assert (counts.substitutions, counts.deletions, counts.insertions, counts.hits) == (
            theirs.substitutions,
            theirs.deletions,
            theirs.insertions,
            theirs.hits,
        )
    low, high = result.wer_ci95
    assert 0 <= low <= result.wer <= high


def test_interval_covers_the_normal_approximation_on_many_utterances():
    rng = np.random.default_rng(1)
    wrong = rng.random(2000) < 0.1
    result = score(["one"] * 2000, ["two" if bad else "one" for bad in wrong])
    half = 1.96 * np.sqrt(result.wer * (1 - result.wer) / 2000)
    assert result.ci_unit == "utterance"
    assert result.wer_ci95 == pytest.approx((result.wer - half, result.wer + half), abs=0.001)


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


def test_interval_of_a_faultless_test_set_is_not_a_point():
    low, high = score(["one two three"] * 100, ["one two three"] * 100).wer_ci95
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 300))  # 1.2 %: Clopper-Pearson at 0 of 300
    assert score(["one"], ["one"]).wer_ci95 == (0.0, 1.0)


def test_the_same_pairs_give_the_same_interval():
    references, hypotheses = ["one two"] * 30, ["one two"] * 20 + ["one"] * 10
    assert score(references, hypotheses).wer_ci95 == score(references, hypotheses).wer_ci95


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


def test_worst_first_and_faultless_left_out():
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
    ("arguments", "message"),
    [
        (([], []), "no utterances"),
        ((["a"], []), "1 references but 0 hypotheses"),
        ((["a"], ["a"], ["1", "2"]), "1 references but 2 ids"),
        ((["a", "b"], ["a", "b"], None, ["ann"]), "2 references but 1 speakers"),
        ((["a", "b"], ["a", "b"], ["u", "u"]), "'u' comes twice"),
    ],
)
def test_lists_that_do_not_match_are_named(arguments, message):
    with pytest.raises(ScoringError, match=message):
        score(*arguments)


# ---- files


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("reference", "hypothesis", "warned"),
    [
        ("utt1 hello world\nutt2 yes", "utt1 hello\nutt2 yes", True),
        ("1-2 a\n1-3 b", "1-2\n1-3", True),
        ("hello world\nyes", "hello\nyes", False),  # words
        ("utt1 a\nutt1 b", "utt1 a\nutt1 b", False),
        ("utt1 a\nutt2 b", "utt1 a\n2 b", False),
        ("\n2 b", "\n2 b", False),
        ("utt1 hello", "utt1 hello", False),
    ],
)
def test_ids_that_would_be_counted_as_words_are_told(
    tmp_path, caplog, reference, hypothesis, warned
):
    files = write(tmp_path, "ref.txt", reference), write(tmp_path, "hyp.txt", hypothesis)
    assert score_files(*files).words.reference == len(reference.split())
    told = f"{files[1]}: every line begins with a word of its own ({reference.split()[0]}, "
    assert [told in line for line in caplog.messages] == [True] * warned


def test_trn_and_plain_text_are_told_apart(tmp_path):
    trn = "she had  your (sa01)\r\n\n(sa02)\nwash water (spk-1/sa03) \n"
    expected = {"sa01": "she had your", "sa02": "", "spk-1/sa03": "wash water"}
    assert read_transcripts(write(tmp_path, "a.trn", trn)) == expected
    assert read_transcripts(write(tmp_path, "a.transcription", "\ufeff" + trn)) == expected
    plain = "one two\n\nthree (laughs)\nfour\u2028five"
    expected = {"1": "one two", "2": "", "3": "three (laughs)", "4": "four five"}
    assert read_transcripts(write(tmp_path, "a.txt", plain)) == expected
    assert read_transcripts(write(tmp_path, "silent.txt", "\n\n")) == {"1": "", "2": ""}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.trn", "one (u1)\ntwo\n", r"a\.trn, line 2: expected 'text \(id\)'.* got 'two'"),
        ("a.txt", "one (u1)\ntwo (u2)\nthree", r"a\.txt, line 3: expected"),
        ("a.trn", "one (u1)\ntwo (u1)\n", r"line 2: the id 'u1' comes twice"),
        ("a.trn", "{ um / uh / @ } one (u1)\n", r"line 1: alternatives in braces"),
        ("a.txt", b"one\ncaf\xe9\n", r"line 2: byte 0xe9 is not UTF-8"),
        ("a.txt", "", r"a\.txt: no utterances"),
        ("a.trn", "\n\n", r"a\.trn: no utterances"),
    ],
)
def test_faulty_files_are_named_in_one_line(tmp_path, name, content, message):
    with pytest.raises(ScoringError, match=message) as caught:
        read_transcripts(write(tmp_path, name, content))
    assert "\n" not in str(caught.value)


def test_missing_file_folder_and_oversized_file(tmp_path, monkeypatch):
    for path in (tmp_path / "nowhere.trn", tmp_path):
        with pytest.raises(ScoringError, match="cannot be read"):
            read_transcripts(path)
    monkeypatch.setattr("speechgru.trn.MAX_MIB", 0)
    with pytest.raises(ScoringError, match="may have 0"):
        read_transcripts(write(tmp_path, "a.txt", "one"))


def test_files_are_matched_by_id_whatever_their_order(tmp_path):
    ref = write(tmp_path, "ref.trn", "one two (u1)\nthree (u2)\n")
    hyp = write(tmp_path, "hyp.trn", "three (u2)\none (u1)\n")
    result = score_files(ref, hyp)
    assert result.words == Counts(3, 0, 1, 0)
    assert [u.id for u in result.utterances] == ["u1", "u2"]


def test_different_ids_are_named_with_counts(tmp_path):
    ref = write(tmp_path, "ref.trn", "".join(f"one (u{n})\n" for n in range(9)))
    hyp = write(tmp_path, "hyp.trn", "".join(f"one (u{n})\n" for n in range(4)) + "one (v)\n")
    with pytest.raises(ScoringError) as caught:
        score_files(ref, hyp)
    message = str(caught.value)
    assert "5 of 9 utterances" in message
    assert "(u4, u5, u6 and 2 more)" in message
    assert "1 that" in message
    assert "(v)" in message


names = st.text(min_size=1, max_size=12)  # surrogates too: file names may be no UTF-8


@given(st.dictionaries(names, texts, min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_written_trn_reads_back_under_safe_ids(tmp_path_factory, transcripts):
    path = tmp_path_factory.mktemp("trn") / "hyp.trn"
    write_trn(path, transcripts.items())
    found = read_transcripts(path)
    assert list(found.values()) == [score([text], [""]).utterances[0].reference
                                    for text in transcripts.values()]  # fmt: skip
    assert len(found) == len(transcripts)
    assert not any(c.isspace() or c in "()" for name in found for c in name)


def test_ids_are_kept_where_they_are_safe(tmp_path):
    path = tmp_path / "hyp.trn"
    write_trn(path, [("an4/an406-fcaw-b", "rubout"), ("my file (1).wav", ""), ("é", "a\nb")])
    assert path.read_text(encoding="utf-8") == (
        "rubout (an4/an406-fcaw-b)\n(my%20file%20%281%29.wav)\na b (é)\n"
    )


def test_write_trn_leaves_the_old_file_whole_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "hyp.trn"
    write_trn(path, [("u", "old")])
    for pairs, message in [([("u", ""), ("u", "")], "comes twice"), ([("", "")], "is empty")]:
        with pytest.raises(ScoringError, match=message):
            write_trn(path, pairs)

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(ScoringError, match="cannot be written: No space"):
        write_trn(path, [("u", "new")])
    assert path.read_text() == "old (u)\n"
    assert os.listdir(tmp_path) == ["hyp.trn"]
