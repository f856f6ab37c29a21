"""The lecture's own procedures for back-propagation through time, written out by hand from its slides.

Read this file beside the slides (CMU 11-785, *Recurrent Networks: 1*, Fall 2020). It imports NumPy only and is slow on
purpose: every derivative of a shared parameter is pooled by a `+=` at every time step, never by one product over the
whole sequence. `stack.reference_bptt`, the reference for the library's networks, is tested against it.

Notation. `h[t, l]` is the slides' h(t,l): time t = −1 … T−1, layer l = 0 … L, where layer 0 is the input, h(t,0) =
x(t), and time −1 the initial state. Lists over layers begin at 0, so the slides' Wc(l) is `Wc[l - 1]`. All vectors
are rows of a batch: x is (T, B, I), h(t,l) is (B, H), Wc(l) is (H, I) or (H, H), Wr(l) is (H, H), b(l) is (H,) or
None. Layers may differ in H. A gradient has the shape of what it belongs to and is called d + its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Layers: TypeAlias = Sequence[Array]
Grads: TypeAlias = list[Array]
Biases: TypeAlias = Sequence[Array | None]
Grid: TypeAlias = dict[tuple[int, int], Array]
"""A quantity at every time t and layer l, read as `h[t, l]`."""


# --- Small mathematics -----------------------------------------------------------------------------------------------
def activation(z: Array, nonlinearity: str) -> Array:
    """h = tanh(z) or relu(z). ValueError for any other name."""
    if nonlinearity == "tanh":
        return np.tanh(z)
    if nonlinearity == "relu":
        return np.maximum(z, 0.0)
    raise ValueError(f"activation: nonlinearity: got {nonlinearity!r}, want 'tanh' or 'relu'")


def activation_jacobian(h: Array, z: Array, nonlinearity: str) -> Array:
    """Jacobian(h, z) of h = activation(z). It is diagonal, and its diagonal is returned, in the shape of z."""
    return 1.0 - h * h if nonlinearity == "tanh" else (z > 0.0).astype(z.dtype)


def sigma(z: Array) -> Array:
    """The logistic function 1 / (1 + exp(−z)), in a form that cannot overflow."""
    return 0.5 * np.tanh(0.5 * z) + 0.5


def softmax(zo: Array) -> Array:
    """Y_i = exp(zo_i) / Σ_j exp(zo_j), for each row of (B, O)."""
    e = np.exp(zo - zo.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def softmax_jacobian(Y: Array) -> Array:
    """Jacobian(Y, zo) of one example's Y = softmax(zo), (O,): the (O, O) matrix ∂Y_i/∂zo_j = Y_i (δ_ij − Y_j)."""
    return np.asarray(np.diag(Y) - np.outer(Y, Y))


def _bias(bl: Array | None) -> Array | float:
    return 0.0 if bl is None else bl


def _zeros(x: Array, h: Grid, z: Grid, Wc: Layers, Wr: Layers) -> tuple[Array, Grid, Grid, Grads, Grads, Grads]:
    """dx, dh, dz, dWc, dWr and db as the slides assume them: all initialized to 0."""
    dh, dz = ({place: np.zeros_like(a) for place, a in grid.items()} for grid in (h, z))
    dWc, dWr = ([np.zeros_like(a) for a in W] for W in (Wc, Wr))
    return np.zeros_like(x), dh, dz, dWc, dWr, [np.zeros_like(a[:, 0]) for a in Wr]


# --- Several recurrent hidden layers: slides 107 and 116 -------------------------------------------------------------
def RNN_forward(
    L: int, Wc: Layers, Wr: Layers, b: Biases, hinit: Layers, x: Array, T: int, *, nonlinearity: str = "tanh"
) -> tuple[Grid, Grid]:
    """Slide 107: run L recurrent layers over x (T, B, I) from the initial states hinit, L arrays (B, H).

    Returns (h, z): h[t, l] for t = −1 … T−1 with h[t, 0] = x(t), and the pre-activations z[t, l]; each (B, H).
    """
    h, z = Grid(), Grid()
    for l in range(1, L + 1):
        h[-1, l] = hinit[l - 1]
    for t in range(T):  # going forward in time
        h[t, 0] = x[t]
        for l in range(1, L + 1):
            z[t, l] = h[t, l - 1] @ Wc[l - 1].T + h[t - 1, l] @ Wr[l - 1].T + _bias(b[l - 1])
            h[t, l] = activation(z[t, l], nonlinearity)
    return h, z


