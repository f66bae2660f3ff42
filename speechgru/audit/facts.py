"""Manifests in figures."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar
from unicodedata import category

import numpy as np

from speechgru.audit.entries import Entry
from speechgru.audit.overlap import is_closed
from speechgru.audit.text_problems import FACTORS, frames_missing
from speechgru.corpora.leaks import Leak
from speechgru.recipe import FeatureRecipe
from speechgru.text import Vocabulary

TOP_WORDS = 20
BINS = 24  # of histograms
K = TypeVar("K", int, str)


@dataclass(frozen=True, slots=True)
class Spread:
    """Smallest, 5th percentile, median, 95th percentile and largest of some values, and how many
    are in each of BINS equal parts between the smallest and the largest."""

    low: float
    p5: float
    median: float
    p95: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Character:
    """A character of the normalised texts, how often it occurs, in how many texts, and one."""

    char: str
    count: int
    texts: int
    example: str

    @property
    def code(self) -> int:
        return ord(self.char)


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """A manifest in figures. Hours and spreads are of the audio that was measured; `rates`,
    `codecs` and `channels` count files; `too_few_frames` counts texts too long for CTC by
    subsampling factor. `characters`: digits and symbols first, then the rest by code point."""

    manifest: str
    utterances: int
    files: int
    undecodable: int
    hours: float
    stated_hours: float
    speakers: int
    without_speaker: int
    rates: dict[int, int]
    codecs: dict[str, int]
    channels: dict[int, int]
    seconds: Spread | None
    level: Spread | None  # dB of full scale
    silence: Spread | None  # share
    bandwidth: Spread | None  # Hz
    characters_per_second: Spread | None
    clipped: int  # utterances with any clipped sample
    words: int
    distinct_words: int
    closed_vocabulary: bool
    top_words: dict[str, int]
    characters: tuple[Character, ...]
    too_few_frames: dict[int, int]


@dataclass(frozen=True, slots=True)
class Facts:
    """Each manifest in figures, and what each pair shares."""

    manifests: tuple[ManifestFacts, ...]
    leaks: tuple[Leak, ...]

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def manifest_facts(
    manifest: str, entries: Sequence[Entry], features: FeatureRecipe, vocabulary: Vocabulary
) -> ManifestFacts:
    """The facts of one manifest's measured entries."""
    files = {entry.utterance.audio: entry.file for entry in entries}
    infos = [file.info for file in files.values() if file is not None and file.info is not None]
    audible = [(entry, entry.audio) for entry in entries if entry.audio is not None]
    seconds = [audio.seconds for _, audio in audible]
    words = Counter(word for entry in entries for word in entry.text.split())
    missing = Counter(
        factor
        for entry, audio in audible
        for factor in frames_missing(vocabulary.split(entry.text), audio.seconds, features)
    )
    return ManifestFacts(
        manifest=manifest,
        utterances=len(entries),
        files=len(files),
        undecodable=len(files) - len(infos),
        hours=sum(seconds) / 3600,
        stated_hours=sum(entry.utterance.duration for entry in entries) / 3600,
        speakers=len({e.utterance.speaker for e in entries} - {None}),
        without_speaker=sum(entry.utterance.speaker is None for entry in entries),
        rates=_counts(info.sample_rate for info in infos),
        codecs=_counts(f"{info.container} {info.codec}" for info in infos),
        channels=_counts(info.channels for info in infos),
        seconds=spread(seconds),
        level=spread(audio.level for _, audio in audible),
        silence=spread(audio.silence for _, audio in audible),
        bandwidth=spread(audio.bandwidth for _, audio in audible),
        characters_per_second=spread(len(e.text) / a.seconds for e, a in audible if e.text),
        clipped=sum(audio.clipped > 0 for _, audio in audible),
        words=words.total(),
        distinct_words=len(words),
        closed_vocabulary=is_closed(entry.text for entry in entries),
        top_words=dict(words.most_common(TOP_WORDS)),
        characters=_characters(entries),
        too_few_frames={factor: missing[factor] for factor in FACTORS},
    )


def spread(values: Iterable[float]) -> Spread | None:
    """None without values."""
    known = np.array(list(values)).round(4)  # a range of rounding errors has no bins
    if not len(known):
        return None
    low, p5, median, p95, high = np.percentile(known, (0, 5, 50, 95, 100)).round(4).tolist()
    return Spread(low, p5, median, p95, high, tuple(np.histogram(known, BINS)[0].tolist()))


def _counts(values: Iterable[K]) -> dict[K, int]:
    return dict(Counter(values).most_common())


def _characters(entries: Sequence[Entry]) -> tuple[Character, ...]:
    counts: Counter[str] = Counter()
    texts: Counter[str] = Counter()
    example: dict[str, str] = {}
    for entry in entries:
        counts.update(entry.text)
        for char in set(entry.text):
            texts[char] += 1
            example.setdefault(char, entry.utterance.text[:60])
    found = (Character(c, counts[c], texts[c], example[c]) for c in counts if c != " ")
    return tuple(sorted(found, key=lambda each: (category(each.char)[0] in "LM", each.char)))
