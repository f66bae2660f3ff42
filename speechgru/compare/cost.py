"""What a variant costs on this machine: measured one after another, when no training is running.

Each variant is measured in a fresh process, so that its peak memory is its own, with two backends:
the fastest one for this cell and device (our kernels, `cpu`, or a library function, `fused`) and
`unroll`, which every cell has and which compares cells rather than implementations.
"""

import itertools
import json
import logging
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from speechgru import kernels
from speechgru.batches import AudioCache
from speechgru.checkpoint import MODEL_FILE
from speechgru.files import Json, read_dataclass, write_json
from speechgru.manifest import Utterance
from speechgru.measure import Stopwatch, device_name, memory_use
from speechgru.recipe import Recipe, make_recipe
from speechgru.recognizer import Recognizer
from speechgru.training.data import BatchLoader, read_training_data
from speechgru.training.estimate import make_step

log = logging.getLogger(__name__)
MAX_UTTERANCES, MAX_SECONDS = 20, 40.0  # of dev, timed one by one
BATCHES = 3  # training steps timed
CACHE_BYTES = 200_000_000  # of decoded audio
QUIET = 0.9  # CPU share below which the machine was busy with other work


@dataclass(frozen=True)
class Timing:
    """Times of one backend. rtf: real-time factor, processing time ÷ audio time."""

    rtf_1_thread: float
    rtf_2_threads: float
    seconds_per_epoch: float  # of training, on one CPU thread or the GPU


@dataclass(frozen=True)
class ReducedPrecision:
    """A precision below float32: its speed, and what it changes in the texts that were timed."""

    rtf_1_thread: float
    texts_changed: int
    texts: int


@dataclass(frozen=True)
class VariantCost:
    """What one variant costs on this machine."""

    device: str
    model_bytes: int
    backends: dict[str, Timing]  # the fastest one for this cell here, and "unroll"
    fastest: str  # a key of `backends`
    cpu_share: float  # of the time measured that a single thread ran; near 1 on an idle machine
    training_bytes: int | None = None  # peak of a training step; None where it is not measurable
    precisions: dict[str, ReducedPrecision] = field(default_factory=dict)

    def timing(self, backend: str = "fastest") -> Timing:
        return self.backends[self.fastest if backend == "fastest" else backend]


def load_costs(file: Path) -> dict[str, VariantCost]:
    """Variant → cost, empty if nothing has been measured. Raises SpeechgruError for a damaged
    file."""
    if not file.exists():
        return {}
    return read_dataclass(file, dict[str, VariantCost], "costs of variants", "", _migrated)


def _migrated(costs: Json) -> Json:
    """Files of older versions have other names."""
    names = {"roads": "backends", "bytes": "model_bytes", "share": "cpu_share"}
    return {v: {names.get(k, k): x for k, x in cost.items()} for v, cost in costs.items()}


def doubts(costs: Collection[VariantCost]) -> str:
    """Why these times cannot be compared with each other; "" if they can."""
    devices = sorted({cost.device for cost in costs})
    if len(devices) > 1:
        return f"times were measured on different devices ({', '.join(devices)})"
    share = min((cost.cpu_share for cost in costs), default=1.0)
    if share < QUIET:
        return f"the machine was busy: a thread ran {100 * share:.0f} % of the time measured"
    return ""


def measure_all(
    runs: dict[str, tuple[Path, Recipe]], file: Path, device: str
) -> dict[str, VariantCost]:
    """Variant → cost, by the folder and recipe of a trained run of each. Those that `file` contains
    are not measured again; one that cannot be measured is logged."""
    costs = load_costs(file)
    for name, (folder, recipe) in [item for item in runs.items() if item[0] not in costs]:
        log.info("measuring the cost of %s", name)
        request = [str(folder), recipe.model_dump(mode="json"), device]
        done = subprocess.run(
            [sys.executable, "-c", "from speechgru.compare.cost import main; main()"],
            input=json.dumps(request), capture_output=True, text=True, check=False,
            env=os.environ | {"OMP_NUM_THREADS": "2"},
        )  # fmt: skip
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            log.warning("the cost of %s could not be measured: %s", name, reason)
            continue
        costs[name] = TypeAdapter(VariantCost).validate_json(done.stdout.splitlines()[-1])
        write_json(file, {name: asdict(cost) for name, cost in costs.items()})
    return costs


