"""Which precision matrix products are computed in, at inference and in training.

At inference, a reduced one only where it is faster, measured on this machine for a model's own
layers: some processors with instructions for bfloat16 multiply it no faster than float32, and then
conversions cost more time than reading half the bytes saves. All layers and all numbers of rows get
the same precision, so that a text does not depend on what else is in its batch.
"""

import logging
from collections.abc import Callable, Sequence

import torch

from speechgru import kernels
from speechgru.cells import CELLS
from speechgru.cells.layer import RecurrentLayer
from speechgru.errors import RecipeError
from speechgru.measure import time_ratio

log = logging.getLogger(__name__)

SHAPES = ((1, 100), (16, 25))  # rows and frames that are timed
FASTER = 0.97  # of the time in float32: reduced precision that takes more is not worth its error

_ratios: dict[object, list[float]] = {}  # in this process, by layers, precision and threads


def use_precision(layers: Sequence[RecurrentLayer], precision: str) -> str:
    """Set the precision of a model's layers at inference; returns the one in use: float32 where the
    other is not supported (see `RecurrentLayer.set_precision`) or not faster, with a warning."""
    for layer in layers:
        layer.set_precision(precision)
    used = {layer.precision for layer in layers}
    if precision == "float32" or used != {precision}:
        return "float32"
    key = (tuple(layer.sizes for layer in layers), precision, torch.get_num_threads())
    if key not in _ratios:
        _ratios[key] = [_ratio(layers, precision, *shape) for shape in SHAPES]
    if max(_ratios[key]) <= FASTER:
        return precision
    log.warning(
        "%s is not faster than float32 for this model on this machine (%s of the time): using "
        "float32", precision,
        ", ".join(f"{rows} × {frames} frames: {ratio:.0%}"
                  for (rows, frames), ratio in zip(SHAPES, _ratios[key], strict=True)),
    )  # fmt: skip
    for layer in layers:
        layer.set_precision("float32")
    return "float32"


def _ratio(layers: Sequence[RecurrentLayer], precision: str, rows: int, frames: int) -> float:
    """Seconds of all layers in a precision ÷ those in float32."""
    inputs = [
        next(layer.parameters()).new_zeros(rows, frames, layer.input_size) for layer in layers
    ]
    lengths = torch.full((rows,), frames, device="cpu")

    def run(name: str) -> Callable[[], None]:
        kernels = [layer.kernel_of(name) for layer in layers]

        def call() -> None:
            for layer, kernel, x in zip(layers, kernels, inputs, strict=True):
                kernel(x, lengths, layer.weights())

        return call

    with torch.no_grad():
        return time_ratio(run(precision), run("float32"), torch.device("cpu"))


def choose_precision(name: str, device: torch.device, cell: str) -> torch.dtype:
    """The type that matrix products of a step are computed in: `auto` is bfloat16 (autocast) on
    GPUs with hardware for it, else float32; weights and loss are float32 always. On a CPU, bfloat16
    is that of the recurrent layers' kernels: autocast is slower there.

    Raises RecipeError for bfloat16 on a device without it, or on a CPU for a cell without kernel.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            has = torch.cuda.is_bf16_supported(including_emulation=False)
        reason = None if has else "the GPU has none"
    else:
        reason = kernels.unsupported_reason("bfloat16")
        if CELLS[cell].kernel is None:
            reason = f"{cell} has no CPU kernel"
    if name == "bfloat16" and reason is not None:
        raise RecipeError(
            f"training.precision: bfloat16 needs hardware for it, but training runs on {device} "
            f"({reason}): use auto or float32"
        )
    chosen = name == "bfloat16" or (name == "auto" and device.type == "cuda")
    return torch.bfloat16 if chosen and reason is None else torch.float32
