"""Transcript files: NIST `trn` and plain text, in and out.

trn     one utterance a line, its id in parentheses at the end: `she had your dark suit (cmh_sa01)`
plain   one utterance a line, nothing else; its id is its line number, from 1

Format: NIST SCTK, doc/infmts.htm. Alternatives in braces (`{ um / uh / @ }`) are refused, because
scoring them as words would give a wrong figure without a word of warning.
"""

import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from speechgru.errors import ScoringError, printable
from speechgru.files import atomic_write

log = logging.getLogger(__name__)

TIDIED = "Unicode NFC, white space collapsed; letter case and punctuation count"  # see tidy
MAX_MIB = 256  # of one file: some 40 million words, far above any test set

_RECORD = re.compile(r"^(?P<text>.*?)\(\s*(?P<id>[^\s()]+)\s*\)\s*$")
_ALTERNATIVES = re.compile(r"\{.*/.*\}")
_UNSAFE = re.compile(r"[\s()%\x00-\x1f\x7f\ud800-\udfff]")
_NAMED = 3  # ids or lines that a message names before it counts the rest


def tidy(text: str) -> str:
    """The two things, and the only two, that scoring does to either side: Unicode NFC, so that é
    is one character however it was typed, and single spaces between words."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def read_transcripts(path: str | Path) -> dict[str, str]:
    """Read a trn or plain text file into `{id: text}`, in the file's order, texts tidied.

    A file is trn when it is called `*.trn` or when most of its lines end in `(id)`. In trn, blank
    lines are skipped; in plain text a blank line is an utterance without words.

    Raises:
        ScoringError: no such file, over `MAX_MIB`, not UTF-8, no utterances, a trn line without
            an id, an id twice, alternatives in braces.
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
                f"{path}, line {number}: expected 'text (id)' as on the other lines, got "
                f"{_short(lines[number - 1])!r}; add the id, or rename a plain text file to .txt"
            )
        name, text = match["id"], tidy(match["text"])
        if name in transcripts:
            raise ScoringError(f"{path}, line {number}: the id {name!r} comes twice; keep one")
        if _ALTERNATIVES.search(text):
            raise ScoringError(
                f"{path}, line {number}: alternatives in braces are not supported; "
                f"choose one reading: {_short(text)!r}"
            )
        transcripts[name] = text
    return transcripts


def read_matched(
    reference: str | Path, *hypotheses: str | Path
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Read a reference and its hypotheses and match them by id, whatever the order of lines.

    Returns:
        the ids in the reference's order, and the texts: the reference's first, then one tuple a
        hypothesis file.

    Raises:
        ScoringError: as `read_transcripts`; or the files hold different ids. A hypothesis that is
            missing may be a crash or a silence, and only the user knows which, so none is made up:
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
        _warn_of_ids(Path(path), columns[0], columns[-1])
    return ids, tuple(columns)


def write_trn(path: str | Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Write (id, text) pairs as trn; the file is whole or not there.

    White space, parentheses, percent signs and control characters in an id become %XX (UTF-8), as
    in a URL: two ids never fall together, and sclite reads the result.

    Raises:
        ScoringError: an id is empty or comes twice, or the file cannot be written.
    """
    path = Path(path)
    lines: dict[str, str] = {}
    for name, text in pairs:
        safe = _UNSAFE.sub(_percent, name)
        if not safe or safe in lines:
            fault = "comes twice" if safe else "is empty"
            raise ScoringError(f"{path}: utterance id {name!r} {fault}; each needs its own")
        lines[safe] = f"{tidy(text)} ({safe})".lstrip()
    data = "".join(f"{line}\n" for line in lines.values()).encode("utf-8", "replace")
    atomic_write(path, data, ScoringError)


def _warn_of_ids(path: Path, references: Sequence[str], hypotheses: Sequence[str]) -> None:
    """Kaldi's text files begin their lines with ids, which plain text would count as words."""
    firsts, others = (
        [text.partition(" ")[0] for text in side] for side in (references, hypotheses)
    )
    unique = len(set(firsts)) == len(firsts) > 1
    if unique and firsts == others and not any(not word or word.isalpha() for word in firsts):
        log.warning(
            "%s: every line begins with a word of its own (%s), the same as in the reference; if "
            "these are ids, they are counted as words: write 'text (id)'",
            printable(path), _some(firsts),
        )  # fmt: skip


def _read_lines(path: Path) -> list[str]:
    try:
        size = path.stat().st_size / 2**20
        if size > MAX_MIB:
            raise ScoringError(
                f"{path}: {size:.0f} MiB, but a transcript file may have {MAX_MIB}; "
                "is this the right file?"
            )
        data = path.read_bytes()
    except OSError as error:
        raise ScoringError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScoringError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save it as UTF-8"
        ) from error
    # Only line feeds end a line: str.splitlines would also break at U+2028 and its kind.
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _mismatch(
    reference: Path, hypothesis: Path, lost: Sequence[str], extra: Sequence[str], total: int
) -> str:
    faults = []
    if lost:
        faults.append(f"{len(lost)} of {total} utterances of {reference} missing ({_some(lost)})")
    if extra:
        faults.append(f"{len(extra)} that {reference} lacks ({_some(extra)})")
    return (
        f"{hypothesis}: {' and '.join(faults)}; both files need the same ids "
        "(an utterance with no output is an empty line '(id)')"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(_short(name) for name in names[:_NAMED]) + more


def _short(text: str, limit: int = 60) -> str:
    text = text.strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))
