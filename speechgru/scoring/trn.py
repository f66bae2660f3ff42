"""Transcript files: NIST `trn` and plain text, in and out.

trn     one utterance per line, its id in parentheses at the end: `she had your suit (cmh_sa01)`
plain   one utterance per line, nothing else; its id is its line number, from 1

Format: NIST SCTK, doc/infmts.htm. Alternatives in braces (`{ um / uh / @ }`) are refused, because
scoring them as words would silently give a wrong figure. A brace that belongs to a text is written
as %7B, which NIST's tools take for part of a word, and read back as a brace.
"""

import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from speechgru.errors import ScoringError
from speechgru.files import atomic_write

log = logging.getLogger(__name__)

TIDIED = "Unicode NFC, white space collapsed; letter case and punctuation count"  # see tidy

_RECORD = re.compile(r"^(?P<text>.*?)\(\s*(?P<id>[^\s()]+)\s*\)\s*$")
_ALTERNATIVES = re.compile(r"\{.*/.*\}")
_UNSAFE = re.compile(r"[\s()%\x00-\x1f\x7f\ud800-\udfff]")
_BRACE = "%7B"
_NAMED = 3  # ids or lines that a message names before it counts the rest


def tidy(text: str) -> str:
    """The two things, and the only two, that scoring does to either side: Unicode NFC, so that é
    is one character however it was typed, and single spaces between words."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def read_transcripts(path: str | Path) -> dict[str, str]:
    """Read a trn or plain text file into `{id: text}`, in the file's order, texts tidied.

    A file is trn when its name ends in `.trn` or when most of its lines end in `(id)`. In trn,
    blank lines are skipped; in plain text a blank line is an utterance without words.

    Raises:
        ScoringError: no such file, not UTF-8, no utterances, a trn line without an id, an id twice,
            alternatives in braces.
    """
    path = Path(path)
    lines = _read_lines(path)
    records = [(n, _RECORD.match(line)) for n, line in enumerate(lines, 1) if line.strip()]
    marked = sum(match is not None for _, match in records)
    plain = path.suffix.lower() != ".trn" and 2 * marked <= len(records)
    if not (lines if plain else records):
        raise ScoringError(f"{path}: no utterances; expected lines of text, or of 'text (id)'")
    if plain:
        return {str(number): tidy(line) for number, line in enumerate(lines, 1)}

    transcripts: dict[str, str] = {}
    for number, match in records:
        if match is None:
            raise ScoringError(
                f"{path}, line {number}: expected 'text (id)' as on the other lines, found "
                f"{_short(lines[number - 1])!r}; add the id, or rename a plain text file to .txt"
            )
        name, text = match["id"], match["text"]
        if name in transcripts:
            raise ScoringError(f"{path}, line {number}: the id {name!r} occurs twice; keep one")
        if _ALTERNATIVES.search(text):
            raise ScoringError(
                f"{path}, line {number}: alternatives in braces are not supported; "
                f"choose one reading: {_short(text)!r}"
            )
        transcripts[name] = tidy(text.replace(_BRACE, "{"))
    return transcripts


def read_matched(
    reference: str | Path, *hypotheses: str | Path
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Read a reference and its hypotheses and match them by id, whatever the order of lines.

    Returns:
        the ids in the reference's order, and the texts: the reference's first, then one tuple per
        hypothesis file.

    Raises:
        ScoringError: as `read_transcripts`; or the files contain different ids. A missing
            hypothesis may be a crash or silence, and only the user knows which, so none is made up:
            an utterance with no output is written as an empty line `(id)`.
    """
    references = read_transcripts(reference)
    ids = tuple(references)
    columns = [tuple(references.values())]
    for path in hypotheses:
        found = read_transcripts(path)
        lost = [name for name in ids if name not in found]
        extra = [name for name in found if name not in references]
        if lost or extra:
            raise ScoringError(_mismatch(Path(reference), Path(path), lost, extra, len(ids)))
        columns.append(tuple(found[name] for name in ids))
        _warn_of_ids(path, columns[0], columns[-1])
    return ids, tuple(columns)


def write_trn(path: str | Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Write (id, text) pairs as trn, atomically.

    White space, parentheses, percent signs and control characters in an id become %XX (UTF-8), as
    in a URL: different ids stay different, and sclite reads the result.

    Raises:
        ScoringError: an id is empty or occurs twice, or the file cannot be written.
    """
    lines: dict[str, str] = {}
    for name, text in pairs:
        safe = safe_id(name)
        if not safe or safe in lines:
            problem = "occurs twice" if safe else "is empty"
            raise ScoringError(f"{path}: the utterance id {name!r} {problem}; ids must be unique")
        lines[safe] = trn_line(name, text)
    data = "".join(f"{line}\n" for line in lines.values()).encode("utf-8", "replace")
    atomic_write(path, data, ScoringError)


def trn_line(name: str, text: str) -> str:
    """A line of a trn file, without the newline."""
    return f"{tidy(text).replace('{', _BRACE)} ({safe_id(name)})".lstrip()


def safe_id(name: str) -> str:
    """An utterance's id without white space, parentheses and control characters."""
    return _UNSAFE.sub(_percent, name)


def _warn_of_ids(path: str | Path, references: Sequence[str], hypotheses: Sequence[str]) -> None:
    """Kaldi's text files begin their lines with ids, which in plain text count as words."""
    firsts, others = ({t.partition(" ")[0] for t in side} for side in (references, hypotheses))
    unique = len(firsts) == len(references) > 1
    if unique and firsts == others and not any(not w or w.isalpha() for w in firsts):
        log.warning(
            "%s: the lines begin with the same words as the reference's, each different (%s, …); "
            "if these are ids, they are counted as words: write 'text (id)' instead",
            path, ", ".join(sorted(firsts)[:2]),
        )  # fmt: skip


def _read_lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ScoringError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScoringError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save it as UTF-8"
        ) from None
    # Only line feeds end a line: str.splitlines would also break at U+2028 and its kind.
    return text.removesuffix("\n").split("\n") if text else []


def _mismatch(
    reference: Path, hypothesis: Path, lost: Sequence[str], extra: Sequence[str], total: int
) -> str:
    found = []
    if lost:
        found.append(f"{len(lost)} of {total} utterances of {reference} missing ({_some(lost)})")
    if extra:
        found.append(f"{len(extra)} that are not in {reference} ({_some(extra)})")
    return (
        f"{hypothesis}: {' and '.join(found)}; both files need the same ids "
        "(write an utterance with no output as an empty line '(id)')"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(_short(name) for name in names[:_NAMED]) + more


def _short(text: str, limit: int = 60) -> str:
    text = text.strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))
