"""`LBFGS` minimises a function of all weights by limited-memory BFGS, with torch.optim.LBFGS's arguments and steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import repeat
from operator import setitem
from typing import Any

import numpy as np

from ..arguments_of import arguments_of
from ..backend import backend_of, scalar, to_numpy
from ..engine.modes import enable_grad
from ..engine.tensor import Tensor
from ..validation import (
    as_array,
    check_choice,
    check_function,
    check_integer,
    check_number,
    is_integer,
    is_number,
    shown,
)
from .base import Array, Optimizer, Params
from .line_search import Point, strong_wolfe

NUMBERS = ("func_evals", "n_iter", "t", "H_diag", "prev_loss")
VECTORS = ("d", "prev_flat_grad")
HISTORY = ("old_dirs", "old_stps", "ro")
"""The names of the state, which are torch's."""


@arguments_of(Optimizer)
class LBFGS(Optimizer):
    """Limited-memory BFGS (Liu & Nocedal 1989), as torch.optim.LBFGS: for full batches and smooth functions.

    The function and its gradient are computed several times in a step, so `step` takes a closure that clears the
    gradients, computes the loss, calls its `backward()` and returns it. Numbers are read from the device.

    >>> import minigrad as mg
    >>> x = mg.Parameter([3.0, -2.0], dtype="float64")
    >>> optimizer = LBFGS([x], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((x - mg.tensor([1.0, 2.0], dtype="float64")) ** 4).sum()
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(5):
    ...     loss = optimizer.step(closure)
    >>> [round(v, 1) for v in x.tolist()]
    [1.0, 2.0]

    Args:
        params: parameters of one dtype, on one backend; one group of them.
        lr: the step size; with a line search the first one that it tries.
        max_iter: the most iterations of a step.
        max_eval: the most evaluations of the closure in a step; None for 5 max_iter / 4.
        tolerance_grad: a step ends when no entry of the gradient is larger.
        tolerance_change: a step ends when loss and weights change by less.
        history_size: the number of iterations whose changes are remembered.
        line_search_fn: None for steps of fixed size, or "strong_wolfe".
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if max_eval is None and is_integer(max_iter):
            max_eval = max_iter * 5 // 4
        super().__init__(
            params, lr=lr, max_iter=max_iter, max_eval=max_eval, tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change, history_size=history_size, line_search_fn=line_search_fn,
        )  # fmt: skip

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        if self.param_groups:
            raise ValueError("LBFGS: params: got a second group, want one: it has no options for some parameters only")
        super().add_param_group(group)

    def _check(self, o: Mapping[str, Any]) -> None:
        names = ("lr", "tolerance_grad", "tolerance_change")
        check_number(self._name, 0, **{name: o[name] for name in names})
        check_integer(self._name, **{name: o[name] for name in ("max_iter", "max_eval", "history_size")})
        check_choice(self._name, (None, "strong_wolfe"), line_search_fn=o["line_search_fn"])

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Take up to max_iter iterations. After an error or Ctrl-C weights and state are as before.

        Args:
            closure: clears the gradients, computes the loss, calls its `backward()` and returns it.

        Returns:
            What the closure returned first: the loss before the step.

        Raises:
            TypeError: no closure, or one that returns no number. ValueError: a parameter's array is read-only, or they
                are of several dtypes or on several backends.
        """
        check_function("LBFGS.step", closure=closure)
        arrays = [p._array for p in self._parameters()]
        for p, array in zip(self._parameters(), arrays):
            self._check_writable(p)
            if array.dtype != arrays[0].dtype or type(array) is not type(arrays[0]):
                raise ValueError("LBFGS.step: params: got several dtypes or backends, want all of one")
        copies = [array.copy() for array in arrays]
        try:
            first, entry = self._iterations(closure)
            self.state = {next(self._parameters()): entry}
        except BaseException:
            deque(map(setitem, arrays, repeat(...), copies), maxlen=0)  # in C: nothing can come between
            for p in self._parameters():
                p.written()
            raise
        return first

    def _iterations(self, closure: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
        """The closure's first result, and the new state."""
        group = self.param_groups[0]
        s: dict[str, Any] = {"func_evals": 0, "n_iter": 0, **self.state.get(group["params"][0], {})}
        first, f, g = self._evaluate(closure)
        evaluations = 1
        d: Array = s.get("d")
        t: float = s.get("t", 0.0)
        s["func_evals"] += 1
        if _largest(g) <= group["tolerance_grad"]:
            return first, s
        history: list[tuple[Array, Array, float]] = list(zip(*(s.get(name, ()) for name in HISTORY)))
        scale = s.get("H_diag", 1.0)
        for iteration in range(1, group["max_iter"] + 1):
            s["n_iter"] += 1
            if s["n_iter"] > 1:
                y, change = g - s["prev_flat_grad"], d * t
                if (product := _dot(y, change)) > 1e-10:
                    history = [*history, (y, change, 1 / product)][-group["history_size"] :]
                    scale = product / _dot(y, y)
            d = _direction(g, history, scale)
            s["prev_flat_grad"], s["prev_loss"] = g, f
            t = group["lr"] * (min(1.0, 1 / float(scalar(abs(g).sum()))) if s["n_iter"] == 1 else 1.0)
            slope, tried = _dot(g, d), 0
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] is None:
                self._move(d, t)
                if iteration < group["max_iter"]:  # the next step begins with an evaluation
                    _, f, g = self._evaluate(closure)
                    tried = 1
            else:
                along = self._along(closure, d)
                start, most = Point(0.0, f, g, slope), group["max_eval"] - evaluations
                found, tried = strong_wolfe(along, start, t, _largest(d), most)
                t, f, g = found.t, found.f, found.g
                self._move(d, t)
            evaluations += tried
            s["func_evals"] += tried
            small = group["tolerance_change"]
            enough = evaluations >= group["max_eval"] or _largest(g) <= group["tolerance_grad"]
            if enough or _largest(d * t) <= small or abs(f - s["prev_loss"]) < small:
                break
        columns = list(zip(*history)) or [(), (), ()]
        return first, {**s, "d": d, "t": t, "H_diag": scale, **dict(zip(HISTORY, map(list, columns)))}

    def _evaluate(self, closure: Callable[[], Any]) -> tuple[Any, float, Array]:
        """What the closure returns, as a number too, and the gradients as one vector."""
        with enable_grad():
            result = closure()
        value = result.item() if isinstance(result, Tensor) else result
        if not is_number(value):
            raise TypeError(f"LBFGS.step: closure: got {shown(result)} from it, want the loss")
        parts = []
        for p in self._parameters():
            xp = backend_of(p._array).xp
            parts.append(xp.zeros(p.size, p.dtype) if p.grad is None else p.grad._array.reshape(-1))
        return result, float(value), xp.concatenate(parts)

    def _move(self, d: Array, t: float) -> None:
        """Add t · d to the weights."""
        end = 0
        for p in self._parameters():
            begin, end = end, end + p.size
            p._array[...] += t * d[begin:end].reshape(p.shape)
            p.written()

    def _along(self, closure: Callable[[], Any], d: Array) -> Callable[[float], Point]:
        """The loss as a function of the distance along d from the current weights, at which it leaves them."""
        arrays = [p._array for p in self._parameters()]
        copies = [array.copy() for array in arrays]

        def along(t: float) -> Point:
            self._move(d, t)
            _, f, g = self._evaluate(closure)
            for p, array, copy in zip(self._parameters(), arrays, copies):
                array[...] = copy
                p.written()
            return Point(t, f, g, _dot(g, d))

        return along

    # Save and load

    def _saved(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        saved = {name: value for name, value in entry.items() if name in NUMBERS}
        saved |= {name: np.array(to_numpy(entry[name])) for name in VECTORS if name in entry}
        size = len(saved["d"]) if "d" in saved else 0
        for name in HISTORY:
            if name in entry:
                shape = (len(entry[name]),) if name == "ro" else (len(entry[name]), size)
                rows = entry[name] if name == "ro" else [to_numpy(row) for row in entry[name]]
                saved[name] = np.array(rows, None if rows else saved["d"].dtype).reshape(shape)
        return saved

    def _loaded(self, wrong: str, p: Tensor, o: Mapping[str, Any], entry: Any) -> dict[str, Any]:
        names = {"func_evals", "n_iter"}
        if isinstance(entry, Mapping) and entry.get("n_iter"):
            names |= {*NUMBERS, *VECTORS, *HISTORY}
        if p is not next(self._parameters()) or not isinstance(entry, Mapping) or entry.keys() != names:
            got = sorted(entry) if isinstance(entry, Mapping) else shown(entry)
            raise ValueError(f"{wrong}got {got}, want {sorted(names)} for the first parameter only")
        s: dict[str, Any] = {}
        for name in names & {*NUMBERS}:
            whole = name in ("func_evals", "n_iter")
            if not (is_integer(entry[name]) and entry[name] >= 0 if whole else is_number(entry[name])):
                want = "a whole number of at least 0" if whole else "a number"
                raise ValueError(f"{wrong}{name}: got {shown(entry[name])}, want {want}")
            s[name] = entry[name]
        size = sum(q.size for q in self._parameters())
        rows = len(entry["ro"]) if "ro" in names else 0
        shapes = {"d": (size,), "prev_flat_grad": (size,), "ro": (rows,), "old_dirs": (rows, size)}
        for name in names - {*NUMBERS}:
            array, shape = as_array(entry[name], wrong, name), shapes.get(name, (rows, size))
            if tuple(array.shape) != shape or array.dtype.kind not in "fiub":
                raise ValueError(f"{wrong}{name}: got {array.dtype} of shape {tuple(array.shape)}, want {shape}")
            host = np.array(to_numpy(array), np.float64 if name == "ro" else p.dtype)
            values = host.tolist() if name == "ro" else backend_of(p._array).from_numpy(host)
            s[name] = list(values) if name in HISTORY else values
        return s


def _direction(g: Array, history: list[tuple[Array, Array, float]], scale: float) -> Array:
    """−H g, with the inverse Hessian H as the history has it (Nocedal & Wright 2006, algorithm 7.4)."""
    q = -g
    shares = []
    for y, change, rho in reversed(history):
        shares.append(rho * _dot(change, q))
        q -= shares[-1] * y
    q *= scale
    for (y, change, rho), share in zip(history, reversed(shares)):
        q += (share - rho * _dot(y, q)) * change
    return q


def _dot(a: Array, b: Array) -> float:
    return float(scalar(a @ b))


def _largest(a: Array) -> float:
    return float(scalar(abs(a).max())) if a.size else 0.0
