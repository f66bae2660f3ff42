"""A folder per word, as in Speech Commands: `WORD/HASH_nohash_N.wav`. The folder's name is the
text, and HASH the speaker.

Splits: validation_list.txt and testing_list.txt if they are there; else the rule of Speech
Commands, by a hash of the speaker (Warden 2018, arXiv 1804.03209, §7), unless it leaves too little
for training, as in a part of the corpus.
"""

import hashlib
import re
import statistics
from collections.abc import Callable
from pathlib import Path

from speechgru.audio import AudioInfo, read_headers
from speechgru.corpora.common import (
    UNSPLIT,
    Prepared,
    Recording,
    examples,
    prepared,
    read_lines,
    split_named,
)
from speechgru.corpora.folder import Folder
from speechgru.corpora.speakers import with_file_speakers
from speechgru.corpora.unread import unread_texts
from speechgru.errors import CorpusError

NAME = re.compile(r"(.+)_nohash_\d+")
NOISE = "_background_noise_"
LISTS = {"dev": "validation_list.txt", "test": "testing_list.txt"}
BUCKETS = 2**27 - 1  # of the hash rule: speakers per word, at most
DEV_PERCENT = TEST_PERCENT = 10.0
MAX_SECONDS = 5.0  # median length of a recording that may be one word
MIN_TRAIN = 0.5  # share of the recordings that training needs


def find(folder: Folder) -> bool:
    """Folders of several names with several recordings each, and hardly a text of one."""
    leaves = {audio.parent for audio in _spoken(folder)}
    stems = {audio.stem for audio in folder.audio}
    stems |= {stem.rpartition("_")[0] for stem in stems}  # ID_mic1.wav and ID.txt
    files = folder.ending(".txt", ".lab", ".textgrid", ".srt", ".vtt")
    texts = [file for file in files if file.stem in stems]
    return (
        folder.root not in leaves
        and len(leaves) <= len(folder.audio) / 2
        and len({leaf.name for leaf in leaves}) > 1
        and len(texts) <= max(5, len(folder.audio) / 10)
        and not unread_texts(folder)
    )


def read(folder: Folder) -> Prepared:
    """Raises CorpusError when the recordings are too long to be single words."""
    recordings = _spoken(folder)
    if not recordings or any(audio.parent == folder.root for audio in recordings):
        raise CorpusError(f"{folder.root}: expected all recordings in folders named by word")
    sample = read_headers(recordings[:: max(1, len(recordings) // 200)])
    lengths = [info.duration for info in sample if isinstance(info, AudioInfo)]
    if lengths and (median := statistics.median(lengths)) > MAX_SECONDS:
        raise CorpusError(
            f"{folder.root}: recordings of {median:.1f} s without any text; expected a text file "
            "beside each, or a list of files and texts (CSV)"
        )
    words = sorted({audio.parent.name for audio in recordings})
    notes = [
        f"texts: no list and no text files, so the names of the {len(words)} folders are taken "
        f"as the words spoken: {examples(words)}"
    ]
    listed = [_recording(folder, audio) for audio in recordings]
    by_split = with_file_speakers(_official(folder, listed, notes), notes)
    return prepared(folder.root, by_split, notes)


def _spoken(folder: Folder) -> list[Path]:
    return [audio for audio in folder.audio if audio.parent.name != NOISE]


def _recording(folder: Folder, audio: Path) -> Recording:
    match = NAME.fullmatch(audio.stem)
    return Recording(
        id=folder.id_of(audio),
        audio=audio,
        text=audio.parent.name.replace("_", " ").strip(),
        speaker=match[1] if match else "",
    )


def _official(
    folder: Folder, recordings: list[Recording], notes: list[str]
) -> dict[str, list[Recording]]:
    listed = {
        line.strip().rpartition(".")[0]: split
        for split, name in LISTS.items()
        if (folder.root / name) in folder.files
        for _, line in read_lines(folder.root / name)
    }
    if listed:
        notes.append(f"splits: {' and '.join(LISTS.values())}")
        return _grouped(recordings, lambda recording: listed.get(recording.id, "train"))
    if recordings and _folder_split(recordings[0]):
        notes.append("splits: the folders above the words")
        return _grouped(recordings, lambda recording: _folder_split(recording) or "train")
    if any(not recording.speaker for recording in recordings):
        return {UNSPLIT: recordings}
    by_split = _grouped(recordings, lambda recording: hash_split(recording.speaker))
    if len(by_split["train"]) < MIN_TRAIN * len(recordings):
        notes.append(
            f"splits: the hash rule of Speech Commands leaves {len(by_split['train'])} of "
            f"{len(recordings)} recordings for training (a part of the corpus?), so it is not used"
        )
        return {UNSPLIT: recordings}
    notes.append("splits: the hash rule of Speech Commands, by speaker")
    return by_split


def _folder_split(recording: Recording) -> str | None:
    """The split that a folder above that of the word names."""
    return next(filter(None, map(split_named, Path(recording.id).parts[:-2])), None)


def _grouped(
    recordings: list[Recording], split_of: Callable[[Recording], str]
) -> dict[str, list[Recording]]:
    by_split: dict[str, list[Recording]] = {"train": [], "dev": [], "test": []}
    for recording in recordings:
        by_split.setdefault(split_of(recording), []).append(recording)
    return by_split


def hash_split(speaker: str) -> str:
    """The split of a speaker by the rule of Speech Commands.

    >>> hash_split("022cd682")
    'test'
    """
    number = int(hashlib.sha1(speaker.encode()).hexdigest(), 16)
    percent = (number % (BUCKETS + 1)) * (100.0 / BUCKETS)
    if percent < DEV_PERCENT:
        return "dev"
    return "test" if percent < DEV_PERCENT + TEST_PERCENT else "train"
