"""One training step: CTC loss, optimiser, learning rate.

The only training step of the code base: training, cost measurement and matching all call it.

Design choices:
- The loss is the CTC loss per target token over the whole step, so that accumulating two batches
  equals one batch of both.
- A step whose loss or gradient is NaN or infinite changes nothing, batch-norm statistics included.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speechgru.batches import Batch
from speechgru.model import RecurrentCTC
from speechgru.recipe import TrainingRecipe
from speechgru.text import Vocabulary


@dataclass(frozen=True, slots=True)
class StepResult:
    """`loss` per target token and `gradient_norm` before clipping. `applied` is false when either
    was NaN or infinite; then `suspects` names the utterances whose own loss was, or all."""

    loss: float
    tokens: int
    gradient_norm: float
    applied: bool
    suspects: tuple[str, ...] = ()


def train_step(
    model: RecurrentCTC,
    optimiser: torch.optim.Optimizer,
    batches: Sequence[Batch],
    options: TrainingRecipe,
    precision: torch.dtype = torch.float32,
) -> StepResult:
    """One optimiser step over one or more batches, at the optimiser's current learning rate.

    Several processes would agree here on `tokens` (the sum over all of them), on the gradient (the
    sum) and on `applied` (true only if it is true in each).
    """
    optimiser.zero_grad(set_to_none=True)
    statistics = [buffer.clone() for buffer in model.buffers()]
    tokens = sum(int(batch.target_lengths.sum()) for batch in batches) or 1  # non-speech has none
    losses: list[Tensor] = []  # read after the last batch, since reading waits for the GPU
    for batch in batches:
        rows = ctc_loss(model, batch, precision, options.consistency)
        (rows.sum() / tokens).backward()  # type: ignore[no-untyped-call]
        losses.append(rows.detach().view(-1, len(batch.ids)).sum(0))  # of both views, if two
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm))
    loss = sum(float(rows.sum() / tokens) for rows in losses)
    if math.isfinite(loss) and math.isfinite(norm):
        optimiser.step()
        return StepResult(loss, tokens, norm, applied=True)
    for buffer, before in zip(model.buffers(), statistics, strict=True):
        buffer.copy_(before)
    ids = [id_ for batch in batches for id_ in batch.ids]
    finite = torch.cat(losses).isfinite().tolist()
    suspects = [id_ for id_, ok in zip(ids, finite, strict=True) if not ok] or ids
    return StepResult(loss, tokens, norm, applied=False, suspects=tuple(suspects))


def ctc_loss(
    model: RecurrentCTC,
    batch: Batch,
    precision: torch.dtype = torch.float32,
    consistency: float = 0.0,
) -> Tensor:
    """CTC loss (negative log-likelihood) of each row, (batch,) float32, on the model's device, and
    `consistency` times its divergence from the other view's output."""
    device = next(model.parameters()).device
    on_gpu = device.type == "cuda"
    if not on_gpu:
        for layer in model.recurrent_layers():  # evaluation on dev sets float32
            layer.set_precision(str(precision).removeprefix("torch."))
    with torch.autocast(device.type, precision, enabled=on_gpu and precision != torch.float32):
        log_probs, lengths = model(batch.features.to(device), batch.lengths.to(device))
    rows = nn.functional.ctc_loss(
        log_probs.transpose(0, 1),
        batch.targets.to(device),
        lengths,
        batch.target_lengths.to(device),
        blank=Vocabulary.blank,
        reduction="none",
    )
    if not consistency:
        return rows
    from speechgru.training.consistency import divergence  # rarely needed

    return rows + consistency * divergence(log_probs, lengths)


def make_optimiser(model: nn.Module, options: TrainingRecipe) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019); weights decay, biases and norms do not."""
    trained = [p for p in model.parameters() if p.requires_grad]
    weights = [p for p in trained if p.ndim > 1]
    rest = [p for p in trained if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": options.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate, fused=True)


def learning_rate(options: TrainingRecipe, step: int, total: int) -> float:
    """The learning rate of a step, 0 ≤ step < total.

    one-cycle: half a cosine up from 1/25 of the peak, half a cosine down to 1/250,000 of it (Smith
    & Topin 2018, as in torch, without its momentum cycle). cosine: linear warm-up from 0, half a
    cosine down to 0.
    """
    peak, warm = options.learning_rate, options.warmup * total
    if options.schedule == "constant":
        return peak
    low, end = (peak / 25, peak / 250_000) if options.schedule == "one-cycle" else (0.0, 0.0)
    if step < warm:
        share = (step + 1) / warm
        if options.schedule == "one-cycle":
            share = (1 - math.cos(math.pi * min(share, 1))) / 2
        return low + (peak - low) * min(share, 1)
    share = (step - warm) / max(total - warm, 1)
    return end + (peak - end) * (1 + math.cos(math.pi * share)) / 2
