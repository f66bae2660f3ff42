"""Training data: which utterances are trained on, and the batches made of them.

Design choices:
- An utterance that cannot be trained on is excluded and reported, never silently dropped.
- Headers of up to MAX_HEADERS files are read before training. What only decoding can find (a
  damaged recording, a text too long for its audio) excludes an utterance when it is loaded.
"""

import gc
import hashlib
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from msgspec.structs import replace

from speechgru.audio import read_headers, segment_duration, warn_of_early_ends
from speechgru.augment import Augment
from speechgru.batches import AudioCache, Batch, collate, count_batches, load_ahead, plan_batches
from speechgru.errors import AudioError, ManifestError, TrainingError, plural
from speechgru.features import FeatureExtractor
from speechgru.manifest import Utterance, distinct_files, find_manifest, read_manifest
from speechgru.recipe import Recipe, model_frames
from speechgru.text import Vocabulary, frames_needed, normalise

log = logging.getLogger(__name__)
MAX_HEADERS = 100_000  # files whose headers are all read before training; of more,
SAMPLED_HEADERS = 20_000  # about as many, evenly spread
LISTED = 5  # ids of excluded utterances in a log line
LISTED_WORDS = 10  # that only dev has
UNREADABLE = "audio cannot be read"
TOO_SHORT = "too short for its text; CTC needs a model frame per token, see model.factor"


@dataclass(frozen=True)
class TrainingData:
    """Utterances with normalised text, and the vocabulary of the training texts."""

    train: list[Utterance]
    dev: list[Utterance]
    noises: list[Utterance]
    vocabulary: Vocabulary
    excluded: dict[str, list[str]]  # reason → ids; for unreadable audio with the error

    @property
    def hours(self) -> float:
        return sum(utterance.duration for utterance in self.train) / 3600

    def fingerprint(self) -> dict[str, str | int]:
        """What of the data determines the result: ids, times and texts in their order, not where
        the files are."""
        return {
            f"{name} {key}": value
            for name, utterances in (
                ("training", self.train), ("dev", self.dev), ("noise", self.noises)
            )
            for key, value in (
                ("utterances", len(utterances)),
                ("ids", _digest(u.id for u in utterances)),
                ("times", _digest(t for u in utterances for t in (u.offset, u.duration))),
                ("texts", _digest(u.text for u in utterances)),
            )
        }  # fmt: skip


def _digest(values: Iterable[str | float]) -> str:
    """Sixteen hex digits of the values as lines of JSON."""
    digest = hashlib.sha256()
    encode = json.JSONEncoder(separators=("\n", ":")).encode
    rest = iter(values)
    while part := list(islice(rest, 10_000)):  # at once: there may be millions
        digest.update(encode(part)[1:-1].encode() + b"\n")
    return digest.hexdigest()[:16]


def read_training_data(
    recipe: Recipe, vocabulary: Vocabulary | None = None, initial: Vocabulary | None = None
) -> TrainingData:
    """Read the manifests of a recipe. Unless `vocabulary` is given, it is made from the training
    texts, with what `initial` has.

    Excluded from training, with a warning: utterances longer than `data.max_seconds`, without
    text, with characters (or words) that a given vocabulary lacks, too short for CTC to align, or
    whose header shows that their audio cannot be read.
    Raises ManifestError, and TrainingError when no utterance is left, or when dev or noise audio
    cannot be read: all evaluations of a run must be of the same utterances.
    """
    listed: list[Utterance] = []
    gc.disable()  # it would look through millions of new objects again and again
    try:
        for path in recipe.data.train:
            listed += _read("data.train", path)
        if len(set(map(os.path.realpath, recipe.data.train))) < len(recipe.data.train):
            log.warning("data.train names a manifest twice: its utterances count twice")
        _normalise(listed, recipe)
        if len(recipe.data.train) > 1:  # ids are unique within a manifest only
            from speechgru.corpora.common import make_ids_unique

            make_ids_unique(listed)
    finally:
        gc.enable()
    dev = _read("data.dev", recipe.data.dev)
    _normalise(dev, recipe)
    known = vocabulary or _make_vocabulary(listed, recipe, initial)
    available = _readable_seconds(", ".join(recipe.data.train), listed)
    kept, excluded = _select(listed, available, recipe, known)
    refuse_unreadable(recipe.data.dev, dev)
    noises: list[Utterance] = []
    if manifest := recipe.augment.noise_manifest:
        noises = _read("augment.noise_manifest", manifest, text_required=False)
        refuse_unreadable(manifest, noises)
    if not kept:
        reasons = "; ".join(f"{len(ids)} {why}, such as {ids[0]}" for why, ids in excluded.items())
        raise TrainingError(
            f"{', '.join(recipe.data.train)}: none of the {plural(len(listed), 'utterance')} can "
            f"be trained on: {reasons}"
        )
    if not any(utterance.text for utterance in dev):
        raise TrainingError(
            f"{recipe.data.dev}: none of the {len(dev)} texts has a word; expected a dev set with "
            "texts, by which to choose the best epoch"
        )
    if vocabulary is None and excluded:
        known = _make_vocabulary(kept, recipe, initial)
        if known.kind == "pieces":  # how many a text has depends on the vocabulary
            kept, excluded = _select(listed, available, recipe, known)
    _report(excluded, kept, dev, known)
    return TrainingData(kept, dev, noises, known, excluded)


