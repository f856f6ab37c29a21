"""Discrete Fourier transforms, under the names of `numpy.fft`.

A transform is linear and its matrix symmetric, so the rule of `fft` is `fft`. A loss changes by Re(g·dz) with a complex
value z; `norm` is "backward" (or None), "ortho" or "forward". As in NumPy 2, float32 gives complex64.

Transforms of real values over several axes are composed of `rfft` or `irfft` over the last axis and `fftn` over the
others. A device's own plan over several axes may assume a symmetric input; this way every value is read as in NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend import default_backend
from ..engine.primitive import call_in, composed, nondifferentiable, primitive
from ..engine.tensor import Tensor
from .elementwise.complex import conj

Array = Any
__all__ = ["fft", "fftn", "hfft", "ifft", "ifftn", "ihfft", "irfft", "irfftn", "rfft", "rfftn"]
__all__ += ["fft2", "fftfreq", "fftshift", "ifft2", "ifftshift", "irfft2", "rfft2", "rfftfreq"]

INVERSE_NORM = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}
"""The norm that gives the inverse transform the factor which the transform has under this norm."""


def _inverse_norm(norm: str | None) -> str:
    if norm not in INVERSE_NORM:
        raise ValueError(f"norm: got {norm!r}, want None, 'backward', 'ortho' or 'forward'")
    return INVERSE_NORM[norm]


def _symmetric(xp: Any, name: str, a: Array, **options: Any) -> Any:
    """The value and rule of the transform `xp.fft.<name>`, which is its own rule; saves nothing."""
    shape = a.shape

    def transform(xp: Any, x: Array) -> Array:
        return getattr(xp.fft, name)(x, **options)

    return transform(xp, a), (), lambda xp, g: _to_shape(xp, transform(xp, g), shape)


@primitive
def fft(xp: Any, a: Array, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The Fourier transform along an axis, which is first cut or padded with zeros to n values."""
    return _symmetric(xp, "fft", a, n=a.shape[axis] if n is None else n, axis=axis, norm=norm)


