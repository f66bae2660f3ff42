"""Reading a reference and hypotheses, whatever their format, matched utterance by utterance.

A file's format is taken from its suffix (.trn, .stm, .ctm) or recognised from its lines. Kaldi's
text and plain text look alike; the ids of Kaldi's are recognised by comparing both files. Where two
formats remain possible, or the content is of a kind that is not read here, nothing is guessed:
`--format` decides.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from speechgru.errors import ScoringError
from speechgru.scoring.chunks import cut_at_common_pauses, cut_at_pauses
from speechgru.scoring.graph import WordGraph
from speechgru.scoring.lines import TIDIED, read_lines, short, some, tidy
from speechgru.scoring.timed import (
    CTM,
    STM,
    TimedWord,
    check_channels,
    graph_of,
    read_ctm,
    read_stm,
    segments_as_references,
    words_of_segments,
)
from speechgru.scoring.trn import RECORD, read_kaldi, read_plain, read_trn, speaker_of

Format = Literal["trn", "kaldi", "plain", "stm", "ctm"]
FORMATS = {
    "trn": "trn", "kaldi": "Kaldi text", "plain": "plain text", "stm": "stm", "ctm": "ctm"
}  # fmt: skip
TIMED = {"stm", "ctm"}
TEXT = "text"  # plain or Kaldi's; both files decide
FEWEST = 2  # lines from which their kind is concluded without a second file
AMBIGUOUS = 5  # lines: so many different first words, all right and in order, may well be ids

_ID = re.compile(r"^(?=.*\d)(?=.*[^\W\d]|.*[-_/.]).*$|^.*[_/].*$")  # rather an id than a word
_SURE_ID = re.compile(r"(?=.*\d)(?:.*\w[-_/]\w.*|[!-~]{9,})$", re.ASCII)  # no postcode, say
_ODD_RECORD = re.compile(r"^.*\((?:[^()]|\([^()]*\))+\)$")  # trn, but for what is in the id
_FOREIGN = (
    (re.compile(r'^\s*(\{\s*"|\[\s*[{"]|\[$)'), "JSON (a manifest?)"),
    (re.compile(r"^WEBVTT|^\S+ --> \S+"), "subtitles"),
    (re.compile(r"^\s*<(\?xml|!DOCTYPE|html|SYSTEM)\b"), "XML or SGML"),
    (re.compile(r"^#!MLF!#"), "an HTK label file"),
    (re.compile(r"^(SPEAKER|LEXEME|SPKR-INFO) \S+ \S+ ([\d.]+|<NA>) "), "rttm"),
    (re.compile(r'^File type = "ooTextFile"'), "a Praat TextGrid"),
    (
        re.compile(
            r'^"?((audio|wav)(_?file)?(_?(path|name))?|file(_?name)?|path|'
            r'((utt(erance)?|client)_?)?id)"?[,;|\t]"?\w'
            # rows such as a.wav;yes, whatever language the header is in, and a-1|yes of LJSpeech
            r'|^"?[^,;|\t"]+\.(wav|mp3|flac|ogg|opus|m4a|aac|mp4|webm)"?[,;|\t]"?[^\s"]'
            r"|^[\w./-]*\d[\w./-]*\|\S"
        ),
        "a table",
    ),
)


@dataclass(frozen=True, slots=True)
class MatchedTexts:
    """Utterances of a reference and of hypotheses, in the reference's order."""

    ids: tuple[str, ...]
    speakers: tuple[str | None, ...]
    references: tuple[WordGraph, ...]
    hypotheses: tuple[tuple[WordGraph, ...], ...]  # per file
    read_as: str  # format and normalisation, in words


