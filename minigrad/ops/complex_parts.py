"""The parts of complex values, which arise inside a computation only: the tape's leaves are real.

A loss changes by Re(g·dz) with a complex value: the gradient of a complex value is what the analytic rules give, and
the walk takes the real part where the parent is real.
"""

from __future__ import annotations

from typing import Any

from ..primitive import primitive

Array = Any
__all__ = ["angle", "conj", "conjugate", "imag", "real"]


@primitive
def real(xp: Any, z: Array) -> Any:
    """The real part. A view."""
    return xp.real(z), (), lambda xp, g: g


@primitive
def imag(xp: Any, z: Array) -> Any:
    """The imaginary part: zeros of a real input. A view of a complex one."""
    return xp.imag(z), (), lambda xp, g: g * -1j


@primitive
def conj(xp: Any, z: Array) -> Any:
    """The complex conjugate."""
    return xp.conj(z), (), lambda xp, g: xp.conj(g)


conjugate = conj
"""NumPy has both names."""


@primitive
def angle(xp: Any, z: Array) -> Any:
    """The angle of a complex value to the positive real axis; of a real one 0 or π, and so without a gradient."""
    if z.dtype.kind != "c":
        return xp.angle(z), (), lambda xp, g: g * 0
    return xp.angle(z), (z,), lambda xp, g, z: g * -1j / z
