"""Who takes part in a training: utterances with their tokens; who cannot is named, not dropped."""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from speechgru.audio import read_headers, segment_duration
from speechgru.errors import AudioError, ManifestError, TrainingError
from speechgru.features import FeatureExtractor
from speechgru.manifest import Utterance, read_manifest
from speechgru.model import model_frames
from speechgru.recipe import Recipe
from speechgru.text import Vocabulary, normalise

log = logging.getLogger(__name__)
NAMED = 5  # ids shown of those left out
TOO_SHORT = "too short for its text (CTC needs a frame a character; see model.factor)"


@dataclass(frozen=True)
class TrainingData:
    """Normalised utterances; tokens (utterances,) of the training ones."""

    train: list[Utterance]
    tokens: list[list[int]]
    dev: list[Utterance]
    noises: list[Utterance]
    vocabulary: Vocabulary
    excluded: dict[str, list[str]]  # reason → ids, with what each sound's fault is

    @property
    def hours(self) -> float:
        return sum(utterance.duration for utterance in self.train) / 3600

    def fingerprint(self) -> str:
        """Changes when an utterance or a noise, its text, its length or its place in the order
        does."""
        all_of_them = (self.train, self.dev, self.noises)
        parts = [[(u.id, u.duration, u.text) for u in each] for each in all_of_them]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def read_training_data(recipe: Recipe, vocabulary: Vocabulary | None = None) -> TrainingData:
    """Read the manifests of a recipe; the vocabulary is made from the training texts unless given.

    Left out of training, with a count and names: utterances longer than `data.max_seconds`,
    without text, with characters a given vocabulary lacks, those CTC cannot align, and those
    whose sound cannot be read as far as the files' read_headers tell.
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
    kept, excluded = _sort_out(everyone, recipe, known)
    _refuse_unreadable(recipe.data.dev, dev)
    noises: list[Utterance] = []
    if manifest := recipe.augment.noise_manifest:
        noises = _read("augment.noise_manifest", manifest, text_required=False)
        _refuse_unreadable(manifest, noises)
    vocabulary = vocabulary or Vocabulary.from_texts(u.text for u in kept)
    _tell(excluded, kept, dev, vocabulary)
    if not kept:
        raise TrainingError(
            f"{', '.join(recipe.data.train)}: none of {len(everyone)} utterances can be trained "
            f"on ({'; '.join(f'{len(ids)} {reason}' for reason, ids in excluded.items())})"
        )
    tokens = [vocabulary.encode(utterance.text) for utterance in kept]
    return TrainingData(kept, tokens, dev, noises, vocabulary, excluded)


def _read(key: str, path: str, text_required: bool = True) -> list[Utterance]:
    """The manifest that a key of the recipe names."""
    if not os.path.exists(path):
        raise ManifestError(
            f"{key}: there is no {path}; give {key}=PATH, or let `speechgru prepare` make it"
        )
    return read_manifest(path, text_required)


def frames_needed(tokens: list[int]) -> int:
    """The fewest frames CTC can write `tokens` in: one each, and a blank between equal ones."""
    return len(tokens) + sum(a == b for a, b in pairwise(tokens))


def _sort_out(
    everyone: Sequence[Utterance], recipe: Recipe, vocabulary: Vocabulary
) -> tuple[list[Utterance], dict[str, list[str]]]:
    """Who can be trained on, and the ids of who cannot, by reason."""
    excluded: dict[str, list[str]] = {}
    written: list[Utterance] = []
    for utterance in everyone:
        if reason := _unfit(utterance, recipe, vocabulary):
            excluded.setdefault(reason, []).append(utterance.id)
        else:
            written.append(utterance)
    kept: list[Utterance] = []
    extract = FeatureExtractor(recipe.features)
    fastest = max(recipe.augment.speed)
    for utterance, seconds in zip(written, _seconds(written), strict=True):
        if isinstance(seconds, AudioError):
            named = f"{utterance.id} ({seconds})"
            excluded.setdefault("whose sound cannot be read", []).append(named)
            continue
        samples = int(seconds / fastest * recipe.features.sample_rate)
        frames = model_frames(extract.frames(samples), recipe.model.factor)
        if frames < frames_needed(vocabulary.encode(utterance.text)):
            excluded.setdefault(TOO_SHORT, []).append(utterance.id)
        else:
            kept.append(utterance)
    return kept, excluded


def _unfit(utterance: Utterance, recipe: Recipe, vocabulary: Vocabulary) -> str | None:
    """Why an utterance cannot be trained on, as far as its line tells."""
    if utterance.duration > recipe.data.max_seconds:
        return f"longer than data.max_seconds ({recipe.data.max_seconds:g} s)"
    if not utterance.text:
        return "without text"
    if vocabulary.unknown(utterance.text):
        return "with characters the vocabulary lacks"
    return None


def _seconds(utterances: Sequence[Utterance]) -> list[float | AudioError]:
    """How much sound of each can be read, or why none can; only read_headers are read, each file's
    once."""
    files = list(dict.fromkeys(utterance.audio for utterance in utterances))
    found = dict(zip(files, read_headers(files), strict=True))
    seconds: list[float | AudioError] = []
    for utterance in utterances:
        part = utterance.offset, utterance.duration
        try:
            seconds.append(segment_duration(utterance.audio, found[utterance.audio], *part))
        except AudioError as fault:
            seconds.append(fault)
    return seconds


def _refuse_unreadable(manifest: str, utterances: Sequence[Utterance]) -> None:
    if faults := [found for found in _seconds(utterances) if isinstance(found, AudioError)]:
        raise TrainingError(
            f"{manifest}: {len(faults)} of {len(utterances)} utterances cannot be read "
            f"({faults[0]}): mend the files or remove these lines"
        )


def _normalised(utterance: Utterance, recipe: Recipe) -> Utterance:
    return replace(utterance, text=normalise(utterance.text, recipe.text))


def _tell(
    excluded: dict[str, list[str]],
    kept: Sequence[Utterance],
    dev: Sequence[Utterance],
    vocabulary: Vocabulary,
) -> None:
    for reason, ids in excluded.items():
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
