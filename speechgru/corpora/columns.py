"""Rows of a delimited text file → which column has the audio, the text, the speaker, ….

The audio column is recognised by its content: the names in it are those of audio files. The others
are recognised by their header, in several languages; the text, failing that, by its content.
"""

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from speechgru.audio import AUDIO_SUFFIXES
from speechgru.errors import CorpusError

SAMPLE_ROWS = 300
MIN_SHARE = 0.2  # of rows whose audio exists, in a file that is a list of audio
MIN_SHARE_OF_WORDS = 0.8  # where a row begins with the name: other texts have such rows too
DELIMITERS = ("\t", ";", "|", ",")
AFTER_NAME = (":", None)  # colon, as in JSUT, or space: a row is a name and the rest of the line
csv.field_size_limit(1_000_000)

HEADERS = {  # role → header words, the more specific first
    "audio": "audio_filepath file_name filename wav_filename path audio wav file clip recording "
    "datei dateiname pfad fichier chemin archivo ruta percorso arquivo bestand plik файл путь "
    "dosya 文件 音频 ファイル",
    "text": "text transcript transcription transcripts normalized_text sentence utterance words "
    "txt wrd text_tn "
    "satz transkript transkription wortlaut äußerung texte phrase texto frase transcripción "
    "transcricao transcrição oración testo trascrizione zin tekst transcriptie zdanie текст фраза "
    "предложение metin cümle 文本 句子 转写 テキスト 텍스트 نص",
    "speaker": "speaker speaker_id client_id spk spk_id talker reader user voice sprecher "
    "sprecherin sprecher_id locuteur orateur hablante locutor parlante falante spreker mówca "
    "диктор спикер konuşmacı 说话人 話者",
    "id": "id utterance_id utt_id utt uttid sid",
    "lang": "lang language locale sprache langue idioma lingua taal język язык dil",
    "duration": "duration duration_s seconds length dauer sekunden durée duree duración duracao "
    "duração durata duur",
    "offset": "offset start start_time begin begin_time anfang beginn début debut inicio início "
    "inizio",
    "end": "end end_time stop ende fin fim fine",
    "split": "split set subset partition part teilmenge",
    "channel": "channel chan kanal canal canale kanaal канал",
}
ROLES = {role: words.split() for role, words in HEADERS.items()}
CLASSES = [  # header words of columns that are the text if there is no other
    *("prompt", "label", "class", "word", "command", "keyword", "wort", "befehl", "klasse", "mot")
]
SPEAKER = re.compile(  # speaker_name, SpeakerID, worker_id, …
    r"(id_)?(speaker|spk|sprecher|talker|reader|narrator|voice|user|worker|participant|subject|"
    r"contributor|locuteur|hablante)s?(_?(id|name|code|key|no|nr|num|number|label|uuid|hash))?"
)
UNIT = re.compile(r"_(ms|msec|milliseconds|s|sec|secs|seconds)$")
NUMBER = re.compile(r"[-+]?\d[\d.,:]*(e[-+]?\d+)?%?|", re.IGNORECASE)  # or an empty cell
ADDRESS = re.compile(r"[a-z]+://\S+", re.IGNORECASE)
FILES = (*AUDIO_SUFFIXES, ".txt", ".lab", ".json")
CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:[.,]\d+)?)")  # 1:02:03.5 or 02:03,5


Row = tuple[int, list[str]]  # the line that it begins at (0: unknown), and its cells


@dataclass(frozen=True, slots=True)
class Table:
    """Rows without the header, and role → column number.
    `names`: of the columns as the header has them, None without a header. `wrong`: line → what is
    wrong with a row that is not among `rows`."""

    rows: list[Row]
    columns: dict[str, int]
    names: list[str] | None
    delimiter: str | None
    wrong: dict[int, str] = field(default_factory=dict)

    def value(self, row: Sequence[str], role: str) -> str | None:
        """A row's value, stripped; None where it has none."""
        column = self.columns.get(role)
        if column is None or column >= len(row):
            return None
        return row[column].strip() or None

    def name(self, column: int) -> str:
        """A column's name; empty where the header has none for it."""
        return self.names[column] if self.names and column < len(self.names) else ""

    def other_texts(self) -> list[int]:
        """The columns that may as well be the text, in a table without header: with sentences that
        no column before has, nor the text."""
        if self.names:
            return []
        rows, text = [row for _, row in self.rows[:SAMPLE_ROWS]], self.columns["text"]
        free = set(range(max(map(len, rows), default=0))) - {*self.columns.values()}
        columns = [text, *(c for c in sorted(free) if _are_sentences(rows, c))]
        first: dict[tuple[str, ...], int] = {}  # cells → the first column with them
        for column in columns:
            first.setdefault(tuple(row[column] for row in rows if column < len(row)), column)
        return [column for column in first.values() if column != text]

    def problems(self, file: str) -> list[str]:
        """A line for each wrong row."""
        return [f"{file}:{line}: {problem}" for line, problem in self.wrong.items()]


