"""LibriSpeech: read books, `SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.*` with the texts in
`SPEAKER-CHAPTER.trans.txt`; audio is found by id, whatever its suffix.

Subsets named dev-… and test-… stay separate sets of the same names, since results on clean and
other are reported separately. All other subsets are training data. If there is training data but no
dev or no test subset, that split is taken from the training speakers, in numerical order of their
ids: the first two women and two men are test, the next two women and the next man dev. If
SPEAKERS.TXT does not list the sexes, the first four speakers are test and the next three dev.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from speechgru.corpora.common import (
    UNSPLIT,
    Prepared,
    Recording,
    audio_below,
    files_of,
    need_source,
    not_the_corpus,
    prepared,
    read_lines,
)
from speechgru.corpora.folder import Folder
from speechgru.errors import CorpusError

ID = re.compile(r"\s*[^-\s]+-[^-\s]+-[^-\s]+\s")  # at the beginning of a text's first line
SAMPLE = 10  # texts that decide
MIN_SPEAKERS = 10  # of training data that dev or test is taken from
ORIGIN = "https://www.openslr.org/12 (or /31: train-clean-5, five hours)"


def find(folder: Folder) -> bool:
    """Whether a text is that of several recordings: 1.trans.txt beside 1.wav is not, nor that of a
    corpus whose ids are of another form."""
    recordings = {path.with_suffix("") for path in folder.audio}
    texts = folder.ending(".trans.txt")
    several = [file for file in texts if file.with_suffix("").with_suffix("") not in recordings]
    return any(map(_has_ids, several[:SAMPLE]))


def _has_ids(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as stream:
            return bool(ID.match(next(filter(str.strip, stream), "")))
    except OSError:
        return False


def read(folder: Folder) -> Prepared:
    """As `prepare`, but with too few training speakers for its rule, nothing is held out."""
    problems: list[str] = []
    source, official, training = _listed(folder.root, problems)
    if 0 < len({r.speaker for r in training}) < MIN_SPEAKERS:
        splits = {"train" if official else UNSPLIT: training, **official}
    else:
        splits = _splits(source, official, training)
    return prepared(source, splits, problems=problems)


def prepare(source: Path | None) -> Prepared:
    """Splits of one subset's folder, or of a folder with several subsets.

    Raises CorpusError: no transcripts, too few speakers to split.
    """
    problems: list[str] = []
    source, official, training = _listed(source, problems)
    return prepared(source, _splits(source, official, training), problems=problems)


def _listed(
    source: Path | None, problems: list[str]
) -> tuple[Path, dict[str, list[Recording]], list[Recording]]:
    """The absolute folder, its subsets dev-… and test-…, and all other recordings. Lines that
    cannot be parsed are added to `problems`."""
    expected = "the folder of a subset, or the one with the subsets in it"
    source = need_source(source, "librispeech", expected, ORIGIN)
    files = audio_below(source)
    subsets: dict[str, list[Recording]] = {}
    for transcript in sorted(p for p in files_of(source) if p.name.endswith(".trans.txt")):
        subset = transcript.parent.parent.parent.name
        subsets.setdefault(subset, []).extend(_chapter(source, transcript, files, problems))
    if not subsets:
        not_the_corpus(source, "librispeech", "SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt")
    official: dict[str, list[Recording]] = {}
    training: list[Recording] = []
    for name, recordings in sorted(subsets.items()):
        if name.startswith(("dev-", "test-")):
            official[name] = recordings
        else:
            training += recordings
    return source, official, training


def _chapter(
    source: Path, transcript: Path, files: dict[str, list[Path]], problems: list[str]
) -> Iterator[Recording]:
    for number, line in read_lines(transcript):
        name, _, text = line.strip().partition(" ")
        speaker, *rest = name.split("-")
        if len(rest) != 2 or not text.strip():
            file = transcript.relative_to(source).as_posix()
            problems.append(
                f"{file}:{number}: expected SPEAKER-CHAPTER-NUMBER WORDS, "
                f"found {line.strip()[:60]!r}"
            )
            continue
        candidates = files.get(name, [])
        beside = [path for path in candidates if path.parent == transcript.parent]
        yield Recording(name, next(iter(beside or candidates), None), text.strip(), speaker)


def _splits(
    source: Path, official: dict[str, list[Recording]], training: list[Recording]
) -> dict[str, list[Recording]]:
    if not training:
        return official
    missing = [
        kind for kind in ("dev", "test") if not any(name.startswith(kind) for name in official)
    ]
    chosen = _held_out_speakers(source, {r.speaker for r in training}) if missing else {}
    taken = {kind: [r for r in training if chosen.get(r.speaker) == kind] for kind in missing}
    train = [r for r in training if chosen.get(r.speaker) not in missing]
    return {"train": train, **dict(sorted((official | taken).items()))}


def _held_out_speakers(source: Path, speakers: set[str]) -> dict[str, str]:
    """Speaker → "test" or "dev", by the rule at the top."""
    if len(speakers) < MIN_SPEAKERS:
        raise CorpusError(
            f"{source}: too few speakers to take dev and test from: found {len(speakers)}, "
            f"expected at least {MIN_SPEAKERS}; or add subsets dev-… and test-… to the folder"
        )
    order = sorted(speakers, key=lambda speaker: (len(speaker), speaker))
    sexes = _sexes(source)
    women = [speaker for speaker in order if sexes.get(speaker) == "F"]
    men = [speaker for speaker in order if sexes.get(speaker) == "M"]
    if len(women) > 4 and len(men) > 3:
        test, dev = women[:2] + men[:2], women[2:4] + men[2:3]
    else:
        test, dev = order[:4], order[4:7]
    return dict.fromkeys(test, "test") | dict.fromkeys(dev, "dev")


def _sexes(source: Path) -> dict[str, str]:
    """Speaker → "F" or "M", from every SPEAKERS.TXT in or below the folder, or just above it."""
    tables = [p for p in files_of(source) if p.name == "SPEAKERS.TXT"]
    if os.path.isfile(above := source.parent / "SPEAKERS.TXT"):
        tables.append(above)
    sexes: dict[str, str] = {}
    for file in sorted(tables):
        lines = [line for _, line in read_lines(file) if not line.startswith(";")]
        fields = [[field.strip() for field in line.split("|")] for line in lines]
        sexes |= {field[0]: field[1] for field in fields if len(field) > 2}
    return sexes