def _read(key: str, path: str, text_required: bool = True) -> list[Utterance]:
    """The manifest that a key of the recipe names."""
    try:
        file = find_manifest(path)
    except ManifestError as error:
        raise ManifestError(
            f"{key}: {error}; give {key}=PATH, relative to the current folder"
        ) from None
    return read_manifest(file, text_required)


def _normalise(utterances: list[Utterance], recipe: Recipe) -> None:
    """In place: there may be millions."""
    for index, utterance in enumerate(utterances):
        text = normalise(utterance.text, recipe.text)
        if text != utterance.text:
            utterances[index] = replace(utterance, text=text)


def _make_vocabulary(
    utterances: Iterable[Utterance], recipe: Recipe, initial: Vocabulary | None
) -> Vocabulary:
    texts = (utterance.text for utterance in utterances)
    if recipe.text.unit == "character" and initial is None:
        return Vocabulary.from_texts(texts)
    from speechgru.text.units import make_vocabulary

    return make_vocabulary(texts, recipe.text, initial)


def _select(
    listed: Sequence[Utterance],
    available: Sequence[float | AudioError],
    recipe: Recipe,
    vocabulary: Vocabulary,
) -> tuple[list[Utterance], dict[str, list[str]]]:
    """The utterances that can be trained on, and the ids of the others by reason. `available`: see
    `_readable_seconds`."""
    FeatureExtractor(features := recipe.features)  # raises RecipeError for what it cannot extract
    excluded: dict[str, list[str]] = {}
    kept: list[Utterance] = []
    longest, fastest = recipe.data.max_seconds, max(recipe.augment.speed)
    # Seconds that suffice for any text: per character at most a token, and a blank before it
    per_token = 2 * recipe.model.factor / features.frames_per_second * fastest
    window = features.n_fft / features.sample_rate * fastest
    for utterance, seconds in zip(listed, available, strict=True):
        name, text, reason = utterance.id, utterance.text, ""
        if not text:
            reason = "without text"
        elif not vocabulary.covers(text):
            reason = f"with {vocabulary.unit}s that are not in the vocabulary"
        elif isinstance(seconds, AudioError):
            name, reason = f"{utterance.id} ({seconds})", UNREADABLE
        elif utterance.duration > longest:
            reason = f"longer than data.max_seconds ({longest:g} s)"
        elif seconds <= (len(text) + 1) * per_token + window:
            samples = int(seconds / fastest * features.sample_rate)
            frames = model_frames(features.frames(samples), recipe.model.factor)
            if frames < frames_needed(vocabulary.encode(text)):
                reason = TOO_SHORT
        if reason:
            excluded.setdefault(reason, []).append(name)
        else:
            kept.append(utterance)
    return kept, excluded


