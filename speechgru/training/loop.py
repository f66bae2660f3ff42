"""The training loop: epochs and steps, and when to stop.

Design choices:
- Everything random follows from (seed, epoch, utterance) or (seed, step), never from what ran
  before: a resumed run takes the very steps that an uninterrupted one would have taken.
- A stop request (Ctrl-C) takes effect between two steps, when the state is complete.
- Comments starting "Several processes" mark what distributed training would have to agree on.
"""

import logging
import math
import random
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
from torch.utils.tensorboard import SummaryWriter

from speechgru.batches import AudioCache, Batch
from speechgru.cells.precision import choose_precision
from speechgru.checkpoint import ModelConfig, new_checkpoint
from speechgru.corpora.leaks import warn_of_leaks
from speechgru.cpus import usable_cpus
from speechgru.errors import Diverged, TrainingError, plural
from speechgru.files import check_folder, exclusive_lock
from speechgru.measure import torch_threads
from speechgru.model import RecurrentCTC, check_cell, macs_per_second
from speechgru.recipe import Recipe
from speechgru.recognizer import choose_device
from speechgru.text.units import vocabulary_from_json
from speechgru.training.data import BatchLoader, TrainingData, read_training_data
from speechgru.training.fine_tuning import InitialModel, adapted, freeze, initialise, read_initial
from speechgru.training.selection import ModelSelection
from speechgru.training.state import EpochMetrics, RunFolder, TrainingState, resume_key
from speechgru.training.step import learning_rate, make_optimiser, train_step

log = logging.getLogger(__name__)
SMALL = 25_000_000  # multiply-accumulates per second of audio and view; docs/log.md, "All CPUs"
STATISTICS = 1_200  # utterances, of more at random, for the mean and variance of the features
COMMAND = "speechgru train"


@dataclass(frozen=True)
class TrainingProgress:
    """Reported after each training step. `loss`: of the epoch so far (NaN before its first token);
    `speed`: seconds of audio per second; `eta`: seconds left, evaluations included."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    best_dev_wer: float | None
    speed: float
    eta: float


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a finished or interrupted training. Error rates are fractions, of the saved
    model on dev; NaN before the first is saved. `weights`: its epoch, or the mean of several; epoch
    0 is the initial model. `seconds`: wall-clock, over all sessions."""

    folder: Path
    dev_wer: float
    dev_cer: float
    weights: str
    epochs: int
    seconds: float
    interrupted: bool


def train(
    recipe: Recipe,
    out: str | Path,
    device: str = "auto",
    resume: bool = False,
    on_progress: Callable[[TrainingProgress], None] = lambda _: None,
    init: str | Path | None = None,
    threads: int = 0,
) -> TrainingResult:
    """Train by `recipe` into the folder `out`; with `resume`, continue the run there; with `init`,
    fine-tune the model in that run folder or file. `threads`: of torch on the CPU, in training
    steps; 0: `default_threads`.

    Raises SpeechgruError (another training is running in the folder), TrainingError (folder in
    use, nothing to train on, dev audio that cannot be decoded, repeated NaN steps), RecipeError
    (precision that the device lacks), and the errors of manifests and audio files.
    """
    folder = RunFolder(Path(out))
    chosen = choose_device(device)
    initial = None if init is None else read_initial(Path(init))
    if initial is not None:
        recipe = adapted(recipe, initial)
    elif recipe.training.freeze and not resume:
        raise TrainingError(
            "training.freeze: only layers of an initial model can be frozen; give --init"
        )
    check_cell(recipe.model)  # before the data are read, which can take minutes
    with ExitStack() as stack:
        state, tensors, vocabulary = TrainingState(), None, None
        if resume:
            folder.check_started()
            stack.enter_context(exclusive_lock(folder.path, COMMAND))
            state, tensors = folder.load_state()
            folder.read_metrics()  # damaged, they would be refused at the end of an epoch only
            folder.check_models(state)
            if initial is not None:
                folder.check_same_initial(state, initial.fingerprint)
            folder.check_same_recipe(state, recipe)
            vocabulary = vocabulary_from_json(state.vocabulary)
        else:
            folder.check_unused()
            check_folder(folder.path)
        known = None if initial is None else initial.checkpoint.vocabulary
        data = read_training_data(recipe, vocabulary, known)
        if resume:
            folder.check_same_data(state, data.fingerprint())
        else:
            warn_of_leaks(data.train, data.dev)
            if initial is not None:
                state.initial = initial.fingerprint
            state.recipe, state.data = resume_key(recipe), data.fingerprint()
            state.vocabulary = data.vocabulary.to_json()
        trainer = Trainer(recipe, data, folder, chosen, state, on_progress)
        trainer.selection.check_dev()
        if not resume:  # last, so that what cannot be trained leaves no folder behind
            stack.enter_context(exclusive_lock(folder.path, COMMAND))
            folder.check_unused()
        folder.write_inputs(recipe, data.excluded)
        if tensors is None:
            trainer.start(initial)
        else:
            folder.restore(tensors, trainer.checkpoint, trainer.optimiser)
        return trainer.run(threads or default_threads(trainer.model, recipe))


