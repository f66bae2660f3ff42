"""Leave-one-speaker-out: manifests in which each speaker in turn is the test set.

All utterances of the recipe's train and dev manifests and of the test manifest are pooled. Dev is
taken from the other speakers: whole speakers where there are at least MANY, else a share
of the utterances, chosen by a hash of their ids so that it is always the same.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from speechgru.compare.spec import file_name
from speechgru.corpora.common import make_ids_unique, unique_ids
from speechgru.corpora.splits import stable_hash
from speechgru.errors import ManifestError
from speechgru.manifest import Utterance
from speechgru.manifest_writer import write_manifest

MANY = 10  # from this many other speakers on, dev consists of whole speakers
SHARE = 10  # dev is 1/SHARE of the other speakers or of their utterances


def write_folds(manifests: Mapping[str, Sequence[Utterance]], folder: Path) -> tuple[str, ...]:
    """Write the manifests of each speaker below the comparison's `folder`; returns the names of the
    folds, in the order of the speakers.

    Raises ManifestError: an utterance without a speaker, or fewer than three speakers.
    """
    utterances = pool(manifests)
    speakers = sorted({utterance.speaker for utterance in utterances if utterance.speaker})
    unknown = sum(not utterance.speaker for utterance in utterances)
    if unknown or len(speakers) < 3:
        raise ManifestError(
            f"{', '.join(manifests)}: found {len(speakers)} speakers and {unknown} utterances "
            "without a speaker; --folds speaker needs at least three speakers, and 'speaker' in "
            "every line"
        )
    names = tuple(unique_ids([file_name(speaker) for speaker in speakers]))
    for speaker, name in zip(speakers, names, strict=True):
        others = [utterance for utterance in utterances if utterance.speaker != speaker]
        dev = _dev_ids(others)
        splits = {
            "train": [u for u in others if u.id not in dev],
            "dev": [u for u in others if u.id in dev],
            "test": [u for u in utterances if u.speaker == speaker],
        }
        for split, chosen in splits.items():
            write_manifest(fold_manifest(folder, name, split), chosen)
    return names


def fold_manifest(folder: Path, fold: str, split: str) -> Path:
    """Where a fold's train, dev or test manifest is in a comparison's folder."""
    return folder / "folds" / fold / f"{split}.jsonl"


def pool(manifests: Mapping[str, Sequence[Utterance]]) -> list[Utterance]:
    """Each utterance once, even if several manifests list it, in their order; where two manifests
    use one id for different audio, the second becomes ID#2. Where the data are changes nothing."""
    found: dict[tuple[str, float], Utterance] = {}
    for utterances in manifests.values():
        for utterance in utterances:
            found.setdefault((utterance.audio, utterance.offset), utterance)
    pooled = list(found.values())
    make_ids_unique(pooled)
    return pooled


def _dev_ids(others: Sequence[Utterance]) -> set[str]:
    speakers = sorted({u.speaker or "" for u in others}, key=stable_hash)
    if len(speakers) >= MANY:
        chosen = set(speakers[: len(speakers) // SHARE])
        return {u.id for u in others if u.speaker in chosen}
    ids = sorted((u.id for u in others), key=stable_hash)
    return set(ids[: max(1, len(ids) // SHARE)])
