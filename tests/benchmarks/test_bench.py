"""`python -m benchmarks.layers`: every case is in the table and the JSON; nothing here is timed."""

import json
import sys
from functools import partial

import pytest
import torch

from benchmarks.layers import bench
from benchmarks.layers.bench import bench_layers
from benchmarks.layers.case import Case
from benchmarks.layers.commands import app
from benchmarks.layers.contenders import Contender
from benchmarks.layers.grid import QUICK, Grid, choose
from benchmarks.layers.roofline import Rates
from benchmarks.layers.rounds import LONG, PAUSE, Timer, time_rounds
from speechgru import kernels
from speechgru.errors import SpeechgruError

TINY = Grid(
    hidden=(3, 4), batch=(1, 2), directions=(1, 2), inputs=2, single_frames=4, batch_frames=3,
    chunk=2, training_batch=2, rounds=3,
)  # fmt: skip


class Clock:
    """Advances only in the contenders' calls."""

    def __init__(self):
        self.now, self.pauses = 0.0, []
        self.timer = Timer(lambda: self.now, self.pauses.append)

    def contender(self, name, seconds, log):
        left = iter(seconds)

        def call(state):
            self.now += next(left)
            log.append((name, state))
            return None, (state or 0) + 1

        return Contender(name, "gru", call, list, warm_up=2)


@pytest.fixture
def layers(run_program):
    return partial(run_program, app, "python -m benchmarks.layers")


@pytest.fixture(autouse=True)
def fixed_rates(monkeypatch):
    """test_roofline measures them."""

    def rates(cases, cells, threads, precisions):
        return Rates(threads, 1e9, {"float32": 1e9, "bfloat16": 1e9}, {1024: 1e9})

    monkeypatch.setattr(bench, "measure_rates", rates)


def steady():
    """A timer for which every call takes a second."""
    seconds = iter(range(1_000_000))
    return Timer(lambda: float(next(seconds)), lambda _: None)


def test_contenders_alternate_and_carry_their_states():
    clock, log = Clock(), []
    a = clock.contender("a", [9, 1, 1, 2, 3], log)
    b = clock.contender("b", [9, 9, 6, 5, 4], log)
    times = time_rounds([a, b], 3, clock.timer)
    assert times == {"a gru": [1, 2, 3], "b gru": [6, 5, 4]}
    assert log[:4] == [("a", None), ("a", 1), ("b", None), ("b", 1)]  # warm-up, not counted
    assert log[4:] == [(name, state) for state in (2, 3, 4) for name in "ab"]
    assert clock.pauses == [PAUSE] * 6


def test_a_short_call_is_repeated_within_its_turn():
    clock, log = Clock(), []
    quick = clock.contender("a", [1.0] + [0.3 * LONG] * 9, log)
    assert time_rounds([quick], 2, clock.timer)["a gru"] == pytest.approx([0.3 * LONG] * 2)
    assert len(log) == 2 + 2 * 4


def test_the_default_grid_is_the_documented_one():
    cases = set(Grid().cases())
    for hidden in (128, 256, 512):
        for directions in (1, 2):
            assert Case("forward", hidden, 1, 1000, directions) in cases
            for batch in (4, 16, 32):
                assert Case("forward", hidden, batch, 200, directions) in cases
            assert Case("training", hidden, 16, 200, directions) in cases
        assert Case("chunk", hidden, 1, 16, 1) in cases
    assert len(cases) == 3 * (2 * 4 + 2 + 1)
    assert Grid().rounds >= 7
    assert set(QUICK.cases()) < cases


