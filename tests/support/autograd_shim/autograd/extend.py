"""autograd.extend: user-defined primitives, implemented as minigrad's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import minigrad as mg

from .trees import plain, tensors_in, vspace

__all__ = ["defvjp", "defvjp_argnum", "primitive", "primitive_vjps", "primitive_with_deprecation_warnings", "vspace"]

primitive_vjps: dict[Any, Any] = {}
"""The rules of primitives defined here; those of minigrad's operations are not listed."""


class primitive:
    """A function of arrays; on tensors it records a node with the rules that were defined for it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", "primitive")
        self.by_argnum: Callable[..., Any] | None = None
        self.rules: dict[int, Callable[..., Any]] = {}

    def __call__(self, *args: Any, **options: Any) -> Any:
        if not tensors_in(args):
            return self.function(*args, **options)
        if not self.rules and self.by_argnum is None:
            raise NotImplementedError(f"VJP of {self.__name__} not defined")
        places = [k for k, a in enumerate(args) if isinstance(a, mg.Tensor)]

        def with_arguments(tensors: Sequence[Any]) -> list[Any]:
            full = list(args)
            for k, t in zip(places, tensors):
                full[k] = t
            return full

        def rule(k: int) -> Callable[..., Any]:
            def run(xp: Any, g: Any, ans: Any, *saved: Any) -> Any:
                if self.by_argnum is not None:
                    return self.by_argnum(k, ans, with_arguments(saved), options)(g)
                return self.rules[k](ans, *with_arguments(saved), **options)(g)

            return run

        def operation(xp: Any, *arrays: Any) -> Any:
            value = self.function(*with_arguments(arrays), **options)
            return value, (value, *arrays), tuple(rule(k) for k in places)

        operation.__name__ = self.__name__.strip("<>")
        return mg.primitive(operation)(*(args[k] for k in places))


class primitive_with_deprecation_warnings(primitive):
    """A primitive with the methods for defining rules from before autograd 1.2."""

    def defgrad(self, maker: Callable[..., Any], argnum: int = 0) -> None:
        self.rules[argnum] = maker

    def defvjp(self, rule: Callable[..., Any], argnum: int = 0) -> None:
        def maker(ans: Any, *args: Any, **options: Any) -> Callable[[Any], Any]:
            return lambda g: rule(g, ans, vspace(plain(g)), vspace(plain(ans)), *args, **options)

        self.rules[argnum] = maker

    def defvjp_is_zero(self, argnums: Sequence[int] = (0,)) -> None:
        for k in argnums:
            self.rules[k] = lambda ans, *args, k=k, **options: lambda g: args[k] * 0.0


def defvjp(function: primitive, *makers: Callable[..., Any] | None, argnums: Sequence[int] | None = None) -> None:
    for k, maker in zip(range(len(makers)) if argnums is None else argnums, makers):
        function.rules[k] = maker or (lambda ans, *args, k=k, **options: lambda g: args[k] * 0.0)


def defvjp_argnum(function: primitive, maker: Callable[..., Any]) -> None:
    function.by_argnum = maker
