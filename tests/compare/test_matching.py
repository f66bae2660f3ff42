"""Equal terms: the hidden size at which a variant costs what the reference costs."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from clock import Clock
from helpers import MakeSpec

from speechgru import measure
from speechgru.cells import CELLS
from speechgru.compare import matching, runner
from speechgru.compare.matching import Candidate, nearest_size, solve
from speechgru.compare.spec import Match
from speechgru.errors import RecipeError
from speechgru.model import RecurrentCTC
from speechgru.recipe import make_recipe
from speechgru.recipe_file import override
from speechgru.scoring.significance import signed_points
from speechgru.training import estimate

CPU = torch.device("cpu")
GPU = torch.device("cuda", 1)  # tests only name it
REFERENCE = Candidate(make_recipe({"model": {"cell": "gru", "layers": 2, "hidden_size": 128}}), 28)


def with_value(candidate: Candidate, text: str, tokens: int | None = None) -> Candidate:
    return Candidate(override(candidate.recipe, [text]), tokens or candidate.tokens)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("match", "count"), [("params", Candidate.parameters), ("macs", Candidate.macs)]
)
def test_the_solved_size_is_the_nearest(
    cell: str, match: Match, count: Callable[[Candidate], float]
):
    variant = with_value(REFERENCE, f"model.cell={cell}")
    size = solve(match, REFERENCE, variant, CPU)
    wanted = count(REFERENCE)
    off = [abs(count(variant.sized(size.hidden_size + d)) - wanted) for d in (-1, 0, 1)]
    assert off[1] == min(off)
    assert size.ratio == pytest.approx(count(variant.sized(size.hidden_size)) / wanted)
    assert abs(size.ratio - 1) <= 0.01
    assert size.within


def test_the_reference_is_counted_with_its_own_vocabulary():
    variant = with_value(REFERENCE, "text.case=keep", tokens=56)
    size = solve("params", REFERENCE, variant, CPU)
    assert size.ratio == pytest.approx(size.parameters / REFERENCE.parameters())
    assert size.parameters == variant.sized(size.hidden_size).parameters()


def test_equal_hidden_size_changes_nothing():
    size = solve("hidden-size", REFERENCE, with_value(REFERENCE, "model.cell=lstm"), CPU)
    assert (size.hidden_size, size.ratio, size.within) == (128, 1.0, True)


def test_a_size_that_cannot_be_matched_closely_is_a_warning(caplog: pytest.LogCaptureFixture):
    small = REFERENCE.sized(6)
    size = solve("params", small, with_value(small, "model.cell=rnn"), CPU)
    assert abs(size.ratio - 1) > 0.01
    assert not size.within
    (warning,) = caplog.messages
    assert f"hidden size {size.hidden_size} " in warning
    assert f"{signed_points(size.ratio - 1)} %" in warning


# Times -------------------------------------------------------------------------------------------

SMALL = Candidate(
    make_recipe({"model": {"cell": "gru", "layers": 1, "hidden_size": 64, "factor": 4}}), 28
)
WORK = {"time": "_recognition", "train-time": "_training_step"}


class Machine:
    """In place of the timed work: a call takes hidden size² seconds of a clock that stands still,
    and records the size and the device it ran on."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.calls: list[tuple[int, str]] = []

    def work(self, candidate: Candidate, device: torch.device) -> Callable[[], None]:
        size = candidate.recipe.model.hidden_size
        assert candidate.tokens == (28 if candidate.recipe.model.cell == "gru" else 29)

        def run() -> None:
            self.calls.append((size, str(device)))
            self.clock.spend(size**2)

        return run


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    stub = Machine()
    monkeypatch.setattr(measure, "time", stub.clock)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    return stub