def parse_table(
    text: str, is_audio: Callable[[str], bool], chosen: Mapping[str, str] | None = None
) -> Table | None:
    """The table in a text file whose `is_audio` column names audio files; None if none does.

    `chosen`: role → header name or column number from 1, where the user states it. Raises
    CorpusError for a chosen column that does not exist, or if no column can be the text.
    """
    best: tuple[float, str | None, list[Row]] | None = None
    for delimiter in (*DELIMITERS, *AFTER_NAME):
        rows = _rows(text, delimiter, is_audio)
        share, width = _audio_share([row for _, row in rows[:SAMPLE_ROWS]], is_audio)
        enough = share >= (MIN_SHARE_OF_WORDS if delimiter in AFTER_NAME else MIN_SHARE)
        if enough and (best is None or (share, width > 1) > (best[0], len(best[2][0][1]) > 1)):
            best = share, delimiter, rows
    if best is None:
        return None
    _, delimiter, rows = best
    header = None
    if not any(is_audio(cell) for cell in rows[0][1]):
        (_, header), *rows = rows
    return _make_table(header, rows, delimiter, is_audio, chosen or {})


def table_of_rows(
    names: list[str],
    rows: list[Row],
    is_audio: Callable[[str], bool],
    chosen: Mapping[str, str],
) -> Table | None:
    """As `parse_table`, of what is in rows already, each with a cell per name of a column."""
    share, _ = _audio_share([row for _, row in rows[:SAMPLE_ROWS]], is_audio)
    return _make_table(names, rows, ",", is_audio, chosen) if share >= MIN_SHARE else None


def _make_table(
    header: list[str] | None,
    rows: list[Row],
    delimiter: str | None,
    is_audio: Callable[[str], bool],
    chosen: Mapping[str, str],
) -> Table:
    body = [row for _, row in rows]
    width = max(map(len, [header or [], *body[:SAMPLE_ROWS]]))
    if body and delimiter not in AFTER_NAME:
        width = _width(header, body, is_audio)
    columns = _columns(header, body[:SAMPLE_ROWS], width, is_audio, chosen)
    if delimiter is None or delimiter in AFTER_NAME:
        return Table(rows, columns, header, delimiter)
    folded = [(n, _folded(row, width, delimiter, columns["text"])) for n, row in rows]
    kept = [(n, row) for n, row in folded if row is not None]
    problem = f"more cells than columns; put a text with {delimiter!r} in quotes"
    wrong = {n: problem for n, row in folded if row is None}
    return Table(kept, columns, header, delimiter, wrong)


def _width(
    header: list[str] | None, body: Sequence[Sequence[str]], is_audio: Callable[[str], bool]
) -> int:
    """The number of columns: that of most rows, or of the header where it names the column with the
    audio files, unless most rows have further columns, without names."""
    counts = Counter(len(row) for row in body if len(row) > 1)
    usual = min(counts, key=lambda width: (-counts[width], width), default=2)
    least = min(counts, default=2)
    longer = [row[least - 1 : least + 1] for row in body if len(row) > least]
    if header is None and all(b[:1] == " " and a[:1] != " " for a, b in longer):  # "well, yes"
        return least
    if header is None or usual <= len(header):
        return max(usual, len(header or ()))
    names_audio = any(
        name in ROLES["audio"] and any(is_audio(row[column]) for row in body[:9] if row[column:])
        for column, name in enumerate(map(_plain, header))
    )
    beyond = [cell for row in body if len(row) == usual for cell in row[len(header) :]]
    numbers = all(NUMBER.fullmatch(cell.strip()) for cell in beyond)
    # within a text, a space follows, and not equally often in all rows
    column = len(body) > 2 and len(counts) == 1 and not any(cell[:1] == " " for cell in beyond)
    if numbers or column:
        return usual
    return len(header) if names_audio else max(least, len(header))


