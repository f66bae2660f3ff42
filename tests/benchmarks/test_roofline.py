"""Operations, bytes and floors against figures calculated by hand."""

import numpy as np
import pytest

from benchmarks.layers.case import Case
from benchmarks.layers.fma import PASSES, SUMS, measure_arithmetic, multiply_add_loop
from benchmarks.layers.roofline import Rates, floor, measure_rates, share
from benchmarks.layers.streaming import SUMS as STREAMS
from benchmarks.layers.streaming import add_up, lanes, measure_streaming
from speechgru import kernels

# 2 layers, bidirectional, H=2, 3 inputs, 5 rows of 7 frames; a GRU has 3 gates.
SMALL = Case("forward", 2, batch=5, frames=7, directions=2, layers=2, inputs=3)


def rates(**changes):
    values = {
        "threads": 2,
        "alone": 600.0,
        "peak": {"float32": 1000.0, "bfloat16": 4000.0},
        "streaming": {24: 10.0, 48: 5.0},
    }
    return Rates(**(values | changes))


def test_operations_and_bytes_by_hand():
    assert SMALL.columns() == [3, 4]  # the second layer's input is both directions
    # 35 row-frames × 2 directions × 3 gates × 2 units × (3 + 4) columns × 2
    assert SMALL.input_operations("gru") == 35 * 2 * 3 * 2 * 7 * 2 == 5880
    # 35 row-frames × 2 directions × 2 layers × 3 gates × 2 × 2 weights × 2
    assert SMALL.recurrent_operations("gru") == 35 * 2 * 2 * 3 * 4 * 2 == 3360
    assert SMALL.recurrent_operations("lstm") == 4 * SMALL.recurrent_operations("rnn") == 4480
    assert SMALL.recurrent_bytes("gru") == 3 * 2 * 2 * 4 == 48
    # once per frame, whatever the number of rows: 7 frames × 2 directions × 2 layers × 48 bytes
    assert SMALL.streamed_bytes("gru") == 7 * 2 * 2 * 48 == 1344


def test_the_floor_is_limited_by_reading_or_by_arithmetic():
    assert share(SMALL, "gru", threads=2) == 24
    # input 5880 / 1000, then reading 1344 / 10 = 134.4 against arithmetic 3360 / 1000
    assert floor(SMALL, "gru", rates()) == pytest.approx(5.88 + 134.4)
    # one thread reads all 48 bytes, at 5 bytes per second
    assert floor(SMALL, "gru", rates(threads=1)) == pytest.approx(5.88 + 268.8)
    quick = rates(streaming={24: 1e6})
    assert floor(SMALL, "gru", quick) == pytest.approx(5.88 + 3.36)


def test_the_floor_of_a_training_step_is_three_forward_passes_of_products():
    step = Case("training", 2, batch=5, frames=7, directions=2, layers=2, inputs=3)
    assert floor(step, "gru", rates()) == pytest.approx(3 * (5.88 + 3.36))


def test_reduced_precision_is_read_faster_and_computed_in_the_better_type():
    known = rates(streaming={12: 20.0, 24: 10.0})
    # input 5880 / 4000; 672 bytes in shares of 12 at 20 per second
    assert floor(SMALL, "gru", known, "bfloat16") == pytest.approx(1.47 + 33.6)


def test_bandwidth_is_that_of_the_nearest_size_by_ratio():
    known = rates(streaming={10: 1.0, 1000: 2.0})
    assert [known.bandwidth(size) for size in (1, 90, 110, 5000)] == [1.0, 1.0, 2.0, 2.0]


def test_the_reader_reads_every_value_forwards_and_backwards():
    values = np.arange(1, lanes() * STREAMS * 5 + 1, dtype=np.float32)
    assert add_up(values) == pytest.approx(2 * values.sum(dtype=np.float64), rel=1e-6)
    values[:] = 0
    for index in (0, len(values) // 2, len(values) - 1):
        values[index] = 1.0
    assert add_up(values) == 6.0


def test_every_size_is_measured():
    assert set(measure_streaming([100, 5000], threads=2)) == {100, 5000}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_multiply_adds_are_really_done(precision):
    """And as often as they are counted: each of SUMS sums grows by PASSES products per step."""
    if kernels.unsupported_reason(precision) is not None:
        pytest.skip(str(kernels.unsupported_reason(precision)))
    bf16 = precision == "bfloat16"
    factor = np.float32(0.5)  # in bfloat16, a pair of 0.5 and 0
    grown = multiply_add_loop(lanes(), bf16)(3, factor) - sum(1 + i for i in range(SUMS))
    assert grown == SUMS * PASSES * 3 * 0.25


def test_unsupported_arithmetic_is_none(monkeypatch):
    monkeypatch.setattr(kernels, "unsupported_reason", lambda name: "no such processor")
    assert measure_arithmetic(1, "bfloat16") == 0


def test_a_cases_own_sizes_and_shapes_are_measured(monkeypatch):
    asked = {}

    def streaming(sizes, threads):
        asked["sizes"], asked["threads"] = set(sizes), threads
        return dict.fromkeys(sizes, 1.0)

    monkeypatch.setattr("benchmarks.layers.roofline.measure_streaming", streaming)
    monkeypatch.setattr("benchmarks.layers.roofline.measure_arithmetic", lambda *_: 1e9)
    found = measure_rates([SMALL], ("gru", "rnn"), 1, ("float32", "bfloat16"))
    assert asked["threads"] == 1
    assert {48, 24, 16, 8} <= asked["sizes"]
    assert set(found.peak) == {"float32", "bfloat16"}
    assert found.to_json()["streaming_gb_per_s"]["48"] == 0.0
    assert found.alone > 0
