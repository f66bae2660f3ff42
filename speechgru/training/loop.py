"""The training loop, with nothing hidden.

Design choices:
- Everything random follows from (seed, epoch, utterance) or (seed, step), nothing from what ran
  before: a resumed run takes the very steps that an uninterrupted one would have taken.
- Dev is scored through `Recognizer`, the backend its users will take.
- A stop request (Ctrl-C) is honoured between two steps, when the state is whole.
"""

import logging
import math
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from speechgru import __version__
from speechgru.augment import Augment
from speechgru.batches import AudioCache, Batch, collate, load_ahead, plan_batches
from speechgru.checkpoint import (
    ModelConfig,
    average_weights,
    load_model,
    new_checkpoint,
    save_model,
)
from speechgru.errors import AudioError, Diverged, TrainingError, printable
from speechgru.evaluation import evaluate_utterances
from speechgru.files import exclusive_lock
from speechgru.manifest import Utterance
from speechgru.recipe import Recipe
from speechgru.recognizer import Recognizer, choose_device
from speechgru.scoring import Score
from speechgru.text import Vocabulary
from speechgru.training.data import TrainingData, read_training_data
from speechgru.training.run import Run, TrainingState, optimiser_tensors, restore_optimiser
from speechgru.training.step import learning_rate, make_optimiser, train_step

log = logging.getLogger(__name__)
TRAINING = "speechgru train"


