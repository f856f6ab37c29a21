"""Two inputs that share one array, as `w` and `x` in `grad(lambda x: f(w, x))(w)`, keep their own derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine.tape import new_leaf
from minigrad.engine.tensor import Tensor
from tests.ops.catalogue import CATALOGUE, Sample


def pairs(sample: Sample) -> list[tuple[int, int]]:
    """The positions of every two floating-point inputs of the same shape."""
    arrays = sample.arrays()
    places = [k for k, a in enumerate(arrays) if a.dtype.kind == "f"]
    return [(i, j) for i in places for j in places if i < j and arrays[i].shape == arrays[j].shape]


SHARED = [(sample, i, j) for sample in CATALOGUE for i, j in pairs(sample)]


def derivatives(sample: Sample, i: int, j: int, one_array: bool) -> list[np.ndarray | None]:
    """First and second derivatives with respect to the inputs i and j, which have the same values."""
    tensors = [mg.tensor(a) for a in sample.arrays()]
    first = tensors[i] = mg.tensor(sample.arrays()[i], requires_grad=True)
    second = tensors[j] = mg.tensor(sample.arrays()[i], requires_grad=True)
    if one_array:
        second = tensors[j] = Tensor(first._array, new_leaf(first.shape, first.dtype, first.node.xp))  # type: ignore[union-attr]
    rng = np.random.default_rng(1)

    def weighed(outputs: Any) -> Any:
        terms = [(y * mg.tensor(rng.standard_normal(y.shape))).sum() for y in outputs if y.requires_grad]
        return mg.stack(terms).sum() if terms else None

    made = sample.call(mg, *tensors)
    y = weighed([made] if isinstance(made, Tensor) else made)
    g = mg.gradients(y, [first, second], create_graph=True, allow_unused=True)
    again = weighed([part for part in g if part is not None])
    h = [None, None] if again is None else mg.gradients(again, [first, second], allow_unused=True)
    return [None if part is None else part.numpy() for part in (*g, *h)]


@pytest.mark.parametrize(("sample", "i", "j"), SHARED, ids=[f"{s.id} {i} {j}" for s, i, j in SHARED])
def test_two_inputs_may_be_one_array(xp: Any, sample: Sample, i: int, j: int) -> None:
    for mine, want in zip(derivatives(sample, i, j, True), derivatives(sample, i, j, False)):
        assert (mine is None) == (want is None)
        if mine is not None and want is not None:
            np.testing.assert_allclose(mine, want, rtol=1e-10, atol=1e-12)
