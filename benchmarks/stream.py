"""A stream beside the whole recording: equal texts, latency, and memory over hours.

    OMP_NUM_THREADS=1 python -m benchmarks.stream equal MANIFEST --model RUN --count 200
    OMP_NUM_THREADS=1 python -m benchmarks.stream latency MANIFEST --model RUN
    OMP_NUM_THREADS=1 python -m benchmarks.stream memory MANIFEST --model RUN --hours 8

`equal` decodes each utterance whole and in ten random sequences of pieces, with a beam search if
--beam is given. `latency` times the processor per block of audio. `memory` streams the utterances
again and again with pauses of 0.3 to 2 s, and prints the resident memory.
"""

import argparse
import itertools
import time
from collections.abc import Iterator

import numpy as np

from speechgru.audio import read_utterance
from speechgru.info import look_ahead
from speechgru.manifest import read_manifest
from speechgru.recognizer import Recognizer
from speechgru.streaming import BLOCK_SECONDS, Samples

CHUNKINGS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["equal", "latency", "memory"])
    parser.add_argument("manifest")
    parser.add_argument("--model", required=True)
    parser.add_argument("--beam", action="store_true")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--hours", type=float, default=8.0)
    options = parser.parse_args()
    decoder = "beam" if options.beam else "greedy"
    recognizer = Recognizer.load(options.model, "cpu", decoder=decoder)
    utterances = read_manifest(options.manifest)[: options.count]
    waves = [read_utterance(one, recognizer.sample_rate) for one in utterances]
    if options.what == "equal":
        compare(recognizer, waves)
    elif options.what == "latency":
        measure_latency(recognizer, waves)
    else:
        measure_memory(recognizer, waves, options.hours)


def compare(recognizer: Recognizer, waves: list[Samples]) -> None:
    different = streams = 0
    for number, wave in enumerate(waves):
        expected = recognizer.transcribe(wave).text
        for chunking in range(CHUNKINGS):
            rng = np.random.default_rng([number, chunking])
            cuts = np.sort(rng.integers(0, len(wave), rng.integers(1, 30)))
            stream, finals = recognizer.stream(endpointing=None), []
            for piece in np.split(wave, cuts):
                finals += stream.accept(piece)
            finals += stream.finish()
            streams += 1
            different += " ".join(final.text for final in finals) != expected
    print(f"{recognizer.decoder}: {different} of {streams} streams differ from the whole recording")


def measure_latency(recognizer: Recognizer, waves: list[Samples]) -> None:
    """Processor time per block, and of `finish`, in ms."""
    rate = recognizer.sample_rate
    blocks: list[float] = []
    ends: list[float] = []
    for wave in waves:
        stream = recognizer.stream(endpointing=None)
        for begin in range(0, len(wave), round(BLOCK_SECONDS * rate)):
            began = time.thread_time()
            stream.accept(wave[begin : begin + round(BLOCK_SECONDS * rate)])
            blocks.append(1000 * (time.thread_time() - began))
        began = time.thread_time()
        stream.finish()
        ends.append(1000 * (time.thread_time() - began))
    print(f"look-ahead {1000 * look_ahead(recognizer.checkpoint):.0f} ms")
    print(f"block {1000 * BLOCK_SECONDS:.0f} ms, read in")
    for name, times in (("block", blocks), ("finish", ends)):
        print(f"  {name}: median {np.median(times):.1f}, 99 % {np.percentile(times, 99):.1f} ms")


def measure_memory(recognizer: Recognizer, waves: list[Samples], hours: float) -> None:
    rate, stream = recognizer.sample_rate, recognizer.stream()
    seconds, reported, finals, began = 0.0, 0.0, 0, time.process_time()
    for wave in _with_pauses(waves, rate):
        finals += len(stream.accept(wave))
        seconds += len(wave) / rate
        if seconds >= reported:
            used = time.process_time() - began
            speed = f"RTF {used / seconds:.4f}" if reported else ""
            print(
                f"{seconds / 3600:.2f} h: {_resident_mb():.1f} MB, {finals} finals {speed}",
                flush=True,
            )
            reported += hours * 3600 / 16
        if seconds >= 3600 * hours:
            return


def _with_pauses(waves: list[Samples], rate: int) -> Iterator[Samples]:
    rng = np.random.default_rng(1)
    for wave in itertools.cycle(waves):
        pause = 0.001 * rng.standard_normal(int(rate * rng.uniform(0.3, 2)))
        yield np.concatenate([wave, pause.astype(np.float32)])


def _resident_mb() -> float:
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