def main() -> None:
    """In a fresh process: a run folder, its recipe and a device on standard input, the cost on
    output."""
    folder, recipe, device = json.load(sys.stdin)
    print(json.dumps(asdict(measure(Path(folder), make_recipe(recipe), device))))


def measure(folder: Path, recipe: Recipe, device: str = "auto") -> VariantCost:
    """The cost of one trained run. `recipe` names the data where they are now, which may not be
    where they were when it was trained. Raises SpeechgruError when model or audio cannot be read.
    """
    recognizer, trainee = (Recognizer.load(folder, device, decoder="greedy") for _ in range(2))
    data = read_training_data(recipe, recognizer.checkpoint.vocabulary)
    cache = AudioCache(recognizer.sample_rate, CACHE_BYTES)
    loader = BatchLoader(data, recipe, recognizer.checkpoint.extract, cache)
    loaded = (loader.load(indices, 0) for indices in loader.plan(0)[:BATCHES])
    batches, dev = [batch for batch in loaded if batch is not None], timed_utterances(data.dev)
    audio = [cache.read(utterance) for utterance in dev]
    model, watch = trainee.checkpoint.model.train().requires_grad_(True), Stopwatch(trainee.device)
    step = make_step(model, recipe.training, trainee.device)

    def train() -> None:
        for batch in batches:
            step(batch)

    def rtf(recognizer: Recognizer, threads: int) -> float:
        """Utterance by utterance, from samples to text."""
        seconds = watch.median(lambda: [recognizer.transcribe(a) for a in audio], threads)
        return seconds * recognizer.sample_rate / sum(map(len, audio))

    backends: dict[str, Timing] = {}
    fastest, training_bytes = "", None
    for backend in ("auto", "unroll"):
        for each in (recognizer, trainee):
            for layer in each.checkpoint.model.recurrent_layers():
                layer.backend = backend
        if (name := layer.backend_on(recognizer.device)) in backends:
            continue
        speed = watch.median(train, 1) / sum(batch.seconds for batch in batches)
        backends[name] = Timing(
            rtf(recognizer, 1), rtf(recognizer, 2),
            3600 * recognizer.checkpoint.metadata["hours"] * speed,
        )  # fmt: skip
        if not fastest:  # by now everything is compiled
            memory = memory_use(train, recognizer.device)
            fastest, training_bytes = name, None if memory is None else memory[1] - memory[0]
    precisions = {}
    for precision in kernels.PRECISIONS[1:] if fastest == "cpu" else ():
        if kernels.unsupported_reason(precision) is None:
            full, reduced = (
                Recognizer.load(folder, device, p, decoder="greedy") for p in ("float32", precision)
            )
            used = {each.precision for each in reduced.checkpoint.model.recurrent_layers()}
            if used != {precision}:  # where it is not faster, float32 is used
                continue
            exact, texts = ([r.transcribe(a).text for a in audio] for r in (full, reduced))
            changed = sum(a != b for a, b in zip(exact, texts, strict=True))
            precisions[precision] = ReducedPrecision(rtf(reduced, 1), changed, len(texts))
    return VariantCost(
        device_name(recognizer.device), (folder / MODEL_FILE).stat().st_size, backends, fastest,
        watch.cpu_share, training_bytes, precisions,
    )  # fmt: skip


def timed_utterances(dev: Sequence[Utterance]) -> list[Utterance]:
    """The first ones, up to MAX_UTTERANCES and MAX_SECONDS, but at least one."""
    ends = itertools.accumulate(utterance.duration for utterance in dev[:MAX_UTTERANCES])
    return list(dev[: max(1, sum(end <= MAX_SECONDS for end in ends))])