def _readable_seconds(name: str, utterances: Sequence[Utterance]) -> list[float | AudioError]:
    """Seconds of audio that each file contains of each utterance, or why it cannot be read, by the
    file's header. Beyond MAX_HEADERS files, the duration in the manifest stands in for some.
    Utterances of the manifest `name` that end before their file does are reported."""
    files = distinct_files(utterances, MAX_HEADERS)
    if files is None:
        sample = utterances[:: -(-len(utterances) // SAMPLED_HEADERS)]
        files = list(dict.fromkeys(utterance.audio for utterance in sample))
    headers = dict(zip(files, read_headers(files), strict=True))
    warn_of_early_ends(name, utterances, headers)
    seconds: list[float | AudioError] = []
    for utterance in utterances:
        if utterance.audio not in headers:
            seconds.append(utterance.duration)
            continue
        try:
            header, part = headers[utterance.audio], (utterance.offset, utterance.duration)
            seconds.append(segment_duration(utterance.audio, header, *part))
        except AudioError as error:
            seconds.append(error)
    return seconds


def refuse_unreadable(manifest: str, utterances: Sequence[Utterance]) -> None:
    """Raises TrainingError if files' headers show that their audio cannot be read."""
    errors = [e for e in _readable_seconds(manifest, utterances) if isinstance(e, AudioError)]
    if errors:
        raise TrainingError(
            f"{manifest}: {len(errors)} of {len(utterances)} utterances cannot be read "
            f"({errors[0]}): fix files or paths (relative to the manifest), or remove these lines"
        )


def _report(
    excluded: dict[str, list[str]],
    kept: Sequence[Utterance],
    dev: Sequence[Utterance],
    vocabulary: Vocabulary,
) -> None:
    for reason, ids in excluded.items():
        log.warning(
            "%s excluded (%s): %s%s", plural(len(ids), "training utterance"), reason,
            ", ".join(ids[:LISTED]), " …" if len(ids) > LISTED else "",
        )  # fmt: skip
    unknown: Counter[str] = sum((vocabulary.unknown(u.text) for u in dev), Counter())
    if unknown:
        log.warning(
            "dev has %ss that the training set lacks; they count as errors: %s", vocabulary.unit,
            ", ".join(f"{unit!r} ×{count}" for unit, count in unknown.most_common(LISTED_WORDS)),
        )  # fmt: skip
    words = {word for utterance in kept for word in utterance.text.split()}
    said = Counter(word for utterance in dev for word in utterance.text.split())
    if new := [word for word, _ in said.most_common() if word not in words]:
        log.info(
            "%d of the %d words of dev's vocabulary are not in the training set: %s%s",
            len(new), len(said), ", ".join(new[:LISTED_WORDS]),
            " …" if len(new) > LISTED_WORDS else "",
        )  # fmt: skip


class BatchLoader:
    """The training batches of each epoch: planned, read, augmented and padded.

    Utterances found to be damaged are skipped and reported once. Several processes would each
    load their share of every step's batches.
    """

    def __init__(
        self, data: TrainingData, recipe: Recipe, extract: FeatureExtractor, cache: AudioCache
    ) -> None:
        self.utterances, self.vocabulary = data.train, data.vocabulary
        self.options, self.model, self.cache = recipe.training, recipe.model, cache
        self.augment = Augment(
            recipe.augment, extract, recipe.training.seed, self._example, len(data.train),
            data.vocabulary.between, data.noises, 2 if recipe.training.consistency else 1,
        )  # fmt: skip
        self.durations = np.array([utterance.duration for utterance in data.train])
        self.skipped: dict[str, bool] = {}  # ids of unusable utterances; whether they always are

    def count(self, epoch: int) -> int:
        """The number of batches of an epoch; epochs count from 0."""
        return count_batches(self.durations, self.options.batch_seconds, self.options.seed, epoch)

    def count_steps(self) -> int:
        """The number of training steps of all epochs."""
        epochs, per_step = range(self.options.epochs), self.options.accumulate
        return sum(math.ceil(self.count(epoch) / per_step) for epoch in epochs)

    def plan(self, epoch: int) -> list[Sequence[int]]:
        """The utterances of each batch of an epoch; they depend on nothing but seed and epoch."""
        return plan_batches(self.durations, self.options.batch_seconds, self.options.seed, epoch)

    def load_all(
        self, plan: Sequence[Sequence[int]], epoch: int
    ) -> Generator[Batch | None, None, None]:
        """The batches of a plan in order, prepared in `training.workers` threads."""
        return load_ahead(plan, lambda indices: self.load(indices, epoch), self.options.workers)

    def load(self, indices: Sequence[int], epoch: int) -> Batch | None:
        """One batch, without utterances that turn out to be unusable; None if all are."""
        members: list[Utterance] = []
        rows: list[list[torch.Tensor]] = []  # views of each utterance
        tokens: list[list[int]] = []
        for index in indices:
            utterance = self.utterances[index]
            augmented = self.augment(index, utterance.id, epoch)
            if augmented is None:
                continue
            views, encoded = augmented
            frames = model_frames(len(views[0]), self.model.factor) - self.model.lookahead
            if frames < frames_needed(encoded):
                self._skip(utterance, "too short for its text as it was augmented")
                continue
            members.append(utterance)
            rows.append(views)
            tokens.append(encoded)
        ordered = [row for view in zip(*rows, strict=True) for row in view]
        return collate(members, ordered, tokens * self.augment.views) if members else None

    def _example(self, index: int) -> tuple[npt.NDArray[np.float32], list[int]] | None:
        """An utterance's samples and tokens; None if it cannot be decoded."""
        utterance = self.utterances[index]
        samples = self.read(utterance)
        return None if samples is None else (samples, self.vocabulary.encode(utterance.text))

    def read(self, utterance: Utterance) -> npt.NDArray[np.float32] | None:
        """An utterance's samples; None if they cannot be decoded."""
        try:
            return self.cache.read(utterance)
        except AudioError as error:
            self._skip(utterance, str(error), always=True)
            return None

    def _skip(self, utterance: Utterance, reason: str, always: bool = False) -> None:
        if utterance.id not in self.skipped:
            self.skipped[utterance.id] = always
            log.warning("utterance %s is skipped: %s", utterance.id, reason)
