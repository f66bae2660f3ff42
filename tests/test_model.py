"""The model: an utterance's output never depends on its batch mates, whatever the model."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from speechgru.batches import pad
from speechgru.cells import CELLS, Cell
from speechgru.errors import RecipeError
from speechgru.model import (
    Convolution,
    Dropout,
    RecurrentCTC,
    Stack,
    macs_per_second,
    parameter_count,
)
from speechgru.recipe import ModelRecipe, model_frames

SIZE, TOKENS = 9, 6
LENGTHS = (1, 2, 3, 5, 8, 13, 16)
SUBSAMPLINGS = list(itertools.product(["stack", "conv"], [1, 2, 3, 4]))
LAYER_NORM = pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "layer-norm"])
DIRECTIONS = pytest.mark.parametrize(
    "bidirectional", [False, True], ids=["unidirectional", "bidirectional"]
)


def make(**values: object) -> RecurrentCTC:
    """A small model of two layers in evaluation mode, with clearly different outputs per frame."""
    defaults: dict[str, object] = {
        "layers": 2, "hidden_size": 6, "conv_channels": 3, "dropout": 0.5, "layer_norm": False,
    }  # fmt: skip
    torch.manual_seed(1)
    model = RecurrentCTC(ModelRecipe(**(defaults | values)), SIZE, TOKENS)
    with torch.no_grad():
        model.head.weight *= 10
    return model.eval()


def rows(lengths: tuple[int, ...] | list[int]) -> list[Tensor]:
    torch.manual_seed(2)
    return [torch.randn(length, SIZE) for length in lengths]


def check_alone_equals_batched(
    model: RecurrentCTC,
    lengths: tuple[int, ...] | list[int],
    dtype: torch.dtype = torch.float32,
    near: float = 1e-5,
) -> None:
    utterances = [row.to(dtype) for row in rows(lengths)]
    with torch.inference_mode():
        together, counts = model(*pad(utterances))
        for row, utterance in enumerate(utterances):
            alone, (count,) = model(*pad([utterance]))
            assert counts[row] == count == alone.shape[1]
            batched = together[row, :count]
            torch.testing.assert_close(batched, alone[0], atol=near, rtol=10 * near)
            assert torch.equal(batched.argmax(1), alone[0].argmax(1))


# Batch mates ------------------------------------------------------------------------------------


@LAYER_NORM
@DIRECTIONS
@pytest.mark.parametrize(("subsampling", "factor"), SUBSAMPLINGS)
@pytest.mark.parametrize("cell", CELLS)
def test_alone_equals_in_a_padded_batch(cell, subsampling, factor, bidirectional, layer_norm):
    model = make(
        cell=cell, bidirectional=bidirectional, subsampling=subsampling, factor=factor,
        layer_norm=layer_norm,
    )  # fmt: skip
    check_alone_equals_batched(model, LENGTHS)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    cell=st.sampled_from(sorted(CELLS)),
    bidirectional=st.booleans(),
    subsampling=st.sampled_from(SUBSAMPLINGS),
    layer_norm=st.booleans(),
    layers=st.integers(1, 3),
)
def test_alone_equals_in_any_batch(lengths, cell, bidirectional, subsampling, layer_norm, layers):
    kind, factor = subsampling
    model = make(
        cell=cell, bidirectional=bidirectional, subsampling=kind, factor=factor, layers=layers,
        layer_norm=layer_norm,
    ).double()  # fmt: skip
    # A layer that normalises a nearly constant cell magnifies float32's rounding a thousand times.
    check_alone_equals_batched(model, lengths, torch.float64, near=1e-10)


@pytest.mark.parametrize(("subsampling", "factor"), SUBSAMPLINGS)
@pytest.mark.parametrize("cell", CELLS)
def test_more_padding_changes_nothing(cell, subsampling, factor):
    model = make(cell=cell, subsampling=subsampling, factor=factor, layer_norm=True)
    features, lengths = pad(rows(LENGTHS))
    wider = nn.functional.pad(features, (0, 0, 0, 7))
    with torch.inference_mode():
        short, counts = model(features, lengths)
        long, again = model(wider, lengths)
    assert torch.equal(counts, again)
    for row, count in enumerate(counts.tolist()):
        torch.testing.assert_close(long[row, :count], short[row, :count], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("subsampling", "factor"), SUBSAMPLINGS)
@pytest.mark.parametrize("cell", sorted(set(CELLS) - {"ligru"}))  # takes statistics, in training
def test_gradients_of_a_batch_are_the_sum_of_its_rows(cell, subsampling, factor):
    model = make(cell=cell, subsampling=subsampling, factor=factor, layer_norm=True)
    utterances = rows(LENGTHS)

    def gradients(chosen: list[Tensor]) -> list[Tensor]:
        model.zero_grad()
        log_probs, counts = model(*pad(chosen))
        for row, count in zip(log_probs, counts.tolist(), strict=True):
            row[:count, 1].sum().backward(retain_graph=True)
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    together = gradients(utterances)
    alone = [gradients([utterance]) for utterance in utterances]
    for whole, *parts in zip(together, *alone, strict=True):
        scale = float(whole.abs().max())
        torch.testing.assert_close(torch.stack(parts).sum(0), whole, atol=1e-4 * scale, rtol=1e-3)


# Shapes and lengths -----------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("frames", range(1, 20))
def test_both_subsamplings_round_up(frames, factor):
    assert model_frames(frames, factor) == math.ceil(frames / factor)
    for layer in (Stack(SIZE, factor), Convolution(SIZE, factor, 3)):
        x, counts = layer(torch.zeros(2, frames, SIZE), torch.tensor([frames, max(1, frames - 3)]))
        assert x.shape == (2, math.ceil(frames / factor), layer.output_size)
        expected = [model_frames(frames, factor), model_frames(max(1, frames - 3), factor)]
        assert counts.tolist() == expected
        assert counts.dtype == torch.int64


def test_stacking_puts_neighbours_side_by_side_and_completes_the_last_with_zeros():
    x = torch.tensor([[1.0, 2], [3, 4], [5, 6], [7, 8], [9, 10]])[None]
    stacked, _ = Stack(2, 2)(x, torch.tensor([5]))
    assert stacked[0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 0, 0]]


def test_outputs_are_log_probabilities():
    log_probs, counts = make()(*pad(rows(LENGTHS)))
    assert log_probs.shape == (len(LENGTHS), 8, TOKENS)
    assert counts.tolist() == [model_frames(length, 2) for length in LENGTHS]
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(log_probs.shape[:2]))


def test_an_unknown_cell_is_answered_with_the_known_ones():
    with pytest.raises(RecipeError, match=r"'gruu'.*gru, lstm"):
        RecurrentCTC(ModelRecipe(cell="gruu"), SIZE, TOKENS)


# Dropout ----------------------------------------------------------------------------------------


def test_dropout_zeroes_its_share_and_keeps_the_mean():
    x = torch.ones(101, 203, requires_grad=True)
    assert torch.isfinite(Dropout(0.999_999).train()(torch.ones(1000))).all()
    layer = Dropout(0.3).train()
    torch.manual_seed(4)
    y = layer(x)
    torch.manual_seed(4)
    assert torch.equal(layer(x), y)
    assert set(y.detach().unique().tolist()) == {0.0, y.max().item()}
    assert y.max().item() == pytest.approx(1 / 0.7, rel=1e-4)
    # Four standard deviations of 20,503 draws.
    assert (y == 0).float().mean().item() == pytest.approx(0.3, abs=4 * (0.21 / 20_503) ** 0.5)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    neighbours = torch.corrcoef(torch.stack([y[:, :-1].flatten(), y[:, 1:].flatten()]).detach())
    assert abs(neighbours[0, 1].item()) < 0.03
    assert layer.eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_dropout_acts_in_training_only():
    model = make(dropout=0.5)
    batch = pad(rows(LENGTHS))
    assert torch.equal(model(*batch)[0], model(*batch)[0])
    model.train()
    assert not torch.equal(model(*batch)[0], model(*batch)[0])
    still = make(dropout=0.0)
    expected = still(*batch)[0]
    assert torch.equal(still.train()(*batch)[0], expected)


# Counts -----------------------------------------------------------------------------------------


def test_parameters_and_work_of_a_model_counted_by_hand():
    """80 bands stacked by 2 → bidirectional GRU of 32 → the same again → 29 tokens."""
    recipe = ModelRecipe(
        cell="gru", layers=2, hidden_size=32, factor=2, subsampling="stack", layer_norm=False
    )
    model = RecurrentCTC(recipe, 80, 29)
    first, second = 2 * 3 * 32 * (160 + 32), 2 * 3 * 32 * (64 + 32)  # both directions' products
    products = first + second + 64 * 29
    biases = 2 * (2 * 2 * 3 * 32) + 29
    assert parameter_count(model) == products + biases
    assert macs_per_second(model, 100.0) == 50 * products


def test_work_of_a_convolution_counted_by_hand():
    """40 bands: 3 × 3 over ⌈40 / 2⌉ bands, then ⌈20 / 2⌉, at 50 and 25 frames per second."""
    recipe = ModelRecipe(
        cell="rnn", layers=1, hidden_size=8, bidirectional=False, subsampling="conv", factor=4,
        conv_channels=16, layer_norm=False,
    )  # fmt: skip
    model = RecurrentCTC(recipe, 40, 5)
    convolutions = 50 * 20 * (16 * 1 * 9) + 25 * 10 * (16 * 16 * 9)
    recurrent = 25 * 8 * (160 + 8)
    assert macs_per_second(model, 100.0) == convolutions + recurrent + 25 * 8 * 5


@pytest.mark.parametrize("cell", CELLS)
def test_the_count_of_the_cells_is_in_the_model_s(cell):
    model = make(cell=cell)
    counted = sum(
        module.parameter_count(module.input_size, module.hidden_size)
        for module in model.modules()
        if isinstance(module, Cell)
    )
    inside = sum(p.numel() for layer in model.recurrent_layers() for p in layer.parameters())
    assert counted == inside


# First values -----------------------------------------------------------------------------------


def forget_biases(model: RecurrentCTC) -> list[Tensor]:
    """bias_ih + bias_hh of every LSTM direction's forget gate."""
    cells = [cell for layer in model.recurrent_layers() for cell in layer.directions]
    return [(cell.bias_ih + cell.bias_hh).detach().chunk(4)[1] for cell in cells]


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5])
def test_the_recipe_sets_the_forget_gates_bias(value):
    recipe = ModelRecipe(cell="lstm", hidden_size=256, layers=2, forget_bias=value)
    for biases in forget_biases(RecurrentCTC(recipe, SIZE, TOKENS)):
        assert biases.mean().item() == pytest.approx(value, abs=0.02)
        assert biases.std().item() == pytest.approx((2 / 3) ** 0.5 / 16, rel=0.2)
    assert ModelRecipe().forget_bias == 1.0
