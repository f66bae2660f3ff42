"""fairseq's manifests for wav2vec 2.0: `train.tsv` with a folder, then a file and its number of
samples per line, and the texts in the lines of `train.wrd`, or spelled (`O N E | T W O |`) in those
of `train.ltr`.

Only the order of the lines connects a text with its audio, so different numbers of lines are an
error.
"""

import os
import re
from pathlib import Path

from speechgru.corpora.common import UNSPLIT, Prepared, Recording, prepared, split_of
from speechgru.corpora.encoding import encoding_notes, read_text
from speechgru.corpora.folder import AudioFinder, Folder
from speechgru.corpora.speakers import with_folder_speakers
from speechgru.errors import CorpusError, plural

AUDIO = re.compile(r"(.+)\t(\d+)")


def find(folder: Folder) -> bool:
    return bool(_manifests(folder))


def read(folder: Folder) -> Prepared:
    """Raises CorpusError: no manifest with texts, or another number of texts than of files."""
    finder = AudioFinder(folder)
    by_split: dict[str, list[Recording]] = {}
    notes, problems = [], []
    manifests = _manifests(folder)
    for manifest, labels in manifests.items():
        root, *rows = read_text(manifest).text.rstrip("\n").split("\n")
        texts = read_text(labels).text.removesuffix("\n").split("\n")
        while len(texts) > len(rows) and not texts[-1].strip():  # the last text may be empty
            texts.pop()
        name, label_name = folder.relative(manifest), folder.relative(labels)
        if len(rows) != len(texts):
            raise CorpusError(
                f"{folder.root}: {label_name} has {plural(len(texts), 'line')} for "
                f"{plural(len(rows), 'file')} of {name}; expected one per file, in the same order"
            )
        recordings = by_split.setdefault(split_of(name) or UNSPLIT, [])
        for number, (row, text) in enumerate(zip(rows, texts, strict=True), start=2):
            if (match := AUDIO.fullmatch(row)) is None:
                problems.append(f"{name}:{number}: expected FILE, tab, SAMPLES, found {row:.60}")
                continue
            if labels.suffix == ".ltr":
                text = "".join(text.split()).replace("|", " ")
            path = os.path.join(root.strip(), match[1])
            audio = finder.find(path, manifest.parent)
            id_ = os.path.splitext(match[1])[0]
            recordings.append(Recording(id_, audio, text, problem=finder.problem(path)))
        notes.append(f"list: {name}, {plural(len(rows), 'file')}; texts: {label_name}")
    notes += encoding_notes(manifests.values())
    by_split = with_folder_speakers(folder, by_split, notes)
    return prepared(folder.root, by_split, [*notes, *finder.notes()], problems)


def _manifests(folder: Folder) -> dict[Path, Path]:
    """Each manifest, and the file of its texts: those in words, if there are both."""
    found = {}
    present = set(folder.files)
    for file in folder.ending(".tsv"):
        labels = [file.with_suffix(suffix) for suffix in (".wrd", ".ltr")]
        labels = [each for each in labels if each in present]
        if labels and _is_manifest(file):
            found[file] = labels[0]
    return found


def _is_manifest(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            first, second = (stream.readline(10_000).decode(errors="replace") for _ in "12")
    except OSError:
        return False
    return "\t" not in first and AUDIO.fullmatch(second.rstrip("\r\n")) is not None
