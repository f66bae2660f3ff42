"""Score a manifest under standard conditions: silence, noise, levels, rooms, codecs; and count the
words that a model outputs where there is no speech.

Each condition changes the samples deterministically, by a generator keyed by the condition and the
recording's number, so that two models are scored on the same audio.
"""

import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgru import acoustics
from speechgru.audio import Samples
from speechgru.batches import AudioCache
from speechgru.charts import to_svg
from speechgru.decoding.references import match_references
from speechgru.errors import AudioError, SpeechgruError, none_readable, printable
from speechgru.files import Json, atomic_write, write_json
from speechgru.manifest import Utterance, read_manifest
from speechgru.recognizer import OnProgress, Recognizer
from speechgru.scoring import Score, score

log = logging.getLogger(__name__)

Change = Callable[[Samples, int, np.random.Generator, Sequence[Samples]], Samples]
NonSpeech = Callable[[int, np.random.Generator, int], Samples]  # length, generator, rate
PAUSE = 1.0  # seconds between joined utterances
VOICES = 6  # of babble
CACHE_BYTES = 1 << 30  # of decoded audio; what does not fit is decoded for each condition


@dataclass(frozen=True, slots=True)
class Condition:
    """`change(samples, rate, generator, other utterances' samples)` → samples; `joined`: how many
    utterances make up a recording, with pauses of PAUSE seconds; `babble`: whether other utterances
    are passed."""

    name: str
    change: Change
    joined: int = 1
    babble: bool = False


@dataclass(frozen=True)
class ConditionReport:
    """The score under each condition, "clean" (nothing changed) first."""

    scores: dict[str, Score]
    failed: dict[str, str]  # utterances that could not be read: id → reason
    words_per_minute: dict[str, float]  # without speech, of each of NON_SPEECH

    def to_json(self) -> Json:
        scores = {name: scored.to_json() for name, scored in self.scores.items()}
        return {
            "conditions": scores, "words_per_minute_without_speech": self.words_per_minute,
            "failed": self.failed,
        }  # fmt: skip


def evaluate_conditions(
    recognizer: Recognizer,
    manifest: str | Path,
    on_progress: OnProgress = lambda done, total, name: None,
) -> ConditionReport:
    """Transcribe and score a manifest's utterances under every one of CONDITIONS, except babble if
    there is only one utterance.

    Raises ManifestError, and AudioError when no utterance can be read.
    """
    cache = AudioCache(recognizer.sample_rate, CACHE_BYTES)
    utterances, failed = _readable(manifest, cache)

    def read(place: int) -> Samples:
        return cache.read(utterances[place])

    normalise = recognizer.checkpoint.normalise
    texts = [normalise(utterance.text) for utterance in utterances]
    decoder = match_references(recognizer.decoder, texts, normalise)
    conditions = [each for each in CONDITIONS if len(utterances) > 1 or not each.babble]
    if len(conditions) < len(CONDITIONS):
        log.warning("%s: babble is skipped: it needs a second utterance", printable(manifest))
    scores = {}
    for number, condition in enumerate(conditions, 1):
        on_progress(number, len(conditions), condition.name)
        groups = _groups(len(utterances), condition.joined)
        made = _recordings(condition, groups, len(utterances), read, cache.sample_rate)
        hypotheses = []
        for result in recognizer.emissions(made):
            if isinstance(result, SpeechgruError):
                raise result
            hypotheses.append(normalise(recognizer.decode(result, decoder).text))
        references = [" ".join(texts[i] for i in group) for group in groups]
        ids = [utterances[group[0]].id for group in groups]
        speakers = [utterances[group[0]].speaker for group in groups]
        scores[condition.name] = score(references, hypotheses, ids, speakers)
    return ConditionReport(scores, failed, count_words_without_speech(recognizer))


def count_words_without_speech(recognizer: Recognizer) -> dict[str, float]:
    """Words per minute that a model outputs for each of NON_SPEECH, in recordings of
    NON_SPEECH_SECONDS."""
    counts = {}
    for name, make in NON_SPEECH.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        rate = recognizer.sample_rate
        recordings = (make(round(s * rate), rng, rate) for s in NON_SPEECH_SECONDS)
        words = 0
        for result in recognizer.transcribe_all(recordings):
            if isinstance(result, SpeechgruError):
                raise result
            words += len(result.text.split())
        counts[name] = 60 * words / sum(NON_SPEECH_SECONDS)
    return counts


def write_conditions(report: ConditionReport, folder: Path) -> list[Path]:
    """Write conditions.json and the chart conditions.svg into `folder`; returns the files.
    Raises SpeechgruError."""
    files = [folder / "conditions.json", folder / "conditions.svg"]
    write_json(files[0], report.to_json())
    atomic_write(files[1], _chart(report))
    return files


def _chart(report: ConditionReport) -> str:
    """WER under each condition with its interval, as SVG."""
    from matplotlib.figure import Figure

    names = list(report.scores)[::-1]
    scores = [report.scores[name] for name in names]
    figure = Figure(figsize=(7, 0.6 + 0.25 * len(names)))
    axes = figure.subplots()
    bounds = [(s.wer - s.wer_ci95[0], s.wer_ci95[1] - s.wer) for s in scores]
    errors = 100 * np.clip(np.array(bounds).T, 0, None)
    axes.barh(names, [100 * s.wer for s in scores], xerr=errors, capsize=2)
    axes.set_xlabel("WER in %, with 95 % intervals")
    axes.set_xlim(0, 100)
    return to_svg(figure)


