"""Free Spoken Digit Dataset: `recordings/{digit}_{speaker}_{index}.wav`, one digit each, 8 kHz.

Test is the official one, index 0–4 of every digit and speaker, so its speakers are also in
training. Dev is index 5–9, chosen by the same rule as test, so that what is better on dev is
likely to be better on test. With a speaker held out, test is all of that speaker, dev is index 5–9
of the others, and their index 0–4 is added to training.
"""

import os
import re
from pathlib import Path

from speechgru.corpora import sidecar, table
from speechgru.corpora.common import (
    Prepared,
    Recording,
    audio_below,
    examples,
    need_source,
    not_the_corpus,
    prepared,
)
from speechgru.corpora.folder import Folder
from speechgru.errors import CorpusError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NAME = re.compile(r"([0-9])_(.+)_([0-9]{1,6})")
ORIGIN = "https://github.com/Jakobovski/free-spoken-digit-dataset"


def find(folder: Folder) -> bool:
    """Whether most recordings are named so and none has another text: recordings named
    SESSION_SPEAKER_INDEX look the same."""
    named = sum(NAME.fullmatch(path.stem) is not None for path in folder.audio)
    most = named > 0 and 10 * named >= 9 * len(folder.audio)
    return most and not sidecar.find(folder) and not table.find(folder)


def read(folder: Folder) -> Prepared:
    return prepare(folder.root)


def prepare(source: Path | None, holdout: str | None = None) -> Prepared:
    """Splits train, dev and test; `holdout` is the test speaker, None: the official test set.

    Raises CorpusError: no recordings, or no speaker of that name.
    """
    source = need_source(source, "fsdd", "the folder with recordings/ in it", ORIGIN)
    folder = source / "recordings"
    files = audio_below(folder if os.path.isdir(folder) else source)
    matches = [match for name in sorted(files) if (match := NAME.fullmatch(name))]
    if not matches:
        not_the_corpus(source, "fsdd", "recordings/DIGIT_SPEAKER_INDEX.wav")
    speakers = sorted({match[2] for match in matches})
    if holdout is not None and holdout not in speakers:
        raise CorpusError(
            f"--holdout {holdout}: fsdd has no such speaker; expected one of {', '.join(speakers)}"
        )
    splits: dict[str, list[Recording]] = {"train": [], "dev": [], "test": []}
    for match in matches:
        digit, speaker, index = int(match[1]), match[2], int(match[3])
        is_test = index <= 4 if holdout is None else speaker == holdout
        split = "test" if is_test else "dev" if 5 <= index <= 9 else "train"
        by_folder = {file.parent: file for file in reversed(files[match[0]])}  # the best format
        splits[split] += [
            Recording(match[0], file, DIGITS[digit], speaker)
            for _, file in sorted(by_folder.items())
        ]
    notes = []
    if others := [name for name in sorted(files) if not NAME.fullmatch(name)]:
        notes.append(
            f"audio: {len(others):,} files are not named DIGIT_SPEAKER_INDEX, and are not used: "
            f"{examples(others)}"
        )
    return prepared(source, splits, notes)
