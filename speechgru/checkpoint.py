"""A model with everything it needs to run, and its tensors on disk (format: model_file.py)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from speechgru.errors import CheckpointError, SpeechgruError, reason_of
from speechgru.features import NEED_STATISTICS, FeatureExtractor, feature_size
from speechgru.files import Json
from speechgru.kernels import mark_pool_used
from speechgru.model import RecurrentCTC
from speechgru.model_file import (
    MODEL_FILE,
    Arrays,
    ModelConfig,
    read_arrays,
    read_model_file,
    write_arrays,
    write_model_file,
)
from speechgru.text import Vocabulary, normalise

__all__ = [
    "MODEL_FILE", "Checkpoint", "ModelConfig", "average_weights", "frame_timing", "inference",
    "load_model", "new_checkpoint", "read_tensors", "save_model", "write_tensors",
]  # fmt: skip

# Those that features.py and torchaudio use; without one here, its tensors have the program's dtype.
_CONSTRUCTORS = {torch.arange, torch.hann_window, torch.linspace, torch.zeros}


@dataclass
class Checkpoint:
    """A model and everything between audio and text that it was trained with."""

    config: ModelConfig
    vocabulary: Vocabulary
    extract: FeatureExtractor
    model: RecurrentCTC
    metadata: Json  # where it comes from: versions, dev WER, …; informative only

    def normalise(self, text: str) -> str:
        """A text by the rule that the training texts were normalised by."""
        return normalise(text, self.config.text)


def new_checkpoint(config: ModelConfig, vocabulary: Vocabulary, metadata: Json) -> Checkpoint:
    """An untrained model for a vocabulary; weights follow torch's current random state."""
    extract = FeatureExtractor(config.features, _tail(config))
    model = RecurrentCTC(config.model, extract.size, len(vocabulary))
    return Checkpoint(config, vocabulary, extract, model, metadata)


def save_model(
    path: Path, checkpoint: Checkpoint, weights: dict[str, Tensor] | None = None
) -> None:
    """Write `checkpoint` to one file, with other `weights` than the model's own if given. Raises
    CheckpointError when it cannot be written."""
    tensors = dict(checkpoint.model.state_dict() if weights is None else weights)
    extract = checkpoint.extract
    if extract.mean is not None and extract.std is not None:
        tensors["features.mean"], tensors["features.std"] = extract.mean, extract.std
    write_model_file(
        path, checkpoint.config, checkpoint.vocabulary, checkpoint.metadata, _arrays(tensors)
    )


def load_model(path: str | Path) -> Checkpoint:
    """Read a model file, or the one in a run folder, onto the CPU.

    Raises CheckpointError: no such file, damaged, not ours, or tensors that do not fit its config.
    """
    file = read_model_file(path)
    config = file.config
    mark_pool_used()  # by the operations below: servers load a model and then fork
    try:
        # Built without memory: what the config claims costs nothing until the tensors fit it.
        with torch.device("meta"):
            model = RecurrentCTC(config.model, feature_size(config.features), len(file.vocabulary))
        with _Float32():
            extract = FeatureExtractor(config.features, _tail(config))
    except (ValueError, SpeechgruError) as error:
        raise CheckpointError(f"{file.path}: its metadata cannot be used: {error}") from None
    tensors = _tensors(file.arrays)
    extract.mean = tensors.pop("features.mean", None)
    extract.std = tensors.pop("features.std", None)
    if config.features.normalise in NEED_STATISTICS and not _has_statistics(extract):
        raise CheckpointError(f"{file.path}: no mean and std of {extract.size} features each")
    try:
        model.load_state_dict({k: v.float() for k, v in tensors.items()}, assign=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"{file.path}: weights do not fit its config: {reason_of(error):.200}"
        ) from None
    return Checkpoint(config, file.vocabulary, extract, model, file.metadata)


class _Float32(TorchFunctionMode):
    """New tensors are float32 and on the CPU, whatever the program has chosen, in this thread only:
    `torch.set_default_dtype` would change those that other threads make meanwhile, too."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Json | None = None
    ) -> Any:
        made = {"dtype": torch.float32, "device": "cpu"} if func in _CONSTRUCTORS else {}
        return func(*args, **made | (kwargs or {}))


@contextmanager
def inference() -> Iterator[None]:
    """Without gradients, and in float32 where the calling program has enabled autocast."""
    with (
        torch.inference_mode(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        yield


def _tail(config: ModelConfig) -> int:
    """Samples of silence that the look-ahead needs after the end."""
    return config.model.lookahead * config.model.factor * config.features.hop


def _has_statistics(extract: FeatureExtractor) -> bool:
    return all(
        part is not None and part.dtype == torch.float32 and part.shape == (extract.size,)
        for part in (extract.mean, extract.std)
    )


def frame_timing(checkpoint: Checkpoint) -> tuple[float, float]:
    """Seconds per model frame, and the time of model frame 0: the centre of the window of its
    first feature frame. Feature frame k covers samples [k·hop, k·hop + n_fft), with the window in
    their middle; model frame k begins with feature frame k·factor."""
    features, factor = checkpoint.config.features, checkpoint.config.model.factor
    return (
        factor * features.hop / features.sample_rate,
        checkpoint.extract.n_fft / 2 / features.sample_rate,
    )


def write_tensors(path: Path, tensors: dict[str, Tensor], kind: str, details: object) -> None:
    """`write_arrays` of tensors on any device."""
    write_arrays(path, _arrays(tensors), kind, details)


def read_tensors(path: Path, *kinds: str) -> tuple[str, dict[str, Tensor], Json]:
    """`read_arrays` as tensors on the CPU: format, tensors, details."""
    kind, arrays, details = read_arrays(path, *kinds)
    return kind, _tensors(arrays), details


def _arrays(tensors: dict[str, Tensor]) -> Arrays:
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}


def _tensors(arrays: Arrays) -> dict[str, Tensor]:
    """Copies: torch aligns its memory, which speed and the last bit of a sum depend on."""
    return {name: torch.tensor(array, device="cpu") for name, array in arrays.items()}


def average_weights(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor, summed in float64 (Polyak & Juditsky 1992; here a plain mean)."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        for name, tensor in states[0].items()
    }
