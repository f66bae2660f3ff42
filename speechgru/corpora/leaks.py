"""What two sets of utterances share that they should not: speakers, sentences, identical audio.

A WER measured on speakers, sentences or recordings of the training set is too low.
"""

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Literal

from speechgru.corpora.common import examples
from speechgru.corpora.splits import FEW_TEXTS, MIN_WORDS, sentence_key
from speechgru.errors import plural
from speechgru.manifest import Utterance, distinct_files

MAX_FILES = 20_000  # whose content is compared
BLOCK = 65_536  # bytes from the middle of a file, compared before all of it

Sets = Mapping[str, Sequence[Utterance]]
Kind = Literal["speaker", "sentence", "audio"]
log = logging.getLogger(__name__)
NOUNS = {"speaker": "speaker", "sentence": "sentence", "audio": "recording"}


@dataclass(frozen=True, slots=True)
class Leak:
    """What is in both `first` and `second`; `share`: of the utterances of `second` concerned."""

    kind: Kind
    first: str
    second: str
    shared: tuple[str, ...]  # names of speakers, sentences, or ids in `second`
    utterances: int  # of `second`
    share: float

    def __str__(self) -> str:
        noun = NOUNS[self.kind] + "s" * (len(self.shared) != 1)
        return (
            f"{self.second} shares {len(self.shared):,} {noun} with {self.first} "
            f"({plural(self.utterances, 'utterance')}, {self.share:.0%} of {self.second}): "
            f"{examples([repr(name[:60]) for name in self.shared])}"
        )


def warn_of_leaks(train: Sequence[Utterance], dev: Sequence[Utterance]) -> None:
    """What dev shares with the training set makes its WER too low. Texts are normalised by now."""

    def sentence(text: str) -> str | None:
        return text if text.count(" ") >= MIN_WORDS - 1 else None

    for leak in find_leaks({"the training set": train, "dev": dev}, sentence):
        log.warning("%s: dev WER will be too low", leak)


def find_leaks(
    sets: Sets, key: Callable[[str], str | None] = sentence_key, content: bool = True
) -> list[Leak]:
    """Leaks between every two sets, from the earlier one into the later one.

    `key` makes texts the same sentence, or None for one that may recur. Sentences count only where
    texts are diverse: in a corpus of a few commands, each is in every set. Audio is identical if it
    is the same part of the same file, or (with `content`, for up to MAX_FILES files) of a file with
    the same bytes.
    """
    files = distinct_files(chain.from_iterable(sets.values()), MAX_FILES) if content else None
    same = _same_content(files or ())
    leaks = []
    for first, second in combinations(sets, 2):
        a, b = sets[first], sets[second]
        finders: list[tuple[Kind, Callable[[Utterance], object], Callable[[Utterance], str]]] = [
            ("speaker", lambda u: u.speaker, lambda u: str(u.speaker)),
            ("audio", lambda u: (same.get(u.audio, u.audio), u.offset, u.duration), lambda u: u.id),
        ]
        if len({u.text for u in a}) * FEW_TEXTS > len(a):
            finders.insert(1, ("sentence", lambda u: key(u.text), lambda u: u.text))
        for kind, value, name in finders:
            wanted = {value(u) for u in b} - {None}
            both = wanted.intersection(map(value, a))
            if both:
                concerned = [u for u in b if value(u) in both]
                names = tuple(dict.fromkeys(map(name, concerned)))
                share = len(concerned) / len(b)
                leaks.append(Leak(kind, first, second, names, len(concerned), share))
    return leaks


def _same_content(files: Iterable[str]) -> dict[str, str]:
    """File → the first file, by name, with the same bytes; only files that have such a twin."""
    groups = [sorted(files)]
    for stage in (_size, _middle, _everything):
        groups = [part for group in groups for part in _parts(group, stage)]
    return {file: group[0] for group in groups for file in group}


def _parts(group: Sequence[str], stage: Callable[[str], object]) -> Iterator[list[str]]:
    parts: dict[object, list[str]] = defaultdict(list)
    for file in group:
        try:
            parts[stage(file)].append(file)
        except OSError:  # reported by those that read the audio
            continue
    yield from (part for part in parts.values() if len(part) > 1)


def _size(file: str) -> int:
    return os.stat(file).st_size


def _middle(file: str) -> bytes:
    with open(file, "rb") as stream:
        stream.seek(max(0, _size(file) - BLOCK) // 2)
        return hashlib.sha256(stream.read(BLOCK)).digest()


def _everything(file: str) -> bytes:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
