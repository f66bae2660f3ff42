"""Connected digits of synthetic voices, part of the repository: manifests that stand ready."""

import os
from pathlib import Path

from speechgru.audio import AudioInfo, read_headers, segment_duration
from speechgru.corpora.common import Prepared, not_the_corpus, refuse_holdout
from speechgru.errors import AudioError, CorpusError, printable
from speechgru.manifest import Utterance, read_manifest

SPLITS = ("train", "dev", "test")


def prepare(source: Path | None, holdout: str | None = None) -> Prepared:
    """The three manifests in `source` (None: the repository's data/digits), audio checked.

    Raises CorpusError: manifests missing, a split without audio; ManifestError: a damaged one.
    """
    refuse_holdout("digits", holdout)
    source = _find(source)
    splits: dict[str, list[Utterance]] = {}
    problems: list[str] = []
    for split in SPLITS:
        listed = read_manifest(source / f"{split}.jsonl")
        infos = read_headers(utterance.audio for utterance in listed)
        faults = [_fault(utterance, info) for utterance, info in zip(listed, infos, strict=True)]
        splits[split] = [u for u, fault in zip(listed, faults, strict=True) if not fault]
        problems += filter(None, faults)
        if not splits[split]:
            raise CorpusError(
                f"{source}: no usable utterance for {split}; first fault: {faults[0]}"
            )
    return Prepared(splits, problems, tuple(source / f"{split}.jsonl" for split in SPLITS))


def _find(source: Path | None) -> Path:
    beside_package = Path(__file__).parents[2] / "data" / "digits"
    homes = [source] if source else [beside_package, Path("data/digits")]
    for home in homes:
        if all(os.path.isfile(home / f"{split}.jsonl") for split in SPLITS):
            return home
    if source and os.path.isdir(source):
        not_the_corpus(source, "digits", "train.jsonl, dev.jsonl and test.jsonl")
    looked = " or ".join(printable(home) for home in homes)
    raise CorpusError(
        f"digits: no train.jsonl, dev.jsonl and test.jsonl in {looked}; it is part of the "
        "repository: run there, or give --source DIR"
    )


def _fault(utterance: Utterance, header: AudioInfo | AudioError) -> str:
    try:
        segment_duration(utterance.audio, header, utterance.offset, utterance.duration)
    except AudioError as fault:
        return str(fault)
    return ""
