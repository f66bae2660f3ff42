"""Corpora → manifests: one module per corpus, one line in the table below.

A reader takes the corpus's folder (None: its usual place, if it has one) and returns the splits.
Errors in single utterances are returned, not raised. A reader gives each utterance the corpus's
own id.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgru.audio import AudioInfo, read_headers
from speechgru.corpora import an4, digits, fsdd, librispeech
from speechgru.corpora.common import Prepared
from speechgru.errors import CorpusError
from speechgru.manifest import Utterance, write_manifest

__all__ = ["CORPORA", "Prepared", "SummaryRow", "prepare", "summary_rows", "write_splits"]

CORPORA: dict[str, Callable[[Path | None], Prepared]] = {
    "digits": digits.prepare,
    "fsdd": fsdd.prepare,
    "an4": an4.prepare,
    "librispeech": librispeech.prepare,
}


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """A split in figures. `sample_rates` in Hz; `characters`: those that occur in its texts."""

    split: str
    utterances: int
    hours: float
    speakers: int
    sample_rates: tuple[int, ...]
    characters: str


def prepare(name: str, source: str | Path | None = None, holdout: str | None = None) -> Prepared:
    """The splits of a corpus, and which utterances were excluded and why.

    `holdout` is the speaker who makes up the test set of fsdd, the one corpus whose official test
    speakers are also in training. Raises CorpusError: no such corpus, not its folder, no usable
    utterance at all.
    """
    if name not in CORPORA:
        raise CorpusError(f"no corpus {name!r}; expected one of {', '.join(CORPORA)}")
    folder = None if source is None else Path(source)
    if holdout is None:
        return CORPORA[name](folder)
    if name != "fsdd":
        raise CorpusError(
            f"--holdout {holdout}: only fsdd has speakers to hold out; "
            f"the splits of {name} share no speaker"
        )
    return fsdd.prepare(folder, holdout)


def write_splits(prepared: Prepared, folder: Path) -> list[Path]:
    """Write `folder`/SPLIT.jsonl for each split that is not empty; returns the files written.

    A manifest that the corpus was read from is never overwritten. Raises ManifestError.
    """
    sources = {os.path.realpath(file) for file in prepared.read_from}
    files = []
    for split, utterances in prepared.splits.items():
        file = folder / f"{split}.jsonl"
        if utterances and os.path.realpath(file) not in sources:
            write_manifest(file, utterances)
            files.append(file)
    return files


def summary_rows(splits: Mapping[str, Sequence[Utterance]]) -> list[SummaryRow]:
    """One row per split, in order; sample rates are read from the files' headers."""
    return [_summary_row(split, utterances) for split, utterances in splits.items()]


def _summary_row(split: str, utterances: Sequence[Utterance]) -> SummaryRow:
    infos = read_headers(sorted({utterance.audio for utterance in utterances}))
    return SummaryRow(
        split=split,
        utterances=len(utterances),
        hours=sum(utterance.duration for utterance in utterances) / 3600,
        speakers=len({u.speaker for u in utterances if u.speaker is not None}),
        sample_rates=tuple(sorted({i.sample_rate for i in infos if isinstance(i, AudioInfo)})),
        characters="".join(sorted({char for u in utterances for char in u.text})),
    )
