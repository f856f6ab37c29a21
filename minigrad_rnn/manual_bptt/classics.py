"""The lecture's classics by hand: time-delay net, NARX, Jordan, Elman, state space (slides 16–28, 31–44, 47–49, 51–54).

Every function has the form `…_reference(parameters, xs, state, divergence_gradient, **options) -> ReferenceResult`:
    parameters: NumPy arrays under the module's own names; a missing bias counts as none.
    xs: (T, B, I).
    state: the arrays that the module keeps of the past, (lags, B, features) each, oldest first: that array if there is
        one, a tuple if there are several, None if there is none. None for an array, or for all, is the learned initial
        state if `parameters` has one, else zeros.
    divergence_gradient(output, final_state): the divergence's gradients with respect to both, shaped like them.
    options: named like the module's attributes.
The gradients are those of all parameters, of "xs", and of the state's arrays under their names. As in `lecture`, every
derivative of a shared parameter is pooled by a `+=` at every time step. Vectors are rows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import numpy as np

from .lecture import Array, sigma, softmax, softmax_jacobian
from .stack import ReferenceResult

Parameters: TypeAlias = Mapping[str, Array]
Grads: TypeAlias = dict[str, Array]
AtTime: TypeAlias = dict[int, Array]
"""A quantity at every time t, before the series too, where t is negative."""
Sizes: TypeAlias = dict[str, tuple[int, int]]
"""(lags, features) of each of the state's arrays."""
DivergenceGradient: TypeAlias = Callable[[Array, Any], tuple[Array, Any]]


# --- Small mathematics -----------------------------------------------------------------------------------------------
def nonlinear(z: Array, name: str | None) -> Array:
    """f(z) by its name; softmax is taken of each row, and None is the identity."""
    functions: dict[str | None, Callable[[Array], Array]] = {
        None: lambda z: z, "tanh": np.tanh, "relu": lambda z: np.maximum(z, 0.0), "sigmoid": sigma, "softmax": softmax
    }  # fmt: skip
    if name not in functions:
        raise ValueError(f"manual_bptt: nonlinearity: got {name!r}, want one of {list(functions)}")
    return functions[name](z)


def jacobian_product(dy: Array, y: Array, z: Array, name: str | None) -> Array:
    """dz = dy · Jacobian(y, z) for y = nonlinear(z, name)."""
    if name == "softmax":
        return np.stack([dy_n @ softmax_jacobian(y_n) for dy_n, y_n in zip(dy, y)])
    if name == "tanh":
        return dy * (1.0 - y * y)
    if name == "sigmoid":
        return dy * y * (1.0 - y)
    return dy * (z > 0.0) if name == "relu" else dy


def affine(p: Parameters, W: str, b: str | None, v: Array) -> Array:
    """W v + b, without b where there is none."""
    z = v @ p[W].T
    return np.asarray(z + p[b] if b is not None and b in p else z)


def affine_back(p: Parameters, pooled: Grads, W: str, b: str | None, v: Array, dz: Array) -> Array:
    """Add this step's share of dW and db to the pool; return dv."""
    pooled[W] += dz.T @ v
    if b is not None and b in p:
        pooled[b] += dz.sum(axis=0)
    return np.asarray(dz @ p[W])


# --- The state, in and out -------------------------------------------------------------------------------------------
def initial_arrays(p: Parameters, state: Any, sizes: Sizes, B: int, dtype: Any) -> tuple[Grads, list[str]]:
    """The initial state's arrays by name, and which of them came from a learned initial state."""
    sizes = {name: size for name, size in sizes.items() if size[0]}
    parts = (None,) * len(sizes) if state is None else state if isinstance(state, tuple) else (state,)
    if len(parts) != len(sizes):
        raise ValueError(f"manual_bptt: state: got {len(parts)} array(s), want {list(sizes)}")
    start, learned = Grads(), []
    for (name, (lags, features)), part in zip(sizes.items(), parts):
        shape = (lags, B, features)
        if part is None and f"{name}_init" in p:
            learned.append(name)
            part = np.broadcast_to(p[f"{name}_init"].reshape(lags, 1, features), shape)
        start[name] = np.zeros(shape, dtype) if part is None else part
        if start[name].shape != shape:
            raise ValueError(f"manual_bptt: state's {name}: got {start[name].shape}, want {shape}")
    return start, learned


