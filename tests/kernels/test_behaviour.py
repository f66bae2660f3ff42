"""The CPU kernels in a process and on a machine: threads, CPUs, forks, caches, unsupported
platforms and reduced precision. Nothing here is timed."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from speechgru import kernels
from speechgru.cells import CELLS, RecurrentLayer
from speechgru.cells import layer as layer_module
from speechgru.kernels import passes, threads
from speechgru.kernels.calls import accumulate
from speechgru.kernels.layout import Layout
from speechgru.kernels.plans import ThreadPlan, thread_plan
from speechgru.measure import torch_threads

pytestmark = pytest.mark.skipif(
    kernels.unsupported_reason() is not None,
    reason=f"no CPU kernels here: {kernels.unsupported_reason()}",
)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def layer_and_input(hidden=40, batch=3, frames=9, bidirectional=True, cell="gru"):
    torch.manual_seed(7)
    layer = RecurrentLayer(CELLS[cell], 5, hidden, bidirectional)
    lengths = torch.arange(frames, frames - batch, -1).clamp(min=1)
    return layer, torch.randn(batch, frames, 5), lengths


# Threads -----------------------------------------------------------------------------------------


def test_a_result_does_not_depend_on_the_plan(monkeypatch, two_threads):
    layer, x, lengths = layer_and_input(hidden=100)
    results = []
    for numbers in ((1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 1, 2), (4, 2, 2)):
        plan = ThreadPlan(*numbers)
        monkeypatch.setattr(passes, "thread_plan", lambda *_, plan=plan: plan)
        y = layer(x, lengths)[0]
        grads = torch.autograd.grad(y.square().sum(), list(layer.parameters()))
        results.append((y, *grads))
    for other in results[1:]:
        torch.testing.assert_close(other[0], results[0][0], rtol=0, atol=0)
        torch.testing.assert_close(other[1:], results[0][1:], rtol=0, atol=1e-6)


def test_the_limit_is_torchs_thread_count_and_the_usable_cpus(monkeypatch, two_threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert threads.limit() == 2
    torch.set_num_threads(1)
    assert threads.limit() == 1
    torch.set_num_threads(2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5})
    assert threads.limit() == 1


SCRIPT = """
import os, sys, torch
{before}
torch.set_num_threads(2)
from speechgru.cells import CELLS, RecurrentLayer
from speechgru.kernels import passes
from speechgru.kernels.plans import ThreadPlan
torch.manual_seed(7)
layer = RecurrentLayer(CELLS["gru"], 5, 100, True)
x = torch.randn(3, 200, 5)
{during}
print(repr(float(layer(x, torch.tensor([200, 150, 1]))[0].double().sum())))
"""


def run_script(before="", during="", **environment):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before, during=during)],
        env=os.environ | environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return float(result.stdout.split()[-1]), result.stderr


@pytest.fixture(scope="module")
def plain():
    """The script's result without changes."""
    return run_script()[0]


def test_two_threads_bound_to_one_cpu_still_finish(plain):
    # The barrier between them must yield: here a kernel with two threads per direction has only one
    # CPU, and the limit itself is removed.
    one_cpu = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    plan = "passes.thread_plan = lambda *_: ThreadPlan(2, 1, 2)"
    assert run_script(one_cpu, plan)[0] == plain


def test_fewer_threads_than_requested_give_the_same(plain):
    plan = "passes.thread_plan = lambda *_: ThreadPlan(2, 1, 2)"
    assert run_script(during=plan, OMP_THREAD_LIMIT="1")[0] == plain


