"""The types of what `grad`, `value_and_grad`, `jacobian` and `hessian` return, for type checkers."""

from __future__ import annotations

from typing import Any, Protocol, overload

import numpy as np

from ..engine.tensor import Tensor

ArrayLike = Tensor | np.ndarray[Any, Any] | np.generic | float


class Derivative(Protocol):
    """A function whose derivative is a tensor for a tensor, an array or a number, and a tree for a tree."""

    @overload
    def __call__(self, x: ArrayLike, /, *args: Any, **kwargs: Any) -> Tensor: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


class ValueAndDerivative(Protocol):
    """A function that returns a scalar value and its `Derivative`."""

    @overload
    def __call__(self, x: ArrayLike, /, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Any]: ...
