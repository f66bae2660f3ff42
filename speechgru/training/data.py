"""Who takes part in a training: utterances with their tokens; who cannot is named, not dropped."""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from speechgru.audio import SLACK, AudioInfo, headers
from speechgru.errors import AudioError, ManifestError, TrainingError
from speechgru.features import FeatureExtractor
from speechgru.files import shown
from speechgru.manifest import Utterance, read_manifest
from speechgru.model import model_frames
from speechgru.recipe import Recipe
from speechgru.text import Vocabulary, normalise

log = logging.getLogger(__name__)
NAMED = 5  # ids shown of those left out


@dataclass(frozen=True)
class TrainingData:
    """Normalised utterances; tokens (utterances,) of the training ones."""

    train: list[Utterance]
    tokens: list[list[int]]
    dev: list[Utterance]
    vocabulary: Vocabulary
    left_out: dict[str, list[str]]  # reason → ids, with what each sound's fault is

    @property
    def hours(self) -> float:
        return sum(utterance.duration for utterance in self.train) / 3600

    def fingerprint(self) -> str:
        """Changes when an utterance, its text, its length or its place in the order does."""
        parts = [[(u.id, u.duration, u.text) for u in each] for each in (self.train, self.dev)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def read_training_data(recipe: Recipe, vocabulary: Vocabulary | None = None) -> TrainingData:
    """Read the manifests of a recipe; the vocabulary is made from the training texts unless given.

    Left out of training, with a count and names: utterances longer than `data.max_seconds`,
    without text, with characters a given vocabulary lacks, those CTC cannot align, and those
    whose sound cannot be read as far as the files' headers tell.
    Raises ManifestError, and TrainingError when nobody is left, or when sound of dev or of the
    noises cannot be read: all scores of a run are to be of the same utterances.
    """
    everyone: list[Utterance] = []
    for path in recipe.data.train:
        everyone += [_normalised(u, recipe) for u in _read("data.train", path)]
    dev = [_normalised(u, recipe) for u in _read("data.dev", recipe.data.dev)]
    twice = [id_ for id_, count in Counter(u.id for u in everyone).items() if count > 1]
    if twice:
        everyone = [replace(u, id=f"{i}:{u.id}") for i, u in enumerate(everyone)]
    known = vocabulary or Vocabulary.from_texts(u.text for u in everyone)
    kept, left_out = _sort_out(everyone, recipe, known)
    _refuse_unreadable(recipe.data.dev, dev)
    if noises := recipe.augment.noise_manifest:
        _refuse_unreadable(noises, _read("augment.noise_manifest", noises))
    vocabulary = vocabulary or Vocabulary.from_texts(u.text for u in kept)
    _tell(left_out, kept, dev, vocabulary)
    if not kept:
        raise TrainingError(
            f"{', '.join(recipe.data.train)}: none of {len(everyone)} utterances can be trained "
            f"on ({'; '.join(f'{len(ids)} {reason}' for reason, ids in left_out.items())})"
        )
    tokens = [vocabulary.encode(utterance.text) for utterance in kept]
    return TrainingData(kept, tokens, dev, vocabulary, left_out)


def _read(key: str, path: str) -> list[Utterance]:
    """The manifest that a key of the recipe names."""
    if not os.path.exists(path):
        raise ManifestError(
            f"{key}: there is no {shown(path)}; give {key}=PATH, or let `speechgru prepare` make it"
        )
    return read_manifest(path)


def frames_needed(tokens: list[int]) -> int:
    """The fewest frames CTC can write `tokens` in: one each, and a blank between equal ones."""
    return len(tokens) + sum(a == b for a, b in pairwise(tokens))


def _sort_out(
    everyone: Sequence[Utterance], recipe: Recipe, vocabulary: Vocabulary
) -> tuple[list[Utterance], dict[str, list[str]]]:
    """Who can be trained on, and the ids of who cannot, by reason."""
    extract = FeatureExtractor(recipe.features)
    kept: list[Utterance] = []
    left_out: dict[str, list[str]] = {}
    for utterance in everyone:
        reason = _unfit(utterance, recipe, vocabulary, extract)
        if reason is None:
            kept.append(utterance)
        else:
            left_out.setdefault(reason, []).append(utterance.id)
    if silent := _unreadable(kept):
        left_out["whose sound cannot be read"] = [f"{id_} ({why})" for id_, why in silent.items()]
        kept = [utterance for utterance in kept if utterance.id not in silent]
    return kept, left_out


def _unfit(
    utterance: Utterance, recipe: Recipe, vocabulary: Vocabulary, extract: FeatureExtractor
) -> str | None:
    if utterance.duration > recipe.data.max_seconds:
        return f"longer than data.max_seconds ({recipe.data.max_seconds:g} s)"
    if not utterance.text:
        return "without text"
    if vocabulary.unknown(utterance.text):
        return "with characters the vocabulary lacks"
    fastest = max(recipe.augment.speed)
    samples = int(utterance.duration / fastest * recipe.features.sample_rate)
    frames = model_frames(extract.frames(samples), recipe.model.factor)
    if frames < frames_needed(vocabulary.encode(utterance.text)):
        return "too short for its text (CTC needs a frame a character; see model.factor)"
    return None


def _unreadable(utterances: Sequence[Utterance]) -> dict[str, str]:
    """Whose sound cannot be read, and why; only headers are read, each file's once."""
    files = list(dict.fromkeys(utterance.audio for utterance in utterances))
    found = dict(zip(files, headers(files), strict=True))
    faults = {utterance.id: _fault(utterance, found[utterance.audio]) for utterance in utterances}
    return {id_: fault for id_, fault in faults.items() if fault is not None}


def _fault(utterance: Utterance, header: AudioInfo | AudioError) -> str | None:
    if isinstance(header, AudioError):
        return str(header)
    begin, end = utterance.offset, utterance.offset + utterance.duration
    if begin < header.duration and end <= header.duration + SLACK:
        return None
    return (
        f"{shown(utterance.audio)}: seconds {begin:.6g} to {end:.6g} asked for, "
        f"but it has {header.duration:.6g}"
    )


def _refuse_unreadable(manifest: str, utterances: Sequence[Utterance]) -> None:
    if faults := _unreadable(utterances):
        raise TrainingError(
            f"{shown(manifest)}: {len(faults)} of {len(utterances)} utterances cannot be read "
            f"({next(iter(faults.values()))}): mend the files or remove these lines"
        )


def _normalised(utterance: Utterance, recipe: Recipe) -> Utterance:
    return replace(utterance, text=normalise(utterance.text, recipe.text))


def _tell(
    left_out: dict[str, list[str]],
    kept: Sequence[Utterance],
    dev: Sequence[Utterance],
    vocabulary: Vocabulary,
) -> None:
    for reason, ids in left_out.items():
        more = " …" if len(ids) > NAMED else ""
        log.warning("left out %d %s: %s%s", len(ids), reason, ", ".join(ids[:NAMED]), more)
    unknown: Counter[str] = sum((vocabulary.unknown(u.text) for u in dev), Counter())
    if unknown:
        listed = ", ".join(f"{char!r} ×{count}" for char, count in unknown.most_common(10))
        log.warning("dev has characters that training lacks, which count as errors: %s", listed)
    trained = {(utterance.audio, utterance.offset) for utterance in kept}
    if seen := sum((utterance.audio, utterance.offset) in trained for utterance in dev):
        log.warning("%d of %d dev utterances are trained on as well: dev WER will be too low",
                    seen, len(dev))  # fmt: skip