@dataclass(frozen=True)
class Progress:
    """After each optimiser step. `loss` is the epoch's so far (NaN: of no token yet), `speed` hours
    of audio an hour of steps, `eta` seconds left, scorings of dev included."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    best_dev_wer: float | None
    speed: float
    eta: float


@dataclass(frozen=True)
class Result:
    """What a finished (or interrupted) training came to. Rates are fractions, of the saved model
    on dev; NaN before the first is saved. `seconds`: from start to end of all sittings."""

    folder: Path
    dev_wer: float
    dev_cer: float
    epochs: int
    seconds: float
    interrupted: bool


def train(
    recipe: Recipe,
    out: str | Path,
    device: str = "auto",
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Result:
    """Train by recipe into the folder `out`; with `resume`, go on where it stopped.

    Raises SpeechgruError (another training at work in the folder), TrainingError (folder in use,
    nothing to train on, sound of dev that cannot be decoded, steps that keep failing), and what the
    manifests, audio files and recipe give rise to.
    """
    run = Run(Path(out))
    chosen = choose_device(device)
    with ExitStack() as stack:
        if resume:
            run.check_same(recipe)
            stack.enter_context(exclusive_lock(run.folder, TRAINING))
        else:
            run.check_free()
        position, tensors = TrainingState(), None
        if resume and os.path.exists(run.last):
            position, tensors = run.load_state()
        known = Vocabulary.from_json(position.vocabulary) if tensors is not None else None
        data = read_training_data(recipe, known)
        if tensors is not None:
            run.check_same_data(position, data.fingerprint())
        position.data = data.fingerprint()
        trainer = Trainer(recipe, data, run, chosen, position, on_progress)
        trainer.check_dev()
        if not resume:  # last: what cannot be trained leaves no folder that seems in use
            stack.enter_context(exclusive_lock(run.folder, TRAINING))
            run.create(recipe, data.excluded)
        if tensors is not None:
            trainer.restore(tensors)
        return trainer.run_to_end()


class Trainer:
    """One training under way."""

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        run: Run,
        device: torch.device,
        position: TrainingState,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.recipe, self.options, self.data, self.run = recipe, recipe.training, data, run
        self.device, self.position, self.on_progress = device, position, on_progress
        self.began = time.monotonic() - position.elapsed
        torch.manual_seed(self.options.seed)
        config = ModelConfig(text=recipe.text, features=recipe.features, model=recipe.model)
        self.checkpoint = new_checkpoint(config, data.vocabulary, {})
        self.model = self.checkpoint.model.to(device)
        position.vocabulary = data.vocabulary.to_json()
        self.cache = AudioCache(recipe.features.sample_rate, self.options.cache_mb * 1_000_000)
        self.damaged: set[str] = set()  # ids of those found out while training
        self.augment = Augment(
            recipe.augment, self.checkpoint.extract, self.options.seed, data.noises
        )
        self.optimiser = make_optimiser(self.model, self.options)
        self.plans = [
            plan_batches(
                [u.duration for u in data.train],
                self.options.batch_seconds, self.options.seed, epoch,
            )
            for epoch in range(self.options.epochs)
        ]  # fmt: skip
        self.silent = False  # on dev, when last scored
        self.total_steps = sum(math.ceil(len(p) / self.options.accumulate) for p in self.plans)

    # The course of a run ------------------------------------------------------------------------

    def run_to_end(self) -> Result:
        """All epochs left, then the averaged model."""
        options, position = self.options, self.position
        if self.recipe.features.normalise == "global" and self.checkpoint.extract.mean is None:
            heard = (self._read(utterance) for utterance in self.data.train)
            self.checkpoint.extract.fit(samples for samples in heard if samples is not None)
        self._drop_unkept()  # a kill may have left some
        log.info(
            "%d utterances, %.1f minutes; about %d steps an epoch, %d in all",
            len(self.data.train), 60 * self.data.hours,
            self.total_steps // options.epochs, self.total_steps,
        )  # fmt: skip
        events = SummaryWriter(str(self.run.folder / "events"), purge_step=position.step + 1)
        try:
            with stop_request() as stop:
                while position.epoch < options.epochs and not self._out_of_patience():
                    if not self._train_epoch(stop):
                        self.save_state()
                        return self._result(interrupted=True)
                    self._finish_epoch(events)
        finally:
            events.close()
        self._try_average()
        if self.silent:
            log.warning(
                "the model still writes nothing: CTC learns to be silent first. It needs more "
                "steps (training.epochs, %d so far), more speech or a higher "
                "training.learning_rate", position.step,
            )  # fmt: skip
        return self._result(interrupted=False)

    def _train_epoch(self, stop: threading.Event) -> bool:
        """Optimiser steps over what is left of the epoch; False when asked to stop on the way."""
        position, k = self.position, self.options.accumulate
        plan = self.plans[position.epoch][position.batch :]
        groups = [plan[i : i + k] for i in range(0, len(plan), k)]
        self.model.train()
        batches = load_ahead(plan, self._load, self.options.workers)
        audio, seconds = 0.0, 0.0
        for group in groups:
            if stop.is_set():
                batches.close()
                return False
            began = time.monotonic()
            members = [batch for _ in group if (batch := next(batches)) is not None]
            if members:
                self._step(members)
            else:
                self._refuse_silence()
            position.skipped_utterances += sum(map(len, group)) - sum(len(b.ids) for b in members)
            took = time.monotonic() - began
            position.batch += len(group)
            position.step += 1
            position.seconds += took
            seconds += took
            audio += sum(batch.seconds for batch in members)
            self._show(audio / max(seconds, 1e-9))
        return True

    def _load(self, indices: list[int]) -> Batch | None:
        """Read, augment and pad one planned batch (in a loader's thread), without those whose
        sound turns out to be damaged; None if there is no other."""
        epoch, data = self.position.epoch, self.data
        heard = {i: samples for i in indices if (samples := self._read(data.train[i])) is not None}
        if not heard:
            return None
        rows = [self.augment(samples, data.train[i].id, epoch) for i, samples in heard.items()]
        return collate([data.train[i] for i in heard], rows, [data.tokens[i] for i in heard])

    def _read(self, utterance: Utterance) -> npt.NDArray[np.float32] | None:
        """A training utterance's samples, None where they cannot be decoded; named once."""
        try:
            return self.cache.read(utterance)
        except AudioError as fault:
            if utterance.id not in self.damaged:
                self.damaged.add(utterance.id)
                log.warning("utterance %s is skipped: %s", utterance.id, fault)
            return None

    def _refuse_silence(self) -> None:
        if len(self.damaged) == len(self.data.train):
            raise TrainingError(
                f"{', '.join(map(printable, self.recipe.data.train))}: the sound of none of "
                f"{len(self.damaged)} utterances can be decoded"
            )

    def _step(self, members: list[Batch]) -> None:
        """One optimiser step over one or more batches, counted."""
        options, position = self.options, self.position
        torch.manual_seed(options.seed * 1_000_003 + position.step)  # dropout
        for parameters in self.optimiser.param_groups:
            parameters["lr"] = learning_rate(options, position.step, self.total_steps)
        precision = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        done = train_step(self.model, self.optimiser, members, options.clip_norm, precision)
        if done.applied:
            position.bad_in_a_row = 0
            position.loss_sum += done.loss * done.tokens
            position.token_count += done.tokens
            position.gradient_norms.append(done.gradient_norm)
        else:
            self._bad_step(done.suspects)

    def _bad_step(self, ids: Sequence[str]) -> None:
        self.position.skipped_steps += 1
        self.position.bad_in_a_row += 1
        log.warning("step %d skipped: loss or gradient is NaN or infinite, at %s",
                    self.position.step, ", ".join(ids[:5]))  # fmt: skip
        if self.position.bad_in_a_row >= self.options.max_bad_steps:
            raise Diverged(
                f"{self.position.bad_in_a_row} steps in a row gave NaN or infinity (the last at "
                f"{', '.join(ids[:3])}): listen to these files; else lower "
                "training.learning_rate or training.clip_norm"
            )

    def _finish_epoch(self, events: SummaryWriter) -> None:
        """Score dev, keep what is good, and commit."""
        options, position = self.options, self.position
        position.epoch, position.batch = position.epoch + 1, 0
        loss, norms = self._loss(), position.gradient_norms
        position.loss_sum, position.token_count, position.gradient_norms = 0.0, 0, []
        row: dict[str, Any] = {
            "epoch": position.epoch, "step": position.step,
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "seconds": round(position.seconds, 1), "skipped_steps": position.skipped_steps,
            "skipped_utterances": position.skipped_utterances,
        }  # fmt: skip
        if not math.isnan(loss):
            row["loss"] = loss
        if norms:
            row |= {"grad_norm_median": statistics.median(norms), "grad_norm_max": max(norms)}
        if position.epoch % options.evaluate_every == 0 or position.epoch == options.epochs:
            began = time.monotonic()
            score = self.score_dev()
            position.scoring_seconds += time.monotonic() - began
            row |= {"dev_wer": score.wer, "dev_cer": score.cer}
            self._keep_if_good(score)
        self.run.write_metrics(row)  # before the commit: a line too many is written over
        for name in ("loss", "dev_wer", "dev_cer", "learning_rate"):
            if name in row:
                events.add_scalar(name, row[name], position.step)
        events.flush()
        self.save_state()
        self._drop_unkept()
        log.info(_epoch_line(row, options.epochs, position.elapsed))

    def _keep_if_good(self, score: Score) -> None:
        position, wer = self.position, score.wer
        self.silent = not any(utterance.hypothesis for utterance in score.utterances)
        if position.best_wer is None or wer <= position.best_wer:
            improved = position.best_wer is None or wer < position.best_wer
            position.best_wer = wer
            self._save_model(None, score, f"epoch {position.epoch}")
        else:
            improved = False
        position.evaluations_without_improvement = (
            0 if improved else position.evaluations_without_improvement + 1
        )
        if self.options.average:
            kept = sorted([*position.kept, (wer, position.epoch)], key=lambda k: (k[0], -k[1]))
            position.kept = kept[: self.options.average]
            if (wer, position.epoch) in position.kept:
                self.run.keep(position.epoch, self.model.state_dict())

    def _drop_unkept(self) -> None:
        self.run.drop_all_but({epoch for _, epoch in self.position.kept})

    def _out_of_patience(self) -> bool:
        patience = self.options.patience
        return 0 < patience <= self.position.evaluations_without_improvement

    def _try_average(self) -> None:
        """The mean of the kept epochs' weights, if dev does not like it less than the best."""
        position = self.position
        if len(position.kept) < 2:
            return
        epochs = [epoch for _, epoch in position.kept]
        mean = average_weights([self.run.kept_weights(epoch) for epoch in epochs])
        self.model.load_state_dict(mean)
        averaged = self.score_dev()
        log.info("mean of epochs %s: dev WER %.2f %% (best single %.2f %%)",
                 ", ".join(map(str, sorted(epochs))), 100 * averaged.wer,
                 100 * (position.best_wer or 0))  # fmt: skip
        if position.best_wer is None or averaged.wer <= position.best_wer:
            self._save_model(mean, averaged, f"mean of {len(epochs)} epochs")

    # Helpers ------------------------------------------------------------------------------------

    def check_dev(self) -> None:
        """Decode every sound of dev, which fills the cache too. Raises TrainingError at the first
        that cannot be decoded, rather than after an epoch."""
        for utterance in self.data.dev:
            try:
                self.cache.read(utterance)
            except AudioError as fault:
                raise TrainingError(f"dev utterance {utterance.id}: {fault}") from None

    def score_dev(self) -> Score:
        """Dev, through the backend that users take."""
        self.model.eval()
        recognizer = Recognizer(self.checkpoint, self.device)
        evaluation = evaluate_utterances(recognizer, self.data.dev, self.cache)
        for id_, fault in evaluation.failed.items():
            raise TrainingError(f"dev utterance {id_}: {fault}")
        return evaluation.score

    def save_state(self) -> None:
        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        tensors |= optimiser_tensors(self.optimiser)
        extract = self.checkpoint.extract
        if extract.mean is not None and extract.std is not None:
            tensors["features.mean"], tensors["features.std"] = extract.mean, extract.std
        self.position.elapsed = time.monotonic() - self.began
        self.run.save_state(self.position, tensors)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Raises TrainingError when the state does not fit the recipe's model."""
        weights = {n.removeprefix("model."): t for n, t in tensors.items() if n[:6] == "model."}
        try:
            self.model.load_state_dict(weights)
        except RuntimeError as fault:
            reason = " ".join(str(fault).split())
            raise TrainingError(
                f"{self.run.last}: does not fit the recipe: {reason:.200}"
            ) from None
        restore_optimiser(self.optimiser, tensors)
        self.checkpoint.extract.mean = tensors.get("features.mean")
        self.checkpoint.extract.std = tensors.get("features.std")

    def _save_model(self, weights: dict[str, Tensor] | None, dev: Score, which: str) -> None:
        self.checkpoint.about = {
            "speechgru": __version__, "torch": torch.__version__,
            "recipe": self.recipe.fingerprint(), "seed": self.options.seed, "weights": which,
            "dev_wer": dev.wer, "dev_cer": dev.cer, "hours": round(self.data.hours, 3),
            "utterances": len(self.data.train), "device": self.device.type,
        }  # fmt: skip
        save_model(self.run.model, self.checkpoint, weights)

    def _show(self, speed: float) -> None:
        position = self.position
        per_step = (position.seconds + position.scoring_seconds) / max(position.step, 1)
        self.on_progress(
            Progress(
                position.epoch + 1, self.options.epochs, position.step, self.total_steps,
                self._loss(), position.best_wer, speed,
                per_step * (self.total_steps - position.step),
            )
        )  # fmt: skip

    def _loss(self) -> float:
        """A token's, in the epoch under way; NaN when all its steps were skipped."""
        position = self.position
        return position.loss_sum / position.token_count if position.token_count else math.nan

    def _result(self, interrupted: bool) -> Result:
        about = self.checkpoint.about
        if not about and os.path.exists(self.run.model):  # the best was found in an earlier sitting
            about = load_model(self.run.model).about
        return Result(
            self.run.folder,
            about.get("dev_wer", math.nan),
            about.get("dev_cer", math.nan),
            self.position.epoch,
            time.monotonic() - self.began,
            interrupted,
        )


@contextmanager
def stop_request() -> Iterator[threading.Event]:
    """While open, the first Ctrl-C (or SIGTERM) sets the event; the next acts as usual."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(_number: int, _frame: FrameType | None) -> None:
        log.warning("stopping after this step; once more to stop at once")
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


def _epoch_line(row: dict[str, Any], epochs: int, elapsed: float) -> str:
    scored = ""
    if "dev_wer" in row:
        scored = f"  dev WER {100 * row['dev_wer']:6.2f} %  CER {100 * row['dev_cer']:6.2f} %"
    loss = row.get("loss", math.nan)
    return f"epoch {row['epoch']:3d}/{epochs}  loss {loss:.4f}{scored}  {elapsed:.0f} s"
