"""The elementary functions of gates, on vectors, and the choice of a cell's gates."""

from typing import Any

from numba.extending import register_jitable

from speechgru.kernels import gates
from speechgru.kernels.vector import above, below, exp, overload, where_positive


def _tanh_fast(x: Any) -> Any:
    # Eigen's rational function of degree 13/6; its error is below 3e-7 everywhere.
    x = above(below(x, -7.90531110763549805), 7.90531110763549805)
    s = x * x
    p = s * -2.76076847742355e-16 + 2.00018790482477e-13
    p = p * s + -8.60467152213735e-11
    p = p * s + 5.12229709037114e-08
    p = p * s + 1.48572235717979e-05
    p = p * s + 6.37261928875436e-04
    p = p * s + 4.89352455891786e-03
    q = s * 1.19825839466702e-06 + 1.18534705686654e-04
    q = q * s + 2.26843463243900e-03
    q = q * s + 4.89352518554385e-03
    return x * p / q


def _tanh_exact(x: Any) -> Any:
    x = above(below(x, -40.0), 40.0)
    return 1.0 - 2.0 / (exp(x * 2.0) + 1.0)


@overload(gates.tanh)
def _choose_tanh(x: Any) -> Any:
    return _tanh_fast if x.bits == 32 else _tanh_exact


@overload(gates.sigmoid)
def _sigmoid(x: Any) -> Any:
    return lambda x: gates.tanh(x * 0.5) * 0.5 + 0.5


@overload(gates.positive)
def _positive(test: Any, x: Any) -> Any:
    return lambda test, x: where_positive(test, x)


def forward(machine: Any, x: Any, a: Any, state: Any) -> Any:
    """The forward gates of the machine's cell."""
    raise NotImplementedError


def backward(machine: Any, saved: Any, state: Any, grad: Any) -> Any:
    """The backward gates of the machine's cell."""
    raise NotImplementedError


@overload(forward)
def _choose_forward(machine: Any, x: Any, a: Any, state: Any) -> Any:
    cell = register_jitable(gates.GATES[machine.cell].forward)
    return lambda machine, x, a, state: cell(x, a, state)


@overload(backward)
def _choose_backward(machine: Any, saved: Any, state: Any, grad: Any) -> Any:
    cell = register_jitable(gates.GATES[machine.cell].backward)
    return lambda machine, saved, state, grad: cell(saved, state, grad)
