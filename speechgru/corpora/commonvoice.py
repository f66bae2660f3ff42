"""Common Voice: `clips/` and train.tsv, dev.tsv, test.tsv, validated.tsv, … of any release.

Without train.tsv, everything validated is the corpus, to be split by speaker. Durations in
clip_durations.tsv are in milliseconds and may be missing. Quotes in sentences are literal.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from speechgru.corpora.common import UNSPLIT, Prepared, Recording, prepared
from speechgru.corpora.encoding import encoding_notes, read_text
from speechgru.corpora.folder import AudioFinder, Folder
from speechgru.errors import CorpusError

NEEDED = {"client_id", "path", "sentence"}
SPLITS = ("train", "dev", "test")
OTHERS = ("validated", "other", "invalidated")


def find(folder: Folder) -> bool:
    return bool(_releases(folder))


def read(folder: Folder) -> Prepared:
    """Raises CorpusError: several languages in the folder, or a list with other columns."""
    releases = _releases(folder)
    if len(releases) != 1:
        raise CorpusError(
            f"{folder.root}: found {len(releases)} Common Voice releases; give the folder of one "
            f"language: {', '.join(map(str, releases))}"
        )
    root = releases[0]
    finder = AudioFinder(folder)
    files = {name: root / f"{name}.tsv" for name in (*SPLITS, *OTHERS)}
    files = {name: file for name, file in files.items() if file in folder.files}
    problems: dict[str, list[str]] = {name: [] for name in files}
    listed = {
        name: list(_recordings(folder, file, finder, problems[name]))
        for name, file in files.items()
        if name in SPLITS or _is_list(file)
    }
    notes = ["lists: " + ", ".join(f"{name} {len(rows):,}" for name, rows in listed.items())]
    if listed.get("train"):
        names = [name for name in listed if name in SPLITS]
        used = {name: listed[name] for name in names}
    else:
        names = ["validated" if listed.get("validated") else "other"]
        used = {UNSPLIT: listed.get(names[0], [])}
        notes.append("splits: no clip in train.tsv, so these are the validated clips")
    notes += encoding_notes(files[name] for name in listed)
    wrong = [problem for name in names for problem in problems.get(name, [])]
    return prepared(folder.root, used, [*notes, *finder.notes()], wrong)


def _releases(folder: Folder) -> list[Path]:
    """The folders with lists in this format."""
    found = []
    for file in folder.files:
        if file.name in (f"{name}.tsv" for name in (*SPLITS, "validated")) and _is_list(file):
            found.append(file.parent)
    return list(dict.fromkeys(found))


def _is_list(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return set(stream.readline(10_000).decode("utf-8-sig").split()) >= NEEDED
    except (OSError, UnicodeDecodeError):
        return False


def _recordings(
    folder: Folder, file: Path, finder: AudioFinder, problems: list[str]
) -> Iterator[Recording]:
    lines = read_text(file).text.rstrip("\n").split("\n")
    rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    header = next(rows)
    for number, cells in enumerate(rows, start=2):
        row = dict(zip(header, cells, strict=False))
        if len(cells) > len(header) or not row.keys() >= NEEDED:
            problem = (
                f"{folder.relative(file)}:{number}: expected {len(header)} columns separated by "
                f"tabs, among them {', '.join(sorted(NEEDED))}; found {len(cells)}"
            )
            if not set(header) >= NEEDED:
                raise CorpusError(f"{folder.root}: {problem}")
            problems.append(problem)
            continue
        name = row["path"]
        yield Recording(
            id=name.rpartition("/")[2].removesuffix(".mp3"),
            audio=finder.find(name, file.parent / "clips"),
            text=row["sentence"],
            speaker=row["client_id"],
            lang=row.get("locale") or None,
            problem=finder.problem(name),
        )
