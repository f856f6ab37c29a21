"""Parts of complex values. These occur inside a computation only: the leaves of the tape are real.

A loss changes by Re(g·dz) with a complex value z: the gradient of a complex value is what the analytic rules give, and
the backward pass takes the real part where the parent is real.
"""

from __future__ import annotations

import math
from typing import Any

from ...engine.primitive import primitive

Array = Any
__all__ = ["angle", "conj", "conjugate", "imag", "real", "real_if_close"]


@primitive
def real(xp: Any, z: Array) -> Any:
    """The real part. A view."""
    return xp.real(z), (), lambda xp, g: g


@primitive
def imag(xp: Any, z: Array) -> Any:
    """The imaginary part, zeros for a real input. A view of a complex input."""
    return xp.imag(z), (), lambda xp, g: g * -1j


@primitive
def conj(xp: Any, z: Array) -> Any:
    """The complex conjugate."""
    return xp.conj(z), (), lambda xp, g: xp.conj(g)


conjugate = conj


@primitive
def angle(xp: Any, z: Array, deg: bool = False) -> Any:
    """The angle between a complex value and the positive real axis, in radians or degrees; its gradient at 0 is 0.

    The angle of a real value is 0 or π, which has no gradient.
    """
    unit = 180 / math.pi if deg else 1.0
    value = xp.angle(z) * unit if deg else xp.angle(z)
    if z.dtype.kind != "c":
        return value, (), (lambda xp, g: g * 0, None)
    return value, (z,), (lambda xp, g, z: g * (-1j * unit) / xp.where(z == 0, 1.0, z) * (z != 0), None)


@primitive
def real_if_close(xp: Any, z: Array, tol: float = 100) -> Any:
    """The real part if every imaginary part is below `tol` times the dtype's precision, else `z` itself. A view.

    A `tol` of at most 1 is an absolute bound. A complex value is inspected, which synchronises with the device.
    """
    return xp.real_if_close(z, tol), (), lambda xp, g: g
