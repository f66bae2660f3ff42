"""A unidirectional model run piece by piece gives what it gives for the whole recording."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_model import SIZE, SUBSAMPLINGS, make

from speechgru.batches import pad
from speechgru.cells import CELLS
from speechgru.errors import RecipeError
from speechgru.model import RecurrentCTC
from speechgru.recipe import make_recipe


def in_pieces(model: RecurrentCTC, features: torch.Tensor, cuts: list[int]) -> torch.Tensor:
    """(frames, size) → log_probs (model frames, tokens), fed in pieces that end at `cuts`."""
    state, outputs = model.initial_state(), []
    bounds = [0, *sorted(min(cut, len(features)) for cut in cuts), len(features)]
    with torch.inference_mode():
        for begin, end in itertools.pairwise(bounds):
            last = end == len(features) and begin == bounds[-2]
            log_probs, state = model.step(features[None, begin:end], state, last and end > begin)
            outputs.append(log_probs[0])
        if bounds[-2] == len(features):  # the end was not known with the last frames
            outputs.append(model.step(features[None, :0], state, last=True)[0][0])
    return torch.cat(outputs)


def check(model: RecurrentCTC, frames: int, cuts: list[int]) -> None:
    frames += model.recipe.lookahead * model.recipe.factor  # of the silence after the end
    features = torch.randn(frames, SIZE, generator=torch.Generator().manual_seed(frames))
    with torch.inference_mode():
        expected = model(*pad([features]))[0][0]
    torch.testing.assert_close(in_pieces(model, features, cuts), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("lookahead", [0, 3])
@pytest.mark.parametrize(("subsampling", "factor"), SUBSAMPLINGS)
def test_pieces_equal_the_whole(subsampling, factor, lookahead):
    model = make(
        bidirectional=False, subsampling=subsampling, factor=factor, lookahead=lookahead,
        layer_norm=True,
    )  # fmt: skip
    for frames in (1, 2, 3, 7, 20):
        check(model, frames, [])
        check(model, frames, [0, 1, 3, 4, 11])
        check(model, frames, list(range(frames)))
        check(model, frames, [frames])


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_carries_its_state(cell):
    check(make(cell=cell, bidirectional=False, lookahead=2), 20, [1, 5, 5, 6, 15])


@settings(max_examples=25)
@given(st.integers(1, 40), st.lists(st.integers(0, 40), max_size=8), st.integers(0, 5))
def test_pieces_of_any_length(frames, cuts, lookahead):
    check(make(bidirectional=False, factor=3, lookahead=lookahead), frames, cuts)


@pytest.mark.parametrize("lookahead", [0, 1, 4])
def test_an_output_depends_on_as_many_frames_of_the_future_as_the_look_ahead(lookahead):
    model = make(bidirectional=False, subsampling="stack", factor=1, lookahead=lookahead)
    features = torch.randn(20, SIZE)
    changed = features.clone()
    changed[10] += 5
    with torch.inference_mode():
        difference = (model(*pad([features]))[0] - model(*pad([changed]))[0])[0].abs().amax(1)
    assert int((difference > 0).nonzero()[0]) == 10 - lookahead


def test_a_look_ahead_keeps_rows_independent_of_their_batch():
    model = make(bidirectional=False, lookahead=4)
    utterances = [torch.randn(frames, SIZE) for frames in (9, 20, 14)]
    with torch.inference_mode():
        together, counts = model(*pad(utterances))
        for row, utterance in enumerate(utterances):
            alone = model(*pad([utterance]))[0][0]
            assert len(alone) == counts[row]
            torch.testing.assert_close(together[row, : counts[row]], alone, atol=1e-5, rtol=1e-4)


def test_a_bidirectional_model_has_no_state_and_no_look_ahead():
    with pytest.raises(RecipeError, match="bidirectional"):
        make(bidirectional=True).initial_state()
    with pytest.raises(RecipeError, match=r"model.*lookahead 3"):
        make_recipe({"model": {"lookahead": 3}})