def read_matched(
    reference: str | Path,
    *hypotheses: str | Path,
    format: Format | None = None,
    ignore_case: bool = False,
) -> MatchedTexts:
    """Read a reference and its hypotheses and match them: by id whatever the order of lines, by
    line in plain text, by time in stm and ctm.

    Args:
        format: of all files; "stm" is an stm reference and ctm hypotheses. Recognised if None.
        ignore_case: of texts and ids.

    Raises:
        ScoringError: a file cannot be read, its format is not clear, or the files contain different
            ids. A missing hypothesis may be a crash or silence, and only the user knows which, so
            none is made up: an utterance with no output is written as an empty line `(id)`.
    """
    paths = [Path(path) for path in (reference, *hypotheses)]
    lines = [read_lines(path) for path in paths]
    if format is None:
        for each in zip(paths, lines, strict=True):
            _refuse_foreign(*each)  # before the case is lost: SPEAKER begins rttm, speaker a text
    if ignore_case:
        lines = [[line.lower() for line in each] for each in lines]
    formats: list[str] = _formats(paths, lines) if format is None else [format] * len(paths)
    formats[1:] = ["ctm" if format == "stm" else name for name in formats[1:]]
    if formats[0] in ("stm", "ctm"):
        texts, found = _by_time(paths, lines, formats[0])
    else:
        texts, found = _by_id(paths, lines, formats)
    sides = [tuple(text for _, text in texts.values()), *map(tuple, found)]
    names = " and ".join(dict.fromkeys(FORMATS[each] for each in formats))
    tidied = TIDIED.replace("letter case and punctuation count", "punctuation counts")
    return MatchedTexts(
        tuple(texts), tuple(speaker for speaker, _ in texts.values()), sides[0], tuple(sides[1:]),
        f"{tidied if ignore_case else TIDIED}; read as {names}",
    )  # fmt: skip


def _by_id(
    paths: Sequence[Path], lines: Sequence[list[str]], formats: Sequence[str]
) -> tuple[dict[str, tuple[str | None, WordGraph]], list[list[WordGraph]]]:
    """(speaker, text) of each reference by id, and each hypothesis file's texts in that order."""
    if "plain" in formats:  # blank lines at the end of one file are not utterances
        least = min(map(len, lines))
        lines = [each if any(map(str.strip, each[least:])) else each[:least] for each in lines]
    files = [_read(*each) for each in zip(paths, lines, formats, strict=True)]
    texts = files[0]
    named = formats[0] != "plain"
    references = {id_: (speaker_of(id_) if named else None, text) for id_, text in texts.items()}
    found = []
    for path, each, format in zip(paths[1:], files[1:], formats[1:], strict=True):
        if "plain" in {formats[0], format} and format != formats[0]:
            raise ScoringError(
                f"{path}: {FORMATS[format]}, but {paths[0]} is {FORMATS[formats[0]]}; expected ids "
                "in both files or in none"
            )
        lost = [name for name in texts if name not in each]
        extra = [name for name in each if name not in texts]
        if lost or extra:
            raise ScoringError(_mismatch(paths[0], path, lost, extra, len(texts), named))
        found.append([each[name] for name in texts])
    return references, found


def _read(path: Path, lines: list[str], format: str) -> dict[str, WordGraph]:
    if format == "plain":
        texts = read_plain(lines)
    else:
        texts = read_kaldi(path, lines) if format == "kaldi" else read_trn(path, lines)
    if not texts:
        raise ScoringError(f"{path}: no utterances; expected lines of text, or of 'text (id)'")
    return texts


def _by_time(
    paths: Sequence[Path], lines: Sequence[list[str]], format: str
) -> tuple[dict[str, tuple[str | None, WordGraph]], list[list[WordGraph]]]:
    """As `_by_id`, for a reference in stm or ctm and hypotheses in ctm."""
    words = [read_ctm(*each) for each in zip(paths[1:], lines[1:], strict=True)]
    references: dict[str, tuple[str | None, WordGraph]] = {}
    if format == "stm":
        segments = read_stm(paths[0], lines[0])
        channels = list(segments)
        references |= segments_as_references(segments)
        found = [list(words_of_segments(segments, each).values()) for each in words]
    else:
        expected = read_ctm(paths[0], lines[0])
        channels = list(expected)
        found = [[] for _ in words]
        for channel, listed in expected.items():
            name = "-".join(channel)
            hypotheses = [each.get(channel, []) for each in words]
            chunks: Iterable[tuple[Sequence[TimedWord], ...]] = (
                cut_at_pauses(listed, hypotheses[0])
                if len(words) == 1
                else cut_at_common_pauses(listed, *hypotheses)
            )
            for number, (reference, *others) in enumerate(chunks):
                references[f"{name}-{number:04}"] = (name, graph_of(reference))
                for texts, chunk in zip(found, others, strict=True):
                    texts.append(graph_of(chunk))
    if not references:
        raise ScoringError(f"{paths[0]}: no {format} lines to score; expected at least one")
    for path, each in zip(paths[1:], words, strict=True):
        check_channels(paths[0], channels, path, list(each))
    return references, found


