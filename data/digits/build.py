"""Builds the embedded digits corpus: connected digits spoken by speech synthesisers.

Design:
- A phrase of digits is spoken without pauses wherever the engine reports where each word begins
  (espeak-ng, flite, festival, Kokoro), so words run into each other as in real speech. Pico does
  not: its words are spoken one by one.
- Phrases are trimmed and joined by short pauses; then comes a room, a microphone's tilt, noise and
  a level. None of these moves a word: the direct signal keeps its times.
- Every draw is keyed by (SEED, utterance), so the same engine versions give the same corpus.
- `tract` shortens (> 1) or lengthens (< 1) a voice's vocal tract by resampling; tempo is set right
  again by the engine.

    python data/digits/build.py            # some 20 minutes; packages: see README.md
    python data/digits/build.py pico flite      # the voices of these engines only, others are kept
"""

import csv
import ctypes
import itertools
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import kokoro
import numpy as np
import soundfile
import soxr

HERE = Path(__file__).parent
SEED = 8
RATE = 16_000  # Hz
BITRATE = 16  # kbit/s
DRAWN = {"train": 37, "dev": 25, "test": 24}  # texts per voice; the first ones are spoken
LENGTHS = {1: 0.12, 2: 0.11, 3: 0.14, 4: 0.19, 5: 0.16, 6: 0.14, 7: 0.14}  # digits: share
SHORTER = {1: 0.4, 2: 0.15, 3: 0.15, 4: 0.1, 5: 0.08, 6: 0.06, 7: 0.06}  # for Kokoro in train
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PHONES = dict(zip(DIGITS, (4, 3, 2, 3, 3, 3, 4, 5, 2, 3), strict=True))  # in flite's lexicon
FABLE = (
    "The north wind and the sun were disputing which was the stronger, when a traveller came along "
    "wrapped in a warm cloak. They agreed that the one who first made the traveller take his cloak "
    "off should be considered stronger than the other. Then the north wind blew as he could."
)  # what the babble says


@dataclass(frozen=True)
class Voice:
    id: str
    split: str
    engine: str
    voice: str  # the engine's name for it
    accent: str
    gender: str
    pitch: float  # the engine's own unit: espeak 0-99, flite and festival Hz, pico %; 0: as it is
    tract: float
    utterances: int


@dataclass(frozen=True)
class Phrase:
    """Digits spoken without pauses."""

    words: tuple[str, ...]
    tempo: float  # 1: the engine's ordinary speed
    pitch: float  # × the voice's pitch


@dataclass(frozen=True)
class Chunk:
    """Audio at `rate` Hz and (start, end) of each of its words in seconds."""

    audio: np.ndarray
    rate: float
    times: list[tuple[float, float]]


# ── engines: (voice, phrases) → for each phrase its chunks ──────────────────────────────────────


class _EspeakId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("text", ctypes.c_char * 8)]


class _EspeakEvent(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("id", _EspeakId),
    ]


_EspeakCallback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_EspeakEvent)
)


@cache
def espeak_library():
    library = ctypes.CDLL("libespeak-ng.so.1")
    return library, library.espeak_Initialize(2, 0, None, 1)  # synchronous, with phoneme events


def espeak_say(voice: str, text: str, rate: int, pitch: int) -> Chunk:
    """`rate` in words per minute. `times` has (start, end) per word."""
    library, sample_rate = espeak_library()
    pieces, starts = [], {}  # starts: position in the text → second

    @_EspeakCallback
    def collect(wave, count, event):
        if wave and count > 0:
            pieces.append(np.ctypeslib.as_array(wave, (count,)).astype(np.float32) / 32768)
        i = 0
        while event[i].type:  # 7: a phoneme begins
            if event[i].type == 7 and not event[i].id.text.startswith(b"_"):  # a phone, not a pause
                starts.setdefault(event[i].text_position, event[i].sample / sample_rate)
            i += 1
        return 0

    library.espeak_SetSynthCallback(collect)
    if library.espeak_SetVoiceByName(voice.encode()):
        raise SystemExit(f"espeak-ng has no voice {voice}")
    for parameter, value in ((1, rate), (2, 40), (3, pitch)):  # 2: volume, low against clipping
        library.espeak_SetParameter(parameter, value, 0)
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)
    audio = np.concatenate(pieces)
    bounds = [*starts.values(), len(audio) / sample_rate]
    return Chunk(audio, sample_rate, list(itertools.pairwise(bounds)))


