"""What the readers of corpora share: their result, durations, finding files, and errors."""

import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from msgspec.structs import replace

from speechgru.audio import AUDIO_SUFFIXES, AudioInfo, read_headers, segment_duration
from speechgru.errors import AudioError, CorpusError, printable
from speechgru.files import files_below
from speechgru.manifest import Utterance

LOSSLESS_FIRST = (".flac", ".wav", ".sph")  # the order of preference among files of one name
UNSPLIT = "all"  # the split of a corpus that comes without
SPLIT_NAMES = {
    "train": ("train", "training", "trn", "tr"),
    "dev": ("dev", "devel", "development", "val", "valid", "validation"),
    "test": ("test", "testing", "tst", "tt"),
    "eval": ("eval", "evaluation"),  # dev or test: see `prepared`
}
NO_SPEAKER = {"n/a", "none", "null", "nan", "unknown", "unk", "<unk>", "undefined", "-", "?"}
LISTED = 3  # examples in a note
TOLERANCE = 0.1  # seconds by which stated times may be wrong
FAR = 10  # times the length of a file: so far from its beginning, no part of it begins
APART = re.compile(r"(?<=\w) (?=['’](?:s|t|ll|re|ve|d|m)\b)", re.IGNORECASE)  # it 's, don 't
ENGLISH = re.compile(r"\w( ?)['’](?:ll|re|ve)\b", re.IGNORECASE)  # unlike Dutch in 't, 's avonds


@dataclass(frozen=True, slots=True)
class Prepared:
    """A corpus in splits, some of them perhaps empty, and one line per excluded utterance.

    A corpus without splits has the one called UNSPLIT. `read_from` lists the manifests that the
    corpus was read from, if any; `notes` explain in a line each how the files were understood.
    """

    splits: dict[str, list[Utterance]]
    problems: list[str]
    read_from: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """An utterance as a corpus lists it. `audio` is None if its file was not found, for the reason
    `problem`; without a `duration`, it extends to the end of the file; times in seconds. An unknown
    speaker is "", and so is a `channel` that the corpus does not name."""

    id: str
    audio: Path | None
    text: str
    speaker: str = ""
    lang: str | None = None
    offset: float = 0.0
    duration: float | None = None
    problem: str | None = None
    channel: str = field(default="", compare=False)


def prepared(
    source: Path,
    recordings: dict[str, list[Recording]],
    notes: Iterable[str] = (),
    problems: Sequence[str] = (),
) -> Prepared:
    """Recordings by split → utterances with durations; unusable ones become problems, after those
    that a reader found before.

    A stated duration past the end of its file is replaced by what the file has, with a note; so is
    an id that a split has twice. What a split lists again, as copies of a list do, is used once.
    As channels are mixed, what overlaps with another channel of its file is a problem. Contractions
    in two parts, as in TED-LIUM, are joined. The split "eval" is dev, or test where there is a dev,
    as in AMI.

    Raises CorpusError when no utterance is usable, or times are in another unit than seconds.
    """
    splits: dict[str, list[Utterance]] = {}
    unusable: dict[str, None] = {}  # as an ordered set: a recording may be in several splits
    shortened: dict[str, float] = {}  # id → seconds
    repeated: list[str] = []
    distinct = {
        split: list(dict.fromkeys(listed)) for split, listed in _eval_placed(recordings).items()
    }
    if copies := sum(map(len, recordings.values())) - sum(map(len, distinct.values())):
        notes = [*notes, f"utterances: {copies:,} repeat another one, and are not used"]
    everything = [r for listed in distinct.values() for r in listed]
    files = list(dict.fromkeys(r.audio for r in everything if r.audio is not None))
    infos = dict(zip(files, read_headers(files), strict=True))
    _refuse_other_units(source, everything, infos)
    mixed = _overlapping_channels(everything, infos)
    for split, listed in distinct.items():
        splits[split] = []
        for recording in listed:
            try:
                if recording in mixed:
                    raise AudioError(
                        f"{recording.audio}: another channel has speech at the same time, and "
                        "channels are mixed; write each channel into a file of its own"
                    )
                utterance, excess = _utterance(source, recording, infos)
            except AudioError as error:
                unusable[f"{recording.id}: {error}"] = None
                continue
            if excess:
                shortened[utterance.id] = excess
            splits[split].append(utterance)
        repeated += make_ids_unique(splits[split])
    notes = [*notes, *_corrections(shortened, list(dict.fromkeys(repeated)))]
    notes += _join_contractions(splits)
    result = Prepared(splits, [*problems, *unusable], notes=tuple(notes))
    refuse_empty(source, result)
    return result


