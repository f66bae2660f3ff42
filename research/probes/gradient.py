"""How far back the gradient of a label's log-probability reaches.

g[k] = ‖∂ log p_t(y_t) / ∂ x_{t−k}‖₂

for labels of a one-way model, where x_{t−k} is what the model frame k before t reads (`factor`
frames of features). On speech y_t is a label that the trained model emits at t, whichever model is
looked at; on noise the most probable token, which may be the blank. Through h' = φ(W x + U h) it is
a product of k Jacobians diag(φ')·U, which shrinks or grows as a power of k (Bengio, Simard &
Frasconi 1994, "Learning long-term dependencies with gradient descent is difficult"; Pascanu,
Mikolov & Bengio 2013, arXiv 1211.5063).

Design choices:
- Each label's curve is divided by its own largest value, so that a confident model, whose every
  gradient is small, compares with a doubtful one. Then the median over labels.
- Float64 throughout: a confident model's 1 − p is lost in float32, and 500 factors of 0.5 are
  3e-151, which float32 calls zero.
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

LABELS = 16  # looked at in one sequence, the last ones
FEWEST = 5  # labels that a lag's median needs
TINY = 1e-300  # stands in for a largest value of zero


@dataclass(frozen=True, slots=True)
class Reach:
    """Gradient against distance, as medians over labels."""

    lags: list[int]  # k, in model frames
    relative: list[float | None]  # g[k] over its largest value; None: fewer than FEWEST labels
    ninety: float | None  # frames back within which nine tenths of the sum of g lie
    labels: int
    overflowed: int  # labels left out: outputs or gradients are no longer numbers, or all zero


def gradient_norms(
    model: RecurrentCTC, features: Tensor, frames: Sequence[int], tokens: Tensor | None = None
) -> Tensor:
    """g of `tokens` (the most probable ones if None) at `frames` (model frames) of one utterance.

    features (feature frames, size) → (len(frames), model frames) float64; [i, k] is g[k] of label
    i, and zero where k reaches before the beginning. The model must be float64 and one-way. (What
    a convolution hears of the frames after t is left out.)
    """
    count, factor = len(frames), model.recipe.factor
    x = features.double().repeat(count, 1, 1).requires_grad_()
    log_probs, _ = model(x, torch.full((count,), len(features)))
    asked = log_probs[torch.arange(count), torch.tensor(frames)]
    chosen = asked.amax(-1) if tokens is None else asked.gather(1, tokens[:, None])
    (gradient,) = torch.autograd.grad(chosen.sum(), x)
    blocks = torch.nn.functional.pad(gradient, (0, 0, 0, -len(features) % factor))
    blocks = blocks.reshape(count, -1, factor * features.shape[1])
    scale = blocks.abs().amax(-1, keepdim=True).clamp(min=TINY)  # squares would leave float64
    norms = scale[..., 0] * (blocks / scale).square().sum(-1).sqrt()
    back = torch.tensor(frames)[:, None] - torch.arange(norms.shape[1])
    return norms.gather(1, back.clamp(min=0)).where(back >= 0, 0.0)


def summarise(curves: Sequence[Tensor], steps: int) -> Reach:
    """Medians over labels. Each curve holds one label's g[0], …, g[t]."""
    told = [curve for curve in curves if bool(curve.isfinite().all()) and bool(curve.any())]
    scaled = [curve / curve.max() for curve in told]
    lags = lag_grid(steps)
    relative: list[float | None] = []
    for lag in lags:
        values = [float(curve[lag]) for curve in scaled if lag < len(curve)]
        relative.append(float(np.median(values)) if len(values) >= FEWEST else None)
    ninety = float(np.median([within(curve, 0.9) for curve in told])) if told else None
    return Reach(lags, relative, ninety, len(told), len(curves) - len(told))


def within(curve: Tensor, share: float) -> int:
    """The smallest k with g[0] + … + g[k] ≥ `share` of the whole sum."""
    parts = curve.double() / curve.max()
    return int((parts.cumsum(0) < share * parts.sum()).sum())


def lag_grid(steps: int) -> list[int]:
    """0 to 20 one by one, then some 6 % further each time, whole hundreds, and the last."""
    lags = {*range(min(steps, 21)), *range(0, steps, 100), steps - 1}
    lag = 20.0
    while (lag := lag * 1.06) < steps:
        lags.add(round(lag))
    return sorted(lag for lag in lags if lag < steps)


def exact(model: RecurrentCTC) -> RecurrentCTC:
    """A float64 copy."""
    if model.recipe.bidirectional:
        raise SpeechgruError(
            "gradient reach needs a one-way model: a two-way one sees each frame from both sides; "
            "train with model.bidirectional=false"
        )
    twin = copy.deepcopy(model).double().eval()
    for layer in twin.recurrent_layers():
        layer.backend = "fused"  # what torch has for float64; nothing is compiled for one pass
    return twin


def noise_reach(model: RecurrentCTC, steps: int) -> Reach:
    """On white noise of unit variance, `steps` model frames long, at its last frames."""
    noise = np.random.default_rng(steps).standard_normal(
        (steps * model.recipe.factor, model.feature_size)
    )
    frames = list(range(steps - min(LABELS, steps), steps))
    norms = gradient_norms(exact(model), torch.from_numpy(noise), frames)
    return summarise([row[: t + 1] for row, t in zip(norms, frames, strict=True)], steps)


def speech_reach(
    model: RecurrentCTC, trained: Checkpoint, sounds: Sequence[Tensor], steps: int
) -> Reach:
    """At the frames where the *trained* model emits a label, whichever model is looked at.

    sounds: features (feature frames, size) each. Raises SpeechgruError when nothing is emitted.
    """
    twin, curves = exact(model), []
    for features in sounds:
        with torch.inference_mode():
            log_probs, _ = trained.model(features[None], torch.tensor([len(features)]))
        frames = emissions(log_probs[0], trained.vocabulary.blank)[-LABELS:]
        if frames:
            tokens = log_probs[0, frames].argmax(-1)
            norms = gradient_norms(twin, features, frames, tokens)
            curves += [row[: t + 1] for row, t in zip(norms, frames, strict=True)]
    if not curves:
        raise SpeechgruError("the model emits no label on any of these utterances: train it longer")
    return summarise(curves, steps)


def emissions(log_probs: Tensor, blank: int) -> list[int]:
    """Frames at which greedy decoding writes a label: not blank, and not the frame before's."""
    best = log_probs.argmax(-1)
    before = torch.cat([best.new_tensor([blank]), best[:-1]])
    return [int(t) for t in ((best != blank) & (best != before)).nonzero()]