def _readable(manifest: str | Path, cache: AudioCache) -> tuple[list[Utterance], dict[str, str]]:
    """The utterances that can be decoded, and the reasons of the others."""
    utterances, failed = [], {}
    for utterance in read_manifest(manifest):
        try:
            cache.read(utterance)
            utterances.append(utterance)
        except AudioError as error:
            failed[utterance.id] = str(error)
    if not utterances:
        raise none_readable(failed)
    return utterances, failed


def _groups(count: int, size: int) -> list[range]:
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _recordings(
    condition: Condition,
    groups: Sequence[range],
    count: int,
    read: Callable[[int], Samples],
    rate: int,
) -> Iterator[Samples]:
    """One per group of the `count` utterances whose samples `read` returns."""
    pause = np.zeros(round(PAUSE * rate), np.float32)
    for number, group in enumerate(groups):
        samples = np.concatenate([part for i in group for part in (read(i), pause)][:-1])
        rng = np.random.default_rng([zlib.crc32(condition.name.encode()), number])
        drawn = (int(i) for i in rng.integers(count, size=VOICES))
        # Those after the group in place of its own; the draws of all others stay as they are.
        voices = [(i + len(group)) % count if i in group else i for i in drawn]
        others = [read(i) for i in voices] if condition.babble else []
        yield condition.change(samples, rate, rng, others).astype(np.float32)


# Conditions ---------------------------------------------------------------------------------------


def _unchanged(samples: Samples, *_: object) -> Samples:
    return samples


def _silence(seconds: float, dbfs: float | None) -> Change:
    """Silence on both sides: digital (None), or white noise at a level."""

    def change(x: Samples, rate: int, rng: np.random.Generator, _: Sequence[Samples]) -> Samples:
        pad = round(seconds * rate)
        padded = acoustics.surround(x, pad, pad)
        if dbfs is None:
            return padded
        noise = acoustics.noise("white", len(padded), rng, rate)
        noise[pad : pad + len(x)] = 0
        return acoustics.add_noise(padded, noise, dbfs)

    return change


def _gain(db: float) -> Change:
    return lambda x, rate, rng, others: np.clip(acoustics.amplify(x, db), -1, 1)


def _noise(kind: str, snr_db: float) -> Change:
    """Noise at a ratio to the mean power of the whole recording."""

    def change(
        x: Samples, rate: int, rng: np.random.Generator, others: Sequence[Samples]
    ) -> Samples:
        if kind == "babble":
            noise = acoustics.babble(others, len(x), rng)
        else:
            noise = acoustics.noise(kind, len(x), rng, rate)
        power = float(np.mean(np.square(x, dtype=np.float64)))
        return acoustics.add_noise(x, noise, 10 * np.log10(power) - snr_db) if power else x

    return change


def _telephone(x: Samples, rate: int, *_: object) -> Samples:
    return acoustics.mu_law(acoustics.band_limit(x, rate))


def _room(x: Samples, rate: int, rng: np.random.Generator, _: Sequence[Samples]) -> Samples:
    return acoustics.reverberate(x, acoustics.room(rng, rate, rt60=0.5, direct_db=5.0))


def _codec(codec: str) -> Change:
    return lambda x, rate, rng, others: acoustics.encode(x, rate, codec)


def _noise_of(kind: str, dbfs: float) -> NonSpeech:
    return lambda length, rng, rate: acoustics.amplify(
        acoustics.noise(kind, length, rng, rate), dbfs
    )


NON_SPEECH: dict[str, NonSpeech] = {
    "zeros": lambda length, rng, rate: np.zeros(length, np.float32),
    "±1 of 16 bits": lambda length, rng, rate: (
        rng.integers(-1, 2, length).astype(np.float32) / np.float32(32768)
    ),
    "-60 dBFS noise": _noise_of("white", -60),
    "-40 dBFS noise": _noise_of("white", -40),
    "hum": _noise_of("hum", -30),
    "tones": lambda length, rng, rate: acoustics.amplify(acoustics.tones(length, rng, rate), -25),
}
NON_SPEECH_SECONDS = (1, 2, 5, 10, 20, 60)

CONDITIONS = (
    Condition("clean", _unchanged),
    *(
        Condition(
            f"{seconds:g} s of {'zeros' if db is None else f'{db} dBFS noise'}",
            _silence(seconds, db),
        )
        for db, lengths in ((None, (0.25, 1, 3, 5)), (-60, (1, 5)), (-50, (1, 5)), (-40, (1, 5)))
        for seconds in lengths
    ),
    Condition("cut to the speech", lambda x, rate, rng, others: acoustics.trim(x, rate, db=26)),
    Condition("4 joined, 1 s pauses", _unchanged, joined=4),
    *(Condition(f"level {db:+d} dB", _gain(db)) for db in (-40, -20, 6)),
    *(
        Condition(f"{kind} noise, {snr} dB", _noise(kind, snr), babble=kind == "babble")
        for kind in ("white", "babble")
        for snr in (20, 10, 5)
    ),
    Condition("telephone", _telephone),
    Condition("room, 0.5 s", _room),
    Condition("MP3, low rate", _codec("mp3")),
    Condition("Opus, low rate", _codec("opus")),
)
