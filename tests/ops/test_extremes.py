"""The catalogue at infinities, NaN, 0 and huge arguments, in value and gradient, against torch."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.ops.catalogue import Sample

FILES = ["activations", "arithmetic", "cumulative", "error_function", "exp_log", "floating_point", "logistic"]
FILES += ["reductions", "softmax", "special", "trigonometric"]
SAMPLES = [
    sample
    for file in FILES
    for sample in importlib.import_module(f"tests.ops.catalogue.{file}").CATALOGUE
    if sample.torch is not False and any(a.dtype.kind == "f" and a.size for a in sample.arrays())
]
EXTREMES = [math.nan, math.inf, -math.inf, 0.0, 1e300, -1e300]

LIMIT = "ours is the limit, torch's NaN comes from inf * 0 or inf - inf"
OUTSIDE = "outside the domain the value is NaN; the derivative's formula has a value there, of no meaning"
UNDEFINED = "the value is NaN; torch's derivative there is that of one of the pieces, ours of the other, or NaN"
OTHERS = "torch divides by the value; ours multiplies all others, which are finite"
DIFFERENCES = {
    "logit": OUTSIDE,
    "arccosh": "outside the domain both values are NaN; torch's derivative is 0 where the square overflows, ours NaN",
    "power": OUTSIDE,
    "log_ndtr": "the derivative at −x is x + 1/x − …: ours is its limit, torch's NaN",
    "erfcx": LIMIT,
    "lgamma": "at −inf, where no limit exists, ours is inf and torch's NaN",
    "i1": UNDEFINED,
    "relu": UNDEFINED,
    "elu": UNDEFINED,
    "selu": UNDEFINED,
    "celu": UNDEFINED,
    "hard_swish": UNDEFINED,
    "threshold": UNDEFINED,
    "maximum": UNDEFINED,
    "minimum": UNDEFINED,
    "abs": UNDEFINED,
    "fabs": UNDEFINED,
    "clip": UNDEFINED,
    "gelu": LIMIT,
    "silu": LIMIT,
    "mish": LIMIT,
    "softsign": LIMIT,
    "cumprod": OTHERS,
    "prod": OTHERS,
    "logcumsumexp": "1e300 is all of each later sum, torch counts one; of inf torch's is NaN",
    "logsumexp": LIMIT,
    "fraction": "NumPy's modf(inf) is 0, torch's inf − inf",
    "copysign": "the derivative is the sign; torch divides the value by its argument",
}
"""Operations that differ from torch at an extreme, and why. All others agree at all extremes."""
BY_THE_PROCESSOR = {"elu", "selu", "celu", "hard_swish"}
"""Where torch's own derivative at NaN is another with AVX-512 than with AVX2: 1 or 0, and NaN."""


def with_extreme(sample: Sample, value: float) -> list[np.ndarray]:
    arrays = [a.copy() for a in sample.arrays()]
    next(a for a in arrays if a.dtype.kind == "f" and a.size).flat[0] = value
    return arrays


def agrees(sample: Sample, value: float, torch: Any) -> bool:
    arrays = with_extreme(sample, value)
    with np.errstate(all="ignore"):
        ours = [mg.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
        y = sample.call(mg, *ours)
        found = [y, *mg.gradients(y, [x for x in ours if x.requires_grad], mg.ones_like(y))]
    theirs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    their_y = (sample.torch or sample.call)(torch, *theirs)
    wanted = torch.autograd.grad(their_y, [x for x in theirs if x.requires_grad], torch.ones_like(their_y))
    return all(
        np.allclose(a.numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-12, equal_nan=True)
        for a, b in zip(found, [their_y, *wanted])
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_extremes_are_torchs_or_explained() -> None:
    torch = pytest.importorskip("torch")
    differ = {s.name for s in SAMPLES for value in EXTREMES if not agrees(s, value, torch)}
    assert differ - BY_THE_PROCESSOR == DIFFERENCES.keys() - BY_THE_PROCESSOR


@pytest.mark.parametrize("name", ["silu", "gelu tanh", "mish"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_decays_is_gone_far_below_zero(xp: Any, name: str, dtype: Any) -> None:
    x = mg.tensor(np.array([-1e30, -1e5], dtype), requires_grad=True)
    y = mg.gelu(x, approximate="tanh") if name == "gelu tanh" else getattr(mg, name)(x)
    (g,) = mg.gradients(y.sum(), [x])
    np.testing.assert_allclose(y.numpy(), 0, atol=1e-30)
    np.testing.assert_allclose(g.numpy(), 0, atol=1e-30)


def test_a_nan_stays_a_nan_in_a_sum_of_exponentials(xp: Any) -> None:
    for values in ([np.nan, 1.0], [np.nan, np.inf], [-np.inf, np.nan]):
        assert np.isnan(mg.logsumexp(mg.tensor(xp.array(np.array(values)))).numpy())
