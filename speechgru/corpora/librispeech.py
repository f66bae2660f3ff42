"""LibriSpeech: read books, `SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.*` beside
`SPEAKER-CHAPTER.trans.txt`; audio is found by id, whatever its suffix.

Beside a train-… subset, subsets named dev-… and test-… are dev and test. What is missing of the
two is carved from the other speakers, ids in numerical order: the first two women and two men are
test, the next two women and the next man dev. Where SPEAKERS.TXT does not tell the sexes, the
first four are test and the next three dev.
"""

import os
from pathlib import Path

from speechgru.corpora.common import (
    Prepared,
    Recording,
    audio_below,
    files_of,
    need_source,
    not_the_corpus,
    prepared,
    read_lines,
    refuse_holdout,
)
from speechgru.errors import CorpusError

MIN_SPEAKERS = 10  # to carve test and dev from
ORIGIN = "https://www.openslr.org/12 (or /31: train-clean-5, five hours)"


def prepare(source: Path | None, holdout: str | None = None) -> Prepared:
    """Splits of the subsets in a folder, or of a single subset.

    Raises CorpusError: no transcripts, a line of them unreadable, too few speakers.
    """
    refuse_holdout("librispeech", holdout)
    expected = "a subset's folder or the one that holds subsets"
    source = need_source(source, "librispeech", expected, ORIGIN)
    files = audio_below(source)
    subsets: dict[str, list[Recording]] = {}
    transcripts = (p for p in files_of(source) if p.name.endswith(".trans.txt"))
    for transcript in sorted(transcripts):
        subset = transcript.parent.parent.parent.name
        subsets.setdefault(subset, []).extend(_chapter(transcript, files))
    if not subsets:
        not_the_corpus(source, "librispeech", "SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt")
    return prepared(source, _split(source, subsets))


def _chapter(transcript: Path, files: dict[str, list[Path]]) -> list[Recording]:
    recordings = []
    for number, line in enumerate(read_lines(transcript), start=1):
        name, _, text = line.strip().partition(" ")
        speaker, *rest = name.split("-")
        if len(rest) != 2 or not text.strip():
            raise CorpusError(
                f"{transcript}:{number}: expected SPEAKER-CHAPTER-NUMBER WORDS, "
                f"found {line.strip()[:60]!r}"
            )
        candidates = files.get(name, [])
        beside = [path for path in candidates if path.parent == transcript.parent]
        audio = next(iter(beside or candidates), None)
        recordings.append(Recording(name, audio, text.strip(), speaker))
    return recordings


def _split(source: Path, subsets: dict[str, list[Recording]]) -> dict[str, list[Recording]]:
    splits: dict[str, list[Recording]] = {"train": [], "dev": [], "test": []}
    has_train = any(name.startswith("train-") for name in subsets)
    others: list[Recording] = []
    for name, recordings in subsets.items():
        kind = name.partition("-")[0]
        official = has_train and kind in ("dev", "test")
        (splits[kind] if official else others).extend(recordings)
    missing = [kind for kind in ("test", "dev") if not splits[kind]]
    carved = _carve(source, {r.speaker for r in others}) if missing else {}
    for recording in others:
        kind = carved.get(recording.speaker, "train")
        splits[kind if kind in missing else "train"].append(recording)
    return splits


def _carve(source: Path, speakers: set[str]) -> dict[str, str]:
    """Speaker → "test" or "dev", by the rule at the top."""
    if len(speakers) < MIN_SPEAKERS:
        raise CorpusError(
            f"{source}: {len(speakers)} speakers; at least {MIN_SPEAKERS} are needed to "
            "carve test and dev from: give a larger subset, or dev-… and test-… beside it"
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
    """Speaker → "F" or "M", from every SPEAKERS.TXT in the folder, below it or just above it."""
    name = "SPEAKERS.TXT"
    sexes: dict[str, str] = {}
    above = source.parent / name
    for file in [above] * os.path.isfile(above) + sorted(
        p for p in files_of(source) if p.name == name
    ):
        lines = [line for line in read_lines(file) if not line.startswith(";")]
        fields = [[field.strip() for field in line.split("|")] for line in lines]
        sexes |= {field[0]: field[1] for field in fields if len(field) > 2}
    return sexes
