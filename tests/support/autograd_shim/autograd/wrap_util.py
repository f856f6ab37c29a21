"""autograd.wrap_util: turn an operator on functions of one argument into one on functions of many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["unary_to_nary"]


def unary_to_nary(operator: Callable[..., Any]) -> Callable[..., Any]:
    def nary(function: Callable[..., Any], argnum: Any = 0, *more: Any, **options: Any) -> Callable[..., Any]:
        assert type(argnum) in (int, tuple, list), argnum

        def applied(*args: Any, **kwargs: Any) -> Any:
            def unary(x: Any) -> Any:
                arguments = list(args)
                for k, value in zip((argnum,), (x,)) if isinstance(argnum, int) else zip(argnum, x):
                    arguments[k] = value
                return function(*arguments, **kwargs)

            unary.__name__ = getattr(function, "__name__", "[unknown name]")
            x = args[argnum] if isinstance(argnum, int) else tuple(args[k] for k in argnum)
            return operator(unary, x, *more, **options)

        caller, of = operator.__name__, getattr(function, "__name__", "[unknown name]")
        applied.__name__ = f"{caller}_of_{of}_wrt_argnum_{argnum}"
        applied.__doc__ = f"    {caller} of function {of} with respect to argument number {argnum}."
        return applied

    nary.__name__, nary.__doc__ = operator.__name__, operator.__doc__
    return nary
