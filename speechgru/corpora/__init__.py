"""Folders of recordings → manifests: one module per corpus or layout, one line in the table below.

A reader takes the searched folder and returns the splits, or the one split UNSPLIT; `splits` makes
the missing ones. Errors in single utterances are returned, not raised. A reader gives each
utterance the corpus's own id.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speechgru.audio import AudioInfo, read_headers
from speechgru.corpora import (
    an4,
    audiofolder,
    commonvoice,
    digits,
    fairseq,
    fsdd,
    kaldi,
    lhotse,
    librispeech,
    ljspeech,
    nemo,
    sidecar,
    table,
    words,
)
from speechgru.corpora.common import UNSPLIT, Prepared
from speechgru.corpora.folder import Folder
from speechgru.corpora.unread import why_no_texts
from speechgru.errors import CorpusError, plural
from speechgru.manifest import Utterance
from speechgru.manifest_writer import write_manifest

__all__ = [
    "LAYOUTS",
    "UNSPLIT",
    "Layout",
    "Prepared",
    "SummaryRow",
    "prepare",
    "read_folder",
    "summary_rows",
    "write_splits",
]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a folder of recordings may be organised. `find` decides whether a folder is. `prepare`
    is that of a corpus with splits and errors of its own; None: its folder is read as any other."""

    description: str
    find: Callable[[Folder], bool]
    read: Callable[[Folder], Prepared]
    prepare: Callable[[Path | None], Prepared] | None = None


LAYOUTS = {  # in the order in which they are tried: the more specific first
    "kaldi": Layout("Kaldi directories: wav.scp, text, segments", kaldi.find, kaldi.read),
    "commonvoice": Layout("Common Voice: clips/, *.tsv", commonvoice.find, commonvoice.read),
    "librispeech": Layout(
        "LibriSpeech: *.trans.txt", librispeech.find, librispeech.read, librispeech.prepare
    ),
    "an4": Layout("AN4 (CMU Sphinx): etc/*.fileids", an4.find, an4.read, an4.prepare),
    "fsdd": Layout("FSDD: recordings/DIGIT_SPEAKER_N.wav", fsdd.find, fsdd.read, fsdd.prepare),
    "digits": Layout("the embedded digits", digits.find, digits.read, digits.prepare),
    "ljspeech": Layout("LJSpeech: metadata.csv, ID|TEXT", ljspeech.find, ljspeech.read),
    "audiofolder": Layout(
        "Hugging Face: metadata.*, file_name", audiofolder.find, audiofolder.read
    ),
    "fairseq": Layout("fairseq: *.tsv, and *.wrd or *.ltr", fairseq.find, fairseq.read),
    "lhotse": Layout("Lhotse: cuts, or recordings and supervisions", lhotse.find, lhotse.read),
    "nemo": Layout("NeMo manifests: JSON lines", nemo.find, nemo.read),
    "table": Layout("lists of files and texts: CSV, TSV, …", table.find, table.read),
    "sidecar": Layout(
        "a .txt, .lab, TextGrid or subtitle file beside each recording", sidecar.find, sidecar.read
    ),
    "words": Layout("a folder per word, as in Speech Commands", words.find, words.read),
}


def read_folder(
    source: Path, layout: str | None = None, columns: Mapping[str, str] | None = None
) -> tuple[str, Prepared]:
    """The name of the layout of a folder, and what is in it.

    `layout` forces one; `columns` names those of a table by role. Manifests that `init` wrote are
    read only if they are all there is. Raises CorpusError: no folder, no audio, no such layout,
    none that fits, or what its reader does.
    """
    if layout is not None and layout not in LAYOUTS:
        raise CorpusError(f"no layout {layout!r}; expected one of {', '.join(LAYOUTS)}")
    folder = Folder(source)
    if columns:
        if layout not in (None, "table"):
            raise CorpusError(f"--column is for the layout table only, not for {layout}")
        return "table", _with_notes(folder, table.read(folder, columns))
    if folder.written and not _fitting(folder, layout):
        folder = Folder(source, with_manifests=True)
    if layout is None:
        fitting = _fitting(folder)
        if not fitting and not folder.audio:
            raise CorpusError(f"{source}: {_what_is_there(folder)}; expected recordings in it")
        if not fitting:
            raise CorpusError(
                f"{source}: found {plural(len(folder.audio), 'recording')}, but no texts: "
                f"{_what_is_there(folder)}; expected a .txt file for each, a list of files and "
                "texts (CSV), or another layout (`speechgru init --help` names them)"
            )
        layout = fitting[0]
    return layout, _with_notes(folder, LAYOUTS[layout].read(folder))


def _fitting(folder: Folder, layout: str | None = None) -> list[str]:
    """The layouts that fit a folder, of all or of one."""
    return [name for name in LAYOUTS if layout in (None, name) and LAYOUTS[name].find(folder)]


def _with_notes(folder: Folder, prepared: Prepared) -> Prepared:
    return replace(prepared, notes=(*prepared.notes, *folder.notes()))


def _what_is_there(folder: Folder) -> str:
    suffixes = Counter(file.suffix.lower() or file.name for file in folder.files)
    kinds = ", ".join(f"{suffix} ({count})" for suffix, count in list(suffixes.items())[:6])
    reasons = why_no_texts(folder)
    return "; ".join([f"{plural(len(folder.files), 'file')} ({kinds or 'none'})", *reasons])


def prepare(name: str, source: str | Path | None = None, holdout: str | None = None) -> Prepared:
    """The splits of a corpus, and which utterances were excluded and why.

    `source` is needed but for the digits. `holdout` is the speaker who makes up the test set of
    fsdd, the one corpus whose official test speakers are also in training. Raises CorpusError: no
    such corpus, not its folder, no usable utterance at all.
    """
    if name not in LAYOUTS:
        raise CorpusError(f"no corpus or layout {name!r}; expected one of {', '.join(LAYOUTS)}")
    folder = None if source is None else Path(source)
    if holdout is not None:
        if name != "fsdd":
            raise CorpusError(
                f"--holdout {holdout}: only fsdd has speakers to hold out; "
                f"the splits of {name} share no speaker"
            )
        return fsdd.prepare(folder, holdout)
    if (prepare_corpus := LAYOUTS[name].prepare) is not None:
        return prepare_corpus(folder)
    if folder is None:
        raise CorpusError(f"{name}: no folder given; use --source DIR")
    return read_folder(folder, name)[1]


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


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """A split in figures. `sample_rates` in Hz; `characters`: those that occur in its texts."""

    split: str
    utterances: int
    hours: float
    speakers: int
    sample_rates: tuple[int, ...]
    characters: str


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
