"""Counts equal those of NIST's sclite 2.10 (SCTK 2.4.10)."""

import json
from pathlib import Path

import pytest

from benchmarks.sclite import MARKUP, SCLITE, make_pairs, our_counts, sclite_counts, write_pairs
from speechgru.scoring import score_files

# Printed by sclite for `make_pairs(150, markup)`
KEPT = json.loads(Path(__file__).with_name("sclite_counts.json").read_text())


@pytest.mark.parametrize("markup", MARKUP)
def test_counts_equal_those_that_sclite_gave(tmp_path, markup):
    files = write_pairs(tmp_path, make_pairs(150, markup))
    assert our_counts(*files) == [tuple(counts) for counts in KEPT[markup]]


@pytest.mark.skipif(not SCLITE.exists(), reason="sclite is not installed (Debian package sctk)")
@pytest.mark.parametrize("markup", MARKUP)
def test_counts_equal_those_of_sclite(tmp_path, markup):
    reference, hypothesis = write_pairs(tmp_path, make_pairs(1000, markup, seed=1))
    theirs = sclite_counts("-r", reference, "-h", hypothesis, "-i", "spu_id", "-s")
    assert our_counts(reference, hypothesis) == theirs


STM = """\
;; LABEL "O" "Overall" "all of it"
a 1 ann 0.0 2.0 <O> i'm { um / uh / @ } here
a 1 bob 2.0 4.0 IGNORE_TIME_SEGMENT_IN_SCORING
a 1 ann 4.5 6.0 (well) good bye
a 2 bob 0.0 9.0
b 1 bob 0.0 1.0 <O> yes
"""
CTM = """\
a 1 0.10 0.3 i'm 0.9
a 1 * * <ALT_BEGIN>
a 1 1.2 0.2 her
a 1 * * <ALT>
a 1 1.2 0.2 here;tag
a 1 * * <ALT_END>
a 1 1.9 0.3 noise
a 1 4.1 0.1 early
a 1 4.6 0.2 good* 0.5
a 1 5.9 0.3 by
a 1 7.0 0.3 late
;; a comment
a 2 3.0 0.5 hello NA
"""


@pytest.fixture
def timed(tmp_path):
    for name, text in (("ref.stm", STM), ("hyp.ctm", CTM)):
        (tmp_path / name).write_text(text)
    return tmp_path / "ref.stm", tmp_path / "hyp.ctm"


def test_words_belong_to_the_segment_of_their_middle(timed, caplog):
    """The counts are sclite's, with -s and -D."""
    result = score_files(*timed)
    assert [(u.id, u.reference, u.hypothesis) for u in result.utterances] == [
        ("a-1-0.0", "i'm here", "i'm here"),
        ("a-1-4.5", "well good bye", "early good by late"),
        ("a-2-0.0", "", "hello"),
        ("b-1-0.0", "yes", ""),
    ]
    assert [u.speaker for u in result.utterances] == ["ann", "ann", "bob", "bob"]
    words = result.words
    assert (words.hits, words.substitutions, words.deletions, words.insertions) == (3, 2, 1, 2)
    (warning,) = caplog.messages  # a recording without a word in the hypothesis
    assert "1 of 3" in warning
    assert "(b 1)" in warning


@pytest.mark.skipif(not SCLITE.exists(), reason="sclite is not installed (Debian package sctk)")
def test_counts_of_timed_files_equal_those_of_sclite(timed):
    theirs = sclite_counts("-r", timed[0], "stm", "-h", timed[1], "ctm", "-s")
    assert our_counts(*timed) == theirs
