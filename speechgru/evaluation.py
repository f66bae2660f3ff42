"""Score a recogniser on utterances, and write transcript files that other tools can score too."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from msgspec import structs

from speechgru.audio import read_headers, warn_of_early_ends
from speechgru.batches import AudioCache
from speechgru.decoding import Greedy
from speechgru.decoding.references import match_references
from speechgru.errors import SpeechgruError, printable
from speechgru.files import Json, read_json, write_json
from speechgru.manifest import Utterance, read_manifest
from speechgru.recognizer import OnProgress, Recognizer
from speechgru.scoring import Score, breakdown, score, write_trn
from speechgru.scoring.significance import Comparison, crossed_bootstrap
from speechgru.text import describe


@dataclass(frozen=True)
class OutsideWords:
    """Reference words that the decoder's lexicon does not have, and what became of them."""

    words: int
    errors: int  # such words that were substituted or deleted
    all_errors: int  # of all words, insertions included

    @property
    def share(self) -> float:
        """Of all errors."""
        return self.errors / max(self.all_errors, 1)

    def to_json(self) -> Json:
        return asdict(self) | {"share": self.share}


@dataclass(frozen=True)
class GreedyComparison:
    """Greedy decoding of the same emissions, compared with the decoder's."""

    score: Score  # of greedy decoding
    difference: Comparison | None  # of the decoder (A) against greedy (B); None if too few words
    outside: OutsideWords | None  # None without a lexicon

    def to_json(self) -> Json:
        return {
            "greedy": self.score.to_json(),
            "difference": None if self.difference is None else self.difference.to_json(),
            "outside_lexicon": None if self.outside is None else self.outside.to_json(),
        }


@dataclass(frozen=True)
class Evaluation:
    """The score of the utterances whose audio could be read."""

    score: Score
    decoder: str
    unknown: dict[str, int]  # characters or words of the references that the vocabulary lacks
    failed: dict[str, str]  # utterances that are not in the score: id → reason
    normalisation: str  # of both sides, in words
    manifest: str | None = None  # absolute path
    greedy: GreedyComparison | None = None  # None where the decoder is greedy

    def to_json(self) -> Json:
        greedy = {} if self.greedy is None else self.greedy.to_json()
        return (
            self.score.to_json()
            | {
                "decoder": self.decoder,
                "unknown_characters": self.unknown,
                "failed": self.failed,
                "normalisation": self.normalisation,
                "manifest": self.manifest,
            }
            | breakdown(self.score)
            | greedy
        )


def evaluate(
    recognizer: Recognizer,
    manifest: str | Path,
    on_progress: OnProgress = lambda done, total, id_: None,
) -> Evaluation:
    """Transcribe a manifest's utterances and score them.

    `on_progress` is called after each utterance with the number done, their total and its id.
    Raises ManifestError, and AudioError when no utterance can be read.
    """
    utterances = read_manifest(manifest)
    files = list(dict.fromkeys(utterance.audio for utterance in utterances))
    warn_of_early_ends(manifest, utterances, dict(zip(files, read_headers(files), strict=True)))
    evaluation = evaluate_utterances(recognizer, utterances, on_progress=on_progress)
    return replace(evaluation, manifest=_identity(manifest))


def evaluate_utterances(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    cache: AudioCache | None = None,
    on_progress: OnProgress = lambda done, total, id_: None,
) -> Evaluation:
    """The same for utterances in memory; unreadable ones are listed in `failed`."""
    vocabulary, normalise = recognizer.checkpoint.vocabulary, recognizer.checkpoint.normalise
    utterances = [structs.replace(each, text=normalise(each.text)) for each in utterances]
    decoder = match_references(recognizer.decoder, (u.text for u in utterances), normalise)
    greedy = None if isinstance(decoder, Greedy) else Greedy(vocabulary)
    read: list[Utterance] = []
    texts: list[str] = []
    greedy_texts: list[str] = []
    failed: dict[str, str] = {}
    found = recognizer.readable_emissions(utterances, failed, on_progress, cache)
    for utterance, emission in found:
        read.append(utterance)
        texts.append(normalise(recognizer.decode(emission, decoder).text))
        if greedy is not None:
            greedy_texts.append(normalise(recognizer.decode(emission, greedy).text))
    scored = _score(read, texts)
    unknown: Counter[str] = sum((vocabulary.unknown(u.text) for u in read), Counter())
    comparison = None
    if greedy is not None:
        lexicon, known = getattr(decoder, "lexicon", None), None
        if lexicon is not None:
            entries = {*lexicon.words, *lexicon.spellings}
            known = {word for e in entries for word in normalise(e).split()}
        comparison = _compare_with_greedy(scored, _score(read, greedy_texts), known)
    return Evaluation(
        scored, str(decoder), dict(unknown.most_common()), failed,
        describe(recognizer.checkpoint.config.text), greedy=comparison,
    )  # fmt: skip


def _score(read: Sequence[Utterance], texts: Sequence[str]) -> Score:
    return score([u.text for u in read], texts, [u.id for u in read], [u.speaker for u in read])


def _compare_with_greedy(scored: Score, greedy: Score, known: set[str] | None) -> GreedyComparison:
    ours, theirs = (
        np.array([u.words.errors for u in each.utterances]) for each in (scored, greedy)
    )
    words = np.array([u.words.reference for u in scored.utterances])
    speakers = [u.speaker for u in scored.utterances]
    difference = None
    if len(words) > 1 and words.any():
        difference = crossed_bootstrap(ours[None], theirs[None], words, speakers)
    outside = None
    if known is not None:
        aligned = [word for u in scored.utterances for word in u.alignment]
        marks = [word.mark for word in aligned if word.reference and word.reference not in known]
        outside = OutsideWords(len(marks), sum(map(bool, marks)), scored.words.errors)
    return GreedyComparison(greedy, difference, outside)


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
    """Write ref.trn, hyp.trn and score.json into `folder`, hyp-greedy.trn beside a beam search
    (otherwise, an earlier one is removed), and the scores to `json_file` if given; returns the
    files. Raises SpeechgruError."""
    scored = evaluation.score.utterances
    files = [folder / name for name in ("ref.trn", "hyp.trn", "score.json")]
    speakers = [u.speaker for u in scored]
    write_trn(files[0], [(u.id, u.reference) for u in scored], speakers)
    write_trn(files[1], [(u.id, u.hypothesis) for u in scored], speakers)
    files += [json_file] if json_file else []
    for path in files[2:]:
        write_json(path, evaluation.to_json())
    if evaluation.greedy is None:
        (folder / "hyp-greedy.trn").unlink(missing_ok=True)
    else:
        files.insert(2, folder / "hyp-greedy.trn")
        greedy = evaluation.greedy.score.utterances
        write_trn(files[2], [(u.id, u.hypothesis) for u in greedy], speakers)
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
