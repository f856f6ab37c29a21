"""Discrete Fourier transforms, under the names of `numpy.fft`.

A transform is linear and its matrix symmetric, so the rule of `fft` is `fft`. A loss changes by Re(g·dz) with a complex
value z; `norm` is "backward" (or None), "ortho" or "forward". As in NumPy 2, float32 gives complex64.

Transforms of real values over several axes are made of `rfft` or `irfft` over the last axis and `fftn` over the others.
A device's own plan over several axes may take its input's symmetry for granted; this way each value counts as NumPy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend import default_backend
from ..engine.primitive import call_in, composed, nondifferentiable, primitive
from ..engine.tensor import Tensor
from .elementwise.complex import conj

Array = Any
__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

OTHER_WAY = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}
"""The norm under which the inverse transform has the factor that the transform has under this one."""


def _other_way(norm: str | None) -> str:
    if norm not in OTHER_WAY:
        raise ValueError(f"norm: got {norm!r}, want None, 'backward', 'ortho' or 'forward'")
    return OTHER_WAY[norm]


@primitive
def fft(xp: Any, a: Array, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The Fourier transform along an axis, which is cut or filled with zeros to n values first."""
    shape, n = a.shape, a.shape[axis] if n is None else n
    return (
        xp.fft.fft(a, n=n, axis=axis, norm=norm),
        (),
        lambda xp, g: _brought_to(xp, xp.fft.fft(g, n=n, axis=axis, norm=norm), shape),
    )