def _refuse_other_units(
    source: Path,
    recordings: Iterable[Recording],
    infos: Mapping[Path, AudioInfo | AudioError],
) -> None:
    """Raises CorpusError if most parts begin far after the end of their file. Times in samples or
    milliseconds would otherwise make whole files of the parts that begin at 0."""
    begins: list[tuple[Recording, float]] = []
    for recording in recordings:
        header = None if recording.audio is None else infos[recording.audio]
        if isinstance(header, AudioInfo) and recording.offset:
            begins.append((recording, header.duration))
    far = [(part, seconds) for part, seconds in begins if part.offset > FAR * seconds]
    if len(far) > 1 and 2 * len(far) > len(begins):  # one is a problem of its row
        part, seconds = far[0]
        raise CorpusError(
            f"{source}: times in another unit than seconds: {len(far):,} of {len(begins):,} that "
            f"are not 0 are far after the end of their file, such as {part.offset:.10g} in "
            f"{part.audio}, which has {seconds:.2f} s; divide samples by the sample rate, and "
            "milliseconds by 1000 (in a table, call the columns start_ms, end_ms or duration_ms)"
        )


def _overlapping_channels(
    recordings: Iterable[Recording], infos: Mapping[Path, AudioInfo | AudioError]
) -> set[Recording]:
    """The recordings that overlap in time with those of another channel of their file."""
    by_file: dict[Path, list[Recording]] = defaultdict(list)
    for recording in recordings:
        if recording.audio is not None and recording.channel:
            by_file[recording.audio].append(recording)
    found: set[Recording] = set()
    for audio, parts in by_file.items():
        header = infos[audio]
        if isinstance(header, AudioError) or header.channels == 1:
            continue
        active: list[Recording] = []  # at the beginning of `part`
        for part in sorted(parts, key=lambda r: r.offset):
            active = [r for r in active if _end(r) > part.offset + TOLERANCE]
            others = [r for r in active if r.channel != part.channel]
            found |= {part, *others} if others else set()
            active.append(part)
    return found


def _end(recording: Recording) -> float:
    """In seconds; infinite at the end of the file."""
    return math.inf if recording.duration is None else recording.offset + recording.duration


def _utterance(
    source: Path, recording: Recording, infos: Mapping[Path, AudioInfo | AudioError]
) -> tuple[Utterance, float]:
    """The utterance, and by how many seconds its stated duration was too long. Raises AudioError
    with the reason why it cannot be used."""
    if recording.audio is None:
        raise AudioError(recording.problem or f"no audio of this name in {source}")
    header = infos[recording.audio]
    if isinstance(header, AudioError):
        raise header
    if not recording.text.strip():
        raise AudioError(f"{recording.audio}: no text")
    try:
        recording.text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can escape
        raise AudioError(
            f"{recording.audio}: its text is no valid Unicode: {recording.text!r:.60}"
        ) from None
    speaker = recording.speaker.strip()
    available, excess = header.duration - recording.offset, 0.0
    seconds = available
    if recording.duration is not None:
        excess = max(0.0, recording.duration - available)
        seconds = min(recording.duration, available)
    seconds = segment_duration(recording.audio, header, recording.offset, seconds)
    utterance = Utterance(
        audio=str(recording.audio),
        duration=round(seconds, 6),
        text=recording.text,
        id=printable(recording.id),
        offset=round(recording.offset, 6),
        speaker=None if speaker.casefold() in NO_SPEAKER else printable(speaker) or None,
        lang=printable(recording.lang) if recording.lang else None,
    )
    return utterance, excess if excess > TOLERANCE else 0.0


def unique_ids(ids: Sequence[str]) -> list[str]:
    """The same ids, but "#2", "#3", … after one that has occurred before; never one of the others.

    >>> unique_ids(["a", "a", "a#2"])
    ['a', 'a#3', 'a#2']
    """
    taken, counts = set(ids), Counter[str]()
    names = []
    for id_ in ids:
        counts[id_] += 1
        name = id_
        while counts[id_] > 1 and (name := f"{id_}#{counts[id_]}") in taken:
            counts[id_] += 1
        taken.add(name)
        names.append(name)
    return names


def make_ids_unique(utterances: list[Utterance]) -> list[str]:
    """Rename ids that occurred before, by `unique_ids`, in place; returns these ids."""
    repeated = []
    for index, name in enumerate(unique_ids([utterance.id for utterance in utterances])):
        if name != utterances[index].id:
            repeated.append(utterances[index].id)
            utterances[index] = replace(utterances[index], id=name)
    return repeated


def _corrections(shortened: dict[str, float], repeated: Sequence[str]) -> Iterator[str]:
    if shortened:
        yield (
            f"durations: {len(shortened)} stated durations end after their files (by up to "
            f"{max(shortened.values()):.2f} s) and are replaced by the measured ones: "
            f"{examples(list(shortened))}"
        )
    if repeated:
        yield (
            f"ids: {len(repeated)} ids occur more than once; the second of each is called ID#2: "
            f"{examples(repeated)}"
        )


def _join_contractions(splits: dict[str, list[Utterance]]) -> list[str]:
    """In place, in a corpus that has nearly all of its contractions in two parts; then a note."""
    spaces = Counter(
        space for listed in splits.values() for u in listed for space in ENGLISH.findall(u.text)
    )
    if spaces[" "] <= 20 * spaces[""]:
        return []
    changed = []
    for listed in splits.values():
        for index, utterance in enumerate(listed):
            text = APART.sub("", utterance.text)
            if text != utterance.text:
                listed[index] = replace(utterance, text=text)
                changed.append(utterance.id)
    return [
        f"texts: {len(changed):,} have contractions in two parts, such as it 's, which are "
        f"joined: {examples(changed)}"
    ]


