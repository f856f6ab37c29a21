"""autograd.test_util: compare analytic derivatives with central differences, forward and backward, at each order.

Numeric derivatives use NumPy's functions on plain numbers, independent of minigrad; and a function must return the same
values on the tape as on plain numbers. The tolerances and random directions are autograd's. Points with a complex
argument to differentiate are skipped and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np

from .core import make_jvp, make_vjp, vspace
from .trees import leaves, mapped, plain
from .wrap_util import unary_to_nary

__all__ = [
    "check_equivalent",
    "check_grads",
    "check_jvp",
    "check_vjp",
    "combo_check",
    "counts",
    "scalar_close",
    "settings",
]

TOL = RTOL = EPS = 1e-6
counts = {"checked": 0, "complex": 0}
"""The number of checked and of skipped points since the last reset."""

settings = SimpleNamespace(with_complex=False)


def scalar_close(a: float, b: float) -> bool:
    return bool(abs(a - b) < TOL or abs(a - b) / abs(a + b) < RTOL)


def numerical_jvp(function: Callable[[Any], Any], x: Any) -> Callable[[Any], Any]:
    def jvp(v: Any) -> Any:
        space = vspace(x)
        ahead, behind = function(space.add(x, v, EPS / 2)), function(space.add(x, v, -EPS / 2))
        out = vspace(ahead)
        return mapped(lambda d: np.asarray(d / EPS)[()], out.add(ahead, behind, -1.0))

    return jvp


def check_value(function: Callable[[Any], Any], x: Any, on_tape: Any) -> None:
    want = function(x)
    assert vspace(want) == vspace(on_tape), f"Value on the tape: {vspace(on_tape)}, want {vspace(want)}"
    for a, b in zip(leaves(want), leaves(on_tape), strict=True):
        assert np.allclose(a, b, rtol=1e-9, atol=1e-9, equal_nan=True), f"Value on the tape: {b}, want {a}"


def check_vjp(function: Callable[[Any], Any], x: Any) -> None:
    vjp, y = make_vjp(function, x)
    check_value(function, x, y)
    xs, ys = vspace(x), vspace(y)
    along, seed = xs.randn(), ys.randn()
    back = vjp(ys.covector(seed))
    assert vspace(back) == xs, f"Gradient: {vspace(back)}, want {xs}"
    exact = xs.inner_prod(along, xs.covector(back))
    numeric = ys.inner_prod(seed, numerical_jvp(function, x)(along))
    assert scalar_close(numeric, exact), (
        f"Derivative (VJP) check of {function.__name__} failed with arg {x}:\nanalytic: {exact}\nnumeric:  {numeric}"
    )


def check_jvp(function: Callable[[Any], Any], x: Any) -> None:
    along = vspace(x).randn()
    value, derivative = make_jvp(function, x)(along)
    check_value(function, x, value)
    check_equivalent(derivative, numerical_jvp(function, x)(along))


def check_equivalent(x: Any, y: Any) -> None:
    xs, ys = vspace(x), vspace(y)
    assert xs == ys, f"VSpace mismatch:\nx: {xs}\ny: {ys}"
    v = xs.randn()
    assert scalar_close(xs.inner_prod(x, v), xs.inner_prod(y, v)), f"Value mismatch:\nx: {x}\ny: {y}"


def is_complex(x: Any) -> bool:
    return any(np.iscomplexobj(plain(leaf)) for leaf in leaves(x))


@unary_to_nary
def check_grads(function: Any, x: Any, modes: Any = ("fwd", "rev"), order: int = 2) -> None:
    if is_complex(x) and not settings.with_complex:
        counts["complex"] += 1
        return
    check(function, x, modes, order)
    counts["checked"] += 1


def check(function: Any, x: Any, modes: Any, order: int) -> None:
    """Check all derivatives up to this order, each as a function of the point and of the previous direction."""
    assert modes, "modes: got none, want at least one of fwd and rev"
    assert all(m in ("fwd", "rev") for m in modes), modes
    if "fwd" in modes:
        check_jvp(function, x)
        if order > 1:
            direction = vspace(x).randn()
            check(
                named("jvp", function, lambda xv: make_jvp(function, xv[0])(xv[1])[1]), (x, direction), modes, order - 1
            )
    if "rev" in modes:
        check_vjp(function, x)
        if order > 1:
            seed = vspace(function(x)).randn()
            check(named("vjp", function, lambda xv: make_vjp(function, xv[0])[0](xv[1])), (x, seed), modes, order - 1)


def named(what: str, of: Any, function: Any) -> Any:
    function.__name__ = f"{what}_{getattr(of, '__name__', '[unknown name]')}"
    return function


def combo_check(function: Any, *args: Any, **options: Any) -> Callable[..., None]:
    """Return a function that checks every combination of the arguments' and the options' values."""

    def check_all(*values: Any, **kwargs: Any) -> None:
        named_values = [[(key, v) for v in choices] for key, choices in kwargs.items()]
        for chosen in product(*values):
            for chosen_options in product(*named_values):
                check_grads(function, *args, **options)(*chosen, **dict(chosen_options))

    return check_all
