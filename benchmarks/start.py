"""Processor time and memory from the start of `train` to its first step, for a long manifest.

    D=data/digits
    OMP_NUM_THREADS=1 python -m benchmarks.start $D/train.jsonl $D/dev.jsonl --lines 2000000

The lines of the manifest are repeated, each time with ids of their own and below another link to
its folder, so that all paths differ.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from speechgru.manifest import Utterance, read_manifest
from speechgru.manifest_writer import to_json_line
from speechgru.recipe import make_recipe
from speechgru.training import loop


class _Started(Exception):
    """The first step would be taken now."""


@dataclass(frozen=True)
class Cost:
    """Seconds of processor time, all threads, and the largest resident memory in MB."""

    seconds: float
    megabytes: float


def repeated(utterances: list[Utterance], folder: Path) -> Iterator[Utterance]:
    """The utterances again and again, in folder/0, folder/1, …, which are links."""
    root = Path(utterances[0].audio).anchor
    for number in count():
        (folder / str(number)).symlink_to(root)
        for utterance in utterances:
            path = folder / str(number) / Path(utterance.audio).relative_to(root)
            yield replace(utterance, audio=str(path), id=f"{number}-{utterance.id}")


def write_long(source: Path, lines: int, folder: Path) -> Path:
    """A manifest of so many lines."""
    path = folder / "long.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for one in islice(repeated(read_manifest(source), folder), lines):
            line: dict[str, object] = {"audio_filepath": one.audio, "duration": one.duration,
                                       "text": one.text, "id": one.id}  # fmt: skip
            file.write(to_json_line(line | ({"speaker": one.speaker} if one.speaker else {})))
    return path


def start(train: Path, dev: Path, out: Path) -> Cost:
    """Everything before the first step of ten epochs, in this process."""
    recipe = make_recipe(
        {
            "data": {"train": [str(train)], "dev": str(dev)},
            "features": {"sample_rate": 8000, "mels": 40},
            "training": {"epochs": 10},
        }
    )

    def stop(*_: Any) -> None:
        raise _Started

    step, loop.train_step = loop.train_step, stop  # type: ignore[assignment]
    try:
        loop.train(recipe, out, "cpu")
    except _Started:
        pass
    finally:
        loop.train_step = step
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(time.process_time(), memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("dev", type=Path)
    parser.add_argument("--lines", type=int, default=2_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = time.process_time()
        train = write_long(arguments.train, arguments.lines, folder)
        made = time.process_time() - made
        cost = start(train, arguments.dev, folder / "run")
    print(f"{arguments.lines:,} lines: {cost.seconds - made:.1f} s, {cost.megabytes:,.0f} MB")


if __name__ == "__main__":
    main()
