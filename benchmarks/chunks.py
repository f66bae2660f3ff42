"""Processor time per chunk of 16 frames of a stream, beside onnxruntime's and torch.nn's.

    OMP_NUM_THREADS=1 python -m benchmarks.chunks

Two unidirectional layers on one thread, in µs: the fastest of ROUNDS rounds of CALLS chunks, in
turn, so that a busy machine affects all alike. `python -m benchmarks.layers --cases chunk` times
by the clock.
"""

import time
from typing import Any

import torch

from benchmarks.layers.case import Case
from benchmarks.layers.contenders import Contender, onnx_runtime, ours, torch_nn, workload

CELLS = ("gru", "lstm")
HIDDEN = (64, 128, 256)
FRAMES = 16
ROUNDS = 60
CALLS = 60


def main() -> None:
    torch.set_num_threads(1)
    for cell in CELLS:
        for hidden in HIDDEN:
            load = workload(Case("chunk", hidden, 1, FRAMES, 1), cell)
            made = [ours(load), onnx_runtime(load, 1), torch_nn(load)]
            times = measure([each for each in made if each is not None])
            print(f"{cell} {hidden}:", ", ".join(f"{k} {v:.0f}" for k, v in times.items()))


@torch.inference_mode()
def measure(contenders: list[Contender]) -> dict[str, float]:
    """Name → µs per chunk."""
    states: dict[str, Any] = {each.name: None for each in contenders}
    fastest = dict.fromkeys(states, float("inf"))
    for _ in range(ROUNDS):
        for each in contenders:
            began = time.thread_time()
            for _ in range(CALLS):
                _, states[each.name] = each.call(states[each.name])
            used = 1e6 * (time.thread_time() - began) / CALLS
            fastest[each.name] = min(fastest[each.name], used)
    return fastest


if __name__ == "__main__":
    main()