def test_a_child_can_run_its_parents_backward_pass():
    fork = (
        "passes.thread_plan = lambda *_: ThreadPlan(2, 1, 2)\n"
        "y = layer(x, torch.tensor([200, 150, 1]))[0]\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    y.sum().backward()\n"
        "    os._exit(0 if layer.directions[0].bias_hh.grad.isfinite().all() else 3)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    run_script(during=fork)


def test_a_child_keeps_its_threads_if_no_kernel_ran():
    fork = (
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(torch.get_num_threads())\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2\n"
    )
    run_script(during=fork)


def test_a_child_uses_one_thread_if_a_model_is_loaded():
    model = Path(__file__).parents[1] / "assets/model-format-1.safetensors"
    fork = (
        f"from speechgru.checkpoint import load_model; load_model({str(model)!r})\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(torch.get_num_threads())\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1\n"
    )
    run_script(during=fork)


def test_a_forked_child_computes_the_same():
    fork = (
        "expected = layer(x, torch.tensor([200, 150, 1]))[0]\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    y = layer(x, torch.tensor([200, 150, 1]))[0]\n"
        "    os._exit(0 if torch.equal(y, expected) else 3)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    run_script(during=fork)


def test_two_models_in_two_threads_do_not_interfere():
    jobs = [layer_and_input(cell=cell) for cell in ("gru", "lstm")]
    with torch.no_grad():
        expected = [layer(x, lengths)[0] for layer, x, lengths in jobs]
    wrong = []

    def work(number):
        layer, x, lengths = jobs[number]
        with torch.no_grad():
            for _ in range(50):
                if not torch.equal(layer(x, lengths)[0], expected[number]):
                    wrong.append(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in (0, 1, 0)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


# Plans -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "directions", "batch", "hidden", "expected"),
    [
        (1, 2, 1, 512, (1, 1, 1)),
        (2, 2, 1, 128, (2, 1, 1)),  # a direction per thread
        (2, 2, 1, 512, (2, 1, 2)),  # 3 MB of weights: all threads on one direction at a time
        (2, 2, 16, 512, (2, 1, 1)),
        (2, 1, 1, 64, (2, 1, 1)),  # too little work to share
        (2, 1, 1, 128, (2, 1, 2)),
        (2, 1, 16, 128, (2, 2, 1)),  # a group of rows per thread
        (8, 2, 16, 128, (8, 2, 2)),
        (8, 1, 1, 100, (8, 1, 7)),  # no more parts than blocks of 16 units
    ],
)
def test_the_rule_for_threads(monkeypatch, limit, directions, batch, hidden, expected):
    layout = Layout("gru", hidden, 16)
    monkeypatch.setattr("speechgru.kernels.layout.vector_bytes", lambda: 64)
    plan = thread_plan.__wrapped__(limit, directions, batch, layout)
    assert (plan.threads, plan.groups, plan.parts) == expected


# Where they cannot run, and files on disk ---------------------------------------------------------


def test_kernels_that_are_switched_off_are_not_called(monkeypatch):
    layer, x, lengths = layer_and_input()
    monkeypatch.setenv("SPEECHGRU_CPU_KERNELS", "0")
    monkeypatch.setattr(kernels.Kernel, "__call__", None)
    kernels.unsupported_reason.cache_clear()
    try:
        y = layer(x, lengths)[0]
    finally:
        monkeypatch.undo()
        kernels.unsupported_reason.cache_clear()
    layer.backend = "fused"
    assert torch.equal(y, layer(x, lengths)[0])


def test_a_second_process_reads_kernels_from_disk(tmp_path):
    log = "import logging; logging.basicConfig(level='INFO')"
    runs = [run_script(log, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    assert "compiled the CPU kernel gru forward" in runs[0][1]
    assert "compiled" not in runs[1][1]
    assert runs[0][0] == runs[1][0]
    indices, compiled = (list(tmp_path.rglob(f"*.{suffix}")) for suffix in ("nbi", "nbc"))
    assert len(indices) == len(compiled) == 2  # an index for each kernel


def test_a_missing_cache_folder_is_not_an_error(plain):
    assert run_script(NUMBA_CACHE_DIR="/dev/null/nowhere")[0] == plain


def test_the_reason_for_not_using_kernels_is_logged_once(monkeypatch, caplog):
    layer_module._log_once.cache_clear()
    monkeypatch.setattr(kernels, "unsupported_reason", lambda: "numba is not installed")
    layer, x, lengths = layer_and_input()
    with caplog.at_level("INFO", logger="speechgru"):
        y = layer(x, lengths)[0]
        layer(x, lengths)
    (record,) = caplog.records
    assert "numba is not installed" in record.getMessage()
    monkeypatch.undo()
    torch.testing.assert_close(y, layer(x, lengths)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"platform": "darwin"}, "darwin"),
        ({"machine": "aarch64"}, "aarch64"),
        ({"capability": "DEFAULT"}, "AVX2"),
        ({"numba": None}, "numba"),
    ],
)
def test_each_requirement_is_checked_and_named(monkeypatch, changed, reason):
    monkeypatch.setattr(sys, "platform", changed.get("platform", "linux"))
    monkeypatch.setattr("platform.machine", lambda: changed.get("machine", "x86_64"))
    capability = changed.get("capability", "AVX2")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: changed.get("numba", "here"))
    for precision in kernels.PRECISIONS:
        assert reason in kernels.unsupported_reason.__wrapped__(precision)


# Reduced precision -------------------------------------------------------------------------------

needs_bfloat16 = pytest.mark.skipif(
    kernels.unsupported_reason("bfloat16") is not None,
    reason=str(kernels.unsupported_reason("bfloat16")),
)


def rounded(x):
    return x.to(torch.bfloat16).float()