def pack_state(parts: Grads) -> Any:
    """The state in the form that the module takes and returns."""
    return None if not parts else next(iter(parts.values())) if len(parts) == 1 else tuple(parts.values())


def unpack_state(state: Any, like: Grads) -> Grads:
    parts = state if isinstance(state, tuple) else () if state is None else (state,)
    return dict(zip(like, parts, strict=True))


def stack_steps(a: AtTime, start: int, stop: int) -> Array:
    return np.stack([a[t] for t in range(start, stop)])


def make_result(
    p: Parameters, output: Array, final: Grads, pooled: Grads, dxs: Array, d_start: Grads, learned: list[str]
) -> ReferenceResult:
    """All gradients by name; a learned initial state is shared by the batch, so its gradient is pooled over it."""
    for name in learned:
        pooled[f"{name}_init"] += d_start[name].sum(axis=1).reshape(p[f"{name}_init"].shape)
    return ReferenceResult(output, cast(Array, pack_state(final)), {**pooled, "xs": dxs, **d_start})


def zeros_like(arrays: Mapping[str, Array]) -> Grads:
    return {name: np.zeros_like(a) for name, a in arrays.items()}


# --- A multilayer perceptron above its first layer's z: layers Wc2 b2, Wc3 b3, …, then Wo bo --------------------------
def perceptron(p: Parameters, z: Array, f: str | None, g: str | None) -> tuple[Array, list[tuple[Array, Array]]]:
    """Y, and (z, h) of every hidden layer and of the output."""
    trace, l = [(z, nonlinear(z, f))], 2
    while f"Wc{l}" in p:
        z = affine(p, f"Wc{l}", f"b{l}", trace[-1][1])
        trace.append((z, nonlinear(z, f)))
        l += 1
    zo = affine(p, "Wo", "bo", trace[-1][1])
    trace.append((zo, nonlinear(zo, g)))
    return trace[-1][1], trace


def perceptron_back(
    p: Parameters, pooled: Grads, dY: Array, trace: list[tuple[Array, Array]], f: str | None, g: str | None
) -> Array:
    """dz of the first hidden layer."""
    zo, Y = trace[-1]
    dh = affine_back(p, pooled, "Wo", "bo", trace[-2][1], jacobian_product(dY, Y, zo, g))
    for l in range(len(trace) - 1, 1, -1):
        z, h = trace[l - 1]
        dh = affine_back(p, pooled, f"Wc{l}", f"b{l}", trace[l - 2][1], jacobian_product(dh, h, z, f))
    z, h = trace[0]
    return jacobian_product(dh, h, z, f)


def window(a: AtTime, t: int, lags: range) -> Array:
    """[a(t − k) for k in lags], side by side."""
    return np.concatenate([a[t - k] for k in lags], axis=1)


def window_back(da: AtTime, t: int, lags: range, dv: Array) -> None:
    for k, part in zip(lags, np.split(dv, len(lags), axis=1)):
        da[t - k] += part


# --- Time-delay network: slides 16–28 --------------------------------------------------------------------------------
def tdnn_reference(
    parameters: Parameters, xs: Array, state: Any, divergence_gradient: DivergenceGradient,
    *, delays: int, nonlinearity: str | None = "tanh", output_nonlinearity: str | None = None,
) -> ReferenceResult:  # fmt: skip
    """Y(t) = f(X(t), …, X(t−N)), N = `delays`; the state x is X(−N) … X(−1)."""
    return narx_reference(
        parameters, xs, state, divergence_gradient, input_lags=delays, output_lags=0,
        nonlinearity=nonlinearity, output_nonlinearity=output_nonlinearity,
    )  # fmt: skip


