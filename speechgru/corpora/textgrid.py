"""Praat TextGrids → the utterances in them.

The text is in the tiers with several words per interval, which are an utterance each, if possible
in those with a name such as sentence. Several of them are one per speaker, as Montreal Forced
Aligner writes them, but not translations, glosses and the like. Or else it is in a tier of words,
or of single words called sentence or so, which become one utterance per file, or one per stretch
between long pauses.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from praatio import textgrid
from praatio.utilities.errors import PraatioException

from speechgru.errors import CorpusError, reason_of

PAUSE = 1.0  # seconds between two words that end an utterance of a long file
LONG = 20.0  # seconds
WORDS = re.compile(r"words?", re.IGNORECASE)
UTTERANCES = re.compile(r"(utt|sent|text|trans|phrase|ortho|speech)", re.IGNORECASE)
OTHERS = re.compile(  # tiers about what is spoken
    r"(?<![a-z])(transl\w*|gloss\w*|comments?|notes?|phon\w*|ipa|pos)(?![a-z])", re.IGNORECASE
)
SILENCES = {"", "sil", "sp", "spn", "<sil>", "<eps>", "#", "<unk>", "<p:>", "<usb>"}


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a recording and its text; seconds. `end` is None at the end of the file."""

    text: str
    start: float = 0.0
    end: float | None = None
    speaker: str | None = None


def read_textgrid(file: Path) -> list[Segment]:
    """Raises CorpusError: not a TextGrid, or no tier with words in it."""
    try:
        grid = textgrid.openTextgrid(
            str(file), includeEmptyIntervals=False, duplicateNamesMode="rename"
        )
        tiers = [tier for tier in grid.tiers if isinstance(tier, textgrid.IntervalTier)]
        length = float(grid.maxTimestamp or 0)
    except (PraatioException, OSError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise CorpusError(
            f"{file}: cannot be read as a TextGrid: {reason_of(error):.100}"
        ) from None
    spoken = {tier.name: entries for tier in tiers if (entries := _spoken(tier.entries))}
    spoken = {name: spoken[name] for name in spoken if not OTHERS.search(name)} or spoken
    named = [name for name in spoken if UTTERANCES.search(name)]
    utterances = [name for name in named or spoken if _has_phrases(spoken[name])]
    words = [name for name in spoken if WORDS.search(name)] or named
    if utterances:
        return [
            Segment(text, start, end, name if len(utterances) > 1 else None)
            for name in utterances
            for start, end, text in spoken[name]
        ]
    if not words:
        names = [tier.name for tier in tiers]
        raise CorpusError(
            f"{file}: no tier with a text; found {', '.join(names) or 'no interval tier'}; "
            "expected one with several words per interval, or one called words"
        )
    segments: list[Segment] = []
    for name in words:
        speaker = name.partition(" - ")[0] if len(words) > 1 else None
        segments += _joined(spoken[name], length, speaker)
    return segments


def _spoken(entries: Iterable[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """The intervals that are not silent."""
    return [
        (float(start), float(end), " ".join(label.split()))
        for start, end, label in entries
        if label.strip().lower() not in SILENCES
    ]


def _has_phrases(entries: list[tuple[float, float, str]]) -> bool:
    return any(" " in label for _, _, label in entries)


def _joined(
    words: list[tuple[float, float, str]], length: float, speaker: str | None
) -> list[Segment]:
    """Words → utterances; the whole file if it is not long."""
    if length <= LONG and speaker is None:
        return [Segment(" ".join(label for _, _, label in words))]
    groups: list[list[tuple[float, float, str]]] = []
    for word in words:
        if groups and word[0] - groups[-1][-1][1] < PAUSE:
            groups[-1].append(word)
        else:
            groups.append([word])
    margin = PAUSE / 4  # of the pause on both sides
    return [
        Segment(
            " ".join(label for _, _, label in group),
            max(0.0, group[0][0] - margin),
            min(length, group[-1][1] + margin),
            speaker,
        )
        for group in groups
    ]
