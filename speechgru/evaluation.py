"""Score a recogniser on utterances, and write what others' tools can score again."""

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
    """The score over the utterances that could be read, and who could not (id → why)."""

    score: Score
    unknown: dict[str, int]  # characters of the references that the model cannot write
    failed: dict[str, str]
    normalisation: str  # the rule applied to both sides, in words
    manifest: str | None = None  # the file that was scored, absolute

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

    Raises ManifestError, and the last fault when no utterance at all can be read.
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
    """The same for utterances in memory; an unreadable one is named, the rest is scored."""
    rule = recognizer.checkpoint.config.text
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
        read.append(replace(utterance, text=normalise(utterance.text, rule)))
        texts.append(normalise(result.text, rule))
    if last is not None and not read:
        raise last
    scored = score([u.text for u in read], texts, [u.id for u in read], [u.speaker for u in read])
    vocabulary = recognizer.checkpoint.vocabulary
    unknown: Counter[str] = sum((vocabulary.unknown(u.text) for u in read), Counter())
    return Evaluation(scored, dict(unknown.most_common()), failed, describe(rule))


def results_folder(run: Path, manifest: Path) -> Path:
    """Where a manifest's results go: RUN/results/test; where another manifest's are there already,
    results/an4-test, with as many folders of the manifest's path as it takes."""
    name = manifest.stem
    for parent in Path(os.path.abspath(manifest)).parents:
        folder = run / "results" / name
        if _holds(folder) in (None, _identity(manifest)):
            break
        name = f"{parent.name}-{name}"
    return folder


def write_results(
    evaluation: Evaluation, folder: Path, json_file: Path | None = None
) -> list[Path]:
    """ref.trn, hyp.trn and score.json into `folder`, the figures also to `json_file` if given;
    returns what was written. Raises SpeechgruError."""
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


def _holds(folder: Path) -> str | None:
    """The manifest whose results are in a folder; "" if it is not named, None without results."""
    file = folder / "score.json"
    if not os.path.exists(file):
        return None
    try:
        return str(read_json(file, "a score").get("manifest", ""))
    except SpeechgruError:
        return ""