def RNN_bptt(
    L: int, Wc: Layers, Wr: Layers, b: Biases, hinit: Layers, x: Array, T: int, dhtop: Array, h: Grid, z: Grid,
    *, dhfinal: Layers | None = None, nonlinearity: str = "tanh",
) -> tuple[Array, Grads, Grads, Grads, Grads]:  # fmt: skip
    """Slide 116: from dhtop(t) = ∂DIV/∂h(t,L), (T, B, H), back to everything the divergence depends on.

    h and z come from `RNN_forward` (h(−1) is hinit). dhfinal, L arrays (B, H), also arrives at the last states h(T−1).
    Returns dx, dWc, dWr, db and dh(−1), lists over layers but dx; where b(l) is None, db(l) is that of a zero bias.
    """
    dx, dh, dz, dWc, dWr, db = _zeros(x, h, z, Wc, Wr)
    if dhfinal is not None:
        for l in range(1, L + 1):
            dh[T - 1, l] += dhfinal[l - 1]
    for t in range(T - 1, -1, -1):  # backward through time
        dh[t, L] += dhtop[t]
        h[t, 0] = x[t]
        for l in range(L, 0, -1):  # reverse through layers
            dz[t, l] = dh[t, l] * activation_jacobian(h[t, l], z[t, l], nonlinearity)
            dh[t, l - 1] += dz[t, l] @ Wc[l - 1]
            dh[t - 1, l] += dz[t, l] @ Wr[l - 1]
            dWc[l - 1] += dz[t, l].T @ h[t, l - 1]
            dWr[l - 1] += dz[t, l].T @ h[t - 1, l]
            db[l - 1] += dz[t, l].sum(axis=0)
        dx[t] = dh[t, 0]
    return dx, dWc, dWr, db, [dh[-1, l] for l in range(1, L + 1)]


# --- The whole network with its softmax output: slides 73 and 97 -----------------------------------------------------
def network_forward(
    L: int, Wc: Layers, Wr: Layers, b: Biases, Wo: Array, bo: Array, hinit: Layers, x: Array, T: int,
    *, nonlinearity: str = "tanh",
) -> tuple[Array, Grid, Grid]:  # fmt: skip
    """Slide 73: `RNN_forward`'s recurrence, then zo(t) = Wo h(t,L) + bo and Y(t) = softmax(zo(t)) at every t.

    Wo is (O, H) and bo (O,). Returns (Y, h, z): the outputs (T, B, O) and the hidden values as in `RNN_forward`.
    """
    h, z = RNN_forward(L, Wc, Wr, b, hinit, x, T, nonlinearity=nonlinearity)
    zo = [h[t, L] @ Wo.T + bo for t in range(T)]
    return np.stack([softmax(zo[t]) for t in range(T)]), h, z


def network_bptt(
    L: int, Wc: Layers, Wr: Layers, b: Biases, Wo: Array, bo: Array, hinit: Layers, x: Array, T: int,
    dY: Array, Y: Array, h: Grid, z: Grid, *, nonlinearity: str = "tanh",
) -> tuple[Array, Array, Grads, Grads, Grads, Array, Grads]:  # fmt: skip
    """Slide 97: from dY(t) = ∂DIV/∂Y(t), (T, B, O), through softmax's Jacobian and back through time.

    The divergence may be any function of all outputs together; only its gradient dY is needed. The slide sets
    dh(t−1,l) where slide 116 adds; nothing has arrived there yet, so the two agree, and here it adds.
    Returns dWo, dbo, dWc, dWr, db, dx and dh(−1), shaped like what they belong to.
    """
    dx, dh, dz, dWc, dWr, db = _zeros(x, h, z, Wc, Wr)
    dWo, dbo = np.zeros_like(Wo), np.zeros_like(bo)
    for t in range(T - 1, -1, -1):  # backward through time
        dzo = np.stack([dY_n @ softmax_jacobian(Y_n) for dY_n, Y_n in zip(dY[t], Y[t])])  # each example n
        dWo += dzo.T @ h[t, L]
        dbo += dzo.sum(axis=0)
        dh[t, L] += dzo @ Wo
        for l in range(L, 0, -1):  # reverse through layers
            dz[t, l] = dh[t, l] * activation_jacobian(h[t, l], z[t, l], nonlinearity)
            dh[t, l - 1] += dz[t, l] @ Wc[l - 1]
            dh[t - 1, l] += dz[t, l] @ Wr[l - 1]
            dWc[l - 1] += dz[t, l].T @ h[t, l - 1]
            dWr[l - 1] += dz[t, l].T @ h[t - 1, l]
            db[l - 1] += dz[t, l].sum(axis=0)
        dx[t] = dh[t, 0]
    return dWo, dbo, dWc, dWr, db, dx, [dh[-1, l] for l in range(1, L + 1)]


