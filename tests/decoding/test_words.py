"""Word times and confidences, on emissions and levels one can check by eye."""

from collections.abc import Collection
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgru.decoding import Emission, Hypothesis
from speechgru.decoding.confidence import Calibration
from speechgru.decoding.emission import join
from speechgru.decoding.greedy import Greedy
from speechgru.decoding.hypothesis import Spelled
from speechgru.decoding.transcript import join_transcripts, transcribe_section
from speechgru.decoding.words import LEAD, TRAIL, least_probable, spell, word_spans
from speechgru.text import Vocabulary

VOCABULARY = Vocabulary(("<blank>", " ", "a", "b"))
STEP = 0.03


def emission(path: str, levels: list[float] | None = None, duration: float = 0.0) -> Emission:
    """One frame of 30 ms per letter, "-" for the blank, and levels of 10 ms each."""
    best = ["- ab".index(letter) for letter in path]
    log_probs = np.log(np.eye(4)[best].reshape(-1, 4) * 0.96 + 0.01).astype(np.float32)
    values = None if levels is None else np.array(levels, np.float32)
    return Emission(log_probs, STEP, 0.0, duration or STEP * len(path), values)


def spans(found: Emission, unknown: Collection[int] = ()) -> list[tuple[float, float]]:
    hypothesis = Greedy(VOCABULARY)(found)
    words = spell(hypothesis, VOCABULARY)
    return word_spans(found, hypothesis.frames, words, unknown=unknown)


def test_a_word_is_where_the_audio_is_loud():
    levels = [-60.0] * 30 + [-20.0] * 40 + [-60.0] * 20 + [-22.0] * 60 + [-60.0] * 50
    #        0         1         2         3         4         5         6
    path = "------------a---b-----------------a----b--------------------------"
    path = path[:26] + " " + path[27:]
    (first, second) = spans(emission(path, levels, 2.0))
    assert first == pytest.approx((0.3, 0.7), abs=0.02)
    assert second == pytest.approx((0.9, 1.42), abs=0.1)


def test_words_without_a_pause_meet_before_the_second_s_first_spike():
    path = "-----a--b----a---b---"
    path = path[:11] + " " + path[12:]
    first, second = spans(emission(path, [-20.0] * 63))
    assert first[1] == second[0]
    assert 8 * STEP < first[1] < 13 * STEP


def test_without_levels_the_lead_and_the_trail_are_used():
    path = "-" * 10 + "a" + "-" * 30 + " " + "-" * 30 + "b" + "-" * 30
    first, second = spans(emission(path))
    assert first == pytest.approx((10 * STEP - LEAD, 10 * STEP + TRAIL))
    assert second == pytest.approx((72 * STEP - LEAD, 72 * STEP + TRAIL))


@pytest.mark.parametrize("star", [24, 40, 72])  # where its token is says nothing
@pytest.mark.parametrize("levels", [True, False])
def test_words_that_cannot_be_spelled_get_what_their_neighbours_do_not_take(star, levels):
    """0.3 to 0.7 s, 1 to 2 s and 2.3 to 2.7 s are loud, the spikes of a and b in 0.6 and 2.4 s."""
    loud = [-60.0] * 30 + [-20.0] * 40 + [-60.0] * 30 + [-20.0] * 100 + [-60.0] * 30 + [-20.0] * 40
    found = emission("-" * 100, [*loud, *[-60.0] * 30] if levels else None)

    def times(text: str, *frames: int) -> list[float]:
        words = [Spelled(word, place, place) for place, word in enumerate(text.split())]
        unknown = {place for place, word in enumerate(words) if word.text.isdigit()}
        result = word_spans(found, frames, words, unknown=unknown)
        assert all(one[1] <= other[0] for one, other in pairwise(result))
        return [result[0][0], *(end for _, end in result)]

    first, last = (0.3, 2.7) if levels else (0.0, 3.0)
    end, begin = (0.7, 2.3) if levels else (0.6 + TRAIL, 2.4 - LEAD)
    a, b = 20, 80
    assert times("a 1 b", a, star, b)[1:3] == pytest.approx([end, begin], abs=0.02)
    middle = end + (begin - end) / 4
    shared = times("a 1 234 b", a, star, star + 1, b)
    assert shared[1:4] == pytest.approx([end, middle, begin], abs=0.02)
    assert times("a 1", a, star)[1:] == pytest.approx([end, last], abs=0.02)
    assert times("1 b", star, b)[:2] == pytest.approx([first, begin], abs=0.02)
    assert times("1", star) == pytest.approx([first, last], abs=0.02)


