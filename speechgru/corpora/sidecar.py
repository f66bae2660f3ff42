"""A text file beside each recording, of the same name: .txt, .lab, TextGrid or subtitles.

Where a recording has several, the one with times is taken.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from speechgru.corpora.common import UNSPLIT, Prepared, Recording, examples, prepared, split_named
from speechgru.corpora.encoding import read_text
from speechgru.corpora.folder import Folder
from speechgru.corpora.speakers import with_folder_speakers
from speechgru.corpora.subtitles import read_subtitles
from speechgru.corpora.textgrid import Segment, read_textgrid
from speechgru.errors import CorpusError

MAX_TEXT = 100_000  # characters of one transcript


def read_plain(file: Path) -> list[Segment]:
    """The whole file is the text."""
    text = " ".join(read_text(file).text.split())
    if len(text) > MAX_TEXT:
        raise CorpusError(f"{file}: {len(text):,} characters; expected one transcript")
    return [Segment(text)]


SIDECARS: dict[str, Callable[[Path], list[Segment]]] = {  # in order of preference
    ".srt": read_subtitles,
    ".vtt": read_subtitles,
    ".ass": read_subtitles,
    ".textgrid": read_textgrid,
    ".lab": read_plain,
    ".txt": read_plain,
}


def find(folder: Folder) -> bool:
    """Whether at least a tenth of the recordings have a text beside them."""
    texts = {file.with_suffix("") for file in folder.ending(*SIDECARS)}
    matches = sum(audio.with_suffix("") in texts for audio in folder.audio)
    return matches > 0 and 10 * matches >= len(folder.audio)


def read(folder: Folder) -> Prepared:
    """Recordings without a text, and texts that cannot be read, are problems."""
    order = list(SIDECARS)
    beside: dict[Path, Path] = {}
    for file in folder.ending(*SIDECARS):
        stem, kind = file.with_suffix(""), file.suffix.lower()
        if stem not in beside or order.index(kind) < order.index(beside[stem].suffix.lower()):
            beside[stem] = file
    by_split: dict[str, list[Recording]] = {}
    kinds: Counter[str] = Counter()
    problems, guesses = [], []
    for audio in folder.audio:
        text = beside.get(audio.with_suffix(""))
        if text is None:
            problems.append(f"{folder.relative(audio)}: no text file of the same name beside it")
            continue
        try:
            segments = SIDECARS[text.suffix.lower()](text)
            if note := read_text(text).note(text):
                guesses.append(note)
        except CorpusError as error:
            problems.append(f"{folder.relative(audio)}: {error}")
            continue
        kinds[text.suffix] += 1
        parts = Path(folder.relative(audio)).parts[:-1]
        split = next((s for part in parts if (s := split_named(part))), UNSPLIT)
        by_split.setdefault(split, []).extend(_recordings(folder, audio, segments))
    if not by_split:
        first = f"; the first problem: {problems[0]}" if problems else ""
        raise CorpusError(f"{folder.root}: no recording with a text file beside it{first}")
    found = ", ".join(f"{count:,} {suffix}" for suffix, count in kinds.items())
    notes = [f"texts: a file beside each recording ({found})"]
    if guesses:
        notes.append(f"{guesses[0]} ({len(guesses):,} files are not UTF-8)")
    if unused := [file.name for stem, file in beside.items() if stem not in _stems(folder)]:
        notes.append(f"texts: {len(unused):,} have no recording beside them: {examples(unused)}")
    by_split = with_folder_speakers(folder, by_split, notes)
    result = prepared(folder.root, by_split, notes)
    return Prepared(result.splits, problems + result.problems, notes=result.notes)


def _stems(folder: Folder) -> set[Path]:
    return {audio.with_suffix("") for audio in folder.audio}


def _recordings(folder: Folder, audio: Path, segments: list[Segment]) -> list[Recording]:
    whole = len(segments) == 1 and segments[0].end is None
    return [
        Recording(
            id=folder.id_of(audio) + ("" if whole else f"@{segment.start:.3f}"),
            audio=audio,
            text=segment.text,
            speaker=segment.speaker or "",
            offset=segment.start,
            duration=None if segment.end is None else round(segment.end - segment.start, 6),
        )
        for segment in segments
    ]
