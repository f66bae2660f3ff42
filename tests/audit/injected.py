"""A folder of good recordings in which problems of every kind are injected, each in its own
utterances, and which kind each of them is expected to have.

    python tests/audit/injected.py FOLDER 1000     how many of 1,000 problems the audit finds
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

Samples = npt.NDArray[np.float32]
RATE = 16000
LETTERS = "abcdefghilmnoprstuvé"
IMPLIED = {  # what else may be found where a kind was injected
    "mojibake": {"rare-character", "symbol"},
    "mixed-scripts": {"rare-character"},
    "long-audio": {"speaking-rate"},
    "beyond-full-scale": {"offset"},
    "text-too-long": {"speaking-rate"},
}


class Corpus:
    """Utterances of a train set and a test set, written as WAV, with problems in some of them."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.folder, self.rng = folder, np.random.default_rng(seed)
        self.lines: dict[str, list[dict[str, object]]] = {"train": [], "test": []}
        self.expected: dict[tuple[str, int], str] = {}  # (manifest, line) → kind
        self.words = ["".join(self.rng.choice(list(LETTERS), 5)) for _ in range(3000)]
        self.count = 0
        folder.mkdir(parents=True, exist_ok=True)

    def text(self) -> str:
        return " ".join(self.rng.choice(self.words, 5))

    def speech(self, seconds: float | None = None) -> Samples:
        """Bursts of noise with a falling spectrum and pauses between them."""
        seconds = seconds or float(self.rng.uniform(1.8, 2.4))
        size = round(seconds * RATE)
        white = self.rng.standard_normal(size)
        spectrum = np.fft.rfft(white) / (1 + np.arange(size // 2 + 1) / size * RATE / 800)
        wave = np.fft.irfft(spectrum, size)
        bursts = 0.02 + np.clip(np.sin(np.arange(size) * 2 * np.pi * 3 / RATE), 0, 1)
        wave *= bursts * self.rng.uniform(0.05, 0.3) / np.abs(wave * bursts).max()
        return np.asarray(wave + 1e-4 * self.rng.standard_normal(size), dtype=np.float32)

    def add(
        self,
        kind: str = "",
        samples: Samples | None = None,
        split: str = "train",
        content: Callable[[bytes], bytes] | None = None,
        suffix: str = ".wav",
        rate: int = RATE,
        subtype: str = "PCM_16",
        **changes: object,
    ) -> dict[str, object]:
        """Write one utterance; `changes` are values of its line, None for a key to remove."""
        self.count += 1
        name = f"{split}{self.count:05}{suffix}"
        samples = self.speech() if samples is None else samples
        path = self.folder / name
        soundfile.write(path, samples, rate, subtype, format="WAV")
        if content is not None:
            path.write_bytes(content(path.read_bytes()))
        line: dict[str, object] = {
            "audio_filepath": name, "duration": len(samples) / rate, "text": self.text(),
            "id": name[:-4], "speaker": f"{split}{self.count % 7}",
        }  # fmt: skip
        line |= changes
        self.lines[split].append({k: v for k, v in line.items() if v is not None})
        if kind:
            self.expected[split, len(self.lines[split])] = kind
        return line

    def write(self) -> list[Path]:
        paths = [self.folder / f"{name}.jsonl" for name in self.lines]
        for path, lines in zip(paths, self.lines.values(), strict=True):
            path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return paths


def stereo(left: Samples, right: Samples) -> Samples:
    return np.stack([left, right], axis=1)


def narrow(samples: Samples) -> Samples:
    return np.asarray(soxr.resample(soxr.resample(samples, RATE, 8000), 8000, RATE), np.float32)


# Each injects a problem of its kind into a corpus.
INJECTIONS: dict[str, Callable[[Corpus], object]] = {
    "bad-line": lambda c: c.add("bad-line", duration="long"),
    "duplicate-id": lambda c: c.add("duplicate-id", id=c.add()["id"]),
    "missing-file": lambda c: c.add("missing-file", audio_filepath=f"no{c.count}.wav"),
    "empty-file": lambda c: c.add("empty-file", content=lambda b: b"" if c.count % 2 else b[:44]),
    "undecodable": lambda c: c.add("undecodable", content=lambda b: b"\x07" * 5000),
    "truncated": lambda c: c.add("truncated", content=lambda b: b[: len(b) // 2]),
    "wrong-suffix": lambda c: c.add("wrong-suffix", suffix=".mp3"),
    "mixed-rate": lambda c: c.add("mixed-rate", soxr.resample(c.speech(), RATE, 22050), rate=22050),
    "silent-channel": lambda c: c.add("silent-channel", stereo(x := c.speech(), 0 * x)),
    "inverted-channels": lambda c: c.add("inverted-channels", stereo(x := c.speech(), -x)),
    "duration-too-long": lambda c: c.add("duration-too-long", duration=4.5),
    "duration-too-short": lambda c: c.add("duration-too-short", duration=0.9),
    "long-audio": lambda c: c.add("long-audio", c.speech(31)),
    "silent": lambda c: c.add("silent", 1e-5 * c.speech()),
    "mostly-silent": lambda c: c.add("mostly-silent", np.concatenate(
        [np.zeros(RATE, np.float32), c.speech(0.5), np.zeros(2 * RATE, np.float32)])),
    "clipped": lambda c: c.add("clipped", np.clip((x := c.speech()) / x.max() * 3, -0.9, 0.9)),
    "beyond-full-scale": lambda c: c.add(
        "beyond-full-scale", (x := c.speech()) * (24 / x.max()), subtype="FLOAT"),
    "offset": lambda c: c.add("offset", c.speech() + 0.06),
    "low-bandwidth": lambda c: c.add("low-bandwidth", narrow(c.speech())),
    "empty-text": lambda c: c.add("empty-text", text=" - "),
    "text-too-long": lambda c: c.add("text-too-long", text=" ".join([c.text()] * 6)),
    "speaking-rate": lambda c: c.add("speaking-rate", c.speech(20)),
    "digits": lambda c: c.add("digits", text=f"{c.text()} {c.rng.integers(10, 99)}"),
    "symbol": lambda c: c.add("symbol", text=f"{c.text()} %"),
    "markup": lambda c: c.add("markup", text=f"{c.text()} <noise>"),
    "rare-character": lambda c: c.add("rare-character", text=f"{c.text()} {chr(0x4E00 + c.count)}"),
    "mixed-scripts": lambda c: c.add("mixed-scripts", text=f"{c.text()} b\u0430n\u0430n"),
    "unicode-form": lambda c: c.add("unicode-form", text=c.text() + " e\u0301"),
    "mojibake": lambda c: c.add("mojibake", text=f"{c.text()} schÃ¶n"),
    "duplicate-audio": lambda c: c.add(
        "duplicate-audio", x := c.speech(), text=c.add(samples=x)["text"]),
    "contradictory-copies": lambda c: [c.add("contradictory-copies", x) for x in [c.speech()] * 2],
    "shared-audio": lambda c: [c.add(k, x, s) for x in [c.speech()] for k, s in
                               (("shared-audio", "train"), ("", "test"))],
    "shared-speaker": lambda c: c.add(
        "shared-speaker", split="test", speaker=c.add(speaker=f"s{c.count}")["speaker"]),
    "shared-sentence": lambda c: c.add("shared-sentence", split="test", text=c.add()["text"]),
}  # fmt: skip


def make(folder: Path, problems: int, clean: int) -> tuple[Corpus, list[Path]]:
    """A corpus with about `problems` problems, the kinds in turn, between `clean` utterances."""
    corpus = Corpus(folder)
    kinds = [list(INJECTIONS)[number % len(INJECTIONS)] for number in range(problems)]
    for step in corpus.rng.permutation(problems + clean):
        if step < problems:
            INJECTIONS[kinds[step]](corpus)
        else:
            corpus.add(split="test" if step % 5 == 0 else "train")
    return corpus, corpus.write()


def compare(corpus: Corpus, found: set[tuple[str, int, str]]) -> tuple[list[str], list[str]]:
    """Problems that were not found, and those found where none of that kind was injected."""
    expected = {(*place, kind) for place, kind in corpus.expected.items()}
    implied = {
        (*place, other)
        for place, kind in corpus.expected.items()
        for other in IMPLIED.get(kind, ())
    }
    missed = sorted(map(str, expected - found))
    return missed, sorted(map(str, found - expected - implied))


def main() -> None:
    import time

    from speechgru.audit import audit

    folder, problems = Path(sys.argv[1]), int(sys.argv[2])
    corpus, paths = make(folder, problems, 4 * problems)
    began, cpu = time.perf_counter(), time.process_time()
    report = audit(paths)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    missed, false = compare(
        corpus, {(Path(p.manifest).stem, p.line, p.kind) for p in report.problems}
    )
    print(f"{corpus.count} utterances, {len(corpus.expected)} problems of {len(INJECTIONS)} kinds")
    print(f"missed {len(missed)}: {missed[:20]}")
    print(f"false alarms {len(false)}: {false[:20]}")
    print(f"{took:.1f} s, {cpu:.1f} s of CPU")


if __name__ == "__main__":
    main()
