"""Utterances joined to hours: WER against utterance by utterance, processor time, peak memory.

    OMP_NUM_THREADS=1 python -m benchmarks.long_audio MANIFEST --model RUN
    … --hours 5 --between silence

The utterances come again and again, in random orders, until there are so many hours of audio.
Between them are 0.3 to 2 s of digital silence, 0.3 to 2 s of white noise of −50 dBFS, or nothing.
The peak is that of the whole process, from the beginning of each transcription.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jiwer
import numpy as np
import soundfile

from speechgru.audio import read_utterance
from speechgru.decoding import Transcript
from speechgru.manifest import Utterance, read_manifest
from speechgru.measure import return_memory, status_bytes
from speechgru.recognizer import Recognizer

BETWEEN = ("silence", "noise", "nothing")
PAUSE = (0.3, 2.0)  # seconds
NOISE_DB = -50.0  # dBFS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest")
    parser.add_argument("--model", required=True)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--between", choices=BETWEEN, nargs="+", default=BETWEEN)
    options = parser.parse_args()
    recognizer = Recognizer.load(options.model, "cpu", decoder="greedy")
    utterances = read_manifest(options.manifest)
    references = [recognizer.checkpoint.normalise(each.text) for each in utterances]
    alone = [getattr(each, "text", "") for each in recognizer.transcribe_all(utterances)]
    print(f"each utterance once: {_wer(references, alone)}", flush=True)
    for between in options.between:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "joined.wav")
            order = join(utterances, path, recognizer.sample_rate, options.hours, between)
            return_memory()
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak to what is in use
            began = time.process_time()
            found = recognizer.transcribe(path)
            used = time.process_time() - began
        expected = [references[i] for i in order]
        print(
            f"{between}: {found.duration:.0f} s, {len(order)} utterances: "
            f"alone {_wer(expected, [alone[i] for i in order])}, "
            f"joined {_wer([' '.join(expected)], [found.text])}; processor {used:.1f} s "
            f"(RTF {used / found.duration:.4f}), peak {status_bytes('VmHWM') / 2**20:.0f} MB",
            flush=True,
        )
        _check_times(found)


def join(
    utterances: Sequence[Utterance], path: Path, rate: int, hours: float, between: str
) -> list[int]:
    """Write a WAV file of so many hours; returns the indices of its utterances in order."""
    rng, seconds, order = np.random.default_rng(7), 0.0, list[int]()
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
        while seconds < 3600 * hours:
            if len(order) % len(utterances) == 0:
                orders = rng.permutation(len(utterances)).tolist()
            order.append(orders[len(order) % len(utterances)])
            parts = [read_utterance(utterances[order[-1]], rate)]
            if between != "nothing":
                pause = rng.standard_normal(round(rate * rng.uniform(*PAUSE)))
                gain = 10 ** (NOISE_DB / 20) if between == "noise" else 0.0
                parts.append((gain * pause).astype(np.float32))
            for part in parts:
                file.write(part)
                seconds += len(part) / rate
    return order


def _wer(references: list[str], found: list[str]) -> str:
    return f"{100 * jiwer.wer(references, found):.2f} %"


def _check_times(transcript: Transcript) -> None:
    times = [time for word in transcript.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert not times or times[-1] <= transcript.duration


if __name__ == "__main__":
    main()
