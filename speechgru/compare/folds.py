"""One speaker held out at a time: manifests in which the held-out speaker is only ever test.

Everyone in the recipe's train and dev manifests and in the test manifest takes part; each speaker
is the test of one fold. Dev is carved from the others: whole speakers where there are at least
`MANY`, else a tenth of the utterances, drawn by a hash of their names so that it never changes.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speechgru.errors import ManifestError
from speechgru.manifest import Utterance, read_manifest, write_manifest

MANY = 10  # other speakers, from which on dev takes whole speakers
SHARE = 10  # dev is one in so many


@dataclass(frozen=True)
class Fold:
    """Manifests of one held-out speaker."""

    name: str
    speaker: str
    train: Path
    dev: Path
    test: Path


def speaker_folds(manifests: list[str], folder: Path) -> list[Fold]:
    """Write the manifests of every fold under `folder`, in the order of the speakers' names.

    Raises ManifestError: an utterance without speaker, or fewer than three speakers.
    """
    everyone = pool(manifests)
    speakers = sorted({utterance.speaker or "" for utterance in everyone})
    nameless = sum(not utterance.speaker for utterance in everyone)
    if nameless or len(speakers) < 3:
        raise ManifestError(
            f"{', '.join(manifests)}: --folds speaker needs three speakers and a speaker for "
            f"every utterance; found {len(speakers) - bool(nameless)} speakers and {nameless} "
            "utterances without one"
        )
    folds = []
    for speaker, name in zip(speakers, _names(speakers), strict=True):
        rest = [utterance for utterance in everyone if utterance.speaker != speaker]
        chosen = _dev_ids(rest)
        splits = {
            "train": [u for u in rest if u.id not in chosen],
            "dev": [u for u in rest if u.id in chosen],
            "test": [u for u in everyone if u.speaker == speaker],
        }
        files = {split: folder / name / f"{split}.jsonl" for split in splits}
        for split, utterances in splits.items():
            write_manifest(files[split], utterances)
        folds.append(Fold(name, speaker, **files))
    return folds


def pool(manifests: list[str]) -> list[Utterance]:
    """Everyone in the manifests once, whichever manifests list them, ordered by sound."""
    found: dict[tuple[str, float], Utterance] = {}
    for manifest in manifests:
        for utterance in read_manifest(manifest):
            found.setdefault((utterance.audio, utterance.offset), utterance)
    everyone = [found[key] for key in sorted(found)]
    return renamed(everyone, common_folder(everyone))


def common_folder(utterances: Sequence[Utterance]) -> Path:
    """The deepest folder that holds everyone's audio."""
    return Path(os.path.commonpath([os.path.dirname(u.audio) for u in utterances]))


def renamed(utterances: Sequence[Utterance], folder: Path) -> list[Utterance]:
    """Ids as paths below `folder`, so that results name no place on this machine; the suffix
    stays only where two files differ in nothing else."""

    def ids(suffix: bool) -> list[str]:
        names = [os.path.relpath(u.audio if suffix else os.path.splitext(u.audio)[0], folder)
                 for u in utterances]  # fmt: skip
        parts = [f"@{u.offset!r}" if u.offset or "@" in u.id else "" for u in utterances]
        return [name + part for name, part in zip(names, parts, strict=True)]

    short = ids(suffix=False)
    chosen = short if len(set(short)) == len(short) else ids(suffix=True)
    return [replace(u, id=id_) for u, id_ in zip(utterances, chosen, strict=True)]


def _dev_ids(rest: list[Utterance]) -> set[str]:
    speakers = sorted({u.speaker or "" for u in rest}, key=_hash)
    if len(speakers) >= MANY:
        chosen = set(speakers[: len(speakers) // SHARE])
        return {u.id for u in rest if u.speaker in chosen}
    ids = sorted((u.id for u in rest), key=_hash)
    return set(ids[: max(1, len(ids) // SHARE)])


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _names(speakers: list[str]) -> list[str]:
    """Names fit for a folder; numbered where two speakers would share one."""
    safe = [
        re.sub(r"[^A-Za-z0-9._-]+", "_", speaker).strip("_.") or "speaker" for speaker in speakers
    ]
    return [name if safe.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(safe, 1)]
