"""Corpora → manifests: one module a corpus or layout, one line in the table.

A reader takes the corpus's folder (None: its usual place, if it has one) and a speaker to hold out
(None: the usual splits); what is wrong with single utterances it returns, it does not raise.
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

CORPORA: dict[str, Callable[[Path | None, str | None], Prepared]] = {
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
    """The utterances of a corpus, in splits, and what had to be left out.

    Raises CorpusError: no such corpus, not its folder, no usable utterance for a split.
    """
    if name not in CORPORA:
        raise CorpusError(f"no corpus {name!r}; expected one of {', '.join(CORPORA)}")
    return CORPORA[name](Path(source) if source is not None else None, holdout)


def write_splits(prepared: Prepared, folder: Path) -> list[Path]:
    """Write `folder`/SPLIT.jsonl for each split, and return what was written: a manifest that the
    corpus was read from stays as it is. Raises ManifestError."""
    kept = {os.path.realpath(file) for file in prepared.read_from}
    files = []
    for split, utterances in prepared.splits.items():
        file = folder / f"{split}.jsonl"
        if os.path.realpath(file) not in kept:
            write_manifest(file, utterances)
            files.append(file)
    return files


def summary_rows(splits: Mapping[str, Sequence[Utterance]]) -> list[SummaryRow]:
    """A row a split, in order; rates are read from the files' read_headers."""
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
