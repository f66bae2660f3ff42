"""Lists of files and texts: CSV, TSV and the like, with any delimiter, encoding and header; JSON.

Lists named train, dev and test are the splits, and so are the values of a column named split. The
audio is found beside the list, below the folder, or by its name, whatever its suffix. A duration
counts only beside an offset: that of a whole file is measured.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from speechgru.audio import AUDIO_SUFFIXES
from speechgru.corpora import sidecar, words
from speechgru.corpora.as_rows import AS_ROWS, ListRows, is_wav2letter
from speechgru.corpora.columns import CLASSES, ROLES, Table, parse_table, to_seconds
from speechgru.corpora.common import (
    UNSPLIT,
    Prepared,
    Recording,
    examples,
    prepared,
    split_named,
    split_of,
    without_whole,
)
from speechgru.corpora.encoding import TextFile, guess_together, read_text
from speechgru.corpora.folder import AudioFinder, Folder
from speechgru.corpora.speakers import with_folder_speakers
from speechgru.corpora.spellings import find_spellings
from speechgru.errors import CorpusError, plural

JSON = (".json", ".jsonl")
LISTS = (".csv", ".tsv", ".psv", ".txt", ".lst", ".list", ".tab", ".trn", ".data", ".stm")
NAMES = ("prompts", "transcripts", "text")  # of lists without a suffix, as in VoxForge and Kaldi
REFUSED = {"reject", "ignore"}  # Prodigy's answers to what is not to be used
MILLISECONDS = re.compile(r"(^|[^a-z])(ms|msec|milliseconds)\b")
HEAD = 64_000  # characters that decide whether a file is a list


def find(folder: Folder) -> bool:
    """JSON has many other uses: it counts only where the texts are nowhere else."""
    if any(_is_list(folder, file) for file in _candidates(folder)):
        return True
    listed = any(_is_list(folder, file) for file in _candidates(folder, JSON))
    return listed and not sidecar.find(folder) and not words.find(folder)


def read(folder: Folder, columns: Mapping[str, str] | None = None) -> Prepared:
    """`columns`: role → header name, where the content does not settle it; as text also
    FILE:COLUMN of a table with other spellings of the texts.

    Raises CorpusError: no list of audio files, or a column that does not exist.
    """
    notes: list[str] = []
    problems: list[str] = []
    columns = dict(columns or {})
    spelling = columns.pop("text") if ":" in columns.get("text", "") else None
    finder = AudioFinder(folder)
    by_split: dict[str, list[Recording]] = {}
    read_files = []
    candidates = [*_candidates(folder), *_candidates(folder, JSON)]
    files = [file for file in candidates if _is_list(folder, file, "text" in columns)]
    files = [file for file in files if file.suffix.lower() not in JSON] or files
    encoding = guess_together(files)
    for file in files:
        source, content = _source(file, encoding)
        table = read_table(folder, file, content, columns)
        if table is None:
            continue
        table = _accepted(table, notes)
        read_files.append(file)
        notes.append(_describe(folder, file, table, is_text=isinstance(content, str)))
        if "text" not in columns:
            notes += [note for note in _other_texts(table) if note not in notes]
        notes += source.notes(file)
        for split, recording in _recordings(folder, file, table, finder):
            by_split.setdefault(split, []).append(recording)
        problems += table.problems(folder.relative(file))
    if not read_files:
        raise CorpusError(f"{folder.root}: no list (CSV, TSV, …) with names of audio files in it")
    by_split = without_whole(by_split, notes)
    _note_several_texts(by_split, notes)
    by_split = _respelled(folder, by_split, read_files, spelling, notes)
    by_split = with_folder_speakers(folder, by_split, notes)
    unlisted = len(set(folder.audio) - {r.audio for rs in by_split.values() for r in rs})
    if unlisted:
        notes.append(
            f"audio: {unlisted:,} files in the folder are in no usable row, and are not used"
        )
    return prepared(folder.root, by_split, [*notes, *finder.notes()], problems)


def _accepted(table: Table, notes: list[str]) -> Table:
    """Without the rows that an annotator rejected."""
    column = table.names.index("answer") if table.names and "answer" in table.names else None
    if column is None:
        return table
    kept = [(n, row) for n, row in table.rows if not REFUSED & {*row[column : column + 1]}]
    if refused := len(table.rows) - len(kept):
        notes.append(f"rows: {refused:,} have the answer reject or ignore, and are not used")
    return replace(table, rows=kept)


def _candidates(folder: Folder, suffixes: tuple[str, ...] = LISTS) -> list[Path]:
    """Lists: not the text file of a recording."""
    stems = {path.with_suffix("") for path in folder.audio}
    stems |= {path.with_suffix("") for path in sidecar.find_texts(folder)[0].values()}
    named = [file for file in folder.files if suffixes == LISTS and file.name.lower() in NAMES]
    files = folder.ending(*suffixes) + named
    return [f for f in files if f.with_suffix("") not in stems or f.suffix.lower() == ".stm"]


def _is_list(folder: Folder, file: Path, text_is_stated: bool = False) -> bool:
    try:
        content = _source(file)[1]
        head = content[:HEAD] if isinstance(content, str) else content
        table = read_table(folder, file, head, {})
        if table is None or text_is_stated or file.suffix.lower() not in JSON:
            return table is not None
        # JSON is used for much else than lists, such as our own reports
        names = table.names or []
        known = {*ROLES["text"], *CLASSES}
        return any(name.lower() in known for name in names[table.columns["text"] :][:1])
    except CorpusError:
        return False


def _source(file: Path, encoding: str | None = None) -> tuple[TextFile, str | ListRows]:
    """The text of a list, as `read_text` with the likely `encoding`, and what a table is made of:
    this text, or of JSON and others their rows. Raises CorpusError."""
    source = read_text(file, encoding)
    suffix = file.suffix.lower()
    if suffix not in AS_ROWS and source.text[:1] == "{":  # WeNet's data.list
        suffix = ".json"
    elif suffix not in AS_ROWS and is_wav2letter(source.text):
        suffix = "wav2letter"
    if suffix not in AS_ROWS:
        return source, source.text
    try:
        return source, AS_ROWS[suffix](source.text)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{file}: not a list of files and texts: {error!s:.80}") from None


def read_table(
    folder: Folder, file: Path, content: str | ListRows, columns: Mapping[str, str]
) -> Table | None:
    """The table in the text or the rows of a file, in which columns may be stated by role; None:
    none with names of audio files. Raises CorpusError."""
    probe = AudioFinder(folder)
    cells: dict[str, bool] = {}

    def is_audio(cell: str) -> bool:
        if cell not in cells:
            named = cell.strip().lower().endswith(tuple(AUDIO_SUFFIXES))
            found = named or probe.find(cell, file.parent) is not None
            cells[cell] = found or probe.problem(cell) is not None
        return cells[cell]

    try:
        if isinstance(content, str):
            table = parse_table(content, is_audio, columns)
        else:
            table = content.table(is_audio, columns)
    except CorpusError as error:
        raise CorpusError(f"{file}: {error}") from None
    if table is None or table.names or not table.rows:
        return table
    parts = file.stem.lower().split("_")  # utt_spk_text.tsv is named by its columns
    named = {role: i for i, part in enumerate(parts) for role in ROLES if part in ROLES[role]}
    if len(named) == len(parts) == len(table.rows[0][1]):
        used = table.columns["audio"], table.columns["text"]
        others = {r: i for r, i in named.items() if r == "id" or i not in used}
        return replace(table, columns=others | table.columns)
    return table


def _describe(folder: Folder, file: Path, table: Table, is_text: bool) -> str:
    def name(column: int) -> str:
        return repr(table.name(column)) if table.name(column) else f"column {column + 1}"

    roles = ", ".join(f"{role}: {name(column)}" for role, column in table.columns.items())
    kind = {None: "space", "\t": "tab"}.get(table.delimiter, repr(table.delimiter))
    cells = f", cells separated by {kind}" if is_text else ""  # JSON has no separator
    return f"list: {folder.relative(file)}, {plural(len(table.rows), 'row')}{cells}; {roles}"


def _other_texts(table: Table) -> list[str]:
    """A note of the other columns of a table without header that may as well be the text."""
    others = [str(column + 1) for column in table.other_texts()]
    text = table.columns["text"] + 1
    return others and [
        f"text: column {text} is the most like one, but there are other sentences in column "
        f"{', '.join(others)}; use another column with --column text={others[0]}"
    ]


def _recordings(
    folder: Folder, file: Path, table: Table, finder: AudioFinder
) -> list[tuple[str, Recording]]:
    found = []
    file_split = split_of(folder.relative(file)) or UNSPLIT
    for number, row in table.rows:
        name = table.value(row, "audio") or ""
        audio = finder.find(name, file.parent, {file.stem, *map(str.strip, row)})
        problem = finder.problem(name)
        try:
            offset, duration = _times(table, row)
        except ValueError as error:
            audio, offset, duration, problem = None, 0.0, None, str(error)
        place = f"{file.name}:{number}" if number else file.name
        default = folder.id_of(audio) if audio else f"{place} {name}".strip()
        if audio and (offset or table.value(row, "end")):
            default += f"@{offset:.3f}".rstrip("0").rstrip(".")
        found.append(
            (
                split_named(table.value(row, "split") or "") or file_split,
                Recording(
                    id=table.value(row, "id") or default,
                    audio=audio,
                    text=table.value(row, "text") or "",
                    speaker=table.value(row, "speaker") or "",
                    lang=table.value(row, "lang"),
                    offset=offset,
                    duration=duration,
                    problem=problem,
                    channel=table.value(row, "channel") or "",
                ),
            )
        )
    # else by the folders that the audio is in, if each names a split
    usable = [r.audio for _, r in found if r.audio]
    named = {audio: split_of(folder.id_of(audio).rpartition("/")[0]) for audio in usable}
    if named and all(named.values()) and all(split == UNSPLIT for split, _ in found):
        first = named[usable[0]]  # whichever: a row without audio is only a problem
        return [(str(named[r.audio] if r.audio else first), r) for _, r in found]
    return found


def _times(table: Table, row: list[str]) -> tuple[float, float | None]:
    """A row's offset and duration (None: to the end of the file). Raises ValueError with the reason
    why it has none that can be used."""
    offset = _seconds(table, row, "offset") or 0.0
    end = _seconds(table, row, "end")
    duration = None if end is None else end - offset
    if end is None and "offset" in table.columns:
        duration = _seconds(table, row, "duration")
    if duration is not None and duration <= 0:
        raise ValueError(f"expected an end after the start, found {duration:g} s from {offset:g} s")
    return offset, duration


def _seconds(table: Table, row: list[str], role: str) -> float | None:
    value = table.value(row, role)
    if value is None:
        return None
    seconds, name = to_seconds(value), table.name(table.columns[role])
    if seconds is None:
        raise ValueError(f"expected a time in column {name or role}, found {value!r:.60}")
    return seconds / 1000 if MILLISECONDS.search(name.lower()) else seconds


def _note_several_texts(by_split: dict[str, list[Recording]], notes: list[str]) -> None:
    """A note of files that have several texts, each for all of them."""
    whole = [r for listed in by_split.values() for r in listed if r.duration is None]
    counts = Counter(audio for audio, _ in dict.fromkeys((r.audio, r.text) for r in whole))
    if several := [audio.name for audio, count in counts.items() if audio and count > 1]:
        notes.append(
            f"audio: {len(several):,} files have several texts and no times: {examples(several)}; "
            "state the columns of the times: --column offset=NAME --column end=NAME"
        )


def _respelled(
    folder: Folder,
    by_split: dict[str, list[Recording]],
    lists: list[Path],
    spelling: str | None,
    notes: list[str],
) -> dict[str, list[Recording]]:
    """With the texts spelled as in FILE:COLUMN; without, a note of which there are."""
    texts = {r.text for listed in by_split.values() for r in listed}
    found = find_spellings(folder, texts, lists)
    if spelling is None:
        if found:
            notes.append(
                f"texts: other spellings in {', '.join(found)}; use one with "
                f"--column text={next(iter(found))}"
            )
        return by_split
    if spelling not in found:
        raise CorpusError(
            f"--column text={spelling}: no such spellings of all {len(texts)} different texts; "
            f"found {', '.join(found) or 'none'}"
        )
    return {
        split: [replace(r, text=found[spelling][r.text]) for r in listed]
        for split, listed in by_split.items()
    }