# --- NARX: slides 31–44 ----------------------------------------------------------------------------------------------
def narx_reference(
    parameters: Parameters, xs: Array, state: Any, divergence_gradient: DivergenceGradient,
    *, input_lags: int, output_lags: int, nonlinearity: str | None = "tanh", output_nonlinearity: str | None = None,
    targets: Array | None = None,
) -> ReferenceResult:  # fmt: skip
    """Y(t) = f(X(t), …, X(t−L), Y(t−1), …, Y(t−K)); the state is x, X(−L) … X(−1), and y, Y(−K) … Y(−1).

    With targets (T, B, O) these are fed back, series-parallel, and the gradients have "targets" too; without, the
    net's own outputs, and dY(t−k) grows by what Y(t) sends back.
    """
    p, f, g, L, K = parameters, nonlinearity, output_nonlinearity, input_lags, output_lags
    (T, B, I), O = xs.shape, p["Wo"].shape[0]
    start, learned = initial_arrays(p, state, {"x": (L, I), "y": (K, O)}, B, xs.dtype)
    X = {t: xs[t] if t >= 0 else start["x"][t + L] for t in range(-L, T)}
    F = {t: start["y"][t + K] for t in range(-K, 0)}  # what is fed back
    Y, traces = AtTime(), {}
    for t in range(T):
        z = affine(p, "Wc1", "b1", window(X, t, range(L + 1))) if I else 0.0
        if K:
            z = z + affine(p, "Wr", None if I else "b1", window(F, t, range(1, K + 1)))
        Y[t], traces[t] = perceptron(p, np.asarray(z), f, g)
        F[t] = Y[t] if targets is None else targets[t]
    output = stack_steps(Y, 0, T)
    final = {name: stack_steps(a, T - n, T) for name, a, n in (("x", X, L), ("y", F, K)) if name in start}
    d_output, d_state = divergence_gradient(output, pack_state(final))
    d_final = unpack_state(d_state, final)

    pooled = zeros_like(p)
    dX, dF = ({t: np.zeros_like(a) for t, a in of.items()} for of in (X, F))
    for name, da, n in (("x", dX, L), ("y", dF, K)):
        for k in range(n):
            da[T - n + k] += d_final[name][k]
    for t in range(T - 1, -1, -1):
        dY = d_output[t] + (dF[t] if targets is None else 0.0)
        dz = perceptron_back(p, pooled, dY, traces[t], f, g)
        if K:
            v = window(F, t, range(1, K + 1))
            window_back(dF, t, range(1, K + 1), affine_back(p, pooled, "Wr", None if I else "b1", v, dz))
        if I:
            v = window(X, t, range(L + 1))
            window_back(dX, t, range(L + 1), affine_back(p, pooled, "Wc1", "b1", v, dz))
    d_start = {name: stack_steps(da, -n, 0) for name, da, n in (("x", dX, L), ("y", dF, K)) if name in start}
    result = make_result(p, output, final, pooled, stack_steps(dX, 0, T), d_start, learned)
    if targets is not None:
        result.gradients["targets"] = stack_steps(dF, 0, T)
    return result


# --- Jordan: slide 47 ------------------------------------------------------------------------------------------------
def jordan_reference(
    parameters: Parameters, xs: Array, state: Any, divergence_gradient: DivergenceGradient,
    *, mu: float, nonlinearity: str | None = "tanh", output_nonlinearity: str | None = None,
) -> ReferenceResult:  # fmt: skip
    """m(t) = μ m(t−1) + Y(t−1), h(t) = f(Wc X(t) + Wr m(t) + b), Y(t) = g(Wo h(t) + bo); the state is m(0)."""
    p, f, g = parameters, nonlinearity, output_nonlinearity
    (T, B, _), O = xs.shape, p["Wo"].shape[0]
    start, learned = initial_arrays(p, state, {"m": (1, O)}, B, xs.dtype)
    m, z, h, zo, Y = {0: start["m"][0]}, AtTime(), AtTime(), AtTime(), AtTime()
    for t in range(T):
        z[t] = affine(p, "Wc", "b", xs[t]) + affine(p, "Wr", None, m[t])
        h[t] = nonlinear(z[t], f)
        zo[t] = affine(p, "Wo", "bo", h[t])
        Y[t] = nonlinear(zo[t], g)
        m[t + 1] = mu * m[t] + Y[t]
    output, final = stack_steps(Y, 0, T), {"m": m[T][None]}
    d_output, d_state = divergence_gradient(output, pack_state(final))

    pooled, dxs = zeros_like(p), np.zeros_like(xs)
    dm = {t: np.zeros_like(a) for t, a in m.items()}
    dm[T] += unpack_state(d_state, final)["m"][0]
    for t in range(T - 1, -1, -1):
        dY = d_output[t] + dm[t + 1]
        dm[t] += mu * dm[t + 1]
        dh = affine_back(p, pooled, "Wo", "bo", h[t], jacobian_product(dY, Y[t], zo[t], g))
        dz = jacobian_product(dh, h[t], z[t], f)
        dxs[t] += affine_back(p, pooled, "Wc", "b", xs[t], dz)
        dm[t] += affine_back(p, pooled, "Wr", None, m[t], dz)
    return make_result(p, output, final, pooled, dxs, {"m": dm[0][None]}, learned)


