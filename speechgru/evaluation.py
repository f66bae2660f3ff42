"""Score a recogniser on utterances, and write transcript files that other tools can score too."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from speechgru.batches import AudioCache
from speechgru.errors import SpeechgruError, printable
from speechgru.files import read_json, write_json
from speechgru.manifest import Utterance, read_manifest
from speechgru.recognizer import Recognizer
from speechgru.scoring import Score, score, write_trn
from speechgru.text import describe, normalise


@dataclass(frozen=True)
class Evaluation:
    """The score of the utterances whose audio could be read."""

    score: Score
    unknown: dict[str, int]  # characters of the references that the vocabulary lacks, with counts
    failed: dict[str, str]  # utterances that are not in the score: id → reason
    normalisation: str  # of both sides, in words
    manifest: str | None = None  # absolute path

    def to_json(self) -> dict[str, Any]:
        return self.score.to_json() | {
            "unknown_characters": self.unknown,
            "failed": self.failed,
            "normalisation": self.normalisation,
            "manifest": self.manifest,
        }


def evaluate(
    recognizer: Recognizer,
    manifest: str | Path,
    on_progress: Callable[[int, int, str], None] = lambda done, total, id_: None,
) -> Evaluation:
    """Transcribe a manifest's utterances and score them.

    `on_progress` is called after each utterance with the number done, their total and its id.
    Raises ManifestError, and the last AudioError when no utterance can be read.
    """
    utterances = read_manifest(manifest)
    evaluation = evaluate_utterances(recognizer, utterances, on_progress=on_progress)
    return replace(evaluation, manifest=_identity(manifest))


def evaluate_utterances(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    cache: AudioCache | None = None,
    on_progress: Callable[[int, int, str], None] = lambda done, total, id_: None,
) -> Evaluation:
    """The same for utterances in memory; unreadable ones are listed in `failed`."""
    text_recipe = recognizer.checkpoint.config.text
    read: list[Utterance] = []
    texts: list[str] = []
    failed: dict[str, str] = {}
    last: SpeechgruError | None = None
    results = recognizer.transcribe_all(utterances, cache)
    for number, (utterance, result) in enumerate(zip(utterances, results, strict=True), 1):
        on_progress(number, len(utterances), utterance.id)
        if isinstance(result, SpeechgruError):
            failed[utterance.id], last = str(result), result
            continue
        read.append(replace(utterance, text=normalise(utterance.text, text_recipe)))
        texts.append(normalise(result.text, text_recipe))
    if last is not None and not read:
        raise last
    scored = score([u.text for u in read], texts, [u.id for u in read], [u.speaker for u in read])
    vocabulary = recognizer.checkpoint.vocabulary
    unknown: Counter[str] = sum((vocabulary.unknown(u.text) for u in read), Counter())
    return Evaluation(scored, dict(unknown.most_common()), failed, describe(text_recipe))


def results_folder(run: Path, manifest: Path) -> Path:
    """The folder for a manifest's results: RUN/results/test; or, when that has the results of
    another manifest, results/an4-test, with as many folders of the manifest's path as needed."""
    name = manifest.stem
    for parent in Path(os.path.abspath(manifest)).parents:
        folder = run / "results" / name
        if _scored_manifest(folder) in (None, _identity(manifest)):
            break
        name = f"{parent.name}-{name}"
    return folder


def write_results(
    evaluation: Evaluation, folder: Path, json_file: Path | None = None
) -> list[Path]:
    """Write ref.trn, hyp.trn and score.json into `folder`, and the scores to `json_file` if given;
    returns the files. Raises SpeechgruError."""
    scored = evaluation.score.utterances
    files = [folder / name for name in ("ref.trn", "hyp.trn", "score.json")]
    write_trn(files[0], [(u.id, u.reference) for u in scored])
    write_trn(files[1], [(u.id, u.hypothesis) for u in scored])
    files += [json_file] if json_file else []
    for path in files[2:]:
        write_json(path, evaluation.to_json())
    return files


def _identity(manifest: str | Path) -> str:
    return printable(os.path.realpath(manifest))


def _scored_manifest(folder: Path) -> str | None:
    """The manifest whose results are in a folder; "" if unknown, None without results."""
    file = folder / "score.json"
    if not os.path.exists(file):
        return None
    try:
        return str(read_json(file, "a score").get("manifest", ""))
    except SpeechgruError:
        return ""
