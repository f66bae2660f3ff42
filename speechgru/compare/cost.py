"""What a variant costs on this machine: measured one after another, when nothing else trains.

Each variant gets a fresh process, so that peak memory is its own. Every figure is taken on two
roads: the fastest this cell has here (`cpu`: our kernel; `fused`: a library call; `unroll`: its
equations frame by frame), and `unroll`, which every cell has: only the latter compares cells
rather than kernels. Sound comes from train and dev, never from test.
"""

import ctypes
import gc
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import nn

from speechgru import kernels
from speechgru.audio import read_utterance
from speechgru.batches import Batch, collate, plan_batches
from speechgru.cells import RecurrentLayer
from speechgru.checkpoint import MODEL_FILE, Checkpoint
from speechgru.errors import SpeechgruError
from speechgru.files import read_json, write_json
from speechgru.manifest import Utterance
from speechgru.recipe import Recipe, load_recipe
from speechgru.recognizer import Recognizer
from speechgru.scoring import score
from speechgru.training.data import TrainingData, read_training_data
from speechgru.training.step import choose_precision, make_optimiser, train_step

log = logging.getLogger(__name__)
Cost = dict[str, Any]
UTTERANCES, AUDIO_SECONDS = 20, 40.0  # of dev, at most, timed one by one
BATCHES, REPEATS = 3, 5  # training steps timed, and how often everything is
NOISE = 0.10  # two measured costs nearer than this are not told apart
QUIET = 0.9  # share of a processor below which others were at work


# New format; replaces the dictionaries below once `measure` returns it -----------------------------


@dataclass(frozen=True)
class Timing:
    """Times of one backend. rtf: real-time factor, processing time ÷ audio time."""

    rtf_1_thread: float
    rtf_2_threads: float
    seconds_per_epoch: float  # of training, on one CPU thread (or the GPU)


@dataclass(frozen=True)
class ReducedPrecision:
    """A precision below float32: its speed, and what it changes in the texts timed."""

    rtf_1_thread: float
    texts_changed: int
    texts: int
    wer_float32: float
    wer: float


@dataclass(frozen=True)
class VariantCost:
    """What one variant costs on this machine."""

    device: str
    model_bytes: int
    backends: dict[str, Timing]  # the fastest one for this cell here, and "unroll"
    fastest: str  # a key of `backends`
    cpu_share: float  # of its time that a single thread ran; near 1 on an idle machine
    training_bytes: int | None = None  # peak of a training step; None where it is not measurable
    precisions: dict[str, ReducedPrecision] = field(default_factory=dict)

    def timing(self, backend: str = "fastest") -> Timing:
        return self.backends[self.fastest if backend == "fastest" else backend]


def load_costs(file: Path) -> dict[str, VariantCost]:
    """Variant → cost, empty if nothing has been measured. Raises SpeechgruError for a damaged
    file."""
    if not os.path.exists(file):
        return {}
    try:
        measured = json.loads(file.read_text(encoding="utf-8"))
        values = {name: _migrated(cost) for name, cost in measured.items()}
        return TypeAdapter(dict[str, VariantCost]).validate_python(values)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise SpeechgruError(
            f"{file}: not the costs of a comparison ({reason:.200}); delete it to measure again"
        ) from None


def _migrated(cost: Cost) -> Cost:
    """Files of older versions have other names."""
    names = {"roads": "backends", "bytes": "model_bytes", "share": "cpu_share"}
    return {names.get(key, key): value for key, value in cost.items()}


def doubts(costs: Iterable[VariantCost]) -> str:
    """Why these times cannot be compared with each other; "" if they can."""
    costs = list(costs)
    devices = sorted({cost.device for cost in costs})
    if len(devices) > 1:
        return f"times were measured on different devices ({', '.join(devices)})"
    share = min((cost.cpu_share for cost in costs), default=1.0)
    if share < QUIET:
        return f"the machine was busy: a thread ran {100 * share:.0f} % of the time measured"
    return ""


def measure_all(folders: dict[str, Path], file: Path, device: str) -> dict[str, Cost]:
    """Costs of every variant by a run of it, kept in `file`; what that holds is not measured
    again."""
    costs: dict[str, Cost] = read_costs(file)
    for name, folder in folders.items():
        if name in costs:
            continue
        log.info("measuring what %s costs", name)
        answer = subprocess.run(
            [sys.executable, "-c", "from speechgru.compare.cost import main; main()"],
            input=json.dumps([str(folder), device]), capture_output=True, text=True, check=False,
            env=os.environ | {"OMP_NUM_THREADS": "2"},
        )  # fmt: skip
        if answer.returncode:
            reason = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
            log.warning("the cost of %s could not be measured: %s", name, reason)
            continue
        costs[name] = json.loads(answer.stdout.splitlines()[-1])
        write_json(file, costs)
    return costs