@primitive
def ifft(xp: Any, a: Array, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `fft`."""
    shape, n = a.shape, a.shape[axis] if n is None else n
    return (
        xp.fft.ifft(a, n=n, axis=axis, norm=norm),
        (),
        lambda xp, g: _brought_to(xp, xp.fft.ifft(g, n=n, axis=axis, norm=norm), shape),
    )


@primitive
def rfft(xp: Any, a: Array, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The n // 2 + 1 values of the Fourier transform of real values that do not follow from the others."""
    shape, n, back = a.shape, a.shape[axis] if n is None else n, _other_way(norm)

    def rule(xp: Any, g: Array) -> Array:
        # `irfft` reads every value but the first and, of even n, the last as two.
        halves = call_in(xp, _mirrored, g, n=n, axis=axis, factor=0.5)
        return _brought_to(xp, xp.fft.irfft(halves, n=n, axis=axis, norm=back), shape)

    return xp.fft.rfft(a, n=n, axis=axis, norm=norm), (), rule


@primitive
def irfft(xp: Any, a: Array, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `rfft`: n real values, by default 2(m − 1) of m. What is not real in the first is not read."""
    shape, n, back = a.shape, 2 * (a.shape[axis] - 1) if n is None else n, _other_way(norm)

    def rule(xp: Any, g: Array) -> Array:
        found = xp.fft.rfft(g, n=n, axis=axis, norm=back)
        return _brought_to(xp, call_in(xp, _mirrored, found, n=n, axis=axis, factor=2.0), shape)

    return xp.fft.irfft(a, n=n, axis=axis, norm=norm), (), rule


@primitive
def _mirrored(xp: Any, z: Array, n: int, axis: int, factor: float) -> Any:
    """The conjugate, times `factor` where a value of `rfft` stands for its mirror image too. Its own rule."""
    lead = (slice(None),) * (axis % z.ndim)
    y = xp.conj(z)
    y[(*lead, slice(1, (n + 1) // 2))] *= factor
    return y, (), lambda xp, g: call_in(xp, _mirrored, g, n=n, axis=axis, factor=factor)


@primitive
def _resized(xp: Any, a: Array, shape: Any) -> Any:
    """`a` cut or filled with zeros to `shape`, at the end of each axis. A view where it is only cut."""
    before = a.shape
    kept = tuple(slice(min(m, n)) for m, n in zip(shape, before))
    if all(m <= n for m, n in zip(shape, before)):
        y = a[kept]
    else:
        y = xp.zeros(shape, dtype=a.dtype)
        y[kept] = a[kept]
    return y, (), lambda xp, g: call_in(xp, _resized, g, shape=before)


def _brought_to(xp: Any, a: Array, shape: tuple[int, ...]) -> Array:
    return a if tuple(a.shape) == tuple(shape) else call_in(xp, _resized, a, shape=shape)


@composed
def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The real transform, of n values, of a signal of which half is given and the rest its mirrored conjugate."""
    return irfft(conj(a), n=n, axis=axis, norm=_other_way(norm))


@composed
def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `hfft`: n // 2 + 1 values."""
    return conj(rfft(a, n=n, axis=axis, norm=_other_way(norm)))


@primitive
def _fftn(xp: Any, a: Array, s: Any, axes: Any, norm: str | None = None) -> Any:
    shape = a.shape
    return (
        xp.fft.fftn(a, s=s, axes=axes, norm=norm),
        (),
        lambda xp, g: _brought_to(xp, xp.fft.fftn(g, s=s, axes=axes, norm=norm), shape),
    )


@primitive
def _ifftn(xp: Any, a: Array, s: Any, axes: Any, norm: str | None = None) -> Any:
    shape = a.shape
    return (
        xp.fft.ifftn(a, s=s, axes=axes, norm=norm),
        (),
        lambda xp, g: _brought_to(xp, xp.fft.ifftn(g, s=s, axes=axes, norm=norm), shape),
    )


def fftn(a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None) -> Tensor:
    """The Fourier transform along several axes, by default all or the last len(s); a repeated one is transformed again.

    `s` holds the lengths to cut or fill to, −1 for the axis's own.
    """
    return _over(_fftn, fft, a, *_lengths(a, s, axes), norm)


def ifftn(a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None) -> Tensor:
    """The inverse of `fftn`."""
    return _over(_ifftn, ifft, a, *_lengths(a, s, axes), norm)


def _lengths(a: Any, s: Sequence[int] | None, axes: Sequence[int] | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The length of every axis to be transformed, and these axes."""
    if axes is None:
        axes = range(a.ndim) if s is None else range(-len(s), 0)
    axes = tuple(int(k) for k in axes)
    s = (-1,) * len(axes) if s is None else s
    if len(s) != len(axes):
        raise ValueError(f"s: got {len(s)} lengths, want one for each of {len(axes)} axes")
    return tuple(a.shape[k] if n == -1 else int(n) for n, k in zip(s, axes)), axes


def _over(several: Any, one: Any, a: Any, s: tuple[int, ...], axes: tuple[int, ...], norm: str | None) -> Tensor:
    if len(axes) == 1 or len({k % a.ndim for k in axes}) < len(axes):
        for n, k in zip(s[::-1], axes[::-1]):
            a = one(a, n=n, axis=k, norm=norm)
        return a  # type: ignore[no-any-return]
    return several(a, s=s, axes=axes, norm=norm) if axes else a  # type: ignore[no-any-return]


@composed
def rfftn(a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None) -> Tensor:
    """`rfft` along the last of several axes, and `fft` along the others."""
    lengths, along = _lengths(a, s, axes)
    half = rfft(a, n=lengths[-1], axis=along[-1], norm=norm)
    return _over(_fftn, fft, half, lengths[:-1], along[:-1], norm)


@composed
def irfftn(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Tensor:
    """The inverse of `rfftn`. Without `s` the last length is 2(m − 1) of m values."""
    lengths, along = _lengths(a, s, axes)
    n = 2 * (a.shape[along[-1]] - 1) if s is None else lengths[-1]
    half = _over(_ifftn, ifft, a, lengths[-2::-1], along[-2::-1], norm)  # NumPy goes from the first axis here
    return irfft(half, n=n, axis=along[-1], norm=norm)


@composed
def fft2(a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None) -> Tensor:
    """`fftn`, by default along the last two axes."""
    return fftn(a, s, axes, norm)


@composed
def ifft2(a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None) -> Tensor:
    """`ifftn`, by default along the last two axes."""
    return ifftn(a, s, axes, norm)


@composed
def rfft2(a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None) -> Tensor:
    """`rfftn`, by default along the last two axes."""
    return rfftn(a, s, axes, norm)


@composed
def irfft2(a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None) -> Tensor:
    """`irfftn`, by default along the last two axes."""
    return irfftn(a, s, axes, norm)


@primitive
def fftshift(xp: Any, x: Array, axes: Any = None) -> Any:
    """The zero frequency moved to the middle of the axes, by default of all."""
    return xp.fft.fftshift(x, axes=axes), (), lambda xp, g: xp.fft.ifftshift(g, axes=axes)


@primitive
def ifftshift(xp: Any, x: Array, axes: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return xp.fft.ifftshift(x, axes=axes), (), lambda xp, g: xp.fft.fftshift(g, axes=axes)


@nondifferentiable
def fftfreq(n: int, d: float = 1.0) -> Tensor:
    """The frequencies of `fft`'s n values, for samples d apart: float64 on the default backend, off the tape."""
    return Tensor(default_backend().xp.fft.fftfreq(n, d))


@nondifferentiable
def rfftfreq(n: int, d: float = 1.0) -> Tensor:
    """The frequencies of `rfft`'s values, for n samples d apart: float64 on the default backend, off the tape."""
    return Tensor(default_backend().xp.fft.rfftfreq(n, d))