def default_threads(model: RecurrentCTC, recipe: Recipe) -> int:
    """Torch's current number of threads; for a small model on the CPU, at most all CPUs but one.
    Where loading takes as long as the steps, it would otherwise take the CPU of one of a step's
    threads, and the others would wait for that one."""
    threads = torch.get_num_threads()
    views = 2 if recipe.training.consistency else 1
    work = views * macs_per_second(model, recipe.features.frames_per_second)
    if work > SMALL or next(model.parameters()).device.type != "cpu":
        return threads
    return min(threads, max(1, usable_cpus() - 1))


class Trainer:
    """The model, the optimiser and the progress of one run."""

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        folder: RunFolder,
        device: torch.device,
        state: TrainingState,
        on_progress: Callable[[TrainingProgress], None],
    ) -> None:
        self.recipe, self.options, self.data, self.folder = recipe, recipe.training, data, folder
        self.device, self.state, self.on_progress = device, state, on_progress
        self.began = time.monotonic() - state.elapsed
        self.precision = choose_precision(self.options.precision, device, recipe.model.cell)
        torch.manual_seed(self.options.seed)
        config = ModelConfig(text=recipe.text, features=recipe.features, model=recipe.model)
        self.checkpoint = new_checkpoint(config, data.vocabulary, {})
        self.model = self.checkpoint.model.to(device)
        self.frozen = freeze(self.model, self.options.freeze)
        self.optimiser = make_optimiser(self.model, self.options)
        self.cache = AudioCache(recipe.features.sample_rate, self.options.cache_mb * 1_000_000)
        self.loader = BatchLoader(data, recipe, self.checkpoint.extract, self.cache)
        self.total_steps = self.loader.count_steps()
        self.selection = ModelSelection(
            recipe, data, self.checkpoint, self.cache, device, folder, state, self.precision
        )

    def start(self, initial: InitialModel | None = None) -> None:
        """What comes before the first step: the weights of an initial model, which is evaluated;
        else feature statistics; and the first save."""
        if initial is not None:
            initialise(self.checkpoint, initial.checkpoint)
            score = self.selection.evaluate()
            self.selection.keep_if_good(score, math.nan)
            log.info("%s, before training: dev WER %.2f %%", initial.path, 100 * score.wer)
        if self.checkpoint.extract.needs_statistics:
            train = self.data.train
            chosen = random.Random(0).sample(range(len(train)), min(len(train), STATISTICS))
            samples = (self.loader.read(train[place]) for place in sorted(chosen))
            self.checkpoint.extract.fit(each for each in samples if each is not None)
        self.save_state()

    def run(self, threads: int) -> TrainingResult:
        """The remaining epochs, their steps on so many threads, then the averaged model."""
        options, state = self.options, self.state
        self.selection.delete_old_weights()  # a kill may have left some
        log.info(
            "%s, %.1f minutes; about %s per epoch, %d in all",
            plural(len(self.data.train), "utterance"), 60 * self.data.hours,
            plural(self.total_steps // options.epochs, "step"), self.total_steps,
        )  # fmt: skip
        events = SummaryWriter(str(self.folder.path / "events"), purge_step=state.step + 1)
        try:
            with stop_request() as stop:
                while state.epoch < options.epochs and not self._out_of_patience():
                    with torch_threads(threads):
                        finished = self._train_epoch(stop)
                    if not finished:
                        self.save_state()
                        return self._result(interrupted=True)
                    self._finish_epoch(events)
                if stop.is_set():  # asked to in the last epoch: before what may take minutes
                    return self._result(interrupted=True)
        finally:
            events.close()
        if state.epoch < options.epochs:
            log.info(
                "stopped after epoch %d of %d: no better dev WER (or CER) in %s "
                "(training.patience)", state.epoch, options.epochs,
                plural(state.evaluations_without_improvement, "evaluation"),
            )  # fmt: skip
        self.selection.try_average()
        if self.selection.all_blank:
            log.warning(
                "the model still outputs only blanks, as CTC models do early in training: train "
                "longer (%s so far; training.epochs), on more speech, or with a higher "
                "training.learning_rate", plural(state.step, "step"),
            )  # fmt: skip
        return self._result(interrupted=False)

    def _train_epoch(self, stop: threading.Event) -> bool:
        """The remaining steps of the epoch; False when asked to stop before its end."""
        state = self.state
        plan = self.loader.plan(state.epoch)[state.batch :]
        self.model.train()
        for part in self.frozen:
            part.eval()
        batches = self.loader.load_all(plan, state.epoch)
        audio, seconds = 0.0, 0.0
        per_step = self.options.accumulate
        for group in (plan[i : i + per_step] for i in range(0, len(plan), per_step)):
            if stop.is_set():  # Several processes: stop after the same step, if any was asked to
                batches.close()
                return False
            began = time.monotonic()
            members = [batch for _ in group if (batch := next(batches)) is not None]
            if members:
                self._step(members)
            elif sum(self.loader.skipped.values()) == len(self.data.train):
                raise TrainingError(
                    f"{', '.join(self.recipe.data.train)}: none of the {len(self.data.train)} "
                    "training utterances can be read; see the warnings above"
                )
            state.skipped_utterances += sum(map(len, group)) - sum(len(b.ids) for b in members)
            took = time.monotonic() - began
            state.batch += len(group)
            state.step += 1
            state.step_seconds += took
            seconds += took
            audio += sum(batch.seconds for batch in members)
            self._report(audio / max(seconds, 1e-9))
        return True

    def _step(self, batches: Sequence[Batch]) -> None:
        """One training step, and its place in the statistics of the epoch."""
        options, state = self.options, self.state
        torch.manual_seed(options.seed * 1_000_003 + state.step)  # dropout
        for parameters in self.optimiser.param_groups:
            parameters["lr"] = learning_rate(options, state.step, self.total_steps)
        done = train_step(self.model, self.optimiser, batches, options, self.precision)
        if done.applied:
            state.bad_steps_in_a_row = 0
            state.loss_sum += done.loss * done.tokens
            state.token_count += done.tokens
            state.gradient_norms.append(done.gradient_norm)
            return
        state.skipped_steps += 1
        state.bad_steps_in_a_row += 1
        log.warning("step %d skipped: loss or gradient is NaN or infinite, at %s",
                    state.step, ", ".join(done.suspects[:5]))  # fmt: skip
        if state.bad_steps_in_a_row >= options.max_bad_steps:
            raise Diverged(
                f"diverged: {plural(state.bad_steps_in_a_row, 'step')} in a row gave NaN or "
                f"infinity (the last at {', '.join(done.suspects[:3])}): listen to these files, or "
                "lower training.learning_rate or training.clip_norm"
            )

    def _finish_epoch(self, events: SummaryWriter) -> None:
        """Evaluate dev, keep what is good, and save."""
        options, state = self.options, self.state
        state.epoch, state.batch = state.epoch + 1, 0
        loss, norms = self._loss(), state.gradient_norms
        state.loss_sum, state.token_count, state.gradient_norms = 0.0, 0, []
        score = None
        if state.epoch % options.evaluate_every == 0 or state.epoch == options.epochs:
            began = time.monotonic()
            score = self.selection.evaluate()
            state.evaluation_seconds += time.monotonic() - began
            self.selection.keep_if_good(score, loss)
        row = EpochMetrics(
            epoch=state.epoch, step=state.step,
            learning_rate=self.optimiser.param_groups[0]["lr"],
            seconds=round(state.step_seconds, 1), skipped_steps=state.skipped_steps,
            skipped_utterances=state.skipped_utterances,
            loss=None if math.isnan(loss) else loss,
            grad_norm_median=statistics.median(norms) if norms else None,
            grad_norm_max=max(norms, default=None),
            dev_wer=score.wer if score else None, dev_cer=score.cer if score else None,
        )  # fmt: skip
        self.folder.write_metrics(row)  # before the save: an uncommitted line is replaced later
        for name in ("loss", "dev_wer", "dev_cer", "learning_rate"):
            if (value := getattr(row, name)) is not None:
                events.add_scalar(name, value, state.step)
        events.flush()
        self.save_state()
        self.selection.delete_old_weights()
        dev = f"  dev WER {100 * score.wer:6.2f} %  CER {100 * score.cer:6.2f} %" if score else ""
        log.info("epoch %3d/%d  loss %.4f%s  %.0f s", state.epoch, options.epochs, loss, dev,
                 state.elapsed)  # fmt: skip

    def _out_of_patience(self) -> bool:
        return 0 < self.options.patience <= self.state.evaluations_without_improvement

    def save_state(self) -> None:
        self.state.elapsed = time.monotonic() - self.began
        self.folder.save_state(self.state, self.checkpoint, self.optimiser)

    def _report(self, speed: float) -> None:
        state, steps_left = self.state, self.total_steps - self.state.step
        per_step = (state.step_seconds + state.evaluation_seconds) / max(state.step, 1)
        self.on_progress(
            TrainingProgress(
                state.epoch + 1, self.options.epochs, state.step, self.total_steps,
                self._loss(), state.best_wer, speed, per_step * steps_left,
            )
        )  # fmt: skip

    def _loss(self) -> float:
        """Per token, in the current epoch; NaN when all its steps were skipped."""
        state = self.state
        return state.loss_sum / state.token_count if state.token_count else math.nan

    def _result(self, interrupted: bool) -> TrainingResult:
        saved = self.selection.saved_metadata()
        wer, cer = (float(saved.get(key, math.nan)) for key in ("dev_wer", "dev_cer"))
        weights, epochs = str(saved.get("weights", "")), self.state.epoch
        seconds = time.monotonic() - self.began
        return TrainingResult(self.folder.path, wer, cer, weights, epochs, seconds, interrupted)


@contextmanager
def stop_request() -> Iterator[threading.Event]:
    """While open, the first Ctrl-C (or SIGTERM) sets the event; the next one acts as usual."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(_number: int, _frame: FrameType | None) -> None:
        log.warning("stopping after this step; press Ctrl-C again to stop immediately")
        event.set()
        for number, handler in usual.items():
            signal.signal(number, handler)

    for number in usual:
        signal.signal(number, request)
    try:
        yield event
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