def test_every_case_is_in_the_report_and_its_json(tmp_path):
    shown = []
    report = bench_layers(TINY, 1, tmp_path / "a.json", lambda *step: shown.append(step), steady())
    values = json.loads((tmp_path / "a.json").read_text())
    assert set(values) == {
        "tier", "machine", "versions", "rates", "rounds", "notes", "mismatches", "cases",
    }  # fmt: skip
    assert (values["rounds"], values["mismatches"]) == (3, [])
    assert values["machine"]["threads"] == 1
    assert torch.__version__.startswith(values["versions"]["torch"].split("+")[0])
    assert [result.case for result in report.results] == TINY.cases()
    for found, case in zip(values["cases"], TINY.cases(), strict=True):
        assert (found["kind"], found["hidden"], found["batch"]) == (
            case.kind, case.hidden, case.batch,
        )  # fmt: skip
        assert {"ours gru", "ours lstm", "ours rnn", "torch.nn gru"} <= set(found["medians_ms"])
        assert set(found["medians_ms"].values()) == {1000.0}  # by this clock
        assert set(found["ratios"]["ours gru"].values()) == {1.0}
        assert {"torch.nn gru", "torch.nn lstm", "torch.nn rnn"} <= set(found["ratios"]["ours rnn"])
        assert set(found["floors_ms"]) == set(found["ratios"]) == set(found["floor_ratios"])
        assert max(found["errors"].values()) < 0.02
        assert found["errors"]["ours gru"] < 1e-4
    assert shown[0] == (0, 14, "this machine's rates")
    assert shown[-1][:2] == (14, 14)


def test_each_of_our_layers_has_a_row():
    grid = Grid(
        hidden=(3,), batch=(1,), directions=(2,), kinds=("forward",), single_frames=4, inputs=2
    )
    (result,) = bench_layers(grid, 1, None, lambda *_: None, steady()).results
    reduced = [n for n in kernels.PRECISIONS[1:] if kernels.unsupported_reason(n) is None]
    assert [(row.cell, row.precision) for row in result.rows()] == [
        (cell, precision) for cell in ("gru", "lstm", "rnn") for precision in ("float32", *reduced)
    ]
    for row in result.rows():
        assert (row.ours, row.torch_nn, row.torch_lstm) == (1.0, 1.0, 1.0)
        assert row.floor > 0


def test_medians_and_ratios():
    times = {"ours gru": [1.0, 5.0, 2.0], "torch.nn gru": [3.0, 4.0, 9.0]}
    result = bench.CaseResult(
        TINY.cases()[0], times, {"ours gru": 0.0}, {"ours gru": ("gru", "float32")},
        {"ours gru": 1.5},
    )  # fmt: skip
    values = result.to_json()
    assert values["medians_ms"] == {"ours gru": 2000, "torch.nn gru": 4000}
    assert (values["fastest_ms"]["ours gru"], values["slowest_ms"]["ours gru"]) == (1000, 5000)
    assert values["ratios"] == {"ours gru": {"torch.nn gru": 2.0}}
    assert values["floor_ratios"] == {"ours gru": 0.75}


def test_a_row_has_the_same_cell_of_the_others_and_their_lstm():
    times = {"ours rnn": [1.0], "torch.nn gru": [2.0], "torch.nn lstm": [3.0]}
    times |= {"torch.nn rnn": [4.0], "onnxruntime gru": [5.0], "ours bfloat16 gru": [6.0]}
    ours = {"ours rnn": ("rnn", "float32"), "ours bfloat16 gru": ("gru", "bfloat16")}
    errors, floors = dict.fromkeys(ours, 0.5), {"ours rnn": 0.7, "ours bfloat16 gru": 0.8}
    case = TINY.cases()[0]
    assert bench.CaseResult(case, times, errors, ours, floors).rows() == [
        bench.LayerTimes(case, "rnn", "float32", 1.0, 4.0, 3.0, None, 0.7, 0.5),
        bench.LayerTimes(case, "gru", "bfloat16", 6.0, 2.0, 3.0, 5.0, 0.8, 0.5),
    ]


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(bench, "measure_rates", lambda *_: pytest.fail("measured"))
    (tmp_path / "file").write_text("")
    with pytest.raises(SpeechgruError, match=r"a\.json"):
        bench_layers(TINY, 1, tmp_path / "file" / "a.json", lambda *_: None)


def test_an_interrupted_run_leaves_its_finished_cases(tmp_path):
    def show(done, total, name):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench_layers(TINY, 1, tmp_path / "a.json", show, steady())
    assert len(json.loads((tmp_path / "a.json").read_text())["cases"]) == 2