def _folded(row: list[str], width: int, delimiter: str, text: int) -> list[str] | None:
    """A row whose last column, the text, has what is beyond it: a text with delimiters, without
    quotes. None where that is no text, or the last column is another one."""
    while len(row) > width and not row[-1].strip():
        row = row[:-1]
    if len(row) <= width:
        return row
    if text != width - 1 or all(NUMBER.fullmatch(cell.strip()) for cell in row[width:]):
        return None
    return [*row[:text], delimiter.join(row[text:])]


def _rows(text: str, delimiter: str | None, is_audio: Callable[[str], bool]) -> list[Row]:
    """The rows that are not blank."""
    text = text.replace("\0", "")
    if delimiter is None or delimiter in AFTER_NAME:

        def split(line: str) -> list[str]:
            row = line.split(delimiter, 1)  # a colon in C:\a.wav or 1:30 follows no name
            is_row = delimiter is None or (is_audio(row[0]) and not CLOCK.match(line))
            return row if is_row else [line]

        lines = enumerate(map(str.strip, text.split("\n")), start=1)
        return [(number, split(line)) for number, line in lines if line]
    try:
        read = list(_read_csv(text, delimiter, is_audio))
    except csv.Error:
        return []
    rows = [(number, row) for number, row in read if any(cell.strip() for cell in row)]
    wide = [sum(bool(cell.strip()) for cell in row) > 1 for _, row in rows]
    first = wide.index(True) if sum(wide) > len(rows) / 2 else 0
    while first and any(is_audio(cell) for _, row in rows[:first] for cell in row):
        first -= 1
    return rows[first:]  # without a title or comment at the top


