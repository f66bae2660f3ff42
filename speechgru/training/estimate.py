"""How long a training will take and how much memory, from a few measured steps."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from speechgru import kernels
from speechgru.batches import AudioCache, Batch
from speechgru.cells.precision import choose_precision
from speechgru.checkpoint import ModelConfig, new_checkpoint
from speechgru.cpus import usable_cpus
from speechgru.errors import TrainingError
from speechgru.measure import memory_use, synchronise, torch_threads
from speechgru.model import RecurrentCTC, parameter_count
from speechgru.recipe import Recipe, TrainingRecipe
from speechgru.recognizer import choose_device
from speechgru.training.data import BatchLoader, read_training_data
from speechgru.training.loop import default_threads
from speechgru.training.step import StepResult, make_optimiser, train_step

STEPS = 3  # measured, after one to warm up
FORWARD = 0.35  # time of the forward pass alone, for dev: share of a training step's
SAMPLE_BYTES = 2  # of cached audio


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of a whole training: `seconds` of wall-clock time with evaluations on dev; `bytes`, the most
    memory of the process with its audio cache, or of the GPU (None: not measurable); `steps`, and
    `parameters` of the model."""

    seconds: float
    bytes: int | None
    steps: int
    parameters: int
    device: str


def estimate_training(recipe: Recipe, device: str = "auto") -> Estimate:
    """Measure STEPS training steps over batches of all lengths, and scale them up.

    Nothing is written. Raises what `read_training_data` does, and TrainingError when no batch can
    be loaded.
    """
    chosen, options = choose_device(device), recipe.training
    data = read_training_data(recipe)
    torch.manual_seed(options.seed)
    config = ModelConfig(text=recipe.text, features=recipe.features, model=recipe.model)
    checkpoint = new_checkpoint(config, data.vocabulary, {})
    loader = BatchLoader(
        data, recipe, checkpoint.extract, AudioCache(recipe.features.sample_rate, 0)
    )
    plan = sorted(loader.plan(0), key=lambda batch: max(data.train[i].duration for i in batch))
    if checkpoint.extract.needs_statistics:
        samples = (loader.read(utterance) for utterance in data.train[:50])
        checkpoint.extract.fit(each for each in samples if each is not None)
    model = checkpoint.model.to(chosen).train()
    step = make_step(model, options, chosen)
    picked = [plan[len(plan) * (2 * i + 1) // (2 * STEPS)] for i in range(STEPS)]
    with torch_threads(default_threads(model, recipe)):
        loading, training, audio, memory = _measured(step, loader, [plan[-1], *picked], chosen)
    if not audio:
        raise TrainingError(
            f"{', '.join(recipe.data.train)}: no batch can be loaded; audit the data"
        )
    # With a second CPU, batches are loaded while the step before runs.
    aside = options.workers > 0 and usable_cpus() > 1
    per_second = (max(loading, training) if aside else loading + training) / audio
    dev = sum(utterance.duration for utterance in data.dev)
    evaluations = math.ceil(options.epochs / options.evaluate_every)  # with the last
    seconds = 3600 * data.hours * per_second * options.epochs
    seconds += dev * evaluations * FORWARD * training / audio
    cached = min(
        options.cache_mb * 1_000_000,
        int((3600 * data.hours + dev) * recipe.features.sample_rate * SAMPLE_BYTES),
    )
    parameters = parameter_count(model)
    most = None if memory is None else memory[1] + (cached if chosen.type == "cpu" else 0)
    return Estimate(seconds, most, loader.count_steps(), parameters, chosen.type)


def make_step(
    model: RecurrentCTC, options: TrainingRecipe, device: torch.device
) -> Callable[[Batch], StepResult]:
    """Training steps of one batch each, with an optimiser of their own: to be measured."""
    optimiser = make_optimiser(model, options)
    precision = choose_precision(options.precision, device, model.recipe.cell)
    return lambda batch: train_step(model, optimiser, [batch], options, precision)


def _measured(
    step: Callable[[Batch], StepResult],
    loader: BatchLoader,
    plan: Sequence[Sequence[int]],
    device: torch.device,
) -> tuple[float, float, float, tuple[int, int] | None]:
    """Seconds of loading and of training, seconds of the audio trained on, and the memory in use
    before and at most during a step with the first batch, which is the longest; it also compiles
    the kernels, and is not timed."""
    loading, training, audio = 0.0, 0.0, 0.0
    memory: tuple[int, int] | None = None
    for number, indices in enumerate(plan):
        began = time.perf_counter()
        batch = loader.load(indices, 0)
        loaded = time.perf_counter()
        if batch is None:
            continue
        step(batch)
        synchronise(device)
        if number == 0:
            kernels.release_buffers()  # those that it keeps are part of what it takes
            memory = memory_use(partial(step, batch), device)
            continue
        loading += loaded - began
        training += time.perf_counter() - loaded
        audio += batch.seconds
    return loading, training, audio, memory
