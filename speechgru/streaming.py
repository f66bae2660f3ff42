"""Recognising audio while it arrives, with a unidirectional model.

Design choices:
- Audio is processed in blocks of BLOCK_SECONDS, whatever the pieces in which it arrives. So the
  results do not depend on the pieces, bit for bit.
- An utterance ends in the middle of a pause, where no token is, or, without a pause, where its
  last word begins. The model's state continues: its outputs are those for the whole recording, and
  no word is cut unless it is as long as an utterance may be.
- `finish` ends the recording as `Recognizer.transcribe` does: what is in the look-ahead is
  recognised.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor

from speechgru.audio import Samples
from speechgru.audio.arrays import channels_of, check_rate
from speechgru.audio.levels import frame_levels
from speechgru.audio.segmentation import runs
from speechgru.audio.stream_mixing import StreamMixer
from speechgru.checkpoint import Checkpoint, frame_timing, inference
from speechgru.decoding import Decoder, Emission, Transcript
from speechgru.decoding.confidence import Calibration
from speechgru.decoding.emission import Floats
from speechgru.decoding.transcript import transcribe_section
from speechgru.decoding.words import spell
from speechgru.errors import AudioError, RecipeError, SpeechgruError
from speechgru.features import CAUSAL, FeatureExtractor

BLOCK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Endpointing:
    """When an utterance ends, in seconds. Silence is frames in which the best token is blank.

    silence: after a word.
    initial_silence: before the first word; it is dropped.
    longest: without a pause.

    Raises SpeechgruError unless 0.2 ≤ silence ≤ initial_silence and 1 ≤ longest.
    """

    silence: float = 0.8
    initial_silence: float = 5.0
    longest: float = 20.0

    def __post_init__(self) -> None:
        if not (0.2 <= self.silence <= self.initial_silence and self.longest >= 1):
            raise SpeechgruError(
                f"{self}: expected 0.2 ≤ silence ≤ initial_silence and 1 ≤ longest, in seconds"
            )


DEFAULT_RULES = Endpointing()


@dataclass(frozen=True, slots=True)
class Final:
    """An utterance that has ended: it never changes. `start` is in seconds from the beginning of
    the stream, as are the times of the words."""

    start: float
    transcript: Transcript

    @property
    def text(self) -> str:
        return self.transcript.text


class FeatureStream:
    """The frames of one recording, piece by piece.

    All pieces together are the frames of `FeatureExtractor` for the whole, up to rounding. Cut into
    the same pieces, they are equal bit for bit.

    Raises RecipeError for features that need the whole recording.
    """

    def __init__(self, extract: FeatureExtractor) -> None:
        recipe = extract.recipe
        if recipe.normalise not in CAUSAL:
            raise RecipeError(
                f"features.normalise {recipe.normalise} needs the whole recording; train a model "
                "with features.normalise=running to use it on a stream"
            )
        if recipe.deltas:
            raise RecipeError(
                f"features.deltas {recipe.deltas} depend on the end of the recording; train a "
                "model with features.deltas=0 to use it on a stream"
            )
        self.extract = extract
        self._running = extract.start() if recipe.normalise == "running" else None
        self._rest: Samples = np.empty(0, np.float32)  # of the next frame
        self._started = False

    def __call__(self, samples: Samples, last: bool = False) -> Tensor:
        """The frames that end in the next samples, (frames, size). With `last`, those of the tail,
        too."""
        extract = self.extract
        samples = np.concatenate([self._rest, samples])
        if last:
            tail = np.zeros(extract.tail, np.float32)
            samples = np.append(samples, tail) if self._started else extract.with_tail(samples)
        count = max(0, (len(samples) - extract.n_fft) // extract.hop + 1)
        self._rest = samples[count * extract.hop :]
        if not count:
            return torch.empty(0, extract.size, dtype=torch.float32, device="cpu")
        self._started = True
        used = samples[: (count - 1) * extract.hop + extract.n_fft]
        features, weights = extract.raw(used, running=self._running)
        return extract.normalise(features, weights, self._running)


class Stream:
    """The recognition of one stream; made by `Recognizer.stream`.

    >>> stream = recognizer.stream()                            # doctest: +SKIP
    >>> for samples in microphone:                              # doctest: +SKIP
    ...     for final in stream.accept(samples):
    ...         print(final.text)
    ...     print(stream.partial, end="\\r")
    >>> stream.finish()                                         # doctest: +SKIP

    `partial` is the text so far of the utterance that has not ended; it may change. It is computed
    when it is read, in a time that grows with the utterance.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        decoder: Decoder,
        calibration: Calibration,
        device: torch.device,
        endpointing: Endpointing | None,
        sample_rate: int | None,
    ) -> None:
        self.checkpoint, self.decoder, self.device = checkpoint, decoder, device
        self.calibration, self.endpointing = calibration, endpointing
        self.rate = checkpoint.config.features.sample_rate
        self._resampler = _make_resampler(sample_rate, self.rate)
        self._given_rate = sample_rate or self.rate
        self._mixer: StreamMixer | None = None  # before the first samples
        self._seconds_per_frame, self._first_frame = frame_timing(checkpoint)
        self._frame_samples = round(self._seconds_per_frame * self.rate)
        self._block_frames = max(1, round(BLOCK_SECONDS / self._seconds_per_frame))
        self._space, self._starts = checkpoint.vocabulary.between, checkpoint.vocabulary.starts
        self._waiting: Samples = np.empty(0, np.float32)  # not read by the model yet
        self._position = 0  # samples of the stream that the model has read
        self._finished = False
        self._state = checkpoint.model.initial_state()
        self._features = FeatureStream(checkpoint.extract)
        self._begin_utterance(0)

    @property
    def partial(self) -> str:
        found = [] if self._finished else self._search.nbest(1)
        words = spell(found[0], self.checkpoint.vocabulary) if found else ()
        return " ".join(word.text for word in words)

    def accept(self, samples: npt.NDArray[Any]) -> list[Final]:
        """The next samples, (n,) or (n, channels), float in [-1, 1] or int16, n ≥ 0. Returns the
        utterances that end in them.

        Raises AudioError for other arrays, NaN and infinity, and after `finish`.
        """
        self._refuse_finished()
        if np.ndim(samples) and not len(samples):
            return []
        new = channels_of(samples)
        channels = new.shape[1]
        if self._mixer is None:
            self._mixer = StreamMixer(self._given_rate, channels)
        if channels != self._mixer.channels:
            raise AudioError(
                f"samples with {channels} channels, after {self._mixer.channels} in this stream"
            )
        return self._resampled(self._mixer.mix(new))

    def finish(self) -> list[Final]:
        """The end of the stream. Returns the last utterances."""
        self._refuse_finished()
        finals = []
        if self._mixer is not None:
            finals += self._resampled(self._mixer.flush())
        if self._resampler is not None:
            rest = np.empty(0, np.float32)
            finals += self._read(self._resampler.resample_chunk(rest, last=True))
        self._finished = True
        if self._position + len(self._waiting) > self._start:
            self._advance(self._waiting, last=True)
            finals += self._end(self._search, self._frames, self._position)
        return finals

    def _resampled(self, samples: Samples) -> list[Final]:
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        return self._read(samples)

    def _refuse_finished(self) -> None:
        if self._finished:
            raise AudioError("the stream is finished: make another one for more audio")

    def _read(self, samples: Samples) -> list[Final]:
        """Block by block; returns the utterances that end."""
        finals: list[Final] = []
        size = self._block_frames * self._frame_samples
        self._waiting = np.concatenate([self._waiting, samples])
        while len(self._waiting) >= size:
            block, self._waiting = self._waiting[:size], self._waiting[size:]
            self._advance(block)
            if self.endpointing is not None:
                finals += self._end_if_due(self.endpointing)
        return finals

    def _begin_utterance(self, start: int) -> None:
        """An utterance begins at this sample of the stream."""
        self._start = start
        self._search = self.decoder.start()
        self._log_probs: list[Floats] = []
        self._levels: list[Floats] = []
        self._frames = 0  # of the utterance
        self._spoken = 0  # up to its last token

    def _advance(self, samples: Samples, last: bool = False) -> None:
        """Read the next samples; the last block may be of any length."""
        self._position += len(samples)
        hop = self.checkpoint.extract.hop
        if len(samples) >= hop or not self._levels:
            self._levels.append(frame_levels(samples, hop))
        with inference():
            features = self._features(samples, last)[None].to(self.device)
            log_probs, self._state = self.checkpoint.model.step(features, self._state, last)
            self._add(log_probs[0].float().cpu().numpy())

    def _add(self, log_probs: Floats) -> None:
        """The next frames of the utterance."""
        best = log_probs.argmax(axis=1)
        silent = (best == self.checkpoint.vocabulary.blank) | np.isin(best, self._space)
        if not silent.all():
            self._spoken = self._frames + int(np.flatnonzero(~silent)[-1]) + 1
        self._log_probs.append(log_probs)
        self._frames += len(log_probs)
        self._search.feed(log_probs)

    def _end_if_due(self, rules: Endpointing) -> list[Final]:
        """End the utterance where the rules require it, and begin the next one."""
        silent = (self._frames - self._spoken) * self._seconds_per_frame
        if silent >= (rules.silence if self._spoken else rules.initial_silence):
            return self._cut(self._frames - round(rules.silence / 2 / self._seconds_per_frame))
        if self._frames * self._seconds_per_frame >= rules.longest:
            return self._cut(self._last_break())
        return []

    def _last_break(self) -> int:
        """The frame in which the last word begins; without one, the middle of the longest run of
        blanks in the second half, so that no token is in two utterances; without those, the end."""
        best = np.concatenate(self._log_probs).argmax(axis=1)
        first = np.diff(best, prepend=best[0]) != 0  # of the frames of one token
        starts = np.flatnonzero(np.isin(best, self._starts) & first)
        if len(starts):
            return int(starts[-1])
        blanks = runs(best == self.checkpoint.vocabulary.blank)
        blanks = blanks[blanks.sum(axis=1) > self._frames]
        if not len(blanks):
            return self._frames
        return int(blanks[np.diff(blanks).argmax()].sum()) // 2

    def _cut(self, frames: int) -> list[Final]:
        """End the utterance after so many frames; the others are the next one's."""
        log_probs, levels = np.concatenate(self._log_probs), np.concatenate(self._levels)
        end = self._start + frames * self._frame_samples
        search = self.decoder.start()
        search.feed(log_probs[:frames])
        finals = self._end(search, frames, end)
        self._begin_utterance(end)
        self._levels.append(levels[frames * self.checkpoint.config.model.factor :])
        self._add(log_probs[frames:])
        return finals

    def _end(self, search: Any, frames: int, end: int) -> list[Final]:
        """The utterance of so many frames, which ends at this sample of the stream; none without
        words."""
        begin, seconds = self._start / self.rate, (end - self._start) / self.rate
        hop = self.checkpoint.extract.hop
        log_probs = np.concatenate(self._log_probs)[:frames]
        levels = np.concatenate(self._levels)[: max(1, (end - self._start) // hop)]
        emission = Emission(
            log_probs, self._seconds_per_frame, begin + self._first_frame, seconds, levels,
            hop / self.rate, begin,
        )  # fmt: skip
        hypothesis = self.decoder.finish(search, emission)
        vocabulary = self.checkpoint.vocabulary
        transcript = transcribe_section(emission, [hypothesis], vocabulary, self.calibration)
        return [Final(begin, transcript)] if transcript.text else []


def _make_resampler(given: int | None, wanted: int) -> soxr.ResampleStream | None:
    if given is None or given == wanted:
        return None
    check_rate(given)
    return soxr.ResampleStream(given, wanted, 1, dtype="float32", quality="HQ")
