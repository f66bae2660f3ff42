"""The CPU kernels as neighbours: threads, CPUs, forks, caches, and what they do where they cannot
run.  Nothing here is timed."""

import os
import subprocess
import sys
import threading

import pytest
import torch

from speechgru import kernels
from speechgru.cells import CELLS, RecurrentLayer
from speechgru.cells import layer as layer_module
from speechgru.kernels import kernel as kernel_module
from speechgru.kernels import plans, threads
from speechgru.kernels.layout import layout_of
from speechgru.kernels.plans import Choice, Plan, candidates

pytestmark = pytest.mark.skipif(
    kernels.unavailable() is not None, reason=f"no CPU kernels here: {kernels.unavailable()}"
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


def test_a_result_does_not_depend_on_how_it_was_spread(monkeypatch, two_threads):
    layer, x, lengths = layer_and_input(hidden=100)
    results = []
    for plan in (Plan(1, 1, 1), Plan(2, 1, 1), Plan(2, 2, 1), Plan(2, 1, 2), Plan(4, 2, 2)):
        monkeypatch.setattr(kernel_module, "candidates", lambda *_, plan=plan: (plan,))
        y = layer(x, lengths)[0]
        grads = torch.autograd.grad(y.square().sum(), list(layer.parameters()))
        results.append((y, *grads))
    for other in results[1:]:
        torch.testing.assert_close(other[0], results[0][0], rtol=0, atol=0)
        torch.testing.assert_close(other[1:], results[0][1:], rtol=0, atol=1e-6)


def test_torchs_thread_count_and_the_cpus_we_may_use_are_the_limit(monkeypatch, two_threads):
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
from speechgru.kernels import kernel
from speechgru.kernels.plans import Plan
torch.manual_seed(7)
layer = RecurrentLayer(CELLS["gru"], 5, 100, True)
x = torch.randn(3, 200, 5)
{during}
print(repr(float(layer(x, torch.tensor([200, 150, 1]))[0].double().sum())))
"""


def run_script(before="", during="", **environment):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before, during=during)],
        env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return float(result.stdout.split()[-1]), result.stderr


@pytest.fixture(scope="module")
def plain():
    """What the script computes undisturbed."""
    return run_script()[0]


def test_two_threads_bound_to_one_cpu_still_finish(plain):
    # The barrier between them must give way: here even a kernel that wants two threads for one
    # direction has only one CPU, and the limit itself is taken away.
    one_cpu = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    plan = "kernel.candidates = lambda *_: (Plan(2, 1, 2),)"
    assert run_script(one_cpu, plan)[0] == plain


def test_fewer_threads_than_asked_for_give_the_same(plain):
    plan = "kernel.candidates = lambda *_: (Plan(2, 1, 2),)"
    assert run_script(during=plan, OMP_THREAD_LIMIT="1")[0] == plain


def test_a_child_can_go_back_over_its_parents_pass():
    fork = (
        "kernel.candidates = lambda *_: (Plan(2, 1, 2),)\n"
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


def test_two_models_in_two_threads_do_not_meet():
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


def test_both_ways_compete_only_where_weights_outgrow_the_cache(monkeypatch):
    monkeypatch.setattr(plans, "second_level_cache", lambda: 1 << 20)
    candidates.cache_clear()
    small, large = (layout_of("gru", torch.float32, width) for width in (128, 512))
    assert candidates(2, 2, 1, small) == (Plan(2, 1, 1),)
    assert candidates(2, 2, 1, large) == (Plan(2, 1, 1), Plan(2, 1, 2))
    assert candidates(1, 2, 1, large) == (Plan(1, 1, 1),)
    assert candidates(2, 1, 1, small) == (Plan(2, 1, 2), Plan(2, 1, 1))
    assert candidates(8, 2, 16, small) == (Plan(8, 2, 2), Plan(8, 2, 1))
    candidates.cache_clear()


def test_the_faster_plan_is_kept_and_the_other_tried_again():
    choice = Choice((Plan(2, 1, 1), Plan(2, 1, 2)))
    seconds = {0: 3.0, 1: 2.0}
    order = []
    for _ in range(120):
        order.append(choice.next())
        choice.record(order[-1], seconds[order[-1]])
    assert order[:4] == [0, 0, 1, 1]
    assert order[4:].count(0) == 116 // plans.AGAIN
    seconds = {0: 1.0, 1: 2.0}  # the machine has changed
    for _ in range(200):
        order.append(choice.next())
        choice.record(order[-1], seconds[order[-1]])
    assert order[-1] == 0


def test_a_hopeless_plan_is_left_alone_and_a_slow_first_call_is_forgiven():
    choice = Choice((Plan(2, 1, 1), Plan(2, 1, 2)))
    for plan, taken in ((0, 9.0), (0, 1.0), (1, 5.0), (1, 4.0)):  # the first call compiled
        assert choice.next() == plan
        choice.record(plan, taken)
    for _ in range(3 * plans.AGAIN):
        assert choice.next() == 0
        choice.record(0, 1.0)


# Where they cannot run ---------------------------------------------------------------------------


def test_switched_off_the_kernels_are_left_alone(monkeypatch):
    layer, x, lengths = layer_and_input()
    monkeypatch.setenv("SPEECHGRU_CPU_KERNELS", "0")
    monkeypatch.setattr(kernels.Kernel, "__call__", None)
    kernels.unavailable.cache_clear()
    try:
        y = layer(x, lengths)[0]
    finally:
        monkeypatch.undo()
        kernels.unavailable.cache_clear()
    layer.backend = "fused"
    assert torch.equal(y, layer(x, lengths)[0])


def test_a_second_process_takes_kernels_from_the_disk(tmp_path):
    says = "import logging; logging.basicConfig(level='INFO')"
    runs = [run_script(says, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    assert "compiled the CPU kernel gru forward" in runs[0][1]
    assert "compiled" not in runs[1][1]
    assert runs[0][0] == runs[1][0]
    kernels = [p.name for p in tmp_path.rglob("*.nbi")]
    assert len(kernels) == len(list(tmp_path.rglob("*.nbc"))) == 2  # an index for each kernel


def test_no_cache_folder_is_no_error(plain):
    assert run_script(NUMBA_CACHE_DIR="/dev/null/nowhere")[0] == plain


def test_why_they_are_off_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr(layer_module, "_told", set())
    monkeypatch.setattr(kernels, "unavailable", lambda: "numba is not installed")
    layer, x, lengths = layer_and_input()
    with caplog.at_level("INFO", logger="speechgru"):
        y = layer(x, lengths)[0]
        layer(x, lengths)
    told = [r.getMessage() for r in caplog.records]
    assert told == ["CPU kernels off (numba is not installed): torch.nn is used instead"]
    monkeypatch.undo()
    torch.testing.assert_close(y, layer(x, lengths)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"platform": "darwin"}, "not tested on darwin"),
        ({"machine": "aarch64"}, "not tested on linux aarch64"),
        ({"capability": "DEFAULT"}, "the processor has no AVX2"),
        ({"numba": None}, "numba is not installed"),
    ],
)
def test_each_reason_has_its_words(monkeypatch, changed, reason):
    monkeypatch.setattr(sys, "platform", changed.get("platform", "linux"))
    monkeypatch.setattr("platform.machine", lambda: changed.get("machine", "x86_64"))
    capability = changed.get("capability", "AVX2")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: changed.get("numba", "here"))
    assert kernels.unavailable.__wrapped__().startswith(reason)


# Reduced precision -------------------------------------------------------------------------------

short = pytest.mark.skipif(
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


@short
@pytest.mark.parametrize("hidden", [1, 16, 37, 130])
def test_bfloat16_rounds_factors_and_nothing_else(hidden):
    layer, x, lengths = layer_and_input(hidden=hidden, batch=1, frames=12, bidirectional=False)
    layer.set_precision("bfloat16")
    with torch.no_grad():
        expected = gru_of_rounded_factors(layer.directions[0], x[0])
        # A state on the edge between two bfloat16 may fall to either side.
        torch.testing.assert_close(layer(x, lengths)[0][0], expected, rtol=0, atol=5e-4)
        layer.set_precision("float32")
        assert (layer(x, lengths)[0][0] - expected).abs().max() > 1e-5


@short
def test_transposed_weights_can_be_shortened():
    layer, x, lengths = layer_and_input()
    cell = layer.directions[0]
    with torch.no_grad():
        layer.set_precision("bfloat16")
        expected = layer(x, lengths)[0]
        cell.weight_hh = torch.nn.Parameter(cell.weight_hh.t().contiguous().t())
        assert torch.equal(layer(x, lengths)[0], expected)


@short
@pytest.mark.parametrize("cell", sorted(kernels.KINDS))
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


@short
def test_training_is_float32_whatever_the_precision():
    layer, x, lengths = layer_and_input()
    expected = torch.autograd.grad(layer(x, lengths)[0].sum(), layer.directions[0].weight_hh)[0]
    layer.set_precision("bfloat16")
    grad = torch.autograd.grad(layer(x, lengths)[0].sum(), layer.directions[0].weight_hh)[0]
    assert torch.equal(grad, expected)


@pytest.mark.parametrize(("cell", "why"), [("gru", "no AVX512-BF16"), ("indrnn", "IndRNN has no")])
def test_a_machine_or_cell_without_bfloat16_says_so_and_runs_float32(
    monkeypatch, caplog, cell, why
):
    monkeypatch.setattr(layer_module, "_told", set())
    monkeypatch.setattr(kernels, "unsupported_reason", lambda _: "the processor has no AVX512-BF16")
    layer, x, lengths = layer_and_input(cell=cell)
    expected = layer(x, lengths)[0]
    with caplog.at_level("INFO", logger="speechgru"):
        layer.set_precision("bfloat16")
    assert why in caplog.text
    assert "float32 is used instead" in caplog.text
    assert torch.equal(layer(x, lengths)[0], expected)
