"""Tuning: one pass of the model, and choices that are not mere luck."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speechgru import tuning
from speechgru.decoding.settings import Decoding
from speechgru.errors import LanguageModelError
from speechgru.lm.arpa import arpa_bytes
from speechgru.lm.smoothing import train
from speechgru.lm.text import read_lines
from speechgru.manifest import read_manifest
from speechgru.measure import torch_threads
from speechgru.recognizer import Recognizer
from speechgru.tuning import Point, plot, tune
from tests.lm.texts import corpus


def point(errors: list[int], weight: float = 0.0, score: float = 0.0, **other: Any) -> Point:
    decoding = Decoding(lm_weight=weight, word_score=score, **other)
    return Point(decoding, np.array(errors), sum(errors) / 100, 0.1)


def test_better_is_more_than_chance() -> None:
    assert point([0, 0, 0, 0]).is_better(point([1, 1, 1, 0]))
    assert not point([1, 0, 0, 0]).is_better(point([0, 1, 1, 0]))
    assert not point([0, 0, 0, 0]).is_better(point([3, 0, 0, 0]))  # one utterance
    assert not point([1]).is_better(point([1]))


def test_a_lucky_point_does_not_win() -> None:
    wer = np.array([[30, 30, 30, 30], [30, 10, 30, 30], [30, 30, 14, 13], [30, 30, 14, 14]])
    grid = [
        Point(Decoding(lm_weight=x / 10, word_score=y), np.array([wer[x, y]]), wer[x, y] / 100, 0.1)
        for x in range(4)
        for y in range(4)
    ]
    best = tuning._flattest(grid).decoding
    assert (best.lm_weight, best.word_score) in {(0.2, 2.0), (0.2, 3.0), (0.3, 2.0), (0.3, 3.0)}


def test_a_wider_beam_must_be_clearly_better() -> None:
    narrow, lucky = point([1, 1, 1, 1], beam=25), point([0, 2, 1, 0], beam=50)
    assert tuning._narrowest([narrow, lucky]) is narrow
    wide = point([0, 0, 0, 1], beam=100)
    assert tuning._narrowest([narrow, lucky, wide]) is lucky  # no worse than wide beyond chance
    assert tuning._narrowest([narrow, point([1, 1, 1, 1], beam=50), wide]) is wide


def test_without_a_language_model_the_grid_is_a_line() -> None:
    grid = [point([errors], 0.0, score) for score, errors in ((-1, 9), (0, 4), (1, 5), (2, 9))]
    assert tuning._flattest(grid).decoding.word_score == 0


def test_a_border_needs_to_be_the_best_point() -> None:
    errors = {-4: 639, -3: 629, -2: 643, -1: 663, 0: 726}
    line = [point([count], 0.0, score) for score, count in errors.items()]
    assert tuning._flattest(line).decoding.word_score == -3


@pytest.fixture
def lm(tones: Path, tmp_path: Path) -> Path:
    path = tmp_path / "lm.arpa"
    model = train(corpus(list(read_lines([tones / "train.jsonl"]))), 2, "word").model
    path.write_bytes(arpa_bytes(model, compress=False))
    return path


def test_the_model_runs_once(
    tone_run: Path, tones: Path, lm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = Recognizer.load(tone_run, "cpu", decoder="greedy")
    frames = 0
    forward = recognizer._forward

    def counted(batch: list[Any]) -> Any:
        nonlocal frames
        frames += len(batch)
        return forward(batch)

    monkeypatch.setattr(recognizer, "_forward", counted)
    utterances = read_manifest(tones / "dev.jsonl")
    steps: list[tuple[int, int]] = []
    found = tune(
        recognizer,
        utterances,
        Decoding().changed(lm),
        lambda done, total, name: steps.append((done, total)),
    )
    assert frames == len(utterances)
    assert steps[-1][0] == steps[-1][1]
    assert found.best.wer <= found.greedy.wer
    assert found.best.decoding.lm == str(lm)
    assert len(found.grid) == len(tuning.LM_WEIGHTS) * len(tuning.WORD_SCORES)


def test_as_many_threads_decode_as_torch_may_use(
    tone_run: Path, tones: Path, lm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def pool(count: int) -> ThreadPoolExecutor:
        threads.append(count)
        return ThreadPoolExecutor(count)

    monkeypatch.setattr(tuning, "ThreadPoolExecutor", pool)
    monkeypatch.setattr(tuning, "LM_WEIGHTS", (0.0, 0.5))
    monkeypatch.setattr(tuning, "WORD_SCORES", (0.0, 1.0))
    recognizer = Recognizer.load(tone_run, "cpu", decoder="greedy")
    with torch_threads(3):
        tune(recognizer, read_manifest(tones / "dev.jsonl"), Decoding().changed(lm))
    assert threads == [3]


def test_a_vocabulary_stays_closed(tone_run: Path, tones: Path, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("am\nmo\noa\n")  # "ma" is missing
    found = tune(
        Recognizer.load(tone_run, "cpu", decoder="greedy"),
        read_manifest(tones / "dev.jsonl"),
        Decoding().changed(vocabulary=tmp_path / "words"),
    )
    assert found.best.decoding.unknown_cost is None
    assert found.best.wer > found.greedy.wer
    plot(found, tmp_path / "plot.svg")
    plot(found, tmp_path / "again.svg")
    chart = (tmp_path / "plot.svg").read_bytes()
    assert b"<svg" in chart
    assert chart == (tmp_path / "again.svg").read_bytes()


def test_words_are_scored_in_the_form_of_the_references(
    tone_run: Path, tones: Path, digits_for_tones: Path
) -> None:
    found = tune(
        Recognizer.load(tone_run, "cpu", decoder="greedy"),
        read_manifest(tones / "dev.jsonl"),
        Decoding().changed(vocabulary=digits_for_tones),
    )
    assert found.best.wer <= found.greedy.wer


def test_nothing_to_tune(tone_run: Path, tones: Path) -> None:
    recognizer = Recognizer.load(tone_run, "cpu", decoder="greedy")
    with pytest.raises(LanguageModelError):
        tune(recognizer, read_manifest(tones / "dev.jsonl"), Decoding())


def test_unreadable_utterances_are_named(
    tone_run: Path, tones: Path, lm: Path, tmp_path: Path
) -> None:
    for name in ("dev", "dev.jsonl"):
        source = tones / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)  # type: ignore[operator]
    (tmp_path / "dev" / "003.wav").write_bytes(b"broken")
    found = tune(
        Recognizer.load(tone_run, "cpu", decoder="greedy"),
        read_manifest(tmp_path / "dev.jsonl"),
        Decoding().changed(lm),
    )
    assert len(found.failed) == 1
    assert len(found.best.errors) == 7
