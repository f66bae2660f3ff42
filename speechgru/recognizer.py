"""Recognizer: audio → Emission → Transcript, the only way from audio to text.

Design choices:
- Two halves. `emissions` runs the model (torch); `decode` turns an emission into text (NumPy, a
  decoder of `speechgru.decoding`). Emissions can be computed once and decoded many times.
- Results come in the order of the sources and while these are still being read. Sources are read
  in windows, sorted by length and run in batches. None of this changes an emission: a row's output
  does not depend on its batch mates.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speechgru import kernels
from speechgru.audio import MAX_RATE, MIN_RATE, read_audio, read_utterance, resample
from speechgru.audio.arrays import mono
from speechgru.audio.levels import frame_levels
from speechgru.batches import AudioCache, load_ahead, pad
from speechgru.checkpoint import Checkpoint, frame_timing, load_model
from speechgru.decoding import Decoder, Emission, Greedy, Transcript, make_decoder
from speechgru.decoding.confidence import Calibration
from speechgru.decoding.settings import Decoding, choose_decoding, load_decoder
from speechgru.decoding.transcript import join_transcripts, transcribe_section
from speechgru.errors import AudioError, SpeechgruError
from speechgru.manifest import Utterance
from speechgru.streaming import DEFAULT_RULES, Endpointing, Stream
from speechgru.text import normalise

Source = str | Path | Utterance | npt.NDArray[Any]
MAX_WINDOW = 32  # batches of audio that are read before they are sorted by length


@dataclass(frozen=True, slots=True)
class Loaded:
    """The features of one source, (frames, size), its levels, and its duration in seconds."""

    features: Tensor
    levels: npt.NDArray[np.float32]
    seconds: float


class Recognizer:
    """A trained model with a decoder.

    >>> recognizer = Recognizer.load("runs/digits")           # doctest: +SKIP
    >>> recognizer.transcribe("a.wav").text                   # doctest: +SKIP
    'seven zero three'

    Args:
        batch_seconds: audio per batch, padding included.
        decoder: made for the checkpoint's vocabulary; greedy if None.
        calibration: of the words' confidence with this decoder, and their times.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | torch.device = "cpu",
        batch_seconds: float = 30.0,
        decoder: Decoder | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        if not batch_seconds > 0:
            raise SpeechgruError(
                f"batch_seconds {batch_seconds:g}: expected a number of seconds above 0"
            )
        self.checkpoint, self.device = checkpoint, torch.device(device)
        self.batch_seconds = batch_seconds
        self.decoder: Decoder = decoder or Greedy(checkpoint.vocabulary)
        self.calibration = calibration or Calibration()
        self.alternatives = 0  # further texts per transcript, from a decoder that has them
        self.sample_rate = checkpoint.config.features.sample_rate

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str = "auto",
        precision: str = "float32",
        batch_seconds: float = 30.0,
        decoder: str | Decoding | None = None,
        hotwords: str | Path | None = None,
    ) -> "Recognizer":
        """Read a run folder or a model file.

        Args:
            device: auto (a GPU when present), cpu, cuda, cuda:1, …
            precision: of the recurrent weights on a CPU, one of `speechgru.kernels.PRECISIONS`. A
                processor without support for it computes in float32 and a warning is logged.
            batch_seconds: audio per batch, padding included. More is faster on a GPU.
            decoder: a name in `speechgru.decoding.DECODERS`, or settings of a beam search. If None,
                those of decoding.yaml beside the model; without that file, greedy.
            hotwords: phrases to prefer, "anna:2,new york", or a file of them.

        Raises:
            CheckpointError: no such model, or a damaged one.
            SpeechgruError: an unknown device, precision or decoder, or reduced precision on a GPU.
            LanguageModelError: a language model, vocabulary or hot words that cannot be used.
        """
        checkpoint = load_model(path)
        chosen = choose_device(device)
        if precision not in kernels.PRECISIONS:
            names = ", ".join(kernels.PRECISIONS)
            raise SpeechgruError(f"precision {precision!r}: expected one of {names}")
        if precision != "float32" and chosen.type != "cpu":
            raise SpeechgruError(
                f"precision {precision} is for CPUs only and the device is {chosen}: use --device "
                "cpu or --precision float32"
            )
        for layer in checkpoint.model.recurrent_layers():
            layer.set_precision(precision)
        checkpoint.model.to(chosen).eval().requires_grad_(False)
        found = _load_decoder(checkpoint, path, decoder, hotwords)
        return cls(checkpoint, chosen, batch_seconds, found)

    def transcribe(self, source: Source, sample_rate: int | None = None) -> Transcript:
        """A file, a manifest's utterance, or an array of samples, mono (n,) or (n, channels), at
        `sample_rate` Hz (default: the model's). Raises AudioError for a source without audio."""
        if isinstance(source, np.ndarray) and sample_rate not in (None, self.sample_rate):
            assert sample_rate is not None
            if not MIN_RATE <= sample_rate <= MAX_RATE:
                raise AudioError(
                    f"a sample rate of {sample_rate} Hz: expected {MIN_RATE} to {MAX_RATE}"
                )
            source = resample(mono(source), sample_rate, self.sample_rate)
        loaded = self._load(source, None)
        if isinstance(loaded, SpeechgruError):
            raise loaded
        (emission,) = self._forward([loaded])
        return self.decode(emission)

    def stream(
        self, endpointing: Endpointing | None = DEFAULT_RULES, sample_rate: int | None = None
    ) -> Stream:
        """Recognise audio while it arrives, at `sample_rate` Hz (default: the model's).

        `endpointing`: where an utterance ends; None: at the end of the stream only.
        Raises RecipeError: the model is bidirectional, or its features need the whole recording.
        """
        return Stream(
            self.checkpoint, self.decoder, self.calibration, self.device, endpointing, sample_rate
        )

    def transcribe_all(
        self, sources: Iterable[Source], cache: AudioCache | None = None
    ) -> Iterator[Transcript | SpeechgruError]:
        """Yield one result per source, in order: a Transcript, or the error."""
        for emission in self.emissions(sources, cache):
            yield emission if isinstance(emission, SpeechgruError) else self.decode(emission)

    def decode(self, emission: Emission, decoder: Decoder | None = None) -> Transcript:
        """The words that the decoder (its own, if None) finds, section by section."""
        use = decoder or self.decoder
        parts = []
        for section in emission.sections():
            nbest = getattr(use, "nbest", None) if self.alternatives else None
            found = nbest(section, self.alternatives + 1) if nbest else [use(section)]
            vocabulary = self.checkpoint.vocabulary
            parts.append(transcribe_section(section, found, vocabulary, self.calibration))
        return join_transcripts(parts)

    def emissions(
        self, sources: Iterable[Source], cache: AudioCache | None = None
    ) -> Iterator[Emission | SpeechgruError]:
        """Yield one result per source, in order: its Emission, or the error.

        In memory are at most a window of sources (MAX_WINDOW batches of audio, and the last
        source) and, per loading thread, two sources ahead.
        """
        threads = torch.get_num_threads()
        workers = threads if threads > 1 else 0
        loaded = load_ahead(sources, lambda source: self._load(source, cache), workers)
        for window in _windows(loaded, self.batch_seconds):
            seconds = {i: x.seconds for i, x in enumerate(window) if isinstance(x, Loaded)}
            done: dict[int, Emission] = {}
            for group in self._group(seconds):
                rows = [x for i in group if isinstance(x := window[i], Loaded)]
                done |= zip(group, self._forward(rows), strict=True)
            for index, item in enumerate(window):
                yield done[index] if isinstance(item, Loaded) else item

    def _load(self, source: Source, cache: AudioCache | None) -> Loaded | SpeechgruError:
        try:
            samples = self._samples(source, cache)
            extract = self.checkpoint.extract
            levels = frame_levels(samples, extract.hop)
            return Loaded(extract(samples), levels, len(samples) / self.sample_rate)
        except SpeechgruError as error:
            return error

    def _samples(self, source: Source, cache: AudioCache | None) -> npt.NDArray[np.float32]:
        if isinstance(source, Utterance):
            if cache is not None:
                return cache.read(source)
            return read_utterance(source, self.sample_rate)
        if isinstance(source, np.ndarray):
            return mono(source)
        if isinstance(source, str | os.PathLike):
            return read_audio(source, self.sample_rate)
        raise AudioError(
            f"a {type(source).__name__}: expected a path, an Utterance or a NumPy array of samples "
            "(convert a torch tensor with tensor.numpy(), a list with numpy.array(list))"
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
    def _forward(self, batch: list[Loaded]) -> list[Emission]:
        features, lengths = pad([row.features for row in batch])
        log_probs, lengths = self.checkpoint.model(
            features.to(self.device), lengths.to(self.device)
        )
        table = log_probs.float().cpu().numpy()
        step, start = frame_timing(self.checkpoint)
        hop = step / self.checkpoint.config.model.factor
        return [
            Emission(table[i, :length], step, start, row.seconds, row.levels, hop)
            for i, (row, length) in enumerate(zip(batch, lengths.tolist(), strict=True))
        ]


def _load_decoder(
    checkpoint: Checkpoint,
    path: str | Path,
    decoder: str | Decoding | None,
    hotwords: str | Path | None,
) -> Decoder:
    if decoder is None:
        decoder = choose_decoding(path, hotwords=hotwords) or "greedy"
    if isinstance(decoder, str) and hotwords is None:
        return make_decoder(decoder, checkpoint.vocabulary)
    if isinstance(decoder, str):
        raise SpeechgruError(f"hot words need a beam search, and the decoder is {decoder}")
    return load_decoder(
        decoder,
        checkpoint.vocabulary,
        lambda text: normalise(text, checkpoint.config.text),
        hotwords,
    )


def choose_device(name: str) -> torch.device:
    """`auto` is a GPU when there is one. Raises SpeechgruError: unknown or absent device."""
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


def _windows(
    loaded: Iterable[Loaded | SpeechgruError], batch_seconds: float
) -> Iterator[list[Loaded | SpeechgruError]]:
    """Cut a stream of sources into lists of one batch's audio, then two batches', four, … up to
    MAX_WINDOW: the first results come soon, and later windows are long enough to sort."""
    batches, seconds = 1, 0.0
    window: list[Loaded | SpeechgruError] = []
    for item in loaded:
        window.append(item)
        # at least 1 s each: many short files, or errors, need not wait for minutes of audio either
        seconds += max(1.0, item.seconds) if isinstance(item, Loaded) else 1.0
        if seconds >= batches * batch_seconds:
            yield window
            window, seconds, batches = [], 0.0, min(2 * batches, MAX_WINDOW)
    if window:
        yield window
