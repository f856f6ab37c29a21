"""Fourier transforms. The samples weigh real and imaginary parts, since what is compared is real."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.ops.catalogue.sample import Sample

MASK = np.array([[1.0, 0.5, 0.0, 2.0]])


def parts(m: Any, z: Any) -> Any:
    return m.real(z) + 0.7 * m.imag(z)


def forward(name: str, shape: tuple[int, ...] = (3, 6), label: str = "", autograd: bool = False, **how: Any) -> Sample:
    """A transform of real values."""
    theirs = {{"axis": "dim", "axes": "dim"}.get(key, key): value for key, value in how.items()}
    return Sample(
        name,
        lambda m, x: parts(m, getattr(m.fft, name)(x, **how)),
        (shape,),
        numpy=lambda m, x: parts(m, getattr(m.fft, name)(x, **how)),
        torch=lambda m, x: parts(m, getattr(m.fft, name)(x, **theirs)),
        autograd=autograd,
        label=label or "-".join(f"{key} {value}".replace(" ", "") for key, value in how.items()),
    )


def back(name: str, result: Callable[..., Any] = parts, label: str = "", autograd: bool = False, **how: Any) -> Sample:
    """A transform of complex values."""
    theirs = {{"axis": "dim", "axes": "dim"}.get(key, key): value for key, value in how.items()}
    return Sample(
        name,
        lambda m, x, y: result(m, getattr(m.fft, name)(x + 1j * y, **how)),
        ((3, 4), (3, 4)),
        torch=lambda m, x, y: result(m, getattr(m.fft, name)(x + 1j * y, **theirs)),
        autograd=autograd,
        label=label or "complex-" + "-".join(f"{key} {value}".replace(" ", "") for key, value in how.items()),
    )


def as_it_is(m: Any, y: Any) -> Any:
    return y


NORMS: tuple[str | None, ...] = (None, "backward", "ortho", "forward")

CATALOGUE = [
    *(
        sample
        for name in ("fft", "ifft", "rfft", "ihfft")
        for sample in (
            forward(name, label="plain", autograd=name != "ihfft"),
            forward(name, shape=(5,), label="odd"),
            forward(name, n=4, axis=0),
            forward(name, n=np.int64(5), axis=1),
            *(forward(name, norm=norm) for norm in NORMS),
        )
    ),
    *(
        sample
        for name, result in (("fft", parts), ("ifft", parts), ("irfft", as_it_is), ("hfft", as_it_is))
        for sample in (
            back(name, result, label="complex", autograd=name != "hfft"),
            back(name, result, n=5, axis=0),
            back(name, result, n=9),
            back(name, result, n=4),
            back(name, result, n=5, norm="ortho"),
            *(back(name, result, norm=norm) for norm in NORMS),
        )
    ),
    Sample("irfft", lambda m, x: m.fft.irfft(x), ((3, 4),), torch=None, label="of real"),
    Sample("irfft", lambda m, x: m.fft.irfft(x, n=1), ((3, 4),), torch=None, label="one value"),
    Sample("irfft", lambda m, x, k: m.fft.irfft(m.fft.rfft(x) * k), ((3, 6), MASK), torch=None, autograd=True,
           label="filter"),
    Sample("irfft", lambda m, a, b: m.fft.irfft(m.fft.rfft(a, 10) * m.fft.rfft(b, 10), 10)[:8], ((5,), (4,)),
           numpy=lambda m, a, b: m.convolve(a, b), torch=None, label="convolution"),
    *(
        sample
        for name in ("fft2", "ifft2", "rfft2", "fftn", "ifftn", "rfftn")
        for sample in (
            forward(name, shape=(2, 3, 4), label="plain", autograd=True),
            forward(name, shape=(2, 3, 4), s=(2, 5), axes=(0, -1)),
            forward(name, shape=(2, 3, 4), s=(4, 3), axes=(-1, 1), norm="ortho"),
            forward(name, shape=(2, 3, 4), axes=(1,), norm="forward"),
        )
    ),
    Sample("fftn", lambda m, x: parts(m, m.fft.fftn(x, s=(2, 6))), ((2, 3, 4),),
           numpy=lambda m, x: parts(m, m.fft.fftn(x, s=(2, 6), axes=(1, 2))), torch=None,
           label="last axes by their number"),
    *(
        sample
        for name, result in (
            ("fft2", parts), ("ifft2", parts), ("irfft2", as_it_is), ("fftn", parts), ("ifftn", parts),
            ("irfftn", as_it_is),
        )
        for sample in (
            back(name, result, label="complex", autograd=name != "irfftn"),
            back(name, result, s=(5, 3), axes=(1, 0)),
            back(name, result, s=(2, 5), axes=(0, 1), norm="forward"),
            back(name, result, axes=(0,), norm="ortho"),
        )
    ),
    *(
        Sample(name, lambda m, x, name=name, how=how: getattr(m.fft, name)(x, **how), ((3, 4),),
               torch=lambda m, x, name=name, how=how: getattr(m.fft, name)(x, *how.values()),
               autograd=True, label=str(how.get("axes", "")))
        for name in ("fftshift", "ifftshift")
        for how in ({}, {"axes": 0}, {"axes": (0, -1)})
    ),
    Sample("resized", lambda m, x: m.real(m.fft.fft(x, n=2) * 1j), ((3, 4),), label="cut"),
    Sample("mirrored", lambda m, x: m.fft.irfft(m.fft.rfft(x) ** 2), ((3, 5),), torch=None, label="odd"),
]  # fmt: skip

EDGES: list[Sample] = [
    *(
        Sample(name, lambda m, x, name=name: parts(m, getattr(m.fft, name)(x)), ((0, 4),), label="empty")
        for name in ("fft", "ifft", "rfft", "irfft", "ihfft", "hfft")
    ),
    *(
        Sample(name, lambda m, x, name=name, axes=axes: parts(m, getattr(m.fft, name)(x, s=(3, 4), axes=axes)),
               ((3, 4),), label=f"repeated {axes}")
        for name in ("fftn", "ifftn", "rfftn", "irfftn")
        for axes in ((1, 1), (0, 0))
    ),
    Sample("rfftn", lambda m, x: parts(m, m.fft.rfftn(x, s=(-1, 3), axes=(0, 1))), ((3, 4),), label="own length"),
    Sample("irfftn", lambda m, x: m.fft.irfftn(x, s=(2, -1), axes=(0, 1)), ((3, 4),), label="own length"),
    Sample("fftfreq", lambda m, x: (x + m.fft.fftfreq(5, 0.1).astype(x.dtype)), ((5,),)),
    Sample("rfftfreq", lambda m, x: (x + m.fft.rfftfreq(8, d=2.0).astype(x.dtype)), ((5,),)),
]  # fmt: skip
"""Nothing at all, and axes twice: compared with NumPy, where finite differences have no say."""
