"""The types of what `grad`, `value_and_grad`, `jacobian` and `hessian` return, for type checkers."""

from __future__ import annotations

from typing import Any, Protocol, overload

from ..engine.tensor import Tensor
from ..nn.module import Module


class Derivative(Protocol):
    """A function whose derivative is a tensor for a tensor, and a tree for a tree.

    For an array or a number it is an array, or a tensor where it stays on the tape, which no type can tell.
    """

    @overload
    def __call__(self, x: Tensor, /, *args: Any, **kwargs: Any) -> Tensor: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


class ValueAndDerivative(Protocol):
    """A function that returns a scalar value and its `Derivative`."""

    @overload
    def __call__(self, x: Tensor, /, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]: ...
    @overload
    def __call__(self, x: Module, /, *args: Any, **kwargs: Any) -> tuple[Tensor, dict[str, Any]]: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]: ...