def test_a_pause_after_a_short_word_that_cannot_be_spelled_is_not_before_it():
    """0.3 to 0.8 s are loud; the spikes of a and of the space after it are in 0.45 and 0.66 s."""
    found = emission("-" * 50, [-60.0] * 30 + [-20.0] * 50 + [-60.0] * 70)
    words = [Spelled("a", 0, 0), Spelled("1", 2, 2)]
    (_, end), unknown = word_spans(found, (15, 22, 23), words, unknown={1})
    assert end == unknown[0] == pytest.approx(0.62, abs=0.02)
    assert unknown[1] == pytest.approx(0.8, abs=0.02)


@given(
    st.text("-- ab", max_size=40), st.lists(st.sampled_from([-120.0, -60.0, -20.0]), max_size=150),
    st.booleans(), st.floats(0.001, 3), st.floats(0, 100), st.sets(st.integers(0, 5)),
)  # fmt: skip
def test_words_never_overlap_and_are_within_the_audio(
    path, levels, known, duration, begin, unknown
):
    found = emission(path, levels if known else None, duration)
    found = Emission(
        found.log_probs, STEP, begin + 0.016, duration, found.levels, 0.01, begin
    )  # fmt: skip
    times = [time for span in spans(found, unknown) for time in span]
    assert all(start < end for start, end in spans(found, unknown))
    assert times == sorted(times)
    assert all(begin - 1e-9 <= time <= begin + duration + 1e-9 for time in times)


def test_the_probability_of_a_word_is_that_of_its_least_probable_token():
    log_probs = np.log(np.full((6, 4), 0.1))
    for frame, (token, probability) in enumerate(
        [(2, 0.9), (0, 1), (3, 0.6), (3, 0.8), (1, 0.7), (2, 0.5)]
    ):
        log_probs[frame, token] = np.log(probability)
    hypothesis = Hypothesis((2, 3, 1, 2), (0, 2, 4, 5), 0.0)
    found = Emission(log_probs.astype(np.float32), STEP)
    values = least_probable(found, hypothesis, spell(hypothesis, VOCABULARY))
    np.testing.assert_allclose(np.exp(values), [0.8, 0.5], rtol=1e-6)


def test_a_calibration_is_a_line_through_the_logit():
    log_probs = np.log([0.5, 0.9, 1.0, 0.0 + 1e-9])
    np.testing.assert_allclose(Calibration()(log_probs)[:2], [0.5, 0.9])
    assert Calibration(2.0, -1.0)(log_probs)[0] == pytest.approx(1 / (1 + np.e))
    assert 0 < Calibration()(log_probs)[3] < Calibration()(log_probs)[2] < 1


def test_an_entry_of_several_words_is_divided_by_their_lengths():
    found = emission("---a---b---", [-20.0] * 33)
    hypothesis = Hypothesis((2, 3), (3, 7), 0.0, (Spelled("an entry of", 0, 1),))
    result = transcribe_section(found, [hypothesis], VOCABULARY, Calibration())
    assert result.text == "an entry of"
    ((begin, end),) = word_spans(found, (3, 7), hypothesis.words)
    limits = [begin, *(begin + share * (end - begin) for share in (2 / 9, 7 / 9)), end]
    assert [word.start for word in result.words] == pytest.approx(limits[:-1], abs=1e-3)
    assert [word.end for word in result.words] == pytest.approx(limits[1:], abs=1e-3)


def test_sections_are_decoded_by_themselves_with_times_in_the_recording():
    parts = [emission("-a--", [-20.0] * 12), emission("--b-", [-20.0] * 12)]
    parts[1] = Emission(parts[1].log_probs, STEP, 0.12, 0.12, parts[1].levels, 0.01, 0.12)
    whole = join(parts)
    assert len(whole.log_probs) == 8
    assert whole.duration == pytest.approx(0.24)
    again = whole.sections()
    for one, other in zip(again, parts, strict=True):
        np.testing.assert_array_equal(one.log_probs, other.log_probs)
        np.testing.assert_array_equal(one.levels, other.levels)
        assert (one.start, one.begin, one.duration) == pytest.approx(
            (other.start, other.begin, other.duration)
        )
    texts = [
        transcribe_section(part, [Greedy(VOCABULARY)(part)], VOCABULARY, Calibration())
        for part in again
    ]
    result = join_transcripts(texts)
    assert result.text == "a b"
    assert result.words[0].end <= 0.12 <= result.words[1].start
    assert result.confidence == pytest.approx(0.97, abs=1e-3)


def test_the_rounding_of_durations_does_not_add_up():
    """Frames of 660 samples at 22,050 Hz, in sections of a whole number of them."""
    step, count = 660 / 22050, 1000
    seconds = 4 * step
    log_probs = emission("-a--").log_probs
    texts = [
        transcribe_section(part, [Greedy(VOCABULARY)(part)], VOCABULARY, Calibration())
        for part in (
            Emission(log_probs, step, begin, seconds, None, 0.01, begin)
            for begin in np.arange(count) * seconds
        )
    ]
    result = join_transcripts(texts)
    assert result.duration == pytest.approx(count * seconds, abs=1e-3)
    assert result.words[-1].end <= result.duration
