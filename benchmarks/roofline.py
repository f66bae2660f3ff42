"""What this machine can do, and the least time it allows the benchmark's cases.

    python benchmarks/roofline.py [--threads N]

Prints the processor, the rates of matrix products and of reading memory, and for every case of
`speechgru bench cells` its operations, its recurrent weights and its floor. Nothing is compared:
no recurrent layer runs.
"""

import argparse

from benchmarks.layers.case import Case
from benchmarks.layers.cells import CELLS
from benchmarks.layers.grid import Grid
from benchmarks.layers.machine import this_machine
from benchmarks.layers.roofline import Rates, floor, measure_rates


def line(case: Case, cell: str, rates: Rates) -> str:
    passes = 3 if case.kind == "training" else 1
    return (
        f"{case!s:37} {cell:5} {passes * case.input_operations(cell) / 1e9:9.3f}"
        f" {passes * case.recurrent_operations(cell) / 1e9:9.3f}"
        f" {case.recurrent_bytes(cell) / 1024:8.0f} {1e3 * floor(case, cell, rates):9.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=0, help="0: one a processor")
    machine = this_machine(parser.parse_args().threads)
    cases = Grid().cases()
    rates = measure_rates(cases, CELLS, machine.threads, ("float32",))
    for name, value in (machine.facts() | rates.facts()).items():
        print(f"{name:13} {value}")
    for dtype, shapes in rates.gemm.items():
        for shape, rate in shapes.items():
            print(f"{dtype:9} product {' × '.join(map(str, shape)):18} {rate / 1e9:6.0f} GFLOP/s")
    print("\nGFLOP of the input and recurrent products; KB of one direction's recurrent weights")
    print(f"{'':43} {'input':>9} {'recurrent':>9} {'KB':>8} {'floor ms':>9}")
    for case in cases:
        for cell in CELLS:
            print(line(case, cell, rates))


if __name__ == "__main__":
    main()
