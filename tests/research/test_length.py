"""LimitedContext context against the whole model, and error rates by length."""

from pathlib import Path

import pytest
import torch
from subject import write_subject

from research.probes.length import (
    LimitedContext,
    length_jobs,
    measure,
    summarise,
    wer_by_length,
)
from research.probes.subjects import load_subjects, some_utterances
from speechgru.batches import pad
from speechgru.model import RecurrentCTC
from speechgru.scoring import score


@pytest.fixture(
    params=[
        "unidirectional stack",
        "bidirectional stack",
        "unidirectional conv",
        "bidirectional conv",
    ]
)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> RecurrentCTC:
    ways, subsampling = request.param.split()
    path = write_subject(
        tmp_path / "m.safetensors",
        bidirectional=ways == "bidirectional",
        layers=2,
        subsampling=subsampling,
    )
    return load_subjects([path])[0].checkpoint.model


DRAWN = torch.Generator().manual_seed(0)
ROWS = [torch.randn(frames, 20, generator=DRAWN) for frames in (23, 8, 1)]


@torch.inference_mode()
def test_enough_context_is_the_whole_model(model: RecurrentCTC) -> None:
    features, lengths = pad(ROWS)
    whole, frames = model(features, lengths)
    log_probs, counted = LimitedContext(model, 12)(features, lengths)
    assert counted.tolist() == frames.tolist() == [12, 4, 1]
    for row, count in enumerate(counted.tolist()):
        torch.testing.assert_close(log_probs[row, :count], whole[row, :count])


@torch.inference_mode()
def test_a_frame_depends_on_its_context_only(model: RecurrentCTC) -> None:
    """Changing one model frame changes the outputs whose context contains it, and no others."""
    if model.recipe.subsampling == "conv":
        pytest.skip("a convolution reads its neighbours too")
    changed = ROWS[0].clone()
    changed[10:12] += 1.0  # model frame 5 of 12
    bidirectional = model.recipe.bidirectional
    for context in (0, 2):
        limited = LimitedContext(model, context)
        length = torch.tensor([len(changed)])
        moved = (
            (limited(ROWS[0][None], length)[0] - limited(changed[None], length)[0]).abs().amax(-1)
        )
        reached = [frame for frame in range(12) if moved[0, frame] > 1e-6]
        assert reached == list(range(5 - context * bidirectional, 6 + context))


@torch.inference_mode()
def test_windows_in_several_blocks_are_the_same(
    model: RecurrentCTC, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, lengths = pad(ROWS)
    once, _ = LimitedContext(model, 3)(features, lengths)
    monkeypatch.setattr("research.probes.length.WINDOW_FRAMES", 30)
    torch.testing.assert_close(LimitedContext(model, 3)(features, lengths)[0], once)


def test_groups_by_length_sum_errors_and_words() -> None:
    references = ["a b", "a", "a b c d", "a b c"]
    hypotheses = ["a b", "b", "a b c", "a b d"]
    scored = score(references, hypotheses, ["u", "v", "w", "x"], [None] * 4)
    groups = wer_by_length(scored, {"u": 2.0, "v": 1.0, "w": 9.0, "x": 3.0}, 2)
    assert groups == [
        {"seconds": 1.5, "words": 3, "wer": pytest.approx(1 / 3)},
        {"seconds": 6.0, "words": 7, "wer": pytest.approx(2 / 7)},
    ]
    assert len(wer_by_length(scored, {"u": 2.0, "v": 1.0, "w": 9.0, "x": 3.0}, 9)) == 4


def test_all_context_scores_as_the_whole_model(tones: Path, tmp_path: Path) -> None:
    (subject,) = load_subjects([write_subject(tmp_path / "m.safetensors", bidirectional=True)])
    utterances = some_utterances(tones / "test.jsonl", 12)
    whole = measure(subject.checkpoint, utterances, None, 3)
    assert measure(subject.checkpoint, utterances, 1000, 3)["cer"] == whole["cer"]
    assert sum(group["words"] for group in whole["by_length"]) == sum(
        len(utterance.text.split()) for utterance in utterances
    )
    assert measure(subject.checkpoint, utterances, 0, 3)["cer"] != whole["cer"]


def test_tables_have_a_row_per_cell(tones: Path, tmp_path: Path) -> None:
    runs = [write_subject(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (1, 2)]
    jobs = length_jobs(load_subjects(runs), tones / "test.jsonl", (0, 4), utterances=4, bins=2)
    finding = summarise([job.settings | job.measure() for job in jobs])
    by_length, by_context = finding.tables
    assert [row["cell"] for row in by_length.rows] == ["gru"]
    assert len(by_length.rows[0]) == 3
    assert list(by_context.rows[0]) == ["cell", "unlimited", "0 s", "0.08 s", "failed utterances"]
    assert set(finding.figures) == {"wer-by-duration", "wer-by-context"}


def test_contexts_are_optional(tones: Path, tmp_path: Path) -> None:
    (subject,) = load_subjects([write_subject(tmp_path / "m.safetensors")])
    (job,) = length_jobs([subject], tones / "test.jsonl", (), utterances=2, bins=1)
    assert list(summarise([job.settings | job.measure()]).figures) == ["wer-by-duration"]


def test_failed_utterances_are_counted() -> None:
    group = {"seconds": 1.0, "words": 3, "wer": 0.5}
    record = {"cell": "gru", "frame_ms": 20.0, "context": None, "wer": 0.5, "failed": 2,
              "by_length": [group], "shape": ""}  # fmt: skip
    assert summarise([record]).tables[1].rows[0]["failed utterances"] == 2