@primitive
def ifft(xp: Any, a: Array, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `fft`."""
    return _symmetric(xp, "ifft", a, n=a.shape[axis] if n is None else n, axis=axis, norm=norm)


@primitive
def rfft(xp: Any, a: Array, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The first n // 2 + 1 values of the Fourier transform of real values; the others are their conjugates."""
    shape, n, back = a.shape, a.shape[axis] if n is None else n, _inverse_norm(norm)

    def rule(xp: Any, g: Array) -> Array:
        # `irfft` counts every value twice except the first and, for even n, the last.
        halves = call_in(xp, _mirrored, g, n=n, axis=axis, factor=0.5)
        return _to_shape(xp, xp.fft.irfft(halves, n=n, axis=axis, norm=back), shape)

    return xp.fft.rfft(a, n=n, axis=axis, norm=norm), (), rule


@primitive
def irfft(xp: Any, a: Array, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `rfft`: n real values, by default 2(m − 1) from m. The first one's imaginary part is ignored."""
    shape, n, back = a.shape, 2 * (a.shape[axis] - 1) if n is None else n, _inverse_norm(norm)

    def rule(xp: Any, g: Array) -> Array:
        half = xp.fft.rfft(g, n=n, axis=axis, norm=back)
        return _to_shape(xp, call_in(xp, _mirrored, half, n=n, axis=axis, factor=2.0), shape)

    return xp.fft.irfft(a, n=n, axis=axis, norm=norm), (), rule


@primitive
def _mirrored(xp: Any, z: Array, n: int, axis: int, factor: float) -> Any:
    """The conjugate, times `factor` where a value of `rfft` also stands for its mirror image. Its own rule."""
    lead = (slice(None),) * (axis % z.ndim)
    y = xp.conj(z)
    y[(*lead, slice(1, (n + 1) // 2))] *= factor
    return y, (), lambda xp, g: call_in(xp, _mirrored, g, n=n, axis=axis, factor=factor)


@primitive
def _resized(xp: Any, a: Array, shape: Any) -> Any:
    """`a` cut or padded with zeros to `shape`, at the end of each axis. A view if it is only cut."""
    before = a.shape
    common = tuple(slice(min(m, n)) for m, n in zip(shape, before))
    y = a[common]
    if y.shape != tuple(shape):
        y = xp.zeros(shape, dtype=a.dtype)
        y[common] = a[common]
    return y, (), lambda xp, g: call_in(xp, _resized, g, shape=before)


def _to_shape(xp: Any, a: Array, shape: tuple[int, ...]) -> Array:
    return a if tuple(a.shape) == tuple(shape) else call_in(xp, _resized, a, shape=shape)


@composed
def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The real transform, n values, of a signal given by its first half; the rest is the mirrored conjugate."""
    return irfft(conj(a), n=n, axis=axis, norm=_inverse_norm(norm))


@composed
def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `hfft`: n // 2 + 1 values."""
    return conj(rfft(a, n=n, axis=axis, norm=_inverse_norm(norm)))


@primitive
def _fftn(xp: Any, a: Array, s: Any, axes: Any, norm: str | None = None) -> Any:
    return _symmetric(xp, "fftn", a, s=s, axes=axes, norm=norm)


@primitive
def _ifftn(xp: Any, a: Array, s: Any, axes: Any, norm: str | None = None) -> Any:
    return _symmetric(xp, "ifftn", a, s=s, axes=axes, norm=norm)


def fftn(a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None) -> Tensor:
    """The Fourier transform along several axes, by default all or the last len(s); a repeated axis counts twice.

    `s` holds the lengths to cut or pad to, −1 for the axis's own.
    """
    return _over(_fftn, fft, a, *_lengths(a, s, axes), norm)


def ifftn(a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None) -> Tensor:
    """The inverse of `fftn`."""
    return _over(_ifftn, ifft, a, *_lengths(a, s, axes), norm)


def _lengths(a: Any, s: Sequence[int] | None, axes: Sequence[int] | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The length of every axis to transform, and these axes."""
    if axes is None:
        axes = range(a.ndim) if s is None else range(-len(s), 0)
    axes = tuple(int(k) for k in axes)
    s = (-1,) * len(axes) if s is None else s
    if len(s) != len(axes):
        raise ValueError(f"s: got {len(s)} lengths, want one for each of {len(axes)} axes")
    return tuple(a.shape[k] if n == -1 else int(n) for n, k in zip(s, axes)), axes


def _over(several: Any, one: Any, a: Any, s: tuple[int, ...], axes: tuple[int, ...], norm: str | None) -> Tensor:
    """Apply `several` to all axes at once, or `one` to each axis if there is only one or one is repeated."""
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
    """The inverse of `rfftn`. Without `s` the last length is 2(m − 1) for m values."""
    lengths, along = _lengths(a, s, axes)
    n = 2 * (a.shape[along[-1]] - 1) if s is None else lengths[-1]
    half = _over(_ifftn, ifft, a, lengths[-2::-1], along[-2::-1], norm)  # NumPy starts with the first axis here
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
    """Move the zero frequency to the middle of the axes, by default of all."""
    return xp.fft.fftshift(x, axes=axes), (), lambda xp, g: xp.fft.ifftshift(g, axes=axes)


@primitive
def ifftshift(xp: Any, x: Array, axes: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return xp.fft.ifftshift(x, axes=axes), (), lambda xp, g: xp.fft.fftshift(g, axes=axes)


@nondifferentiable
def fftfreq(n: int, d: float = 1.0) -> Tensor:
    """The frequencies of the n values of `fft` for samples d apart: float64 on the default backend, off the tape."""
    return Tensor(default_backend().xp.fft.fftfreq(n, d))


@nondifferentiable
def rfftfreq(n: int, d: float = 1.0) -> Tensor:
    """The frequencies of the values of `rfft` for n samples d apart: float64 on the default backend, off the tape."""
    return Tensor(default_backend().xp.fft.rfftfreq(n, d))