# --- The same two procedures for an LSTM -----------------------------------------------------------------------------
def LSTM_forward(
    L: int, Wc: Layers, Wr: Layers, b: Biases, hinit: Layers, cinit: Layers, x: Array, T: int
) -> tuple[Grid, Grid, Grid]:
    """Slide 107 with an LSTM cell: Wc(l) is (4H, I), Wr(l) (4H, H), b(l) (4H,), rows in the order i, f, g, o.

    i, f, o = σ(z), g = tanh(z), c(t) = f c(t−1) + i g, h(t) = o tanh(c(t)). Returns (h, c, z); h and c hold the
    initial states hinit and cinit at t = −1 and z[t, l] is (B, 4H).
    """
    h, c, z = Grid(), Grid(), Grid()
    for l in range(1, L + 1):
        h[-1, l], c[-1, l] = hinit[l - 1], cinit[l - 1]
    for t in range(T):  # going forward in time
        h[t, 0] = x[t]
        for l in range(1, L + 1):
            z[t, l] = h[t, l - 1] @ Wc[l - 1].T + h[t - 1, l] @ Wr[l - 1].T + _bias(b[l - 1])
            i, f, g, o = LSTM_gates(z[t, l])
            c[t, l] = f * c[t - 1, l] + i * g
            h[t, l] = o * np.tanh(c[t, l])
    return h, c, z


def LSTM_gates(z: Array) -> tuple[Array, Array, Array, Array]:
    """The gates i, f, g, o, each (B, H), from their stacked pre-activations z (B, 4H)."""
    zi, zf, zg, zo = np.split(z, 4, axis=1)
    return sigma(zi), sigma(zf), np.tanh(zg), sigma(zo)


def LSTM_bptt(
    L: int, Wc: Layers, Wr: Layers, b: Biases, hinit: Layers, cinit: Layers, x: Array, T: int, dhtop: Array,
    h: Grid, c: Grid, z: Grid, *, dhfinal: Layers | None = None, dcfinal: Layers | None = None,
) -> tuple[Array, Grads, Grads, Grads, Grads, Grads]:  # fmt: skip
    """Slide 116 with an LSTM cell: two derivatives travel back in time, dh(t−1,l) and dc(t−1,l).

    dhtop is (T, B, H); h, c and z come from `LSTM_forward`; dhfinal and dcfinal, L arrays (B, H) each, are what
    else arrives at the last states. Returns dx, dWc, dWr, db, dh(−1) and dc(−1), as `RNN_bptt` does.
    """
    dx, dh, dz, dWc, dWr, db = _zeros(x, h, z, Wc, Wr)
    dc = {place: np.zeros_like(a) for place, a in c.items()}
    for l in range(1, L + 1):
        if dhfinal is not None:
            dh[T - 1, l] += dhfinal[l - 1]
        if dcfinal is not None:
            dc[T - 1, l] += dcfinal[l - 1]
    for t in range(T - 1, -1, -1):  # backward through time
        dh[t, L] += dhtop[t]
        h[t, 0] = x[t]
        for l in range(L, 0, -1):  # reverse through layers
            i, f, g, o = LSTM_gates(z[t, l])
            tanh_c = np.tanh(c[t, l])
            do = dh[t, l] * tanh_c
            dc[t, l] += dh[t, l] * o * (1.0 - tanh_c * tanh_c)
            di, df, dg = dc[t, l] * g, dc[t, l] * c[t - 1, l], dc[t, l] * i
            dc[t - 1, l] += dc[t, l] * f
            dzi, dzf, dzg, dzo = di * i * (1.0 - i), df * f * (1.0 - f), dg * (1.0 - g * g), do * o * (1.0 - o)
            dz[t, l] = np.concatenate([dzi, dzf, dzg, dzo], axis=1)
            dh[t, l - 1] += dz[t, l] @ Wc[l - 1]
            dh[t - 1, l] += dz[t, l] @ Wr[l - 1]
            dWc[l - 1] += dz[t, l].T @ h[t, l - 1]
            dWr[l - 1] += dz[t, l].T @ h[t - 1, l]
            db[l - 1] += dz[t, l].sum(axis=0)
        dx[t] = dh[t, 0]
    return dx, dWc, dWr, db, [dh[-1, l] for l in range(1, L + 1)], [dc[-1, l] for l in range(1, L + 1)]


