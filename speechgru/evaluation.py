"""Score a recogniser on utterances, and write what others' tools can score again."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from speechgru.batches import AudioCache
from speechgru.errors import SpeechgruError
from speechgru.files import write_json
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

    def to_json(self) -> dict[str, Any]:
        return self.score.to_json() | {
            "unknown_characters": self.unknown,
            "failed": self.failed,
            "normalisation": self.normalisation,
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
    return evaluate_utterances(recognizer, utterances, on_progress=on_progress)


def evaluate_utterances(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    cache: AudioCache | None = None,
    on_progress: Callable[[int, int, str], None] = lambda done, total, id_: None,
) -> Evaluation:
    """The same for utterances in memory; an unreadable one is named, the rest is scored."""
    rule = recognizer.bundle.blueprint.text
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
    vocabulary = recognizer.bundle.vocabulary
    unknown: Counter[str] = sum((vocabulary.unknown(u.text) for u in read), Counter())
    return Evaluation(scored, dict(unknown.most_common()), failed, describe(rule))


def write_results(evaluation: Evaluation, folder: Path, json: Path | None = None) -> None:
    """ref.trn, hyp.trn and score.json into `folder`; the figures also to `json` if given."""
    scored = evaluation.score.utterances
    write_trn(folder / "ref.trn", [(u.id, u.reference) for u in scored])
    write_trn(folder / "hyp.trn", [(u.id, u.hypothesis) for u in scored])
    for path in (folder / "score.json", json):
        if path is not None:
            write_json(path, evaluation.to_json())