def doubtful(costs: Iterable[Cost]) -> str:
    """Why these times cannot be held against each other; "" if they can."""
    costs = list(costs)
    devices = sorted({cost["device"] for cost in costs})
    if len(devices) > 1:
        return f"times were measured on different devices ({', '.join(devices)})"
    share = min((cost["share"] for cost in costs), default=1.0)
    if share < QUIET:
        return (
            "others were at work while times were measured (a thread got "
            f"{100 * share:.0f} % of a processor)"
        )
    return ""


def on_road(cost: Cost, backend: str = "fastest") -> Cost:
    """The times of one backend: by its name, or of the fastest."""
    return dict(cost["roads"][cost["fastest"] if backend == "fastest" else backend])


def read_costs(file: Path) -> dict[str, Cost]:
    """What was measured before, if anything. Raises SpeechgruError for a damaged file."""
    if not os.path.exists(file):
        return {}
    return read_json(file, "costs that `speechgru compare` measured (delete it to measure again)")


class Stopwatch:
    """Times calls, and notes how much of a processor one thread got meanwhile."""

    def __init__(self) -> None:
        self._wall = self._processor = 0.0

    @property
    def share(self) -> float:
        """Of its time, that a single thread was on a processor: near 1 on a quiet machine."""
        return self._processor / self._wall if self._wall else 1.0

    def median(self, run: Callable[[], None], threads: int) -> float:
        """Seconds: the median of REPEATS after one call that only warms up."""
        old = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            run()
            times = []
            for _ in range(REPEATS):
                wall, processor = time.perf_counter(), time.process_time()
                run()
                times.append(time.perf_counter() - wall)
                if threads == 1:
                    self._wall += times[-1]
                    self._processor += time.process_time() - processor
            return statistics.median(times)
        finally:
            torch.set_num_threads(old)


def measure(folder: Path, device: str = "auto") -> Cost:
    """The costs of one trained run. Raises what its recipe, model or audio give rise to."""
    recipe = load_recipe(folder / "recipe.yaml")
    recognizer = Recognizer.load(folder, device)
    layers = recognizer.checkpoint.model.recurrent_layers()
    plain = recipe.augment.model_copy(update={"noise_manifest": None})  # nothing is augmented here
    recipe = recipe.model_copy(update={"augment": plain})
    data = read_training_data(recipe, recognizer.checkpoint.vocabulary)
    batches, heard = _batches(recipe, recognizer.checkpoint, data), _heard(data.dev)
    sounds = [read_utterance(each, recipe.features.sample_rate) for each in heard]
    hours, watch = recognizer.checkpoint.metadata["hours"], Stopwatch()
    cost: Cost = {
        "device": _device_name(recognizer.device),
        "bytes": (folder / MODEL_FILE).stat().st_size,
        "roads": {},
    }
    for backend in ("auto", "unroll"):
        for layer in layers:
            layer.backend = backend
        name = fastest_road(layers[0], recognizer.device) if backend == "auto" else backend
        if name in cost["roads"]:
            continue
        cost["roads"][name] = {
            "rtf_1_thread": _rtf(recognizer, sounds, 1, watch),
            "rtf_2_threads": _rtf(recognizer, sounds, 2, watch),
            "seconds_per_epoch": 3600 * hours * _training_speed(recipe, recognizer, batches, watch),
        }
        if backend == "auto":
            cost["fastest"] = name
            with _weights_kept(recognizer.checkpoint.model):
                cost["training_bytes"] = _training_bytes(recipe, recognizer, batches)
    said = [utterance.text for utterance in heard]
    cost["precisions"] = _precisions(folder, sounds, said, device, watch)
    cost["share"] = watch.share
    return cost


def fastest_road(layer: RecurrentLayer, device: torch.device) -> str:
    """What `auto` chooses for this layer: cpu, fused or unroll."""
    return layer.backend_on(device)


def _rtf(recognizer: Recognizer, sounds: Sequence[Any], threads: int, watch: Stopwatch) -> float:
    """Processing time ÷ audio time, utterance by utterance, from samples to text."""
    audio = sum(len(samples) for samples in sounds) / recognizer.sample_rate

    def run() -> None:
        for samples in sounds:
            recognizer.transcribe(samples)

    return watch.median(run, threads) / audio