def espeak(voice: Voice, phrases: list[Phrase]) -> list[list[Chunk]]:
    return [
        [
            espeak_say(
                voice.voice,
                " ".join(phrase.words),
                round(158 * phrase.tempo),
                round(voice.pitch * phrase.pitch),
            )
        ]
        for phrase in phrases
    ]


def flite(voice: Voice, phrases: list[Phrase]) -> list[list[Chunk]]:
    return [[flite_say(voice, phrase)] for phrase in phrases]


def flite_say(voice: Voice, phrase: Phrase) -> Chunk:
    with tempfile.NamedTemporaryFile(suffix=".wav") as wav:
        command = ["flite", "-voice", voice.voice, "--setf", f"duration_stretch={1 / phrase.tempo}"]
        if voice.pitch:
            command += ["--setf", f"int_f0_target_mean={voice.pitch * phrase.pitch:.1f}"]
        command += ["-psdur", "-t", " ".join(phrase.words), "-o", wav.name]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        audio, rate = soundfile.read(wav.name, dtype="float32")
    phones, clock = [], 0.0
    for name, end in re.findall(r"(\S+):([\d.]+)", printed):
        if name != "pau":
            phones.append((clock, float(end)))
        clock = float(end)
    times, at = [], 0
    for word in phrase.words:
        times.append((phones[at][0], phones[at + PHONES[word] - 1][1]))
        at += PHONES[word]
    if at != len(phones):
        raise SystemExit(f"flite said {len(phones)} phones for {phrase.words}, expected {at}")
    return Chunk(audio, rate, times)


FESTIVAL = """
(define (say text out)
  (let ((u (utt.synth (eval (list 'Utterance 'Text text)))))
    (utt.save.wave u out 'riff)
    (mapcar (lambda (w) (format t "%s %f %f\\n" out (item.feat w 'word_start)
                                (item.feat w 'word_end)))
            (utt.relation.items u 'Word))))
"""


