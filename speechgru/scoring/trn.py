"""Transcript files with one utterance per line: NIST's trn, Kaldi's text and plain text.

trn     the id in parentheses at the end: `she had your suit (cmh-sa01)`
kaldi   the id first: `cmh-sa01 she had your suit`
plain   nothing but the text; its id is its line number, from 1

trn has SCTK's alternatives and optional words (`graph`), and comments: lines that begin with `;;`.
Its ids begin with the speaker: (speaker-utterance), or (speaker_utterance). Format: NIST SCTK,
doc/infmts.htm; sclite -i spu_id.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from speechgru.errors import ScoringError
from speechgru.files import atomic_write
from speechgru.scoring.graph import WordGraph, as_percent, escape_word, parse_graph, plain_graph
from speechgru.scoring.lines import short, some, tidy

UNKNOWN = "unknown"  # speaker in the ids of utterances whose speaker is not known

RECORD = re.compile(r"^(?P<text>.*?)\(\s*(?P<id>[^\s()]+)\s*\)\s*$")
_COMMENT = re.compile(r"^(;;|\*\*)")
_UNSAFE = re.compile(r"^[;\ufeff]|[\s()%\x00-\x1f\x7f\ud800-\udfff]")


def read_trn(path: Path, lines: Sequence[str]) -> dict[str, WordGraph]:
    """The utterances of a trn file by id, in the file's order. Raises ScoringError."""
    found: list[tuple[int, str, WordGraph]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or _COMMENT.match(line):
            continue
        match = RECORD.match(line)
        if match is None:
            raise ScoringError(
                f"{path}, line {number}: expected 'text (id)' as on the other lines, found "
                f"{short(line)!r}; add the id, or give --format plain or kaldi"
            )
        try:
            graph = parse_graph(tidy(match["text"]))
        except ScoringError as error:
            raise ScoringError(f"{path}, line {number}: {error}") from None
        found.append((number, match["id"], graph))
    return _by_id(path, found)


def read_kaldi(path: Path, lines: Sequence[str]) -> dict[str, WordGraph]:
    """The utterances of a Kaldi text file by id, in the file's order. Raises ScoringError."""
    records = [(n, *line.strip().partition(" ")) for n, line in enumerate(map(tidy, lines), 1)]
    return _by_id(path, [(n, id_, plain_graph(text.split())) for n, id_, _, text in records if id_])


def read_plain(lines: Sequence[str]) -> dict[str, WordGraph]:
    """The utterances of a plain text file by line number."""
    return {str(n): plain_graph(tidy(line).split()) for n, line in enumerate(lines, 1)}


def speaker_of(id_: str) -> str | None:
    """The speaker that an id begins with: what is before its first hyphen or, if it has none, its
    first underscore, as in SCTK (src/sclite/align.c, extract_speaker). None if there is none, or
    if it is `UNKNOWN`; a speaker of this name is written as %75nknown.

    >>> speaker_of("cmh-sa_01"), speaker_of("cmh_sa01"), speaker_of("sa01")
    ('cmh', 'cmh', None)
    """
    speaker = id_.partition("-" if "-" in id_ else "_")[0]
    return None if speaker in (id_, UNKNOWN, "") else unquote(speaker)


def write_trn(
    path: str | Path,
    utterances: Iterable[tuple[str, str]],
    speakers: Iterable[str | None] | None = None,
) -> None:
    """Write (id, text) pairs as trn, atomically, so that NIST's tools and `read_trn` read the same.

    White space, parentheses, percent signs and control characters in an id become %XX (UTF-8), as
    in a URL; so do characters of a text that SCTK would not take for a part of a word. With
    `speakers`, an id becomes speaker-id, unless all ids already begin with their speaker.

    Raises:
        ScoringError: an id is empty or occurs twice, or the file cannot be written.
    """
    utterances = list(utterances)
    ids = [safe_id(name) for name, _ in utterances]
    if speakers is not None:
        known = list(speakers)
        if not all(
            speaker and speaker_of(i) == speaker for i, speaker in zip(ids, known, strict=True)
        ):
            ids = [f"{_speaker(speaker)}-{i}" for i, speaker in zip(ids, known, strict=True)]
    lines: dict[str, str] = {}
    for id_, (name, text) in zip(ids, utterances, strict=True):
        if not name or id_ in lines:
            problem = f"the id {name!r} occurs twice" if name else "an utterance id is empty"
            raise ScoringError(f"{path}: {problem}; expected an id of its own for each utterance")
        lines[id_] = trn_line(id_, text)
    data = "".join(f"{line}\n" for line in lines.values()).encode("utf-8", "replace")
    atomic_write(path, data, ScoringError)


def trn_line(id_: str, text: str) -> str:
    """A line of a trn file, without the newline; the id is a `safe_id`."""
    return " ".join([*map(escape_word, tidy(text).split()), f"({id_})"])


def safe_id(name: str) -> str:
    """An utterance's id without white space, parentheses, percent signs and control characters,
    and without a semicolon (a comment) or U+FEFF (a byte order mark) at its beginning."""
    return _UNSAFE.sub(as_percent, name)


def _speaker(speaker: str | None) -> str:
    if speaker == UNKNOWN:
        return "%75nknown"  # a name, which `speaker_of` unquotes
    return safe_id(speaker or UNKNOWN).replace("-", "%2D")


def _by_id(path: Path, found: Sequence[tuple[int, str, WordGraph]]) -> dict[str, WordGraph]:
    texts: dict[str, WordGraph] = {}
    twice: dict[str, int] = {}
    for number, id_, graph in found:
        if id_ in texts:
            twice.setdefault(id_, number)
        texts[id_] = graph
    if twice:
        first, number = next(iter(twice.items()))
        raise ScoringError(
            f"{path}, line {number}: the id {first!r} occurs twice; {len(twice)} of {len(texts)} "
            f"ids do ({some(list(twice))}): keep one line each"
        )
    return texts