# --- The bidirectional block, by flipping time: slides 108 and 117 ---------------------------------------------------
@dataclass(frozen=True)
class Cell:
    """A forward procedure and its BPTT, so that the bidirectional block is written once for every kind of net.

    A net is the tuple of a procedure's first arguments, (L, Wc, Wr, b, hinit) or (L, Wc, Wr, b, hinit, cinit); its
    trace is what the forward pass returns, (h, z) or (h, c, z). Wc and Wr hold `gates` blocks of H rows; `options`
    are keywords for both procedures.
    """

    states: tuple[str, ...]
    gates: int
    forward: Callable[..., tuple[Grid, ...]]
    bptt: Callable[..., tuple[Any, ...]]
    options: Mapping[str, str]


RNN = Cell(("h",), 1, RNN_forward, RNN_bptt, {"nonlinearity": "tanh"})
RNN_RELU = Cell(("h",), 1, RNN_forward, RNN_bptt, {"nonlinearity": "relu"})
LSTM = Cell(("h", "c"), 4, LSTM_forward, LSTM_bptt, {})


def fliplr(grid: Grid, T: int) -> Grid:
    """Flip a grid in time, t → T−1−t. The initial state, at −1, goes to T: slide 105's hb(T) = hb(∞)."""
    return {(T - 1 - t, l): a for (t, l), a in grid.items()}


def bidirectional_forward(
    cell: Cell, netf: tuple[Any, ...], netb: tuple[Any, ...], x: Array, T: int
) -> tuple[Array, tuple[Grid, ...], tuple[Grid, ...]]:
    """Slide 108: h(t) = [hf(t,Lf); hb(t,Lb)], where netb reads x backward from T−1 to 0.

    The two nets may differ in depth and size. Returns h (T, B, Hf + Hb) and both traces, in straight time.
    """
    tracef = cell.forward(*netf, x, T, **cell.options)
    xrev = x[::-1]  # flip it in time
    tracebrev = cell.forward(*netb, xrev, T, **cell.options)
    traceb = tuple(fliplr(grid, T) for grid in tracebrev)  # flip back to straighten time
    hf, hb, Lf, Lb = tracef[0], traceb[0], netf[0], netb[0]
    return np.stack([np.concatenate([hf[t, Lf], hb[t, Lb]], axis=1) for t in range(T)]), tracef, traceb


def bidirectional_bptt(
    cell: Cell, netf: tuple[Any, ...], netb: tuple[Any, ...], x: Array, T: int, dh: Array,
    tracef: tuple[Grid, ...], traceb: tuple[Grid, ...], finalf: Mapping[str, Layers], finalb: Mapping[str, Layers],
) -> tuple[Array, tuple[Any, ...], tuple[Any, ...]]:  # fmt: skip
    """Slide 117: split dh (T, B, Hf + Hb), send each half through its own net, add the two dx.

    finalf and finalb hold the keywords dhfinal (and dcfinal) of the cell's BPTT; a net's last state is the one it
    computes last, so netb's is at t = 0. Returns dx and, for each net, the BPTT's results after dx.
    """
    Hf = tracef[0][0, netf[0]].shape[1]
    dhf, dhb = dh[:, :, :Hf], dh[:, :, Hf:]
    dxf, *gradf = cell.bptt(*netf, x, T, dhf, *tracef, **finalf, **cell.options)
    xrev, dhbrev = x[::-1], dhb[::-1]  # flip them in time
    tracebrev = tuple(fliplr(grid, T) for grid in traceb)
    dxbrev, *gradb = cell.bptt(*netb, xrev, T, dhbrev, *tracebrev, **finalb, **cell.options)
    dxb = dxbrev[::-1]
    return dxf + dxb, tuple(gradf), tuple(gradb)  # add the partials