def _formats(paths: Sequence[Path], lines: Sequence[list[str]]) -> list[str]:
    """The format of each file."""
    found = [_recognised(*each) for each in zip(paths, lines, strict=True)]
    for number, name in enumerate(found[1:], 1):
        if found[0] in TIMED and not any(lines[number]):
            found[number] = "ctm"
        elif {found[0], name} & TIMED and not (found[0] in TIMED and name == "ctm"):
            raise ScoringError(
                f"{paths[number]}: {FORMATS.get(name, 'text')}, but {paths[0]} is "
                f"{FORMATS.get(found[0], 'text')}; a reference in stm or ctm needs hypotheses "
                "in ctm, and any other reference needs another format"
            )
    pairs = [number for number in range(1, len(paths)) if TEXT in (found[0], found[number])]
    kaldi = any(_begin_with_ids(paths, lines, found, number) for number in pairs)
    return [("kaldi" if kaldi else "plain") if name == TEXT else name for name in found]


def _refuse_foreign(path: Path, lines: Sequence[str]) -> None:
    """Raise ScoringError for content of a kind that is not read here, unless its suffix decides."""
    if _suffix(path) is None and (name := _foreign_kind(lines)):
        raise ScoringError(
            f"{path}: looks like {name}; expected trn, stm, ctm, Kaldi text or plain text "
            "(if it is one of these, name it with --format)"
        )


def _foreign_kind(lines: Sequence[str]) -> str | None:
    """The kind of file that is not read here and has these lines, if there is one."""
    first = [*_content(lines)[:3], *lines[:1]]
    kinds = (name for pattern, name in _FOREIGN if any(pattern.match(s.strip()) for s in first))
    return next(kinds, None)


def kind_with_marks(lines: Sequence[str]) -> str | None:
    """What lines are if they have ids or times, or another syntax, besides their texts; None if
    they may be texts alone.

    >>> kind_with_marks(["anna-1 yes", "anna-2 no", "bert-1 yes"]), kind_with_marks(["yes", "no"])
    ('Kaldi text', None)
    """
    if kind := _foreign_kind(lines):
        return kind
    content = _content(lines)
    if len(content) < FEWEST:
        return None
    if all(map(STM.match, content)):
        return FORMATS["stm"]
    if all("." in line and CTM.match(line) for line in content):
        return FORMATS["ctm"]
    ids = {
        "trn": {match["id"] for line in content if (match := RECORD.match(line))},
        "kaldi": {id_ for id_, _, text in (line.partition(" ") for line in content) if text},
    }
    for name, found in ids.items():
        if len(found) == len(content) and all(map(_SURE_ID.match, found)):
            return FORMATS[name]
    return None


def _suffix(path: Path) -> str | None:
    """The format that a file's name states."""
    suffix = path.suffix.lower().removeprefix(".")
    return suffix if suffix in ("trn", "stm", "ctm") else None


def _content(lines: Sequence[str]) -> list[str]:
    return [tidy(line) for line in lines if line.strip() and not line.startswith(";;")]