def test_a_contender_with_other_results_is_named_and_not_timed(monkeypatch, layers, tmp_path):
    real = bench.ours

    def wrong(shared, precision="float32"):
        contender = real(shared, precision)
        if shared.cell != "lstm":
            return contender
        return Contender(
            contender.maker, "lstm", contender.call, lambda found: [2 * part for part in found]
        )

    monkeypatch.setattr(bench, "ours", wrong)
    file = tmp_path / "a.json"
    result = layers("--hidden", 3, "--cases", "chunk", "--threads", 1, "--json", file)
    assert result.status == 1
    assert "H=3: ours lstm" in result.err
    found = json.loads(file.read_text())["cases"][0]
    assert "ours lstm" not in found["medians_ms"]
    assert "ours gru" in found["medians_ms"]


def test_the_table(layers):
    result = layers("--hidden", "3,5", "--cases", "chunk", "--threads", 1)
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    for name in ("processor", "instructions", "threads", "tier", "arithmetic", "reading"):
        assert any(line.startswith(name) for line in lines)
    at = [lines.index(line) for line in lines if line.strip().startswith("chunk 1 × 16")]
    assert len(at) == 2
    assert lines[at[0] + 1].split()[0] == "gru"
    assert "× nn.LSTM" in result.out


def test_floors_alone_run_no_layer(monkeypatch, layers):
    monkeypatch.setattr(bench, "time_rounds", lambda *_: pytest.fail("timed"))
    result = layers("--floors", "--hidden", 64, "--cases", "training", "--threads", 1)
    assert result.status == 0, result.err
    # 16 × 200 rows, one direction: 3 passes × 2 × 3200 × 3·64 × (80 + 64) columns
    gru = next(line for line in result.out.splitlines() if line.strip().startswith("gru"))
    assert gru.split()[:2] == ["gru", f"{3 * 2 * 3200 * 192 * 144 / 1e9:.3f}"]


def test_without_onnxruntime_the_rest_is_measured(monkeypatch, layers):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = layers("--hidden", 3, "--cases", "chunk", "--threads", 1)
    assert result.status == 0
    assert "pip install onnx onnxruntime" in result.err


def test_onnxruntime_is_timed_if_it_is_installed():
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    grid = Grid(hidden=(3,), kinds=("chunk",), inputs=2)
    report = bench_layers(grid, 1, None, lambda *_: None, steady())
    assert {"onnxruntime gru", "onnxruntime lstm"} <= set(report.results[0].times)
    assert report.results[0].rows()[0].onnxruntime == 1.0


def test_the_reason_for_not_using_kernels_is_noted(monkeypatch):
    monkeypatch.setattr(kernels, "unsupported_reason", lambda name="float32": "some reason")
    report = bench_layers(
        Grid(hidden=(3,), kinds=("chunk",), inputs=2), 1, None, lambda *_: None, steady()
    )
    assert sum("some reason" in note for note in report.notes) == 1
    assert [row.precision for row in report.results[0].rows()] == ["float32"] * 3


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--hidden", "12,x"), "--hidden '12,x'"),
        (("--hidden", "0"), "--hidden '0'"),
        (("--batch", ","), "--batch ','"),
        (("--directions", "1,3"), "--directions '1,3'"),
        (("--cases", "backward"), "--cases 'backward'"),
        (("--threads", "4096"), "--threads 4096"),
        (("--json", "/proc/none/a.json"), "/proc/none/a.json"),
    ],
)
def test_a_wrong_option_is_one_line(options, named, layers):
    result = layers(*options)
    assert result.status == 2
    assert named in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_options_choose_a_part():
    grid = choose(False, "64,64,32", "4", "2", "training,forward")
    assert [(case.kind, case.hidden, case.batch) for case in grid.cases()] == [
        ("forward", 64, 4), ("training", 64, 16), ("forward", 32, 4), ("training", 32, 16),
    ]  # fmt: skip
    assert choose(False, "", "", "", "") == Grid()
    assert choose(True, "", "", "", "") == QUICK
    with pytest.raises(SpeechgruError, match="--batch"):
        choose(False, "", "1.5", "", "")
