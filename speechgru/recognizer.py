"""Recognizer: sound in, text out. The only backend from one to the other: `transcribe`, `evaluate`,
dev scoring in training and `compare` all go through here."""

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speechgru import kernels
from speechgru.audio import MAX_RATE, MIN_RATE, read_audio, resample
from speechgru.batches import AudioCache, load_ahead, pad
from speechgru.checkpoint import Checkpoint, load_model
from speechgru.decoding import greedy
from speechgru.errors import AudioError, SpeechgruError
from speechgru.manifest import Utterance

Source = str | Path | Utterance | npt.NDArray[Any]
Loaded = tuple[Tensor, float]  # features (frames, size), seconds
MAX_CHANNELS = 32  # of an array; more are samples, laid the other way
WINDOW = 64  # sources at most, sorted by length before they are cut into batches
WINDOW_SECONDS = 3600.0  # of sound, beyond which a window takes no other source


@dataclass(frozen=True, slots=True)
class Transcript:
    text: str
    duration: float  # seconds

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Recognizer:
    """A trained model ready for sound.

    >>> recognizer = Recognizer.load("runs/digits")           # doctest: +SKIP
    >>> recognizer.transcribe("a.wav").text                   # doctest: +SKIP
    'seven zero three'
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | torch.device = "cpu",
        batch_seconds: float = 30.0,
    ) -> None:
        self.checkpoint, self.device = checkpoint, torch.device(device)
        self.batch_seconds = batch_seconds
        self.sample_rate = checkpoint.config.features.sample_rate

    @classmethod
    def load(
        cls, path: str | Path, device: str = "auto", precision: str = "float32"
    ) -> "Recognizer":
        """Read a run folder or a model file.

        `device`: auto (a GPU when present), cpu, cuda, cuda:1, … `precision`: how the recurrent
        weights are held on a CPU, one of `speechgru.kernels.PRECISIONS`.
        Raises CheckpointError (no such model, damaged) and SpeechgruError (unknown device or
        precision).
        """
        checkpoint = load_model(path)
        chosen = choose_device(device)
        if precision not in kernels.PRECISIONS:
            names = ", ".join(kernels.PRECISIONS)
            raise SpeechgruError(f"precision {precision!r}: expected one of {names}")
        for layer in checkpoint.model.recurrent_layers():
            layer.set_precision(precision)
        checkpoint.model.to(chosen).eval()
        return cls(checkpoint, chosen)

    def transcribe(self, source: Source, sample_rate: int | None = None) -> Transcript:
        """A file, a manifest's utterance, or an array of samples, mono (n,) or (n, channels), at
        `sample_rate` Hz (default: the model's). Raises AudioError for what holds no sound."""
        if isinstance(source, np.ndarray) and sample_rate not in (None, self.sample_rate):
            assert sample_rate is not None
            if not MIN_RATE <= sample_rate <= MAX_RATE:
                raise AudioError(
                    f"a sample rate of {sample_rate} Hz; expected {MIN_RATE} to {MAX_RATE}"
                )
            source = resample(_mono(source), sample_rate, self.sample_rate)
        (result,) = self._window([self._load(source, None)])
        if isinstance(result, SpeechgruError):
            raise result
        return result

    def transcribe_all(
        self, sources: Iterable[Source], cache: AudioCache | None = None
    ) -> Iterator[Transcript | SpeechgruError]:
        """One result a source, in order: its transcript, or the fault that kept it from one.

        Sources are read a window at a time, sorted by length and decoded in batches, which never
        changes a text: a row's output does not depend on its batch mates. Held in memory are a
        window, WINDOW_SECONDS and one source at most, and two sources a thread beside it.
        """
        threads = torch.get_num_threads()
        workers = threads if threads > 1 else 0
        window: list[Loaded | SpeechgruError] = []
        seconds = 0.0
        for loaded in load_ahead(sources, lambda source: self._load(source, cache), workers):
            window.append(loaded)
            seconds += 0.0 if isinstance(loaded, SpeechgruError) else loaded[1]
            if len(window) == WINDOW or seconds >= WINDOW_SECONDS:
                yield from self._window(window)
                window, seconds = [], 0.0
        yield from self._window(window)

    def _window(
        self, window: list[Loaded | SpeechgruError]
    ) -> Iterator[Transcript | SpeechgruError]:
        rows: dict[int, Tensor] = {}
        seconds: dict[int, float] = {}
        for index, loaded in enumerate(window):
            if not isinstance(loaded, SpeechgruError):
                rows[index], seconds[index] = loaded
        texts: dict[int, str] = {}
        for group in self._group(seconds):
            texts |= zip(group, self._decode([rows[index] for index in group]), strict=True)
        for index, loaded in enumerate(window):
            if isinstance(loaded, SpeechgruError):
                yield loaded
            else:
                yield Transcript(texts[index], round(loaded[1], 3))

    def _load(self, source: Source, cache: AudioCache | None) -> Loaded | SpeechgruError:
        """One source's features, or what keeps us from them."""
        try:
            samples = self._samples(source, cache)
            return self.checkpoint.extract(samples), len(samples) / self.sample_rate
        except SpeechgruError as fault:
            return fault

    def _samples(self, source: Source, cache: AudioCache | None) -> npt.NDArray[np.float32]:
        if isinstance(source, Utterance):
            if cache is not None:
                return cache.read(source)
            return read_audio(source.audio, self.sample_rate, source.offset, source.duration)
        if isinstance(source, np.ndarray):
            return _mono(source)
        if isinstance(source, str | os.PathLike):
            return read_audio(source, self.sample_rate)
        raise AudioError(
            f"a {type(source).__name__}: expected a path, an Utterance or a NumPy array of samples "
            "(of a torch tensor: tensor.numpy(); of a list: numpy.array(list))"
        )

    def _group(self, seconds: dict[int, float]) -> Iterator[list[int]]:
        """Indices of similar length, so that rows × longest ≤ batch_seconds."""
        group: list[int] = []
        for index in sorted(seconds, key=lambda i: seconds[i]):
            if group and seconds[index] * (len(group) + 1) > self.batch_seconds:
                yield group
                group = []
            group.append(index)
        if group:
            yield group

    @torch.inference_mode()
    def _decode(self, rows: list[Tensor]) -> list[str]:
        features, lengths = pad(rows)
        log_probs, lengths = self.checkpoint.model(
            features.to(self.device), lengths.to(self.device)
        )
        table = log_probs.cpu().numpy()
        vocabulary = self.checkpoint.vocabulary
        return [
            " ".join(vocabulary.decode(greedy(row[:length], vocabulary.blank)).split())
            for row, length in zip(table, lengths.tolist(), strict=True)
        ]


def choose_device(name: str) -> torch.device:
    """`auto` takes a GPU when there is one. Raises SpeechgruError for what is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SpeechgruError(f"device {name!r}: expected auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise SpeechgruError(f"device {name!r}: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SpeechgruError(
            f"device {name!r}: this machine has {torch.cuda.device_count()} GPUs; use --device cpu"
        )
    return device


def _mono(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(n,) or (n, channels), float in [-1, 1] or 16-bit integers → (n,) float32."""
    values = np.asarray(samples)
    if values.dtype == np.int16:
        values = values.astype(np.float32) / 32768
    elif values.dtype.kind != "f":
        raise AudioError(f"samples of type {values.dtype}: expected float in [-1, 1] or int16")
    if values.ndim not in (1, 2) or values.size == 0:
        raise AudioError(f"samples of shape {samples.shape}: expected (n,) or (n, channels), n > 0")
    if values.ndim == 2:
        count, channels = values.shape
        if channels > min(MAX_CHANNELS, count):
            raise AudioError(
                f"samples of shape {samples.shape}: expected (n,) or (n, channels), at most "
                f"{MAX_CHANNELS} channels; give samples.T if yours are (channels, n)"
            )
        values = values.mean(axis=1)
    if not math.isfinite(float(np.abs(values).max())):
        raise AudioError("samples hold NaN or infinity")
    return np.ascontiguousarray(values, dtype=np.float32)
