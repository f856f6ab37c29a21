"""autograd.tracer: `isbox` and `getval` for tensors."""

from typing import Any

import minigrad as mg

from .extend import primitive

__all__ = ["getval", "isbox", "primitive"]


def isbox(value: Any) -> bool:
    return isinstance(value, mg.Tensor)


def getval(value: Any) -> Any:
    return value.detach().numpy() if isinstance(value, mg.Tensor) else value
