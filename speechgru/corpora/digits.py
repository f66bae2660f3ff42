"""Connected digits spoken by synthetic voices: part of the repository, with ready manifests."""

import os
from pathlib import Path

from speechgru.audio import AudioInfo, read_headers, segment_duration
from speechgru.corpora.common import Prepared, not_the_corpus, refuse_empty
from speechgru.corpora.folder import Folder
from speechgru.errors import AudioError, CorpusError
from speechgru.manifest import Utterance, read_manifest

BESIDE_PACKAGE = Path(__file__).parents[2] / "data" / "digits"
SPLITS = ("train", "dev", "test")


def find(folder: Folder) -> bool:
    return folder.root == BESIDE_PACKAGE


def read(folder: Folder) -> Prepared:
    return prepare(folder.root)


def prepare(source: Path | None) -> Prepared:
    """The three manifests in `source` (None: the repository's data/digits), with audio checked.

    Raises CorpusError: manifests missing, no audio at all; ManifestError: a damaged manifest.
    """
    source = _find(source)
    splits: dict[str, list[Utterance]] = {}
    problems: list[str] = []
    for split in SPLITS:
        listed = read_manifest(source / f"{split}.jsonl")
        splits[split] = []
        infos = read_headers(utterance.audio for utterance in listed)
        for utterance, info in zip(listed, infos, strict=True):
            if problem := _problem(utterance, info):
                problems.append(f"{utterance.id}: {problem}")
            else:
                splits[split].append(utterance)
    result = Prepared(splits, problems, tuple(source / f"{split}.jsonl" for split in SPLITS))
    refuse_empty(source, result)
    return result


def _find(source: Path | None) -> Path:
    folders = [source] if source else [BESIDE_PACKAGE, Path("data/digits")]
    for folder in folders:
        if all(os.path.isfile(folder / f"{split}.jsonl") for split in SPLITS):
            return folder
    if source and os.path.isdir(source):
        not_the_corpus(source, "digits", "train.jsonl, dev.jsonl and test.jsonl")
    raise CorpusError(
        f"digits: no train.jsonl, dev.jsonl and test.jsonl in {' or '.join(map(str, folders))}; "
        "the corpus is part of the repository: run there, or give --source DIR"
    )


def _problem(utterance: Utterance, header: AudioInfo | AudioError) -> str:
    try:
        segment_duration(utterance.audio, header, utterance.offset, utterance.duration)
    except AudioError as error:
        return str(error)
    return ""
