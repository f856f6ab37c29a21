"""The parts of complex values."""

from __future__ import annotations

from tests.ops.catalogue.sample import A, Sample

Z = 0.5 + 2j

CATALOGUE = [
    Sample("real", lambda m, x: m.real(x * x * Z), (A,), torch=None, autograd=True),
    Sample("real", lambda m, x: m.real(x), (A,), torch=None, autograd=True, label="of real"),
    Sample("imag", lambda m, x: m.imag(x * x * Z), (A,), torch=None, autograd=True),
    Sample("conj", lambda m, x: m.real(m.conj(x * Z) * x * 1j), (A,), torch=None, autograd=True),
    Sample("conj", lambda m, x: m.conj(x), (A,), torch=None, autograd=True, label="of real"),
    Sample("conj", lambda m, x: m.imag(m.conjugate(x * Z)), (A,), label="other name"),
    Sample("real_if_close", lambda m, x: m.real_if_close(x), (A,), autograd=True, label="of real"),
    Sample("real_if_close", lambda m, x: m.real_if_close((x + 1e-20j) * x), (A,), waits=True, label="close"),
    Sample("real_if_close", lambda m, x: m.real(m.real_if_close(x * Z) * Z), (A,), waits=True, label="not close"),
    Sample("angle", lambda m, x, y: m.angle(x + 1j * y), (A, A), torch=None, autograd=True),
    Sample("angle", lambda m, x: m.angle(x * Z + 1, deg=True), (A,), label="degrees"),
    Sample("sign", lambda m, x, y: m.angle(m.sign(x + 1j * y)), (A, A)),
    Sample("sign", lambda m, x, y: m.real(m.sign(x + 1j * y)), (A, A), label="real part"),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("angle", lambda m, x: m.angle(x * 1j), ([0.0, -1.0],), label="of zero"),
    Sample("angle", lambda m, x: m.angle(x, deg=True), (A,), label="of real in degrees"),
    Sample("imag", lambda m, x: m.imag(x), (A,), label="of real"),
    Sample("angle", lambda m, x: m.angle(x), (A,), label="of real"),
    Sample("real", lambda m, x: m.real(x * 1j), ((0, 3),), label="empty"),
]  # fmt: skip
"""Nothing at all: compared with NumPy, where finite differences have no say."""
