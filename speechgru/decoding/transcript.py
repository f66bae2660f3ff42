"""From hypotheses to transcripts: words with times and confidence."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from speechgru.decoding.confidence import Calibration
from speechgru.decoding.emission import Emission
from speechgru.decoding.hypothesis import Hypothesis
from speechgru.decoding.words import divide, least_probable, spell, word_spans
from speechgru.files import Json
from speechgru.text import Vocabulary

SILENT, TOO_QUIET, TOO_SHORT, NOTHING = (
    "silent", "too quiet", "too short", "nothing recognised"
)  # fmt: skip
SHORTEST_SECONDS = 0.05  # of audio with a word in it
SILENT_DB = -85.0  # level of the loudest 10 ms: at most the last bit of 16-bit audio changes
QUIET_DB = -65.0  # below this, an empty text is explained by the level


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a recording. Times are in seconds from the beginning of the recording.

    `confidence` is the probability that the word is right: an estimate, which is calibrated where
    the model has a calibration. None where it is not known. `interpolated`: the model cannot spell
    the word; its times follow from those of its neighbours."""

    text: str
    start: float
    end: float
    confidence: float | None = None
    interpolated: bool = False

    def to_json(self) -> Json:
        values: Json = {
            "word": self.text,
            "start": self.start,
            "end": self.end,
            "confidence": self.confidence,
        }
        return values | {"interpolated": True} if self.interpolated else values


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another text that the decoder considered, and its score: a log-probability."""

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of a recording and the recording's duration in seconds.

    `confidence` is the mean of the words': the expected share of right words. `reason` is why there
    is no text: SILENT, TOO_QUIET, TOO_SHORT or NOTHING. `alternatives` has the n best texts, if
    they were asked for.
    """

    text: str
    duration: float
    words: tuple[Word, ...] = ()
    confidence: float | None = None
    reason: str | None = None
    alternatives: tuple[Alternative, ...] = ()

    def to_json(self) -> Json:
        values: Json = {
            "text": self.text,
            "duration": self.duration,
            "confidence": self.confidence,
            "words": [word.to_json() for word in self.words],
        }
        if self.reason is not None:
            values["reason"] = self.reason
        if self.alternatives:
            values["alternatives"] = [asdict(each) for each in self.alternatives]
        return values


def transcribe_section(
    emission: Emission,
    hypotheses: Sequence[Hypothesis],
    vocabulary: Vocabulary,
    calibration: Calibration,
) -> Transcript:
    """The transcript of a section from its n best hypotheses, which are not used where the audio is
    too short or too quiet for speech."""
    reason, begin = _reason(emission), emission.begin
    duration = round(begin + emission.duration, 3) - round(begin, 3)  # those of sections add up
    if reason in (SILENT, TOO_SHORT):
        return _make((), duration, reason)
    best = hypotheses[0]
    spelled = spell(best, vocabulary)
    spans = word_spans(emission, best.frames, spelled, calibration.lead)
    confidences = calibration(least_probable(emission, best, spelled))
    words = [
        Word(text, round(start, 3), round(end, 3), round(float(confidence), 3))
        for word, span, confidence in zip(spelled, spans, confidences, strict=True)
        for text, start, end in divide(word.text, *span)
    ]
    alternatives = tuple(
        Alternative(" ".join(word.text for word in spell(each, vocabulary)), round(each.score, 3))
        for each in hypotheses[1:]
    )
    return _make(words, duration, reason or NOTHING, alternatives)


def _reason(emission: Emission) -> str | None:
    """Why a section may have no text."""
    if 0 < emission.duration < SHORTEST_SECONDS:
        return TOO_SHORT
    if emission.levels is None:
        return None
    loudest = float(emission.levels.max(initial=-np.inf))
    if loudest < SILENT_DB:
        return SILENT
    return TOO_QUIET if loudest < QUIET_DB else None


def _make(
    words: Sequence[Word],
    duration: float,
    reason: str,
    alternatives: tuple[Alternative, ...] = (),
) -> Transcript:
    return Transcript(
        " ".join(word.text for word in words),
        round(duration, 3),
        tuple(words),
        mean_confidence(words),
        None if words else reason,
        alternatives,
    )


def mean_confidence(words: Sequence[Word]) -> float | None:
    """Of the words whose confidence is known; None without any."""
    known = [word.confidence for word in words if word.confidence is not None]
    return round(float(np.mean(known)), 3) if known else None


def join_transcripts(parts: Sequence[Transcript]) -> Transcript:
    """One recording from its sections, in order. Their alternatives are dropped where there are
    several sections: every combination of them would be one."""
    if len(parts) == 1:
        return parts[0]
    reasons = {part.reason for part in parts}
    return _make(
        [word for part in parts for word in part.words],
        sum(part.duration for part in parts),
        (len(reasons) == 1 and reasons.pop()) or NOTHING,
    )
