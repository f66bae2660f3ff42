"""The gates of each cell: the part of a kernel that differs between cells.

A cell's gates are two functions on vectors of units and one line in `GATES`.

    forward(x, a, state)         -> (saved, new state)
    backward(saved, state, grad) -> (slots, gradient of the old state but for the product)

`x` is the input part of the pre-activations (biases included), `a` the recurrent part, `state`
the old (h,) or (h, c), `grad` the gradient of the new one. Of the `slots` that backward returns,
the first `gates` are the gradients of `x` in its order and the last `gates` those of `a` in its
order: gates are ordered so that what both share is stored once.

The functions are compiled in functions.py; this module does not import numba.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def tanh(x: Any) -> Any:
    """Of a vector; implemented in functions.py, like the next two."""
    raise NotImplementedError


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))"""
    raise NotImplementedError


def positive(test: Any, x: Any) -> Any:
    """x where test > 0, else 0; x where test is NaN."""
    raise NotImplementedError


def rnn_forward(x: Any, a: Any, state: Any) -> Any:
    """h' = tanh(x + a)"""
    h = tanh(x[0] + a[0])
    return (h,), (h,)


def rnn_backward(saved: Any, state: Any, grad: Any) -> Any:
    h = saved[0]
    d = grad[0] * (1.0 - h * h)
    return (d,), (d * 0.0,)


def relu_forward(x: Any, a: Any, state: Any) -> Any:
    """h' = max(0, x + a)"""
    h = positive(x[0] + a[0], x[0] + a[0])
    return (h,), (h,)


def relu_backward(saved: Any, state: Any, grad: Any) -> Any:
    d = positive(saved[0], grad[0])
    return (d,), (d * 0.0,)


def gru_forward(x: Any, a: Any, state: Any) -> Any:
    """r = σ(x_r + a_r), z = σ(x_z + a_z), n = tanh(x_n + r a_n), h' = n + z (h - n)"""
    xn, xr, xz = x
    ar, az, an = a
    r = sigmoid(xr + ar)
    z = sigmoid(xz + az)
    n = tanh(xn + r * an)
    return (n, r, z, an), (n + z * (state[0] - n),)


def gru_backward(saved: Any, state: Any, grad: Any) -> Any:
    n, r, z, an = saved
    d = grad[0]
    dz = d * (state[0] - n) * (z * (1.0 - z))
    dn = d * (1.0 - z) * (1.0 - n * n)
    dr = dn * an * (r * (1.0 - r))
    return (dn, dr, dz, dn * r), (d * z,)


def lstm_forward(x: Any, a: Any, state: Any) -> Any:
    """i, f, o = σ(x + a), g = tanh(x_g + a_g), c' = f c + i g, h' = o tanh(c')"""
    i = sigmoid(x[0] + a[0])
    f = sigmoid(x[1] + a[1])
    g = tanh(x[2] + a[2])
    o = sigmoid(x[3] + a[3])
    c = f * state[1] + i * g
    return (i, f, g, o), (o * tanh(c), c)


def lstm_backward(saved: Any, state: Any, grad: Any) -> Any:
    i, f, g, o = saved
    c = state[1]
    t = tanh(f * c + i * g)
    d = grad[0] * o * (1.0 - t * t) + grad[1]
    di = d * g * (i * (1.0 - i))
    df = d * c * (f * (1.0 - f))
    dg = d * i * (1.0 - g * g)
    do = grad[0] * t * (o * (1.0 - o))
    return (di, df, dg, do), (d * 0.0, d * f)


def cifg_forward(x: Any, a: Any, state: Any) -> Any:
    """i, o = σ(x + a), g = tanh(x_g + a_g), c' = c + i (g - c), h' = o tanh(c')"""
    i = sigmoid(x[0] + a[0])
    g = tanh(x[1] + a[1])
    o = sigmoid(x[2] + a[2])
    c = state[1] + i * (g - state[1])
    return (i, g, o), (o * tanh(c), c)


def cifg_backward(saved: Any, state: Any, grad: Any) -> Any:
    i, g, o = saved
    c = state[1]
    t = tanh(c + i * (g - c))
    d = grad[0] * o * (1.0 - t * t) + grad[1]
    di = d * (g - c) * (i * (1.0 - i))
    dg = d * i * (1.0 - g * g)
    do = grad[0] * t * (o * (1.0 - o))
    return (di, dg, do), (d * 0.0, d * (1.0 - i))


@dataclass(frozen=True)
class GateShape:
    """Values per unit, for the loops.

    gates: blocks of the weight matrices; saved: values saved per frame for the backward pass, the
    first `gates` of which turn into the gradient of the input part and the last `gates` into the
    gradient of the recurrent part; states: h, or h and c; wide: vectors of units in one panel.
    """

    gates: int
    saved: int
    states: int
    wide: int


@dataclass(frozen=True)
class Gates:
    """A cell's functions, their shape, and the order of torch's gates that they expect."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    shape: GateShape
    input_order: tuple[int, ...]
    recurrent_order: tuple[int, ...]


_RNN = GateShape(gates=1, saved=1, states=1, wide=4)
_GRU = GateShape(gates=3, saved=4, states=1, wide=1)
_LSTM = GateShape(gates=4, saved=4, states=2, wide=1)
_CIFG = GateShape(gates=3, saved=3, states=2, wide=1)

GATES = {
    "rnn": Gates(rnn_forward, rnn_backward, _RNN, (0,), (0,)),
    "rnn_relu": Gates(relu_forward, relu_backward, _RNN, (0,), (0,)),
    "gru": Gates(gru_forward, gru_backward, _GRU, (2, 0, 1), (0, 1, 2)),
    "lstm": Gates(lstm_forward, lstm_backward, _LSTM, (0, 1, 2, 3), (0, 1, 2, 3)),
    "cifg": Gates(cifg_forward, cifg_backward, _CIFG, (0, 1, 2), (0, 1, 2)),
}
