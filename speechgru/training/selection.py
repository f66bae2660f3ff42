"""Which weights become the run's model: the best epoch on dev, or the mean of several.

Dev is evaluated through `Recognizer`, as users will run the model.
"""

import logging
import math
import os

import torch
from torch import Tensor

from speechgru import __version__
from speechgru.batches import AudioCache
from speechgru.checkpoint import Checkpoint, average_weights, save_model
from speechgru.errors import AudioError, TrainingError
from speechgru.evaluation import evaluate_utterances
from speechgru.files import Json
from speechgru.model_file import read_model_file
from speechgru.recipe import Recipe
from speechgru.recognizer import Recognizer
from speechgru.scoring import Score
from speechgru.training.data import TrainingData
from speechgru.training.state import RunFolder, TrainingState, digest

log = logging.getLogger(__name__)
LEARNED_CER = 0.5


class ModelSelection:
    """Evaluates a model in training on dev, and saves its best weights in the run folder."""

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        checkpoint: Checkpoint,
        cache: AudioCache,
        device: torch.device,
        folder: RunFolder,
        state: TrainingState,
        precision: torch.dtype,
    ) -> None:
        self.checkpoint, self.cache, self.device = checkpoint, cache, device
        self.dev, self.folder, self.state = data.dev, folder, state
        self.average = recipe.training.average
        self.all_blank = False  # whether the last evaluation output no character at all
        self.metadata = {
            "speechgru": __version__, "torch": torch.__version__, "device": device.type,
            "precision": str(precision).removeprefix("torch."),
            "recipe": digest(state.recipe), "data": digest(state.data),
            "seed": recipe.training.seed,
            "hours": round(data.hours, 3), "utterances": len(data.train),
        }  # fmt: skip
        if state.initial:
            self.metadata["initial_model"] = state.initial

    def check_dev(self) -> None:
        """Decode all dev audio, which also fills the cache. Raises TrainingError at the first that
        cannot be decoded, rather than after an epoch."""
        for utterance in self.dev:
            try:
                self.cache.read(utterance)
            except AudioError as error:
                raise TrainingError(
                    f"dev utterance {utterance.id}: {error}; fix the file, or remove the utterance "
                    "from data.dev"
                ) from None

    def evaluate(self) -> Score:
        """Score the model, in its current weights and in float32, on dev."""
        self.checkpoint.model.eval()
        for layer in self.checkpoint.model.recurrent_layers():
            layer.set_precision("float32")
        recognizer = Recognizer(self.checkpoint, self.device)
        evaluation = evaluate_utterances(recognizer, self.dev, self.cache)
        for id_, reason in evaluation.failed.items():
            raise TrainingError(f"dev utterance {id_}: {reason}")
        return evaluation.score

    def keep_if_good(self, score: Score, loss: float) -> None:
        """Save the weights if no earlier ones were better, and keep them if they are among those
        to be averaged.

        Of equal WERs the lower CER is better, of equal CERs the lower training loss of the epoch
        (which is no improvement where dev has no errors left). Evaluations count as without
        improvement only when one has been better than empty texts, whose WER is 100 %: before that,
        a CTC model outputs random characters and then, for hundreds of steps, only blanks. A CER
        below 50 % is enough, since a language without spaces has one word per utterance.
        """
        state, wer = self.state, score.wer
        self.all_blank = not any(utterance.hypothesis for utterance in score.utterances)
        state.learned |= wer < 1 or score.cer < LEARNED_CER
        state.evaluations_without_improvement += state.learned
        rates = (wer, score.cer, math.inf if math.isnan(loss) else loss)
        saved = (state.best_wer, state.best_cer, state.best_loss)
        best = tuple(math.inf if rate is None else rate for rate in saved)
        if rates[:2] < best[:2] or (rates < best and score.cer > 0):
            state.evaluations_without_improvement = 0
        if rates <= best:
            state.best_wer, state.best_cer = rates[:2]
            state.best_loss = None if math.isnan(loss) else loss
            self._save(None, score, f"epoch {state.epoch}")
        if self.average and state.epoch:  # not an initial model
            each = (wer, score.cer, state.epoch)
            state.kept = sorted([*state.kept, each], key=lambda k: (*k[:2], -k[2]))[: self.average]
            if each in state.kept:
                self.folder.keep_weights(state.epoch, self.checkpoint.model.state_dict())

    def delete_old_weights(self) -> None:
        self.folder.delete_weights_except({epoch for *_, epoch in self.state.kept})

    def try_average(self) -> None:
        """Save the mean of the kept epochs' weights if no epoch was better on dev: in a language
        without spaces, all may have a WER of 100 %, and only the CER differs."""
        state = self.state
        if len(state.kept) < 2:
            return
        epochs = [epoch for *_, epoch in state.kept]
        mean = average_weights([self.folder.kept_weights(epoch) for epoch in epochs])
        self.checkpoint.model.load_state_dict(mean)
        averaged = self.evaluate()
        best = (state.best_wer or 0.0, state.best_cer or 0.0)
        log.info("mean of epochs %s: dev WER %.2f %%  CER %.2f %% (best epoch %.2f %%, %.2f %%)",
                 ", ".join(map(str, sorted(epochs))), 100 * averaged.wer, 100 * averaged.cer,
                 100 * best[0], 100 * best[1])  # fmt: skip
        if (averaged.wer, averaged.cer) <= best:
            self._save(mean, averaged, f"mean of {len(epochs)} epochs")

    def saved_metadata(self) -> Json:
        """Of the saved model; empty if none is saved yet."""
        saved = self.checkpoint.metadata
        if not saved and os.path.exists(self.folder.model):  # in an earlier session
            saved = read_model_file(self.folder.model).metadata
        return saved

    def _save(self, weights: dict[str, Tensor] | None, dev: Score, which: str) -> None:
        self.checkpoint.metadata = self.metadata | {
            "weights": which, "dev_wer": dev.wer, "dev_cer": dev.cer
        }  # fmt: skip
        save_model(self.folder.model, self.checkpoint, weights)