# --- Elman: slide 48; and the state-space model: slides 51–53 --------------------------------------------------------
def elman_reference(
    parameters: Parameters, xs: Array, state: Any, divergence_gradient: DivergenceGradient,
    *, nonlinearity: str | None = "tanh", output_nonlinearity: str | None = None,
) -> ReferenceResult:  # fmt: skip
    """The state-space model, but no gradient passes from the clone of h(t−1) to h(t−1).

    The final state is a clone too, and the initial one receives no gradient.
    """
    return _one_hidden_layer(
        parameters, xs, state, divergence_gradient, nonlinearity, output_nonlinearity, back_in_time=False
    )


def state_space_reference(
    parameters: Parameters, xs: Array, state: Any, divergence_gradient: DivergenceGradient,
    *, nonlinearity: str | None = "tanh", output_nonlinearity: str | None = None,
) -> ReferenceResult:  # fmt: skip
    """h(t) = f(Wc X(t) + Wr h(t−1) + b), Y(t) = g(Wo h(t) + bo); the state is h(−1)."""
    return _one_hidden_layer(
        parameters, xs, state, divergence_gradient, nonlinearity, output_nonlinearity, back_in_time=True
    )


def _one_hidden_layer(
    p: Parameters, xs: Array, state: Any, divergence_gradient: DivergenceGradient,
    f: str | None, g: str | None, back_in_time: bool,
) -> ReferenceResult:  # fmt: skip
    (T, B, _), H = xs.shape, p["Wr"].shape[0]
    start, learned = initial_arrays(p, state, {"h": (1, H)}, B, xs.dtype)
    h, z, zo, Y = {-1: start["h"][0]}, AtTime(), AtTime(), AtTime()
    for t in range(T):
        z[t] = affine(p, "Wc", "b", xs[t]) + affine(p, "Wr", None, h[t - 1])
        h[t] = nonlinear(z[t], f)
        zo[t] = affine(p, "Wo", "bo", h[t])
        Y[t] = nonlinear(zo[t], g)
    output, final = stack_steps(Y, 0, T), {"h": h[T - 1][None]}
    d_output, d_state = divergence_gradient(output, pack_state(final))

    pooled, dxs = zeros_like(p), np.zeros_like(xs)
    dh = {t: np.zeros_like(a) for t, a in h.items()}
    if back_in_time:
        dh[T - 1] += unpack_state(d_state, final)["h"][0]
    for t in range(T - 1, -1, -1):
        dh[t] += affine_back(p, pooled, "Wo", "bo", h[t], jacobian_product(d_output[t], Y[t], zo[t], g))
        dz = jacobian_product(dh[t], h[t], z[t], f)
        dxs[t] += affine_back(p, pooled, "Wc", "b", xs[t], dz)
        d_before = affine_back(p, pooled, "Wr", None, h[t - 1], dz)
        if back_in_time:
            dh[t - 1] += d_before
    return make_result(p, output, final, pooled, dxs, {"h": dh[-1][None]}, learned)