@pytest.mark.parametrize("match", WORK)
@pytest.mark.parametrize("device", [CPU, GPU])
def test_times_are_matched_on_the_device_that_trains(
    match: Match, device: torch.device, machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    for name in WORK.values():
        monkeypatch.setattr(matching, name, None)  # the other one is not called
    monkeypatch.setattr(matching, WORK[match], machine.work)
    size = solve(match, SMALL, with_value(SMALL, "model.cell=rnn", tokens=29), device)
    assert size.ratio == pytest.approx((size.hidden_size / 64) ** 2)
    assert abs(size.ratio - 1) <= 0.05  # half of the tolerance: the search continued to here
    assert size.within
    assert {name for _, name in machine.calls} == {str(device)}
    sizes = [size for size, _ in machine.calls]
    rounds = [sizes[k : k + 12] for k in range(0, len(sizes), 12)]
    assert len(rounds) > 1, "the size of equal multiply-accumulates was right at once"
    for turn in rounds:  # a warm-up and five calls, variant and reference in turn
        assert turn == [turn[0], 64] * 6
    assert rounds[-1][0] == size.hidden_size


def test_the_step_that_is_timed_has_two_views_where_the_recipe_has(monkeypatch: pytest.MonkeyPatch):
    steps = []
    monkeypatch.setattr(estimate, "train_step", lambda *args: steps.append(args))
    for views, consistency in ((1, "0"), (2, "0.2")):
        candidate = with_value(SMALL, f"training.consistency={consistency}")
        matching._training_step(candidate, CPU)()
        _, _, (batch,), options, _ = steps.pop()
        assert len(batch.features) == views * len(batch.ids)
        assert options.consistency == float(consistency)


def test_the_device_option_reaches_the_measurement(
    make_spec: MakeSpec, tmp_path, machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    """From RunOptions to the timed call."""
    monkeypatch.setattr(runner, "choose_device", torch.device)
    monkeypatch.setattr(runner, "run_here", lambda tasks, on_step: iter(()))
    machine.work = lambda candidate, device: lambda: (  # type: ignore[method-assign]
        machine.calls.append((0, str(device))), machine.clock.spend(1)
    )  # fmt: skip
    monkeypatch.setattr(matching, "_training_step", machine.work)
    options = runner.RunOptions("cuda:1", cost=False)
    runner.run_comparison(make_spec(match="train-time"), tmp_path, options)
    assert machine.calls
    assert {name for _, name in machine.calls} == {"cuda:1"}


@pytest.mark.parametrize(("ratio", "within"), [(1.12, False), (1.08, True), (0.88, False)])
def test_times_are_matched_within_a_tenth(ratio: float, within: bool, monkeypatch, caplog):
    """Whatever the hidden size: nothing nearer is found."""
    monkeypatch.setattr(matching, "time_ratio", lambda candidate, reference, device: ratio)
    size = solve("time", SMALL, with_value(SMALL, "model.cell=rnn"), CPU)
    assert (size.ratio, size.within) == (ratio, within)
    assert bool(caplog.messages) == (not within)


def test_an_utterance_is_recognised_or_a_batch_trained_on(monkeypatch: pytest.MonkeyPatch):
    """Eight seconds in frames of 10 ms, and the recipe's batch: 24 seconds are three of these."""
    passes: list[Any] = []
    models: list[tuple[RecurrentCTC, list[torch.Tensor]]] = []
    forward, build = RecurrentCTC.forward, Candidate.build

    def watched(self: RecurrentCTC, features: torch.Tensor, lengths: torch.Tensor) -> object:
        passes.append((tuple(features.shape), lengths.tolist(), self.training))
        return forward(self, features, lengths)

    def kept(self: Candidate, device: torch.device) -> RecurrentCTC:
        assert device == CPU
        model = build(self, device)
        models.append((model, [p.detach().clone() for p in model.parameters()]))
        return model

    monkeypatch.setattr(RecurrentCTC, "forward", watched)
    monkeypatch.setattr(Candidate, "build", kept)
    candidate = with_value(SMALL, "training.batch_seconds=24")
    matching._recognition(candidate, CPU)()
    matching._training_step(candidate, CPU)()
    mels = candidate.recipe.features.mels
    assert passes == [((1, 800, mels), [800], False), ((3, 800, mels), [800] * 3, True)]
    changed = [
        any(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
        for model, before in models
    ]
    assert changed == [False, True]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("match", WORK)
def test_a_gpu_is_measured(match: Match):
    gpu = torch.device("cuda")
    torch.cuda.reset_peak_memory_stats(gpu)
    size = solve(match, SMALL, with_value(SMALL, "model.cell=lstm"), gpu)
    assert torch.cuda.max_memory_allocated(gpu) > 0
    assert 0.5 < size.ratio < 2


@pytest.mark.parametrize("wanted", [1, 37, 1000, 12_345])
def test_nearest_size_of_a_known_cost(wanted: int):
    found = nearest_size(lambda n: float(n * n), float(wanted))
    assert found == min(range(1, 200), key=lambda n: abs(n * n - wanted))


def test_a_cost_out_of_reach_is_refused():
    with pytest.raises(RecipeError, match="4096"):
        nearest_size(float, 1e9)


def test_an_unknown_cell_is_named():
    with pytest.raises(RecipeError, match="gruu"):
        solve("hidden-size", REFERENCE, with_value(REFERENCE, "model.cell=gruu"), CPU)
