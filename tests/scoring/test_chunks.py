"""ctm files are cut at common pauses."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.scoring import score_files
from speechgru.scoring.chunks import cut_at_common_pauses, cut_at_pauses
from speechgru.scoring.timed import TimedWord, read_ctm


def words(*times, alternatives=("a",)):
    return [TimedWord(((begin, end),), (begin + end) / 2, alternatives) for begin, end in times]


def test_chunks_end_at_the_last_pause_of_both_that_fits():
    """Both speak from 0 to 20 s and from 30 s on; within, the hypothesis never pauses."""
    begins = [*np.arange(0, 20, 0.5), *np.arange(30, 50, 0.5)]
    reference = words(*((b, b + 0.4) for b in begins))
    hypothesis = words(*((b, b + 0.55) for b in begins))
    chunks = list(cut_at_pauses(reference, hypothesis))
    assert [(len(a), len(b)) for a, b in chunks] == [(40, 40), (40, 40)]


def test_several_hypotheses_are_cut_at_pauses_of_all_files():
    reference = words(*((b, b + 0.5) for b in range(120)))
    without_pauses = words(*((b, b + 1.1) for b in range(60)))
    chunks = cut_at_common_pauses(reference, reference, without_pauses)
    assert [tuple(map(len, each)) for each in chunks] == [(61, 61, 60), (50, 50, 0), (9, 9, 0)]


def test_short_files_are_one_chunk():
    one = words((0, 1), (5, 6))
    assert list(cut_at_pauses(one, [])) == [(one, [])]
    assert list(cut_at_pauses([], [])) == []


@given(st.integers(0, 2**32 - 1), st.integers(0, 200), st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_no_word_is_lost_or_used_twice(seed, n, m):
    rng = np.random.default_rng(seed)

    def side(count):
        begins = np.cumsum(rng.exponential(0.5, count))
        return [
            TimedWord(((b, b + 0.3),), b + 0.15, ("a", "b") if rng.random() < 0.1 else ("a",))
            for b in begins
        ]

    reference, hypothesis = side(n), side(m)
    chunks = list(cut_at_pauses(reference, hypothesis))
    assert [word for chunk, _ in chunks for word in chunk] == reference
    assert [word for _, chunk in chunks for word in chunk] == hypothesis
    assert len(chunks) <= max(1, n + m)
    sides = [reference, hypothesis, hypothesis[::2]]
    parts = cut_at_common_pauses(*sides)
    assert [[word for part in parts for word in part[k]] for k in range(3)] == sides


def test_a_long_reference_in_ctm_is_scored_in_chunks(tmp_path):
    lines = [f"r A {n + 9 * (n // 40)}.0 0.5 w{n % 7}\n" for n in range(120)]
    (tmp_path / "r.ctm").write_text("".join(lines))
    (tmp_path / "h.ctm").write_text("".join(lines[:60] + lines[61:]))
    result = score_files(tmp_path / "r.ctm", tmp_path / "h.ctm")
    assert [u.id for u in result.utterances] == ["r-A-0000", "r-A-0001", "r-A-0002"]
    assert [u.words.deletions for u in result.utterances] == [0, 1, 0]
    assert {u.speaker for u in result.utterances} == {"r-A"}


def test_overlapping_words_keep_the_file_s_order(tmp_path):
    lines = ["r A 1.0 0.5 a", "r A 1.4 0.5 b", "r A 1.3 0.1 c"]
    (found,) = read_ctm(tmp_path, lines).values()
    assert [word.alternatives for word in found] == [("a",), ("b",), ("c",)]
    (found,) = read_ctm(tmp_path, [*lines, "r A 0.1 0.1 d"]).values()
    assert [word.begin for word in found] == [0.1, 1.0, 1.3, 1.4]
