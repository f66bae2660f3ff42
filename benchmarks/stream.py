"""A stream beside the whole recording: equal texts, latency, and memory over hours.

    OMP_NUM_THREADS=1 python -m benchmarks.stream equal MANIFEST --model RUN --count 200
    OMP_NUM_THREADS=1 python -m benchmarks.stream latency MANIFEST --model RUN
    OMP_NUM_THREADS=1 python -m benchmarks.stream memory MANIFEST --model RUN --hours 8
    OMP_NUM_THREADS=1 python -m benchmarks.stream words MANIFEST --model RUN --every 4

`equal` decodes each utterance whole and in ten random sequences of pieces, with a beam search if
--beam is given. `latency` times the processor per block of audio. `memory` streams the utterances
again and again with pauses of 0.3 to 2 s, and prints the resident memory. `words` streams each
speaker's utterances with pauses of about 1.5 s, and prints the WER, of each speaker too, and how
late words are output.
"""

import argparse
import itertools
import time
from collections.abc import Iterator

import jiwer
import numpy as np
import torch

from speechgru.acoustics import level
from speechgru.audio import read_utterance
from speechgru.checkpoint import frame_timing
from speechgru.info import look_ahead
from speechgru.manifest import Utterance, read_manifest
from speechgru.measure import status_bytes
from speechgru.recognizer import Recognizer
from speechgru.streaming import BLOCK_SECONDS, DEFAULT_RULES, Endpointing, Samples

CHUNKINGS = 10
NAMES = ("text", "alone", "alone in the noise", "stream", "without endpoints")  # of `words`


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["equal", "latency", "memory", "words"])
    parser.add_argument("manifest")
    parser.add_argument("--model", required=True)
    parser.add_argument("--beam", action="store_true")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--every", type=int, default=1, help="words: use every n-th utterance")
    parser.add_argument("--noise", type=float, help="words: add white noise, in dBFS")
    options = parser.parse_args()
    decoder = "beam" if options.beam else "greedy"
    recognizer = Recognizer.load(options.model, "cpu", decoder=decoder)
    if options.what == "words":
        measure_words(recognizer, read_manifest(options.manifest)[:: options.every], options.noise)
        return
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
                f"{seconds / 3600:.2f} h: {status_bytes('VmRSS') / 2**20:.1f} MB, "
                f"{finals} finals {speed}",
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


def measure_words(recognizer: Recognizer, utterances: list[Utterance], noise: float | None) -> None:
    """WER of NAMES; how long after the end of an utterance its last token is output, in seconds."""
    rng, rate = np.random.default_rng(1), recognizer.sample_rate
    texts: dict[str, list[str]] = {name: [] for name in NAMES}
    delays: list[float] = []
    for speaker in dict.fromkeys(each.speaker for each in utterances):
        mine = [each for each in utterances if each.speaker == speaker]
        mine = [mine[i] for i in rng.permutation(len(mine))]
        waves = [read_utterance(each, rate) for each in mine]
        pauses = [round(1.5 * rate * rng.uniform(0.7, 1.3)) for _ in mine]
        samples = np.concatenate([np.pad(w, (0, p)) for w, p in zip(waves, pauses, strict=True)])
        if noise is not None:
            added = 10 ** (noise / 20) * rng.standard_normal(len(samples))
            samples += added.astype(np.float32)
        ends = np.cumsum([len(w) + p for w, p in zip(waves, pauses, strict=True)])
        begins = [int(e) - len(w) - p for e, w, p in zip(ends, waves, pauses, strict=True)]
        noisy = [samples[b : b + len(w)] for b, w in zip(begins, waves, strict=True)]
        found = [
            " ".join(each.text for each in mine),
            _joined(recognizer, waves),
            _joined(recognizer, noisy),
            *(_streamed(recognizer, rules, samples) for rules in (DEFAULT_RULES, None)),
        ]
        for name, text in zip(NAMES, found, strict=True):
            texts[name].append(text)
        loudness = np.median([level(wave, rate) for wave in waves])
        rates = ", ".join(
            f"{name} {100 * jiwer.wer(found[0], text):.1f} %"
            for name, text in zip(NAMES[1:], found[1:], strict=True)
        )
        print(f"{speaker}, {loudness:.0f} dBFS: {rates}", flush=True)
        spikes = _token_times(recognizer, samples)
        for begin, wave, end in zip(begins, waves, ends, strict=True):
            after = spikes[(spikes > begin / rate) & (spikes < end / rate)]
            delays += [float(t) - (begin + len(wave)) / rate for t in after[-1:]]
    for name in NAMES[1:]:
        print(f"{name}: WER {100 * jiwer.wer(texts[NAMES[0]], texts[name]):.1f} %")
    median, most = np.median(delays), np.quantile(delays, 0.9)
    print(f"last token after the end of its word: median {median:.2f} s, 90 % {most:.2f} s")


def _joined(recognizer: Recognizer, waves: list[Samples]) -> str:
    found = [getattr(each, "text", "") for each in recognizer.transcribe_all(waves)]
    return " ".join(text for text in found if text)


def _streamed(recognizer: Recognizer, rules: Endpointing | None, samples: Samples) -> str:
    stream = recognizer.stream(rules)
    return " ".join(final.text for final in stream.accept(samples) + stream.finish())


def _token_times(recognizer: Recognizer, samples: Samples) -> np.ndarray:
    """Where tokens but spaces begin on the best path, in seconds."""
    made = recognizer.checkpoint
    features = made.extract(samples)
    with torch.inference_mode():
        log_probs, _ = made.model(features[None], torch.tensor([len(features)]))
    best = log_probs[0].argmax(dim=1).numpy()
    silent = [made.vocabulary.blank, *made.vocabulary.encode(" ")]
    begins = (np.diff(best, prepend=0) != 0) & ~np.isin(best, silent)
    step, start = frame_timing(made)
    return start + np.flatnonzero(begins) * step


if __name__ == "__main__":
    main()