def examples(names: Sequence[object]) -> str:
    """The first few names, and how many there are beyond them."""
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(str(name) for name in names[:LISTED]) + more


def _eval_placed(recordings: dict[str, list[Recording]]) -> dict[str, list[Recording]]:
    place = "test" if recordings.get("dev") else "dev"
    placed: dict[str, list[Recording]] = {}
    for split, listed in recordings.items():
        placed.setdefault(place if split == "eval" else split, []).extend(listed)
    return placed


def split_named(name: str) -> str | None:
    """The split that a file, folder or value names: "train", "dev", "test", or "eval", which
    `prepared` takes for one of these; None: none of them.

    >>> split_named("an4_val"), split_named("Training"), split_named("trains")
    ('dev', 'train', None)
    """
    words = "".join(char if char.isalpha() else " " for char in name.lower()).split()
    named = {split for split, names in SPLIT_NAMES.items() if set(names) & set(words)}
    return named.pop() if len(named) == 1 else None


def split_of(path: str) -> str | None:
    """The split that a relative path names: its last part, without suffix, or else the innermost of
    its folders that names one.

    >>> split_of("dev/clips/a.wav"), split_of("dev/train.csv"), split_of("anna/a.wav")
    ('dev', 'train', None)
    """
    parts = os.path.splitext(path)[0].split("/")
    return next((split for part in reversed(parts) if (split := split_named(part))), None)


def without_whole(
    by_split: dict[str, list[Recording]], notes: list[str]
) -> dict[str, list[Recording]]:
    """Without what lists of everything repeat of the lists of splits. What is in no split is not
    used, unless no list is of the training set."""
    if UNSPLIT not in by_split or len(by_split) == 1:
        return by_split
    splits = {split: listed for split, listed in by_split.items() if split != UNSPLIT}
    known = {(r.audio, r.offset) for listed in splits.values() for r in listed}
    left = [r for r in by_split[UNSPLIT] if (r.audio, r.offset) not in known]
    if left and "train" not in splits:
        return {UNSPLIT: left, **splits}
    if left:
        notes.append(
            f"splits: {len(left):,} rows are in no split, and are not used: "
            f"{examples([r.id for r in left])}"
        )
    return splits


def refuse_empty(source: Path, result: Prepared) -> None:
    """Raises CorpusError when no split has an utterance."""
    if not any(result.splits.values()):
        reason = f"; the first problem: {result.problems[0]}" if result.problems else ""
        raise CorpusError(f"{source}: no usable utterance{reason}")


def audio_below(folder: Path) -> dict[str, list[Path]]:
    """Audio files in a folder and its subfolders, by name without suffix.

    The files of one name are sorted: lossless formats first, then by path.
    """
    found: dict[str, list[Path]] = {}
    for path in files_of(folder):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            found.setdefault(path.stem, []).append(path)
    for paths in found.values():
        paths.sort(key=preference)
    return found


def preference(path: Path) -> tuple[int, str, Path]:
    """Sorts files of one name: lossless formats first."""
    suffix = path.suffix.lower()
    known = suffix in LOSSLESS_FIRST
    return LOSSLESS_FIRST.index(suffix) if known else len(LOSSLESS_FIRST), suffix, path


def files_of(folder: Path) -> Iterator[Path]:
    """Every file below a corpus's folder. Raises CorpusError for a folder that cannot be listed."""

    def refuse(error: OSError) -> NoReturn:
        raise CorpusError(f"{error.filename}: cannot be searched: {error.strerror}") from None

    return files_below(folder, refuse)


def need_source(source: Path | None, name: str, expected: str, origin: str) -> Path:
    """The absolute folder of a corpus. Raises CorpusError when it is not given or not a folder."""
    if source is None:
        raise CorpusError(
            f"{name}: no folder given; set --source to {expected}; the corpus is available from "
            f"{origin}"
        )
    if not os.path.isdir(source):
        found = "a file" if os.path.exists(source) else "no such folder"
        raise CorpusError(f"{source}: {found}; set --source to {expected}")
    return Path(os.path.abspath(source))


def not_the_corpus(source: Path, name: str, looked_for: str) -> NoReturn:
    names = sorted(path.name for path in source.iterdir())
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    raise CorpusError(
        f"{source}: not the {name} corpus: expected {looked_for}, found "
        f"{', '.join(names[:5]) or 'an empty folder'}{more}; check --source"
    )


def read_lines(file: Path) -> list[tuple[int, str]]:
    """The lines of a corpus's text file that are not blank, with their numbers. Raises
    CorpusError."""
    try:
        lines = enumerate(file.read_text(encoding="utf-8-sig").split("\n"), start=1)
        return [(number, line) for number, line in lines if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise CorpusError(f"{file}: cannot be read: {reason}") from None
