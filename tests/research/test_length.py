"""Truncated context against the whole model, and error rates by length."""

from pathlib import Path

import pytest
import torch
from subject import write_subject

from research.probes.finding import Rows
from research.probes.length import Truncated, by_length, measure, probe_length, summarise
from research.probes.subjects import load_subjects, some_utterances
from speechgru.batches import pad
from speechgru.model import RecurrentCTC
from speechgru.scoring import score


@pytest.fixture(params=["one-way stack", "two-way stack", "one-way conv", "two-way conv"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> RecurrentCTC:
    ways, subsampling = request.param.split()
    path = write_subject(
        tmp_path / "m.safetensors", two_way=ways == "two-way", layers=2, subsampling=subsampling
    )
    return load_subjects([path])[0].checkpoint.model


DRAWN = torch.Generator().manual_seed(0)
ROWS = [torch.randn(frames, 20, generator=DRAWN) for frames in (23, 8, 1)]


@torch.inference_mode()
def test_enough_context_is_the_whole_model(model: RecurrentCTC) -> None:
    features, lengths = pad(ROWS)
    whole, frames = model(features, lengths)
    log_probs, counted = Truncated(model, 12)(features, lengths)
    assert counted.tolist() == frames.tolist() == [12, 4, 1]
    for row, count in enumerate(counted.tolist()):
        torch.testing.assert_close(log_probs[row, :count], whole[row, :count])


@torch.inference_mode()
def test_a_frame_hears_just_its_context(model: RecurrentCTC) -> None:
    """Changing one model frame changes the outputs within reach of it, and no other."""
    if model.recipe.subsampling == "conv":
        pytest.skip("a convolution hears its neighbours too")
    changed = ROWS[0].clone()
    changed[10:12] += 1.0  # model frame 5 of 12
    two_way = model.recipe.bidirectional
    for context in (0, 2):
        hears = Truncated(model, context)
        length = torch.tensor([len(changed)])
        moved = (hears(ROWS[0][None], length)[0] - hears(changed[None], length)[0]).abs().amax(-1)
        reached = [frame for frame in range(12) if moved[0, frame] > 1e-6]
        assert reached == list(range(5 - context * two_way, 6 + context))


@torch.inference_mode()
def test_windows_in_several_blocks_are_the_same(
    model: RecurrentCTC, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, lengths = pad(ROWS)
    once, _ = Truncated(model, 3)(features, lengths)
    monkeypatch.setattr("research.probes.length.ROWS", 30)
    torch.testing.assert_close(Truncated(model, 3)(features, lengths)[0], once)


def test_groups_by_length_sum_errors_and_words() -> None:
    references = ["a b", "a", "a b c d", "a b c"]
    hypotheses = ["a b", "b", "a b c", "a b d"]
    scored = score(references, hypotheses, ["u", "v", "w", "x"], [None] * 4)
    groups = by_length(scored, {"u": 2.0, "v": 1.0, "w": 9.0, "x": 3.0}, 2)
    assert groups == [
        {"seconds": 1.5, "words": 3, "wer": pytest.approx(1 / 3)},
        {"seconds": 6.0, "words": 7, "wer": pytest.approx(2 / 7)},
    ]
    assert len(by_length(scored, {"u": 2.0, "v": 1.0, "w": 9.0, "x": 3.0}, 9)) == 4


def test_all_context_scores_as_the_whole_model(tones: Path, tmp_path: Path) -> None:
    (subject,) = load_subjects([write_subject(tmp_path / "m.safetensors", two_way=True)])
    utterances = some_utterances(tones / "test.jsonl", 12)
    whole = measure(subject.checkpoint, utterances, None, 3)
    assert measure(subject.checkpoint, utterances, 1000, 3)["cer"] == whole["cer"]
    assert sum(group["words"] for group in whole["by_length"]) == sum(
        len(utterance.text.split()) for utterance in utterances
    )
    assert measure(subject.checkpoint, utterances, 0, 3)["cer"] != whole["cer"]


def test_the_probe_sums_models_up(tones: Path, tmp_path: Path) -> None:
    runs = [write_subject(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (1, 2)]
    finding = probe_length(
        load_subjects(runs), tones / "test.jsonl", Rows(tmp_path / "rows.jsonl"),
        lambda *_: None, contexts=(0, 4), bins=2, utterances=4,
    )  # fmt: skip
    points = finding.numbers["context"]["gru"]
    assert [point["seconds"] for point in points] == [None, 0.0, 0.08]
    assert all(len(point["wers"]) == 2 for point in points)
    assert len(finding.numbers["length"]["gru"]) == 2
    assert set(finding.figures) == {"wer-by-length", "wer-by-context"}


def test_models_of_two_shapes_are_two_rows(tones: Path, tmp_path: Path) -> None:
    one, two = (
        write_subject(tmp_path / f"{ways}.safetensors", two_way=ways == 2) for ways in (1, 2)
    )
    finding = probe_length(
        load_subjects([one, two]), tones / "test.jsonl", Rows(None), lambda *_: None,
        contexts=(0, 4), bins=2, utterances=4,
    )  # fmt: skip
    for table in finding.tables:
        shapes = [row[0] for row in table.rows]
        assert shapes == [f"gru (1 × 8 {ways}-way, 20 ms frames)" for ways in ("one", "two")]
    assert "words)" in finding.tables[0].head[1]


def test_utterances_that_cannot_be_read_are_told() -> None:
    group = {"seconds": 1.0, "words": 3, "wer": 0.5}
    row = {"cell": "gru", "frame_ms": 20.0, "context": None, "wer": 0.5, "failed": 2,
           "by_length": [group], "shape": ""}  # fmt: skip
    assert "(2 of them cannot be read)" in summarise([row], 1).tables[0].caption
