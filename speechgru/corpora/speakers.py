"""Speakers by the names of folders, or of the files in folders of words."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from speechgru.corpora.common import Recording, examples, split_named
from speechgru.corpora.folder import Folder

GENERIC = re.compile(  # folders that are named by something else
    r"(wavs?|audio|clips?|recordings?|data|files?|digits?|letters?|numbers?|words?|"
    r"sentences?|phrases?|commands?|prompts?|misc|others?|new|old|raw|clean|noisy|good|bad|"
    r"(part|batch|session|chunk|disc|disk|cd|day|vol|volume|set|chapter|take|round)[-_ ]?\d*|"
    r"(19|20)\d\d[-_]?[01]\d[-_]?[0-3]\d)",
    re.IGNORECASE,
)
BEGINNING = re.compile(r"([^_-]+)[_-].")
# VoxForge's submissions, of which a speaker may have made several: anna-20080504-qgr
SUBMISSION = re.compile(r"(?!anonymous-)(.+)-(?:19|20)\d{6}-[a-z]{3}", re.IGNORECASE)


def with_folder_speakers(
    folder: Folder, by_split: Mapping[str, list[Recording]], notes: list[str]
) -> dict[str, list[Recording]]:
    """The recordings, with their folder as speaker where folders are evidently speakers: at least
    two beside each other, with all audio of that level in them, not one text per folder, and with
    names that are not those of something else. What is assumed is added to `notes`."""
    everything = [r for listed in by_split.values() for r in listed]
    if any(r.speaker for r in everything):
        return dict(by_split)
    texts: dict[Path, list[str]] = defaultdict(list)
    for recording in everything:
        if recording.audio is not None:
            texts[_named_folder(folder, recording.audio)].append(recording.text)
    siblings: dict[Path, list[Path]] = defaultdict(list)
    for leaf in texts:
        siblings[leaf.parent].append(leaf)
    speakers: dict[Path, str] = {}
    for parent, leaves in siblings.items():
        named = [leaf for leaf in leaves if not GENERIC.fullmatch(leaf.name)]
        is_split = any(split_named(leaf.name) for leaf in leaves)
        if len(named) < 2 or len(named) < len(leaves) or parent in texts or is_split:
            continue
        if folder.root not in (parent, *parent.parents):
            continue
        recordings = sum(len(texts[leaf]) for leaf in leaves)
        if recordings > 2 * len(leaves) and all(len(set(texts[leaf])) == 1 for leaf in leaves):
            notes.append(
                f"folders: {len(leaves)} folders have one text each, so they are words, not "
                f"speakers: {examples([leaf.name for leaf in leaves])}"
            )
            continue
        speakers |= {leaf: SUBMISSION.sub(r"\1", leaf.name) for leaf in leaves}
    if not speakers:
        return with_file_speakers(by_split, notes)
    names = sorted(set(speakers.values()))
    notes.append(f"speakers: the names of {len(names)} folders: {examples(names)}")
    return _with_speakers(by_split, lambda audio: speakers.get(_named_folder(folder, audio), ""))


def _named_folder(folder: Folder, audio: Path) -> Path:
    """The folder of a recording, or the next one above that is not called wav, session 2, …."""
    place = audio.parent
    while place != folder.root and GENERIC.fullmatch(place.name):
        place = place.parent
    return place


def with_file_speakers(
    by_split: Mapping[str, list[Recording]], notes: list[str]
) -> dict[str, list[Recording]]:
    """The recordings, with the beginning of the file name, up to the first _ or -, as speaker where
    it evidently is: each folder has one text, and beginnings recur in most folders, several times
    in each. What is assumed is added to `notes`."""
    texts: dict[Path, set[str]] = defaultdict(set)
    folders: dict[str, Counter[Path]] = defaultdict(Counter)
    for recording in (r for listed in by_split.values() for r in listed):
        if recording.audio is None:
            continue
        match = BEGINNING.match(recording.audio.stem)
        if match is None or recording.speaker or GENERIC.fullmatch(match[1]):
            return dict(by_split)
        texts[recording.audio.parent].add(recording.text)
        folders[match[1]][recording.audio.parent] += 1
    words = len(texts) > 1 and all(len(found) == 1 for found in texts.values())
    most = [name for name, found in folders.items() if 2 * len(found) > len(texts)]
    pairs = sum(map(len, folders.values()))
    recordings = sum(found.total() for found in folders.values())
    if not words or len(folders) < 2 or len(most) < 0.9 * len(folders) or recordings < 2 * pairs:
        return dict(by_split)
    notes.append(f"speakers: the beginnings of file names: {examples(sorted(folders))}")
    return _with_speakers(by_split, lambda audio: audio.stem.replace("-", "_").partition("_")[0])


def _with_speakers(
    by_split: Mapping[str, list[Recording]], speaker_of: Callable[[Path], str]
) -> dict[str, list[Recording]]:
    return {
        split: [replace(r, speaker=speaker_of(r.audio)) if r.audio else r for r in listed]
        for split, listed in by_split.items()
    }