def gru_of_rounded_factors(cell, x):
    """The equations with every product's factors rounded to bfloat16; (frames, input)."""
    h, outputs = torch.zeros(cell.hidden_size), []
    for frame in x:
        a = rounded(cell.weight_ih) @ rounded(frame) + cell.bias_ih
        b = rounded(cell.weight_hh) @ rounded(h) + cell.bias_hh
        (ar, az, an), (br, bz, bn) = a.chunk(3), b.chunk(3)
        r, z = torch.sigmoid(ar + br), torch.sigmoid(az + bz)
        h = (1 - z) * torch.tanh(an + r * bn) + z * h
        outputs.append(h)
    return torch.stack(outputs)


@needs_bfloat16
@pytest.mark.parametrize("hidden", [1, 16, 37, 130])
def test_bfloat16_rounds_factors_and_nothing_else(hidden):
    layer, x, lengths = layer_and_input(hidden=hidden, batch=1, frames=12, bidirectional=False)
    layer.set_precision("bfloat16")
    with torch.no_grad():
        expected = gru_of_rounded_factors(layer.directions[0], x[0])
        # A state halfway between two bfloat16 may be rounded to either.
        torch.testing.assert_close(layer(x, lengths)[0][0], expected, rtol=0, atol=5e-4)
        layer.set_precision("float32")
        assert (layer(x, lengths)[0][0] - expected).abs().max() > 1e-5


@needs_bfloat16
def test_transposed_weights_can_be_rounded():
    layer, x, lengths = layer_and_input()
    cell = layer.directions[0]
    with torch.no_grad():
        layer.set_precision("bfloat16")
        expected = layer(x, lengths)[0]
        cell.weight_hh = torch.nn.Parameter(cell.weight_hh.t().contiguous().t())
        assert torch.equal(layer(x, lengths)[0], expected)


@needs_bfloat16
@pytest.mark.parametrize("cell", kernels.SUPPORTED_CELLS)
@pytest.mark.parametrize("bidirectional", [True, False])
def test_bfloat16_is_near_float32_for_every_cell(cell, bidirectional):
    for batch in (1, 3, 16):
        layer, x, lengths = layer_and_input(70, batch, 20, bidirectional, cell)
        with torch.no_grad():
            full = layer(x, lengths)[0]
            layer.set_precision("bfloat16")
            y = layer(x, lengths)[0]
            alone = layer(x[:1], lengths[:1])[0]
        assert (y - full).abs().max() < 0.02
        assert torch.equal(y[:1, : alone.shape[1]], alone)


@needs_bfloat16
@pytest.mark.parametrize("cell", kernels.SUPPORTED_CELLS)
@pytest.mark.parametrize(
    ("hidden", "batch", "frames"), [(1, 1, 1), (16, 3, 2), (37, 5, 9), (130, 17, 12)]
)
@pytest.mark.parametrize("threads", [1, 3])
def test_gradients_of_bfloat16_are_near_float32(cell, hidden, batch, frames, threads):
    layer, x, lengths = layer_and_input(hidden, batch, frames, True, cell)
    wanted = [x.requires_grad_(), *layer.parameters()]
    upstream = torch.randn(batch, int(lengths.max()), 2 * hidden)
    found = []
    with torch_threads(threads):
        for precision in kernels.PRECISIONS:
            layer.set_precision(precision)
            found.append(torch.autograd.grad(layer(x, lengths)[0], wanted, upstream))
    largest = max(float(full.norm()) for full in found[0])
    share = 0.1 if hidden == 1 or cell == "rnn_relu" else 0.02  # a unit near 0 may switch off
    for full, reduced in zip(*found, strict=True):
        assert reduced.dtype == torch.float32
        assert float((reduced - full).norm()) < share * float(full.norm()) + 0.003 * largest
    assert not torch.equal(found[0][0], found[1][0])


@needs_bfloat16
@pytest.mark.parametrize("rows", [1, 2, 63, 64, 513, 1026])
@pytest.mark.parametrize("width", [1, 16, 53])
def test_sums_over_frames_round_factors_and_nothing_else(rows, width):
    a, b = torch.randn(rows, 48), torch.randn(rows, width)
    result = accumulate(a, 24, 24, b, 0, 2, 2, bf16=True)
    for half, columns in zip(result, (a[:, :24], a[:, 24:]), strict=True):
        expected = rounded(columns).double().t() @ rounded(b).double()
        torch.testing.assert_close(half.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("cell", "reason"), [("gru", "AVX512-BF16"), ("indrnn", "IndRNN")])
def test_without_support_for_bfloat16_a_warning_is_logged_and_float32_used(
    monkeypatch, caplog, cell, reason
):
    layer_module._log_once.cache_clear()
    layer, x, lengths = layer_and_input(cell=cell)
    expected = layer(x, lengths)[0]
    missing = {"float32": None, "bfloat16": "the processor has no AVX512-BF16"}
    monkeypatch.setattr(kernels, "unsupported_reason", lambda name="float32": missing[name])
    layer.set_precision("bfloat16")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert reason in record.getMessage()
    assert torch.equal(layer(x, lengths)[0], expected)
