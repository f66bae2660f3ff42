"""CMU Census (AN4): spelled names, letters, numbers and commands, in CMU Sphinx's layout.

`etc/an4_{train,test}.fileids` list the utterances, `etc/an4_{train,test}.transcription` their
words; audio is found by id, whatever its suffix. Train and test are official and share no speaker.
The corpus has no dev set: ours is 8 of the training speakers, 3 women and 5 men (test has 3 and 7),
evenly spread over the sorted ids of each; the first letter of a speaker id is the sex. The split
"train+dev" is all training utterances, for a final training run with every choice already made.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from speechgru.corpora.common import (
    Prepared,
    Recording,
    audio_below,
    need_source,
    not_the_corpus,
    prepared,
    read_lines,
)
from speechgru.corpora.folder import Folder
from speechgru.errors import CorpusError

DEV_SPEAKERS = {"f": 3, "m": 5}
FILLERS = {"<s>", "</s>", "<sil>"}
ORIGIN = "https://github.com/cmusphinx/an4 or http://www.speech.cs.cmu.edu/databases/an4"


def find(folder: Folder) -> bool:
    return any(file.parent.name == "etc" for file in folder.ending("_train.fileids"))


def read(folder: Folder) -> Prepared:
    """Splits train, dev and test; without dev for another corpus in this layout, in which speakers
    are too few or named in another way."""
    problems: list[str] = []
    source, train, test = _official(folder.root, problems)
    splits = {"train": train}
    with suppress(CorpusError):
        splits = _with_dev(source, train)
    return prepared(source, {**splits, "test": test}, problems=problems)


def prepare(source: Path | None) -> Prepared:
    """Splits train, dev, test and train+dev.

    Raises CorpusError: lists missing, too few speakers for a dev set.
    """
    problems: list[str] = []
    source, train, test = _official(source, problems)
    splits = {**_with_dev(source, train), "test": test, "train+dev": train}
    return prepared(source, splits, problems=problems)


def _official(
    source: Path | None, problems: list[str]
) -> tuple[Path, list[Recording], list[Recording]]:
    """The corpus's folder, and its training and test utterances as listed. Lines that cannot be
    parsed are added to `problems`."""
    source = need_source(source, "an4", "the folder with etc/ and wav/ in it", ORIGIN)
    if not os.path.isdir(source / "etc") and os.path.isdir(source / "an4" / "etc"):
        source = source / "an4"
    files = audio_below(source)
    train, test = (_listed(source, part, files, problems) for part in ("train", "test"))
    return source, train, test


def _listed(
    source: Path, part: str, files: dict[str, list[Path]], problems: list[str]
) -> list[Recording]:
    """The utterances of a .fileids file, in its order."""
    lists = sorted((source / "etc").glob(f"*_{part}.fileids"))
    if not lists:
        not_the_corpus(source, "an4", f"etc/an4_{part}.fileids")
    texts = _transcripts(lists[0].with_suffix(".transcription"), problems)
    recordings = []
    for number, line in read_lines(lists[0]):
        path = PurePosixPath(line.strip())
        if path.name not in texts:
            problems.append(f"etc/{lists[0].name}:{number}: {path.name} has no transcription")
            continue
        candidates = files.get(path.name, [])
        exact = [p for p in candidates if p.with_suffix("").as_posix().endswith(f"/{path}")]
        audio = next(iter(exact or candidates), None)
        recordings.append(Recording(path.name, audio, texts[path.name], path.parent.name))
    return recordings


def _transcripts(file: Path, problems: list[str]) -> dict[str, str]:
    """Words by id, from lines such as "<s> YES </s> (an251-fash-b)"."""
    texts = {}
    for number, line in read_lines(file):
        match = re.fullmatch(r"(.*)\(([^()\s]+)\)", line.strip())
        if not match:
            problems.append(
                f"etc/{file.name}:{number}: expected WORDS (ID), found {line.strip()[:60]!r}"
            )
            continue
        words = [word for word in match[1].split() if word not in FILLERS]
        texts[PurePosixPath(match[2]).name] = " ".join(words)
    return texts


def _with_dev(source: Path, train: list[Recording]) -> dict[str, list[Recording]]:
    """The training utterances as train and dev, by the rule at the top. Raises CorpusError."""
    chosen: set[str] = set()
    for sex, count in DEV_SPEAKERS.items():
        speakers = sorted({r.speaker for r in train if r.speaker.startswith(sex)})
        if len(speakers) <= count:
            raise CorpusError(
                f"{source}: found {len(speakers)} training speakers whose id begins with {sex!r}; "
                f"expected more than {count}, the number in dev: is the corpus complete?"
            )
        chosen.update(spaced(speakers, count))
    return {
        "train": [r for r in train if r.speaker not in chosen],
        "dev": [r for r in train if r.speaker in chosen],
    }


def spaced(items: Sequence[str], count: int) -> list[str]:
    """`count` items, evenly spread over the sequence."""
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]
