"""Which utterances go together, in what order, and how they become padded tensors.

Design choices:
- The plan of an epoch (who, with whom, when) depends on (seed, epoch) alone.
- Loading runs in threads beside the training: NumPy, soxr and torch release the interpreter lock,
  and threads share the audio cache. A result never depends on how many there are.
"""

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

from speechgru.audio import read_audio
from speechgru.manifest import Utterance

P = TypeVar("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded features (batch, frames, size) float32, lengths (batch,) int64 in frames, the
    targets of all rows one behind the other (sum of target_lengths,), and the rows' ids."""

    features: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor
    ids: tuple[str, ...]
    seconds: float  # of audio, without padding


def plan_batches(
    durations: Sequence[float], batch_seconds: float, seed: int, epoch: int
) -> list[list[int]]:
    """Indices grouped by similar duration so that rows × longest ≤ `batch_seconds`, groups in
    random order. Durations are jittered by ± 10 % before sorting, so that neighbours change."""
    rng = np.random.default_rng([seed, epoch])
    jittered = np.asarray(durations) * rng.uniform(0.9, 1.1, len(durations))
    batches: list[list[int]] = [[]]
    longest = 0.0
    for index in np.argsort(jittered, kind="stable"):
        longest = max(longest, durations[index])
        if batches[-1] and longest * (len(batches[-1]) + 1) > batch_seconds:
            batches.append([])
            longest = durations[index]
        batches[-1].append(int(index))
    return [batches[i] for i in rng.permutation(len(batches))]


def pad(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows (frames_i, size) → (batch, frames, size) padded with zeros, and lengths (batch,)."""
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
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
    """Decoded audio, kept up to a bound; what does not fit is read again. Sound that 16-bit
    integers hold exactly is kept as such, in half the memory of any other."""

    def __init__(self, sample_rate: int, limit_bytes: int) -> None:
        self.sample_rate, self.free = sample_rate, limit_bytes
        self._held: dict[tuple[str, float, float], npt.NDArray[np.int16 | np.float32]] = {}
        self._lock = Lock()

    def read(self, utterance: Utterance) -> npt.NDArray[np.float32]:
        """(samples,) float32: what `read_audio` returns."""
        # Not its id, which is unique within a manifest only: dev's a.wav may not be training's.
        key = (utterance.audio, utterance.offset, utterance.duration)
        held = self._held.get(key)
        if held is not None:
            return _expanded(held)
        samples = read_audio(
            utterance.audio, self.sample_rate, utterance.offset, utterance.duration
        )
        held = _compact(samples)
        with self._lock:
            if held.nbytes <= self.free and key not in self._held:
                self._held[key] = held
                self.free -= held.nbytes
        return samples


def _compact(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16 | np.float32]:
    """The samples as 16-bit integers if nothing is lost, else a copy."""
    short = np.rint(np.clip(samples, -1, 32767 / 32768) * np.float32(32768)).astype(np.int16)
    return short if np.array_equal(_expanded(short), samples) else samples.copy()


def _expanded(held: npt.NDArray[np.int16 | np.float32]) -> npt.NDArray[np.float32]:
    """The samples again, in memory of their own."""
    samples = held.astype(np.float32)
    return samples / np.float32(32768) if held.dtype == np.int16 else samples


def load_ahead(
    plans: Iterable[P], load: Callable[[P], T], workers: int
) -> Generator[T, None, None]:
    """`load(plan)` for each plan in order, up to two a worker under way beside the caller."""
    if workers == 0:
        yield from map(load, plans)
        return
    torch.get_num_threads()  # fixes the caller's own count before a worker sets its own
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
    """A loader's small tensor operations must not open a second pool of threads beside the
    training's. The count is kept per thread, once a thread has asked for it."""
    torch.get_num_threads()
    torch.set_num_threads(1)