def festival(voice: Voice, phrases: list[Phrase]) -> list[list[Chunk]]:
    with tempfile.TemporaryDirectory() as folder:
        script = [FESTIVAL, f"(voice_{voice.voice})"]
        for i, phrase in enumerate(phrases):
            script.append(f"(Parameter.set 'Duration_Stretch {1 / phrase.tempo:.3f})")
            if voice.pitch:
                mean = voice.pitch * phrase.pitch
                script.append(
                    f"(set! int_lr_params '((target_f0_mean {mean:.1f}) (target_f0_std 14)"
                    " (model_f0_mean 170) (model_f0_std 34)))"
                )
            script.append(f'(say "{" ".join(phrase.words)}" "{folder}/{i}.wav")')
        path = Path(folder, "say.scm")
        path.write_text("\n".join(script))
        command = ["festival", "-b", str(path)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        times: dict[str, list[tuple[float, float]]] = {}
        for line in printed.splitlines():
            out, start, end = line.split()
            times.setdefault(out, []).append((float(start), float(end)))
        chunks = []
        for i in range(len(phrases)):
            audio, rate = soundfile.read(f"{folder}/{i}.wav", dtype="float32")
            chunks.append([Chunk(audio, rate, times[f"{folder}/{i}.wav"])])
    return chunks


def pico(voice: Voice, phrases: list[Phrase]) -> list[list[Chunk]]:
    return [
        [pico_say(voice, phrase, word + ",") for word in phrase.words[:-1]]
        + [pico_say(voice, phrase, phrase.words[-1] + ".")]
        for phrase in phrases
    ]


def pico_say(voice: Voice, phrase: Phrase, word: str) -> Chunk:
    with tempfile.NamedTemporaryFile(suffix=".wav") as wav:
        text = (
            f'<speed level="{round(118 * phrase.tempo)}">'
            f'<pitch level="{round(voice.pitch * phrase.pitch)}">{word}</pitch></speed>'
        )
        subprocess.run(["pico2wave", "-l", voice.voice, "-w", wav.name, text], check=True)
        audio, rate = soundfile.read(wav.name, dtype="float32")
    return Chunk(audio, rate, [(0.0, len(audio) / rate)])  # silence around it is cut off later


def neural(voice: Voice, phrases: list[Phrase]) -> list[list[Chunk]]:
    """Kokoro: phrases of about ten digits in one go, at the tempo of the first."""
    chunks, waiting = [], []
    for i, phrase in enumerate(phrases, 1):
        waiting.append(phrase)
        if i == len(phrases) or sum(len(phrase.words) for phrase in waiting) >= 8:
            rng = np.random.default_rng(zlib.crc32(repr((voice.id, waiting)).encode()))
            digits = [[DIGITS.index(word) for word in phrase.words] for phrase in waiting]
            pause = str(rng.choice([".", ",", ";", "!"]))
            said = kokoro.say(voice.voice, digits, voice.accent, pause, waiting[0].tempo)
            chunks += [[Chunk(audio, kokoro.RATE, times)] for audio, times in said]
            waiting = []
    return chunks


ENGINES = {
    "espeak": espeak,
    "flite": flite,
    "festival": festival,
    "pico": pico,
    "kokoro": neural,
}

# ── joining ─────────────────────────────────────────────────────────────────────────────────────

HOP = 0.01  # s


def levels(audio: np.ndarray, rate: float) -> np.ndarray:
    """Level of each 10 ms in dB below the loudest: shape (frames,)."""
    hop = round(rate * HOP)
    frames = audio[: len(audio) // hop * hop].reshape(-1, hop)
    power = (frames**2).mean(axis=1) + 1e-12
    return 10 * np.log10(power / power.max())


def settle(chunk: Chunk, tract: float) -> Chunk:
    """At 16 kHz, with the vocal tract scaled, silence cut off, and its speech at one level."""
    audio = soxr.resample(chunk.audio, chunk.rate * tract, RATE, quality="VHQ")
    times = [(start / tract, end / tract) for start, end in chunk.times]
    loud = np.flatnonzero(levels(audio, RATE) > -45)
    first = min(max(times[0][0], loud[0] * HOP), times[0][1] - 0.05)
    last = max(min(times[-1][1], (loud[-1] + 1) * HOP), times[-1][0] + 0.05)
    begin, end = max(0.0, first - 0.015), min(len(audio) / RATE, last + 0.03)
    audio = audio[round(begin * RATE) : round(end * RATE)].astype(np.float64)
    times[0] = (first, times[0][1])
    times[-1] = (times[-1][0], last)
    power = (audio[round((first - begin) * RATE) : round((last - begin) * RATE)] ** 2).mean()
    fade = np.minimum(1, np.arange(1, len(audio) + 1) / (0.008 * RATE))
    audio *= fade * fade[::-1] / math.sqrt(power)
    return Chunk(audio, RATE, [(start - begin, end - begin) for start, end in times])


def join(breaths: list[list[Chunk]], rng) -> Chunk:
    """Chunks one after another: up to 100 ms apart in a breath, 60-250 ms between breaths."""
    pieces, times = [np.zeros(round(rng.uniform(0.12, 0.3) * RATE))], []
    for i, breath in enumerate(breaths):
        for j, chunk in enumerate(breath):
            if i or j:
                pause = rng.uniform(0.0, 0.1) if j else rng.uniform(0.06, 0.25)
                pieces.append(np.zeros(round(pause * RATE)))
            clock = sum(map(len, pieces)) / RATE
            times += [(clock + start, clock + end) for start, end in chunk.times]
            pieces.append(chunk.audio)
    pieces.append(np.zeros(round(rng.uniform(0.12, 0.3) * RATE)))
    return Chunk(np.concatenate(pieces), RATE, times)


# ── room, microphone, noise ─────────────────────────────────────────────────────────────────────


def room(audio: np.ndarray, rng) -> np.ndarray:
    """The direct signal and an exponentially fading tail (RT60 0.1-0.35 s), 8-18 dB below it."""
    decay = rng.uniform(0.1, 0.35)
    time = np.arange(round(decay * RATE)) / RATE
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / decay)
    tail[: round(rng.uniform(0.002, 0.008) * RATE)] = 0
    tail *= 10 ** (-rng.uniform(8, 18) / 20) / np.linalg.norm(tail)
    tail[0] = 1
    return convolve(audio, tail)


def convolve(audio: np.ndarray, response: np.ndarray) -> np.ndarray:
    size = len(audio) + len(response) - 1
    product = np.fft.rfft(audio, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[: len(audio)]


def tilt(audio: np.ndarray, decibels: float) -> np.ndarray:
    """`decibels` more at 8 kHz than at 100 Hz, growing with the octaves."""
    frequencies = np.maximum(np.fft.rfftfreq(len(audio), 1 / RATE), 100)
    gain = decibels * np.log(frequencies / 100) / np.log(80)
    return np.fft.irfft(np.fft.rfft(audio) * 10 ** (gain / 20), len(audio))


@cache
def babble_track() -> np.ndarray:
    """Eight voices reading at once: a loop of about 15 s."""
    voices = ("m1", "m3", "m5", "m7", "f1", "f2", "f4", "Annie")
    tracks = [settle(espeak_say(f"en-us+{v}", FABLE, 165, 50), 1.0).audio for v in voices]
    size = min(map(len, tracks))
    return sum(np.roll(t[:size], i * size // 8) for i, t in enumerate(tracks))


def noise(kind: str, size: int, rng) -> np.ndarray:
    """`size` samples of unit power."""
    if kind == "babble":
        track = babble_track()
        audio = np.roll(track, -int(rng.integers(len(track))))[:size]
        audio = np.pad(audio, (0, size - len(audio)), mode="wrap")
    else:
        audio = rng.standard_normal(size)
        if kind == "pink":
            audio = tilt(audio, -10 * math.log10(80))  # power falls as 1/f
    return audio / np.sqrt((audio**2).mean())


def record(speech: Chunk, rng) -> np.ndarray:
    """What a microphone makes of it: float in ±0.8."""
    audio = room(speech.audio, rng) if rng.random() < 0.6 else speech.audio
    audio = tilt(audio, rng.uniform(-5, 5))
    spoken = np.concatenate([audio[round(s * RATE) : round(e * RATE)] for s, e in speech.times])
    audio = audio / np.sqrt((spoken**2).mean())
    kind = rng.choice(["white", "pink", "babble"], p=[0.3, 0.4, 0.3])
    audio = audio + noise(kind, len(audio), rng) * 10 ** (-rng.uniform(15, 30) / 20)
    audio = audio * 10 ** (rng.uniform(-32, -18) / 20)
    return audio * min(1, 0.8 / abs(audio).max())


# ── corpus ──────────────────────────────────────────────────────────────────────────────────────


def texts(count: int, lengths: dict[int, float], rng) -> list[list[str]]:
    """Utterances of 1-7 digits. Dealt from shuffled decks, so that each digit is as frequent."""
    deck: list[str] = []
    dealt = []
    for size in rng.choice(list(lengths), size=count, p=list(lengths.values())):
        while len(deck) < size:
            deck += rng.permutation(DIGITS * 2).tolist()
        dealt.append(deck[:size])
        deck = deck[size:]
    return dealt


def breathe(words: list[str], voice: Voice, rng) -> list[Phrase]:
    """The utterance's phrases: one tempo and pitch, a pause after about every fourth digit."""
    tempo, pitch = rng.uniform(0.8, 1.05) / voice.tract, rng.uniform(0.93, 1.07)
    cuts = np.flatnonzero(rng.random(len(words) - 1) < 0.25) + 1
    groups = np.split(np.array(words), cuts)
    return [Phrase(tuple(group.tolist()), tempo, pitch) for group in groups]


def encode(audio: np.ndarray, path: Path, serial: int) -> None:
    command = ["opusenc", "--quiet", "--raw", "--raw-rate", str(RATE), "--raw-chan", "1"]
    command += ["--bitrate", str(BITRATE), "--speech", "--discard-comments", "--padding", "0"]
    command += ["--serial", str(serial), "-", str(path)]
    pcm = np.round(audio * 32767).astype("<i2").tobytes()
    subprocess.run(command, input=pcm, check=True)


def speak(voice: Voice) -> list[dict]:
    """All utterances of a voice: files written, manifest lines returned."""
    folder = HERE / "audio" / voice.id
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    seed = zlib.crc32(voice.id.encode())
    lengths = SHORTER if (voice.engine, voice.split) == ("kokoro", "train") else LENGTHS
    drawn = texts(DRAWN[voice.split], lengths, np.random.default_rng([SEED, seed]))
    lines = drawn[: voice.utterances]
    rngs = [np.random.default_rng([SEED, seed, i]) for i in range(len(lines))]
    plans = [breathe(words, voice, rng) for words, rng in zip(lines, rngs, strict=True)]
    said = iter(ENGINES[voice.engine](voice, [phrase for plan in plans for phrase in plan]))
    rows = []
    for i, (words, plan, rng) in enumerate(zip(lines, plans, rngs, strict=True)):
        breaths = [[settle(chunk, voice.tract) for chunk in next(said)] for _ in plan]
        speech = join(breaths, rng)
        path = folder / f"{i:02d}.opus"
        encode(record(speech, rng), path, zlib.crc32(f"{voice.id}/{i}".encode()) >> 1)
        rows.append(
            {
                "audio_filepath": path.relative_to(HERE).as_posix(),
                "duration": round(soundfile.info(path).duration, 3),
                "text": " ".join(words),
                "id": f"{voice.id}/{path.stem}",
                "speaker": voice.id,
                "words": [
                    {"word": word, "start": round(start, 3), "end": round(end, 3)}
                    for word, (start, end) in zip(words, speech.times, strict=True)
                ],
            }
        )
    return rows


def record_pauses(rows: list[dict]) -> None:
    """pauses.opus: four utterances of a test voice, pauses of 1.5 s, white noise of -45 dBFS."""
    rows = [row for row in rows if row["speaker"] == "espeak-us-m4"][:4]
    pause = np.zeros(round(1.5 * RATE))
    parts = [pause]
    for row in rows:
        parts += [soundfile.read(HERE / row["audio_filepath"])[0], pause]
    audio = np.concatenate(parts)
    rng = np.random.default_rng([SEED, zlib.crc32(b"pauses")])
    audio += 10 ** (-45 / 20) * rng.standard_normal(len(audio))
    encode(np.clip(audio, -1, 1), HERE / "pauses.opus", zlib.crc32(b"pauses") >> 1)
    print("pauses.opus:", " / ".join(row["text"] for row in rows))


def kept(voice: Voice) -> list[dict]:
    """The manifest lines of a voice built earlier, as many as it has now; other files go."""
    with open(HERE / f"{voice.split}.jsonl") as file:
        rows = [row for row in map(json.loads, file) if row["speaker"] == voice.id]
    for row in rows[voice.utterances :]:
        (HERE / row["audio_filepath"]).unlink(missing_ok=True)
    return rows[: voice.utterances]


def main() -> None:
    engines = sys.argv[1:] or list(ENGINES)
    if unknown := set(engines) - set(ENGINES):
        raise SystemExit(f"no such engine: {', '.join(unknown)}; there are {', '.join(ENGINES)}")
    with open(HERE / "voices.tsv", newline="") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    kinds = {"pitch": float, "tract": float, "utterances": int}
    voices = [Voice(**row | {k: kind(row[k]) for k, kind in kinds.items()}) for row in table]
    rows: dict[str, list[dict]] = {split: [] for split in DRAWN}
    for voice in voices:
        rows[voice.split] += speak(voice) if voice.engine in engines else kept(voice)
        print(voice.split, voice.id, flush=True)
    for split, lines in rows.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (HERE / f"{split}.jsonl").write_text(text)
        hours = sum(line["duration"] for line in lines) / 3600
        print(f"{split}: {len(lines)} utterances, {hours:.3f} h")
    if "espeak" in engines:
        record_pauses(rows["test"])


if __name__ == "__main__":
    main()