def _read_csv(text: str, delimiter: str, is_audio: Callable[[str], bool]) -> Iterator[Row]:
    """The rows of a text, blank ones too. The quotes of a line are literal if a cell would
    contain other rows; between tabs and bars all are, unless each line has an even number of them.
    Raises csv.Error for a cell of 1 MB in a line."""
    lines = [f"{line}\n" for line in text.split("\n")]
    balanced = delimiter in ",;" or all(line.count('"') % 2 == 0 for line in lines)
    literal = partial(csv.reader, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    reader_of = partial(csv.reader, delimiter=delimiter) if balanced else literal

    def is_closed(row: list[str], end: int) -> bool:
        """Whether not more of a row's lines have audio in its column than the row itself."""
        columns = {c for c, cell in enumerate(row) if "\n" not in cell and is_audio(cell)}
        rows = [cells for cells in literal(lines[done:end]) if len(cells) > 1]
        return bool(columns) >= sum(
            any(is_audio(cells[c].strip('"')) for c in columns or range(len(cells)) if cells[c:])
            for cells in rows
        )

    done = 0
    while done < len(lines):
        reader = reader_of(lines[i] for i in range(done, len(lines)))
        try:
            row = next(reader)
            end = done + reader.line_num
            closed = not any("\n" in cell for cell in row) or is_closed(row, end)
        except csv.Error:
            closed = False
        if not closed:
            row, end = next(literal(lines[done : done + 1])), done + 1
        yield done + 1, row
        done = end


def _audio_share(
    rows: Sequence[Sequence[str]], is_audio: Callable[[str], bool]
) -> tuple[float, int]:
    """The share of rows with an audio file in the best column, and the number of columns."""
    width = max(map(len, rows), default=0)
    if width < 2:
        return 0.0, width
    return max(
        sum(len(row) > c and is_audio(row[c]) for row in rows) / len(rows)
        for c in range(min(width, 30))
    ), width


def _columns(
    header: list[str] | None,
    body: Sequence[Sequence[str]],
    width: int,
    is_audio: Callable[[str], bool],
    chosen: Mapping[str, str],
) -> dict[str, int]:
    """Role → column number."""
    names = [_plain(name) for name in header or []]
    columns = {role: _chosen_column(role, value, names, width) for role, value in chosen.items()}
    if "audio" not in columns:
        counts = [sum(len(row) > c and is_audio(row[c]) for row in body) for c in range(width)]
        best = max(counts, default=0)
        close = [c for c, count in enumerate(counts) if count >= 0.9 * best]
        columns["audio"] = min(close, key=lambda c: not _is_named(names, c, "audio"))
    if columns.get("text") == columns["audio"]:
        raise CorpusError(f"--column text={chosen['text']}: the column of the audio files")
    plain = [UNIT.sub("", name) for name in names]
    for role, words in ROLES.items():
        free = [name if i not in columns.values() else "" for i, name in enumerate(plain)]
        fitting = [w for w in words if w in free and _fits(role, body, free.index(w))]
        found = free.index(fitting[0]) if fitting else None
        if found is None and role == "speaker":
            found = next((i for i, name in enumerate(free) if SPEAKER.fullmatch(name)), None)
        if role not in columns and found is not None and _fits(role, body, found):
            columns[role] = found
    if "text" not in columns:
        named = dict(enumerate(plain)) | dict.fromkeys(range(len(plain), width), "")
        column = _text_column({c: named[c] for c in named if c not in columns.values()}, body)
        if column is None:
            raise CorpusError(
                f"no column can be the text; found {', '.join(header or ['no header'])}: "
                "state it with --column text=NAME"
            )
        columns["text"] = column
    return columns


def _text_column(free: Mapping[int, str], body: Sequence[Sequence[str]]) -> int | None:
    """Of the columns with these names, none of them that of a text: the one called a class, or the
    one most like a text if there is no class, or if it has sentences and the class has not."""
    if not free:
        return None
    best = max(free, key=lambda c: _likeness_to_text(body, c))
    classes = [c for c, name in free.items() if name in CLASSES and _fits("text", body, c)]
    if classes:
        named = min(classes, key=lambda c: CLASSES.index(free[c]))
        return best if _are_sentences(body, best) and not _are_sentences(body, named) else named
    return best if _likeness_to_text(body, best) > 0 else None


def _chosen_column(role: str, value: str, names: Sequence[str], width: int) -> int:
    if role not in ROLES:
        raise CorpusError(
            f"--column {role}={value}: expected one of {', '.join(ROLES)} before the ="
        )
    if _plain(value) in names:
        return names.index(_plain(value))
    if value.isdecimal() and 1 <= int(value) <= width:
        return int(value) - 1
    found = ", ".join(names) or f"{width} columns without header"
    raise CorpusError(f"--column {role}={value}: no such column; found {found}")


def _plain(name: str) -> str:
    name = unicodedata.normalize("NFC", name).strip().lower()
    return name.partition("[")[0].partition("(")[0].strip().replace(" ", "_").replace("-", "_")


def _is_named(names: Sequence[str], column: int, role: str) -> bool:
    return column < len(names) and names[column] in ROLES[role]


def _cells(body: Sequence[Sequence[str]], column: int) -> list[str]:
    """Those of a column that are not empty, without spaces around."""
    return [row[column].strip() for row in body if column < len(row) and row[column].strip()]


def _fits(role: str, body: Sequence[Sequence[str]], column: int) -> bool:
    """Not empty; of times, most cells must be numbers, of texts not names of files."""
    cells = _cells(body, column)
    if role in ("duration", "offset", "end"):
        return 2 * sum(to_seconds(cell) is not None for cell in cells) > len(cells)
    return bool(cells) and not (role == "text" and _are_files(cells))


def to_seconds(cell: str) -> float | None:
    """A time in a cell, as a number or as 0:01:02.5; None for another text or a negative number."""
    clock = CLOCK.fullmatch(cell.strip())
    try:
        parts = [cell] if clock is None else [clock[1] or "0", clock[2], clock[3]]
        numbers = [float(part.replace(",", ".")) for part in parts]
    except ValueError:
        return None
    seconds = sum(n * 60**power for power, n in enumerate(reversed(numbers)))
    return seconds if 0 <= seconds < 1e9 else None


def _are_sentences(body: Sequence[Sequence[str]], column: int) -> bool:
    """Whether most rows have several words there that no other row has."""
    cells = {row[column].strip() for row in body if column < len(row)}
    return 2 * sum(" " in cell for cell in cells) > len(body)


def _are_files(cells: Sequence[str]) -> bool:
    """Whether most cells are names of audio or text files, or addresses."""
    files = [c for c in cells if c.lower().endswith(FILES) or ADDRESS.fullmatch(c)]
    return 2 * len(files) > len(cells)


def _likeness_to_text(body: Sequence[Sequence[str]], column: int) -> float:
    """The mean number of letters, times that of words; 0 for numbers, files and addresses. Less for
    words spelled in single letters, as FLEURS has them beside its texts."""
    cells = _cells(body, column)
    letters = sum(char.isalpha() for cell in cells for char in cell)
    digits = sum(char.isdigit() for cell in cells for char in cell)
    if not cells or digits > letters or _are_files(cells):
        return 0.0
    words = [word for cell in cells for word in cell.split()]
    spelled = 0.001 if 2 * sum(len(word) == 1 for word in words) > len(words) else 1.0
    same = 0.001 if len(set(cells)) == 1 < len(cells) else 1.0  # a remark on all
    return same * spelled * len(words) * letters / len(cells) ** 2
