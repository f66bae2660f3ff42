"""How far back the gradient of a label's log-probability reaches in a unidirectional model.

g[k] = ‖∂ log p_t(y_t) / ∂ x_{t−k}‖₂

x_{t−k} is the input of model frame t − k (`factor` feature frames). Through h' = φ(W x + U h) the
gradient is a product of k Jacobians diag(φ')·U, which vanishes or explodes as a power of k (Bengio,
Simard & Frasconi 1994, "Learning long-term dependencies with gradient descent is difficult";
Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063).

Design choices:
- On speech y_t is a label that the trained model emits at t, also when the untrained model is
  measured; on noise it is the most probable token, which may be the blank.
- Each curve is divided by its own maximum: all gradients of a confident model are small. Then the
  median over labels.
- Float64: a confident model's 1 − p vanishes in float32, and so do 500 factors of 0.5 (3e-151).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speechgru.checkpoint import Checkpoint
from speechgru.errors import SpeechgruError
from speechgru.model import RecurrentCTC

LABELS = 16  # measured per sequence: the last ones
FEWEST = 5  # labels that the median at a lag needs
TINY = 1e-300  # replaces a maximum of zero


@dataclass(frozen=True, slots=True)
class Reach:
    """Gradient by distance, as medians over labels."""

    lags: list[int]  # k, in model frames
    relative: list[float | None]  # g[k] / max g; None: fewer than FEWEST labels
    reach_90: float | None  # 90 % of the sum of g is within this many frames
    labels: int
    excluded: int  # labels whose gradient is not finite, or all zero


def gradient_norms(
    model: RecurrentCTC, features: Tensor, frames: Sequence[int], tokens: Tensor | None = None
) -> Tensor:
    """g of `tokens` (default: the most probable ones) at `frames` (model frames) of one utterance.

    features (feature frames, size) → (len(frames), model frames) float64; [i, k] is g[k] of label
    i, and 0 where k reaches back beyond the first frame. The model must be float64 and
    unidirectional. What a convolution uses of the frames after t is not included.
    """
    count, factor = len(frames), model.recipe.factor
    x = features.double().repeat(count, 1, 1).requires_grad_()
    log_probs, _ = model(x, torch.full((count,), len(features)))
    at_frames = log_probs[torch.arange(count), torch.tensor(frames)]
    chosen = at_frames.amax(-1) if tokens is None else at_frames.gather(1, tokens[:, None])
    (gradient,) = torch.autograd.grad(chosen.sum(), x)
    blocks = torch.nn.functional.pad(gradient, (0, 0, 0, -len(features) % factor))
    blocks = blocks.reshape(count, -1, factor * features.shape[1])
    scale = blocks.abs().amax(-1, keepdim=True).clamp(min=TINY)  # squares would underflow
    norms = scale[..., 0] * (blocks / scale).square().sum(-1).sqrt()
    back = torch.tensor(frames)[:, None] - torch.arange(norms.shape[1])
    return norms.gather(1, back.clamp(min=0)).where(back >= 0, 0.0)


def median_reach(curves: Sequence[Tensor], frames: int) -> Reach:
    """Medians over labels; each curve is one label's g[0], …, g[t]."""
    valid = [curve for curve in curves if bool(curve.isfinite().all()) and bool(curve.any())]
    scaled = [curve / curve.max() for curve in valid]
    lags = lag_grid(frames)
    relative: list[float | None] = []
    for lag in lags:
        values = [float(curve[lag]) for curve in scaled if lag < len(curve)]
        relative.append(float(np.median(values)) if len(values) >= FEWEST else None)
    within = [int((curve.cumsum(0) < 0.9 * curve.sum()).sum()) for curve in scaled]
    reach_90 = float(np.median(within)) if within else None
    return Reach(lags, relative, reach_90, len(valid), len(curves) - len(valid))


def lag_grid(frames: int) -> list[int]:
    """0 to 20, then in steps of about 6 %; also multiples of 100 and the last frame."""
    lags = {*range(min(frames, 21)), *range(0, frames, 100), frames - 1}
    lag = 20.0
    while (lag := lag * 1.06) < frames:
        lags.add(round(lag))
    return sorted(lag for lag in lags if lag < frames)


def in_float64(model: RecurrentCTC) -> RecurrentCTC:
    """A float64 copy. Raises SpeechgruError for a bidirectional model."""
    if model.recipe.bidirectional:
        raise SpeechgruError(
            "gradient reach: found a bidirectional model, which uses each frame from both sides; "
            "train with model.bidirectional=false"
        )
    twin = copy.deepcopy(model).double().eval()
    for layer in twin.recurrent_layers():
        layer.backend = "fused"  # supports float64
    return twin


def noise_reach(model: RecurrentCTC, frames: int) -> Reach:
    """At the last model frames of `frames` frames of white noise of unit variance."""
    noise = np.random.default_rng(frames).standard_normal(
        (frames * model.recipe.factor, model.feature_size)
    )
    last = list(range(frames - min(LABELS, frames), frames))
    norms = gradient_norms(in_float64(model), torch.from_numpy(noise), last)
    return median_reach([row[: t + 1] for row, t in zip(norms, last, strict=True)], frames)


def speech_reach(
    model: RecurrentCTC, trained: Checkpoint, utterances: Sequence[Tensor], frames: int
) -> Reach:
    """At the frames where the trained model emits a label.

    utterances: features (feature frames, size). Raises SpeechgruError if nothing is emitted.
    """
    twin, curves = in_float64(model), []
    for features in utterances:
        with torch.inference_mode():
            log_probs, _ = trained.model(features[None], torch.tensor([len(features)]))
        emitted = emission_frames(log_probs[0], trained.vocabulary.blank)[-LABELS:]
        if emitted:
            tokens = log_probs[0, emitted].argmax(-1)
            norms = gradient_norms(twin, features, emitted, tokens)
            curves += [row[: t + 1] for row, t in zip(norms, emitted, strict=True)]
    if not curves:
        raise SpeechgruError("the model emits only blanks on these utterances; train it longer")
    return median_reach(curves, frames)


def emission_frames(log_probs: Tensor, blank: int) -> list[int]:
    """Frames at which greedy decoding emits a label: not blank, and not a repetition."""
    best = log_probs.argmax(-1)
    before = torch.cat([best.new_tensor([blank]), best[:-1]])
    return [int(t) for t in ((best != blank) & (best != before)).nonzero()]