def _training_speed(
    recipe: Recipe, recognizer: Recognizer, batches: Sequence[Batch], watch: Stopwatch
) -> float:
    """Seconds of one thread's training a second of audio: forward, backward and update, features
    ready."""
    with _weights_kept(recognizer.checkpoint.model):
        run = _training(recipe, recognizer, batches)
        return watch.median(run, 1) / sum(batch.seconds for batch in batches)


@contextmanager
def _weights_kept(model: nn.Module) -> Iterator[None]:
    """What is trained meanwhile is undone."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        yield
    finally:
        model.load_state_dict(before)
        model.eval()


def _training(
    recipe: Recipe, recognizer: Recognizer, batches: Sequence[Batch]
) -> Callable[[], None]:
    """An optimiser step over each batch."""
    model, device = recognizer.checkpoint.model.train(), recognizer.device
    optimiser = make_optimiser(model, recipe.training)
    precision = choose_precision(recipe.training.precision, device)

    def run() -> None:
        for batch in batches:
            train_step(model, optimiser, [batch], recipe.training.clip_norm, precision)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def _training_bytes(recipe: Recipe, recognizer: Recognizer, batches: Sequence[Batch]) -> int | None:
    """Most memory that training steps take beyond program, weights and data; None where the
    system does not tell. The steps were taken before, so no kernel is compiled meanwhile."""
    device = recognizer.device
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        start = torch.cuda.memory_allocated(device)
        _training(recipe, recognizer, batches)()
        return int(torch.cuda.max_memory_allocated(device) - start)
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back to the system
        Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is in use
        start = _status_bytes("VmRSS")
        _training(recipe, recognizer, batches)()
        return max(0, _status_bytes("VmHWM") - start)
    except (OSError, AttributeError):
        return None


def _status_bytes(key: str) -> int:
    """A size from /proc/self/status, which counts in kB. Raises OSError where there is none."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"no {key} in /proc/self/status")


def _precisions(
    folder: Path, sounds: Sequence[Any], said: Sequence[str], device: str, watch: Stopwatch
) -> dict[str, Any]:
    """Shorter weights, where this machine has them: their speed, how many of the timed texts they
    change, and the WER of these texts with and without them."""
    full = Recognizer.load(folder, device)
    texts = [full.transcribe(samples).text for samples in sounds]
    table: dict[str, Any] = {}
    if fastest_road(full.checkpoint.model.recurrent_layers()[0], full.device) != "cpu":
        return table
    shorter: tuple[str, ...] = kernels.PRECISIONS[1:]
    for precision in shorter:
        if kernels.unsupported_reason(precision) is not None:
            continue
        short = Recognizer.load(folder, device, precision)
        others = [short.transcribe(samples).text for samples in sounds]
        table[precision] = {
            "rtf_1_thread": _rtf(short, sounds, 1, watch),
            "texts_changed": sum(a != b for a, b in zip(texts, others, strict=True)),
            "texts": len(texts),
            "wer_float32": score(said, texts).wer,
            "wer": score(said, others).wer,
        }
    return table


def _heard(dev: Sequence[Utterance]) -> list[Utterance]:
    """The first dev utterances."""
    heard: list[Utterance] = []
    seconds = 0.0
    for utterance in dev[:UTTERANCES]:
        if heard and seconds + utterance.duration > AUDIO_SECONDS:
            break
        heard.append(utterance)
        seconds += utterance.duration
    return heard


def _batches(recipe: Recipe, checkpoint: Checkpoint, data: TrainingData) -> list[Batch]:
    """The first epoch's first batches, without augmentation."""
    durations = [utterance.duration for utterance in data.train]
    plans = plan_batches(durations, recipe.training.batch_seconds, recipe.training.seed, 0)
    batches = []
    for plan in plans[:BATCHES]:
        members = [data.train[i] for i in plan]
        rate = recipe.features.sample_rate
        rows = [checkpoint.extract(read_utterance(each, rate)) for each in members]
        batches.append(
            collate(members, rows, [data.vocabulary.encode(each.text) for each in members])
        )
    return batches


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"CPU, {torch.backends.cpu.get_cpu_capability()}"


def main() -> None:
    """In a fresh process: a run folder and a device on standard input, its costs on output."""
    folder, device = json.load(sys.stdin)
    print(json.dumps(measure(Path(folder), device)))
