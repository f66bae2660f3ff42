"""Why a folder has recordings but no texts: what is in it that may have them, and what to do."""

from collections import Counter
from pathlib import Path

from speechgru.corpora.encoding import read_text
from speechgru.corpora.folder import Folder
from speechgru.errors import CorpusError

AS_TEXT = "save each as a plain text file"
AS_TEXTGRID = "export them as Praat TextGrid or srt"
TABLES = {  # suffix of a file that may have texts → what it is and what to do
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "a spreadsheet; save it as CSV"),
    **dict.fromkeys((".sqlite", ".sqlite3", ".db", ".mdb"), "a database; export a table as CSV"),
    **dict.fromkeys(
        (".parquet", ".arrow"),
        "a data set of Hugging Face; write its audio into files, and their texts into a CSV file",
    ),
    ".eaf": f"annotations of ELAN; {AS_TEXTGRID}",
    ".trs": f"annotations of Transcriber; {AS_TEXTGRID}",
    ".exb": f"annotations of EXMARaLDA; {AS_TEXTGRID}",
    ".cha": f"transcripts in CHAT; {AS_TEXTGRID}",
    ".ctm": "a recogniser's words; write the texts of the recordings as CSV",
}
DOCUMENTS = {  # of other uses, too, unless most recordings have one of their name
    **dict.fromkeys((".docx", ".doc", ".odt", ".rtf", ".pdf"), f"documents; {AS_TEXT}"),
    **dict.fromkeys((".xml", ".html", ".md", ".trn"), f"texts with other content; {AS_TEXT}"),
    **dict.fromkeys((".ttml", ".dfxp", ".sbv", ".lrc", ".smi"), "subtitles; save them as srt"),
    ".json": "perhaps a recogniser's output; save it as srt or txt",
}
LISTS = (".csv", ".tsv", ".psv")
SAMPLE = 10  # recordings that are looked for in a list
ARCHIVES = (".tar", ".zip", ".tgz", ".gz", ".7z", ".rar")


def unread_texts(folder: Folder) -> list[str]:
    """A line for each kind of file in which the texts of the recordings probably are, in a folder
    without any list of them."""
    stems = {audio.stem for audio in folder.audio} | {audio.name for audio in folder.audio}
    named = Counter(f.suffix.lower() for f in folder.ending(*DOCUMENTS) if f.stem in stems)
    frequent = {s: DOCUMENTS[s] for s, n in named.items() if 2 * n > len(folder.audio)}
    found = _lines(folder, TABLES | frequent)
    for file in folder.ending(*LISTS) if folder.audio else []:
        text = _text(file)
        if 2 * len(text.splitlines()) > len(folder.audio):
            name, example = (folder.relative(path) for path in (file, folder.audio[0]))
            if any(path.name in text for path in folder.audio[:SAMPLE]):
                return [*found, f"{name}: names recordings, but no column of it can be the text"]
            return [*found, f"{name}: names none of the recordings, such as {example}"]
    return found


def why_no_texts(folder: Folder) -> list[str]:
    """The probable reasons."""
    return unread_texts(folder) + _lines(folder, dict.fromkeys(ARCHIVES, "an archive; unpack it"))


def _text(file: Path) -> str:
    try:
        return read_text(file).text
    except CorpusError:
        return ""


def _lines(folder: Folder, kinds: dict[str, str]) -> list[str]:
    first: dict[str, Path] = {}
    for file in folder.ending(*kinds):
        first.setdefault(file.suffix.lower(), file)
    return [f"{folder.relative(file)}: {kinds[suffix]}" for suffix, file in first.items()]
