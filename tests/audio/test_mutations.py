"""A seeded sample of what `python tests/audio/mutations.py --count 10000` does."""

import time
from collections import Counter
from pathlib import Path

import mutations
import pytest

COUNT = 300


def test_a_mutated_file_is_read_or_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    started = time.process_time()
    found: Counter[str] = Counter()
    for _, path in mutations.mutations(tmp_path, range(COUNT)):
        found[mutations.outcome(path)] += 1
    assert found.total() == COUNT
    assert min(found["read"], found["refused"]) > COUNT / 10  # both happen
    assert time.process_time() - started < 10
    assert "Traceback" not in capfd.readouterr().err  # PyAV prints those of callbacks


def test_what_is_read_of_a_mutated_file_is_recognised(tmp_path: Path) -> None:
    found: Counter[str] = Counter()
    for _, path in mutations.mutations(tmp_path, range(3, 1203, 40)):
        found[mutations.recognised(path)] += 1
    assert found.total() == 30
    assert min(found["read"], found["refused"]) > 3


def test_mutations_are_the_same_each_time() -> None:
    content = bytes(range(256)) * 20
    first, again, other = (mutations.mutated(content, content, seed) for seed in (1, 1, 2))
    assert first == again
    assert len({content, first, other}) == 3
