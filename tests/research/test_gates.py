"""Time constants: the factor f against the cell's own Jacobian, and τ of fixed gates."""

import math
from pathlib import Path

import pytest
import torch
from subject import write_subject

from research.probes.gates import (
    gates_jobs,
    mean_log_retention,
    summarise,
    time_constants,
)
from research.probes.subjects import load_subjects
from speechgru.errors import SpeechgruError


def test_time_constants_of_fixed_gates(tmp_path: Path) -> None:
    """Forget gates fixed at σ(b): τ = −1 / ln σ(b), whatever the input."""
    (subject,) = load_subjects(
        [write_subject(tmp_path / "m.safetensors", "lstm", bidirectional=True)]
    )
    biases = torch.linspace(-2.0, 5.0, 8)
    for cell in subject.checkpoint.model.recurrent_layers()[0].directions:
        for parameter in cell.parameters():
            parameter.data.zero_()
        cell.get_parameter("bias_ih").data[8:16] = biases
    features = [torch.randn(30, 20), torch.randn(11, 20)]
    (taus,) = time_constants(subject.checkpoint, features)
    expected = [-1 / math.log(1 / (1 + math.exp(-b))) for b in biases.tolist()]
    assert taus == pytest.approx(expected * 2, rel=1e-4)


def test_the_backward_direction_starts_at_the_end(tmp_path: Path) -> None:
    (subject,) = load_subjects([write_subject(tmp_path / "m.safetensors", bidirectional=True)])
    features = torch.randn(30, 20)
    (taus,) = time_constants(subject.checkpoint, [features])
    expected: list[float] = []
    x = features.reshape(1, 15, 40)
    for cell, frames in zip(
        subject.checkpoint.model.recurrent_layers()[0].directions, (x, x.flip(1)), strict=True
    ):
        state, total = cell.initial_state(1), torch.zeros(8)
        for frame in cell.project(frames, torch.ones(1, 15, dtype=torch.bool))[0]:
            total += cell.log_retention(frame[None], state)[0].detach()
            state = cell.step(frame[None], state)
        expected += (-15 / total).tolist()
    assert taus == pytest.approx(expected, rel=1e-4)


def test_frames_not_utterances_are_averaged(tmp_path: Path) -> None:
    (subject,) = load_subjects([write_subject(tmp_path / "m.safetensors", "mingru")])
    features = [torch.randn(40, 20), torch.randn(4, 20)]
    (taus,) = time_constants(subject.checkpoint, features)
    layer = subject.checkpoint.model.recurrent_layers()[0]
    each = [
        mean_log_retention(layer.directions[0], features.reshape(1, -1, 40)).detach()
        for features in features
    ]
    together = -22 / (20 * each[0] + 2 * each[1])
    assert taus == pytest.approx(together.tolist(), rel=1e-4)


def test_tables_have_milliseconds_per_layer(tones: Path, tmp_path: Path) -> None:
    runs = [write_subject(tmp_path / f"{seed}.safetensors", seed=seed, layers=2) for seed in (1, 2)]
    jobs = gates_jobs(load_subjects(runs), tones / "test.jsonl", utterances=2)
    finding = summarise([job.settings | job.measure() for job in jobs])
    assert len(finding.tables) == len(finding.figures) == 2
    rows = finding.tables[0].rows
    assert [row["models"] for row in rows] == ["gru, untrained", "gru, trained"]
    assert [row["number of models"] for row in rows] == [2, 2]
    # Update gates near 0.5 retain for −1 / ln 0.5 = 1.44 frames of 20 ms.
    median = rows[1]["p50"]
    assert 10 < median.low <= median.median <= median.high < 80
    assert rows[1]["p10"].high < median.low


def test_a_cell_without_gates_is_refused(tmp_path: Path, tones: Path) -> None:
    subjects = load_subjects([write_subject(tmp_path / "m.safetensors", "rnn")])
    with pytest.raises(SpeechgruError, match=r"'rnn'.*gru"):
        gates_jobs(subjects, tones / "test.jsonl")
