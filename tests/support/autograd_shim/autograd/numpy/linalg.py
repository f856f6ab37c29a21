"""autograd.numpy.linalg."""

from typing import Any

import numpy

import minigrad as mg

from .dispatch import function, namespace

__getattr__ = namespace(numpy.linalg, mg.ops.linalg, globals())
_einsum = function("einsum", numpy, mg.ops)
_swapaxes = function("swapaxes", numpy, mg.ops)


def T(x: Any) -> Any:
    return _swapaxes(x, -1, -2)


def _dot(a: Any, b: Any) -> Any:
    return _einsum("...ij,...jk->...ik", a, b)
