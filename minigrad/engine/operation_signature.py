"""`OperationSignature` is what `inspect` and `help` show of an operation: the arguments of its function on arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


class OperationSignature(inspect.Signature):
    """The signature of an operation, without its function's `xp`.

    It is read when somebody asks: at the definition of 250 operations that would take 5 ms of every import.
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __getattr__(self, name: str) -> Any:
        """Read the signature: the base class's slots are empty until then."""
        if name not in ("_parameters", "_return_annotation"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        own = inspect.signature(self.function)
        super().__init__(list(own.parameters.values())[1:])
        return getattr(self, name)