def _recognised(path: Path, lines: Sequence[str]) -> str:
    """One of `Format`, or TEXT."""
    if (suffix := _suffix(path)) is not None:
        return suffix
    content = _content(lines)

    def matching(pattern: re.Pattern[str]) -> int:
        return sum(pattern.match(line) is not None for line in content)

    stm, ctm = matching(STM), sum("." in line and bool(CTM.match(line)) for line in content)
    if 2 * max(stm, ctm) > len(content):
        if stm == ctm:
            raise ScoringError(
                f"{path}: could be stm or ctm ({short(content[0])!r}); name it with --format"
            )
        return "stm" if stm > ctm else "ctm"
    if 2 * matching(RECORD) > len(content):
        return "trn"
    if 2 * matching(_ODD_RECORD) > len(content):
        raise ScoringError(
            f"{path}: lines end in parentheses as in trn, with spaces or parentheses in the ids "
            f"({short(content[0])!r}); remove them, or give --format plain if these are no ids"
        )
    return TEXT


def _begin_with_ids(
    paths: Sequence[Path], lines: Sequence[list[str]], found: Sequence[str], number: int
) -> bool:
    """Whether lines begin with ids (Kaldi's format) rather than with words of a text, in the
    reference (number 0) and a hypothesis, at least one of which is TEXT.

    Raises ScoringError where both are likely.
    """
    reference, hypothesis = (_first_words(lines[file], found[file]) for file in (0, number))
    common = set(reference) & set(hypothesis)
    if not common and reference and set(map(_stem, reference)) == set(map(_stem, hypothesis)):
        raise ScoringError(
            f"{paths[number]}: the lines begin with ids that differ from those of {paths[0]} in "
            f"path, suffix or letter case only ({hypothesis[0]!r}; there: {reference[0]!r}); make "
            "them equal, or give --format plain if they are words"
        )
    if not common or 2 * len(common) < min(len(reference), len(hypothesis)):
        return False
    if found[0] != found[number] or (len(common) > 1 and all(map(_ID.match, common))):
        return True
    if common != set(reference) or common != set(hypothesis):
        return False
    if all(len(line.split()) < 2 for line in (*lines[0], *lines[number])):
        return False
    if reference != hypothesis and len(common) > 2:
        return True
    if len(common) >= AMBIGUOUS or all(map(_ID.match, common)):
        raise ScoringError(
            f"{paths[number]}: the lines begin with the same words as those of {paths[0]}, each "
            f"different ({some(hypothesis)}); name the format: --format kaldi if these are ids, "
            "--format plain if they are words"
        )
    return False


def _stem(id_: str) -> str:
    """An id without folders, suffix and letter case, if it is rather an id than a word."""
    stem = re.sub(r"\.\w{1,5}$", "", re.split(r"[/\\]", id_)[-1]).lower()
    return stem if _ID.match(stem) else id_


def _first_words(lines: Sequence[str], format: str) -> list[str]:
    """What may be ids: the first word of each line, or the ids of a trn file; none if they cannot
    be ids: blank lines between others, or the same word twice, unless most differ and all look like
    ids."""
    if format == "trn":
        return [match["id"] for line in lines if (match := RECORD.match(line))]
    firsts = "\n".join(tidy(line).partition(" ")[0] for line in lines).rstrip().split("\n")
    words = list(filter(None, firsts))
    if len(set(words)) > len(words) // 2 and all(map(_ID.match, words)):
        return words
    return words if len(set(words)) == len(firsts) else []


def _mismatch(
    reference: Path,
    hypothesis: Path,
    lost: Sequence[str],
    extra: Sequence[str],
    total: int,
    named: bool,
) -> str:
    found = []
    if lost:
        found.append(f"{len(lost)} of {total} utterances of {reference} missing ({some(lost)})")
    if extra:
        found.append(f"{len(extra)} that are not in {reference} ({some(extra)})")
    if {name.lower() for name in lost} == {name.lower() for name in extra}:
        found.append("that differ in letter case only (--ignore-case)")
    fix = (
        "both files need the same ids (write an utterance with no output as an empty line '(id)')"
        if named
        else "both files need the same number of lines"
    )
    return f"{hypothesis}: {' and '.join(found)}; {fix}"
