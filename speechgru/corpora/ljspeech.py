"""LJSpeech: `metadata.csv` with ID|TEXT or ID|TEXT|NORMALISED TEXT, without header or quotes.

Audio is found by id, whatever its folder and suffix. The normalised text, with numbers as words,
is the transcript where there is one.
"""

from speechgru.corpora.common import UNSPLIT, Prepared, Recording, prepared
from speechgru.corpora.encoding import read_text
from speechgru.corpora.folder import AudioFinder, Folder
from speechgru.corpora.speakers import with_folder_speakers
from speechgru.errors import plural

LIST = "metadata.csv"
HEAD = 20  # lines that decide


def find(folder: Folder) -> bool:
    file = folder.root / LIST
    if file not in folder.files:
        return False
    lines = [line for line in read_text(file).text.split("\n")[:HEAD] if line.strip()]
    finder = AudioFinder(folder)
    return (
        bool(lines)
        and all(line.count("|") in (1, 2) for line in lines)
        and (lines[0].count("|") == 1 or _are_alike(lines))
        and finder.find(lines[0].split("|")[0], file.parent) is not None  # else a header
    )


def _are_alike(lines: list[str]) -> bool:
    """Whether the last columns of most lines have words in common: a text and its normal form."""
    texts = [[set(text.lower().split()) for text in line.split("|")[-2:]] for line in lines]
    return 2 * sum(not a or not b or bool(a & b) for a, b in texts) > len(texts)


def read(folder: Folder) -> Prepared:
    """Raises CorpusError: no metadata.csv, or no usable line."""
    file = folder.root / LIST
    source = read_text(file)
    finder = AudioFinder(folder)
    recordings, problems, normalised = [], [], 0
    for number, line in enumerate(source.text.split("\n"), start=1):
        if not line.strip():
            continue
        name, *texts = line.split("|")
        if len(texts) not in (1, 2):
            problems.append(f"{LIST}:{number}: expected ID|TEXT or ID|TEXT|TEXT, found {line:.60}")
            continue
        text = texts[-1].strip() or texts[0].strip()
        normalised += text != texts[0].strip()
        audio = finder.find(name, file.parent)
        recordings.append(Recording(name.strip(), audio, text, problem=finder.problem(name)))
    notes = [f"list: {LIST}, {plural(len(recordings), 'line')}"]
    if normalised:
        notes.append(f"text: the third column (normalised), which differs in {normalised:,} lines")
    notes += source.notes(file)
    by_split = with_folder_speakers(folder, {UNSPLIT: recordings}, notes)
    return prepared(folder.root, by_split, [*notes, *finder.notes()], problems)
