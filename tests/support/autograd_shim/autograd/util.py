"""autograd.util: the one function of it that the tests use."""

from typing import Any

from .test_util import check_grads

__all__ = ["quick_grad_check"]


def quick_grad_check(function: Any, arg0: Any, extra_args: Any = ()) -> None:
    check_grads(function, modes=["rev"], order=1)(arg0, *extra_args)
