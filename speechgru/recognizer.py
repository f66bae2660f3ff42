"""Recognizer: audio → Emission → Transcript, the only way from audio to text.

Design choices:
- Two halves. `emissions` runs the model (torch); `decode` turns an emission into text (NumPy, a
  decoder of `speechgru.decoding`). Emissions can be computed once and decoded many times.
- Results come in the order of the sources and while these are still being read. Sources are cut
  into pieces (`sections`), and these read in windows, sorted by length and run in batches. None of
  this changes an emission: a row's output does not depend on its batch mates.
- A recording of hours is decoded section by section, in bounded memory.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speechgru import kernels
from speechgru.batches import AudioCache, load_ahead, pad
from speechgru.cells.precision import use_precision
from speechgru.checkpoint import Checkpoint, frame_timing, inference, load_model
from speechgru.decoding import BeamSearch, Decoder, Emission, Greedy, Transcript, make_decoder
from speechgru.decoding.confidence import FILE as CALIBRATION
from speechgru.decoding.confidence import Calibration, read_calibrations
from speechgru.decoding.emission import join
from speechgru.decoding.settings import Decoding, choose_decoding, load_decoder
from speechgru.decoding.transcript import join_transcripts, transcribe_section
from speechgru.errors import SpeechgruError, none_readable
from speechgru.manifest import Utterance
from speechgru.measure import return_memory
from speechgru.model_file import model_path
from speechgru.sections import Assembler, Cutter, Piece
from speechgru.sources import Source, read_blocks, to_rate
from speechgru.streaming import DEFAULT_RULES, Endpointing, Stream

RETURN_SECONDS = 900.0  # of audio after which freed memory is returned to the system
MAX_WINDOW = 8  # batches of audio that are read before they are sorted by length
OnProgress = Callable[[int, int, str], None]  # done, of how many, name
Item = tuple[int, Piece | SpeechgruError]  # place of a source, and one of its pieces or its error


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
                processor that does not support it, or for which it is not faster (measured once per
                process), computes in float32 and a warning is logged.
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
        use_precision(checkpoint.model.recurrent_layers(), precision)
        checkpoint.model.to(chosen).eval().requires_grad_(False)
        found = _load_decoder(checkpoint, path, decoder, hotwords)
        return cls(checkpoint, chosen, batch_seconds, found, _load_calibration(path, found))

    def transcribe(self, source: Source, sample_rate: int | None = None) -> Transcript:
        """Transcribe a path, a manifest's utterance, an array of samples, mono (n,) or (n,
        channels), at `sample_rate` Hz (default: the model's), the bytes of an audio file, or a file
        opened in binary mode. Raises AudioError for a source without audio."""
        if isinstance(source, np.ndarray) and sample_rate not in (None, self.sample_rate):
            assert sample_rate is not None
            source = to_rate(source, sample_rate, self.sample_rate)
        (result,) = self.transcribe_all([source])
        if isinstance(result, SpeechgruError):
            raise result
        return result

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
        self,
        sources: Iterable[Source],
        on_progress: Callable[[int, float], None] = lambda index, seconds: None,
    ) -> Iterator[Transcript | SpeechgruError]:
        """Yield one result per source, in order: a Transcript, or the error.

        `on_progress` is called after each section of a recording with the source's place and how
        many of its seconds are done.
        """
        parts: list[Transcript] = []
        for index, section, is_last in self._sections(sources):
            if isinstance(section, SpeechgruError):
                yield section
                parts = []
                continue
            parts.append(self.decode(section))
            on_progress(index, section.begin + section.duration)
            if is_last:
                yield join_transcripts(parts)
                parts = []

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

        In memory are at most a window of pieces (MAX_WINDOW batches of audio, and the last piece)
        and, per loading thread, the beginning of two sources ahead.
        """
        parts: list[Emission] = []
        for _, section, is_last in self._sections(sources, cache):
            if isinstance(section, SpeechgruError):
                yield section
                parts = []
                continue
            parts.append(section)
            if is_last:
                yield join(parts)
                parts = []

    def readable_emissions(
        self,
        utterances: Sequence[Utterance],
        failed: dict[str, str],
        on_progress: OnProgress = lambda done, total, id_: None,
        cache: AudioCache | None = None,
    ) -> Iterator[tuple[Utterance, Emission]]:
        """Each utterance that can be read, with its Emission; the others are added to `failed`: id
        → reason. `on_progress` is called after each with the number done, their total and its id.
        Raises AudioError at the end if none of them can be read."""
        results, readable = self.emissions(utterances, cache), False
        for number, (utterance, result) in enumerate(zip(utterances, results, strict=True), 1):
            on_progress(number, len(utterances), utterance.id)
            if isinstance(result, SpeechgruError):
                failed[utterance.id] = str(result)
            else:
                readable = True
                yield utterance, result
        if failed and not readable:
            raise none_readable(failed)

    def _sections(
        self, sources: Iterable[Source], cache: AudioCache | None = None
    ) -> Iterator[tuple[int, Emission | SpeechgruError, bool]]:
        """(place of the source, its next section, whether it is the last one), or its error."""
        assembler: Assembler | None = None
        unreturned = 0.0
        for window in _windows(self._pieces(sources, cache), self.batch_seconds):
            pieces = [piece for _, piece in window if isinstance(piece, Piece)]
            unreturned += sum(piece.seconds for piece in pieces)
            if unreturned >= RETURN_SECONDS:
                kernels.release_buffers()
                return_memory()
                unreturned = 0.0
            tables = self._run(pieces)
            for index, piece in window:
                if isinstance(piece, SpeechgruError):
                    assembler = None
                    yield index, piece, True
                    continue
                assembler = assembler or self._new_assembler()
                sections = list(assembler.add(piece, next(tables)))
                assembler = None if piece.is_last else assembler
                for number, section in enumerate(sections, 1):
                    yield index, section, piece.is_last and number == len(sections)

    def _new_assembler(self) -> Assembler:
        timing = frame_timing(self.checkpoint)
        hop = timing[0] / self.checkpoint.config.model.factor
        return Assembler(timing, hop, len(self.checkpoint.vocabulary))

    def _pieces(self, sources: Iterable[Source], cache: AudioCache | None) -> Iterator[Item]:
        cutter = Cutter(self.checkpoint, self.calibration.shortest)

        def load(source: Source) -> Iterator[Piece | SpeechgruError]:
            return cutter.pieces(read_blocks(source, self.sample_rate, cache))

        threads = torch.get_num_threads()
        loaded = load_ahead(sources, load, threads if threads > 1 else 0)
        for index, pieces in enumerate(loaded):
            for piece in pieces:
                yield index, piece

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

    def _run(self, pieces: list[Piece]) -> Iterator[npt.NDArray[np.float32] | None]:
        """The log-probabilities (frames, tokens) of pieces in order; None without features."""
        seconds = {i: p.seconds for i, p in enumerate(pieces) if p.features is not None}
        done: dict[int, npt.NDArray[np.float32]] = {}
        for group in self._group(seconds):
            rows = [row for i in group if (row := pieces[i].features) is not None]
            done |= zip(group, self._forward(rows), strict=True)
        for index in range(len(pieces)):
            yield done.pop(index, None)

    @inference()
    def _forward(self, rows: list[Tensor]) -> list[npt.NDArray[np.float32]]:
        features, lengths = pad(rows)
        log_probs, lengths = self.checkpoint.model(
            features.to(self.device), lengths.to(self.device)
        )
        table = log_probs.float().cpu().numpy()
        # copies, so that a long row does not keep its whole batch in memory
        return [table[i, :length].copy() for i, length in enumerate(lengths.tolist())]


def _load_decoder(
    checkpoint: Checkpoint,
    path: str | Path,
    decoder: str | Decoding | None,
    hotwords: str | Path | None,
) -> Decoder:
    if decoder is None:
        decoder = choose_decoding(path, hotwords=hotwords) or "greedy"
    if isinstance(decoder, str):
        made = make_decoder(decoder, checkpoint.vocabulary)
        if hotwords is None:
            return made
        if not isinstance(made, BeamSearch):
            raise SpeechgruError(f"hot words need a beam search, and the decoder is {decoder}")
        decoder = Decoding()
    return load_decoder(decoder, checkpoint.vocabulary, checkpoint.normalise, hotwords)


def _load_calibration(path: str | Path, decoder: Decoder) -> Calibration:
    """The decoder's calibration in the file beside the model; without one, the default."""
    file = calibration_file(path)
    known = read_calibrations(file) if file.exists() else {}
    return known.get(decoder_kind(decoder), Calibration())


def calibration_file(model: str | Path) -> Path:
    """Where the calibration of a run folder or model file is."""
    return model_path(model).with_name(CALIBRATION)


def decoder_kind(decoder: Decoder) -> str:
    """The name under which a decoder's calibration is stored."""
    return "greedy" if isinstance(decoder, Greedy) else "beam"


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


def _windows(items: Iterable[Item], batch_seconds: float) -> Iterator[list[Item]]:
    """Cut a stream of pieces into lists of one piece, of one batch's audio, two batches', four, …
    up to MAX_WINDOW: the first result comes at once, and later windows are long enough to sort."""
    batches, seconds = 0, 0.0
    window: list[Item] = []
    for item in items:
        window.append(item)
        # at least 1 s each: many short files, or errors, need not wait for minutes of audio either
        piece = item[1]
        seconds += max(1.0, piece.seconds) if isinstance(piece, Piece) else 1.0
        if seconds >= batches * batch_seconds:
            yield window
            window, seconds, batches = [], 0.0, min(max(1, 2 * batches), MAX_WINDOW)
    if window:
        yield window
