"""Batches: which utterances go together, in what order, and how they become padded tensors.

Design choices:
- The plan of an epoch depends on the durations and on (seed, epoch) alone.
- Loading runs in threads beside the training: NumPy, soxr and torch release the interpreter lock,
  and threads share the audio cache. A result never depends on the number of threads.
"""

from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speechgru.audio import read_utterance
from speechgru.manifest import Utterance

P = TypeVar("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded features (batch, frames, size) float32, lengths (batch,) int64 in frames, the
    targets of all rows concatenated (sum of target_lengths,) int64, and the utterances' ids. With
    two views, the rows are those of the first view, then those of the second."""

    features: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor
    ids: tuple[str, ...]
    seconds: float  # of audio, without padding


def plan_batches(
    durations: npt.ArrayLike, batch_seconds: float, seed: int, epoch: int
) -> list[Sequence[int]]:
    """Indices grouped by similar duration so that rows × longest ≤ `batch_seconds`, groups in
    random order. Durations are jittered by ± 10 % before sorting, so that neighbours change."""
    rng = np.random.default_rng([seed, epoch])
    order, starts = _buckets(durations, batch_seconds, rng)
    batches = np.split(order, starts[1:])
    return [array("q", batches[i].tobytes()) for i in rng.permutation(len(batches))]


def count_batches(durations: npt.ArrayLike, batch_seconds: float, seed: int, epoch: int) -> int:
    """How many batches the epoch's plan has, without making the plan."""
    return len(_buckets(durations, batch_seconds, np.random.default_rng([seed, epoch]))[1])


def _buckets(
    durations: npt.ArrayLike, batch_seconds: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], list[int]]:
    """Indices in order of jittered duration, and where in this order each batch starts."""
    lengths = np.asarray(durations)
    order = np.argsort(lengths * rng.uniform(0.9, 1.1, len(lengths)), kind="stable")
    starts, start, longest = [0], 0, 0.0
    for place, seconds in enumerate(lengths[order].data):  # in each epoch: millions of times
        if seconds > longest:
            longest = seconds
        if longest * (place - start + 1) > batch_seconds and place > start:
            start, longest = place, seconds
            starts.append(place)
    return order, starts


def pad(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows (frames_i, size) → (batch, frames, size) padded with zeros, and lengths (batch,)."""
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64, device="cpu")
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True), lengths


def collate(
    utterances: Sequence[Utterance], rows: Sequence[Tensor], tokens: Sequence[list[int]]
) -> Batch:
    """One batch of utterances, their feature rows (frames_i, size) and their tokens."""
    features, lengths = pad(rows)
    return Batch(
        features,
        lengths,
        torch.tensor([token for row in tokens for token in row], dtype=torch.int64),
        torch.tensor([len(row) for row in tokens], dtype=torch.int64),
        tuple(utterance.id for utterance in utterances),
        sum(utterance.duration for utterance in utterances),
    )


class AudioCache:
    """Decoded audio in memory, up to a limit; what does not fit is read again. Samples that 16-bit
    integers represent exactly are stored as such, in half the memory."""

    def __init__(self, sample_rate: int, limit_bytes: int) -> None:
        self.sample_rate, self.free = sample_rate, limit_bytes
        self._stored: dict[tuple[str, float, float], npt.NDArray[np.int16 | np.float32]] = {}
        self._lock = Lock()

    def read(self, utterance: Utterance) -> npt.NDArray[np.float32]:
        """(samples,) float32: what `read_utterance` returns, in an array of the caller's own."""
        # Not the id, which is unique within a manifest only: dev's a.wav may not be training's.
        key = (utterance.audio, utterance.offset, utterance.duration)
        stored = self._stored.get(key)
        if stored is not None:
            return _expanded(stored)
        samples = read_utterance(utterance, self.sample_rate)
        stored = _compact(samples)
        with self._lock:
            if stored.nbytes <= self.free and key not in self._stored:
                self._stored[key] = stored
                self.free -= stored.nbytes
        return samples


def _compact(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16 | np.float32]:
    """The samples as 16-bit integers if that is exact, else a copy."""
    integers = np.rint(np.clip(samples, -1, 32767 / 32768) * np.float32(32768)).astype(np.int16)
    return integers if np.array_equal(_expanded(integers), samples) else samples.copy()


def _expanded(stored: npt.NDArray[np.int16 | np.float32]) -> npt.NDArray[np.float32]:
    """A float32 copy of stored samples."""
    samples = stored.astype(np.float32)
    return samples / np.float32(32768) if stored.dtype == np.int16 else samples


def load_ahead(
    plans: Iterable[P], load: Callable[[P], T], workers: int
) -> Generator[T, None, None]:
    """`load(plan)` for each plan in order, up to two per worker running ahead of the caller."""
    if workers == 0:
        yield from map(load, plans)
        return
    torch.get_num_threads()  # fixes the caller's own setting before a worker changes its own
    with ThreadPoolExecutor(workers, initializer=_use_one_thread) as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for plan in plans:
                waiting.append(pool.submit(load, plan))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _use_one_thread() -> None:
    """A loader's small tensor operations must not start a second thread pool beside the training's.
    torch's setting is per thread, once a thread has asked for it."""
    torch.get_num_threads()
    torch.set_num_threads(1)
