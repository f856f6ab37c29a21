"""autograd's derivatives of functions, built from `make_vjp` and `make_jvp`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import core, numpy as np
from .core import vspace
from .extend import defvjp_argnum, primitive
from .wrap_util import unary_to_nary

make_vjp = unary_to_nary(core.make_vjp)
make_jvp = unary_to_nary(core.make_jvp)


def _scalar(caller: str, end: Any) -> Any:
    space = vspace(end)
    if space.size != 1 or space.iscomplex:
        raise TypeError(f"{caller} only applies to real scalar-output functions; got {space}")
    return space.ones()


@unary_to_nary
def grad(function: Any, x: Any) -> Any:
    """
    Returns a function which computes the gradient of a scalar function with respect to the argument `argnum`.
    """
    vjp, end = core.make_vjp(function, x)
    return vjp(_scalar("grad", end))


@unary_to_nary
def value_and_grad(function: Any, x: Any) -> Any:
    vjp, end = core.make_vjp(function, x)
    return end, vjp(_scalar("value_and_grad", end))


@unary_to_nary
def grad_and_aux(function: Any, x: Any) -> Any:
    vjp, (end, aux) = core.make_vjp(function, x)
    return vjp((vspace(end).ones(), vspace(aux).zeros())), aux


@unary_to_nary
def elementwise_grad(function: Any, x: Any) -> Any:
    vjp, end = core.make_vjp(function, x)
    if vspace(end).iscomplex:
        raise TypeError("elementwise_grad only applies to real-output functions")
    return vjp(vspace(end).ones())


@unary_to_nary
def deriv(function: Any, x: Any) -> Any:
    return core.make_jvp(function, x)(vspace(x).ones())[1]


@unary_to_nary
def jacobian(function: Any, x: Any) -> Any:
    vjp, end = core.make_vjp(function, x)
    space = vspace(end)
    return np.reshape(np.stack([vjp(unit) for unit in space.standard_basis()]), space.shape + vspace(x).shape)


@unary_to_nary
def holomorphic_grad(function: Any, x: Any) -> Any:
    return grad(lambda x: np.real(function(x)))(x)


@unary_to_nary
def hessian(function: Any, x: Any) -> Any:
    return jacobian(jacobian(function))(x)


@unary_to_nary
def make_hvp(function: Any, x: Any) -> Any:
    return core.make_vjp(grad(function), x)


def hessian_tensor_product(function: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    gradient = grad(function, argnum)

    def along(*args: Any, **options: Any) -> Any:
        *args, vector = args
        return np.tensordot(gradient(*args, **options), vector, np.ndim(vector))

    return grad(along, argnum)


def tensor_jacobian_product(function: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    def along(*args: Any, **options: Any) -> Any:
        *args, vector = args
        return np.tensordot(vector, function(*args, **options), axes=np.ndim(vector))

    return jacobian(along, argnum)


def make_ggnvp(f: Any, g: Any = lambda x: 1.0 / 2 * np.sum(x**2, axis=-1), f_argnum: int = 0) -> Callable[..., Any]:
    @unary_to_nary
    def make(f: Any, x: Any) -> Callable[[Any], Any]:
        pullback, value = core.make_vjp(f, x)
        curvature, slope = core.make_vjp(grad(g), value)
        push, _ = core.make_vjp(pullback, vspace(slope).zeros())
        return lambda v: pullback(curvature(push(v)))

    return make(f, f_argnum)


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    checkpointed = primitive(function)
    defvjp_argnum(checkpointed, lambda k, ans, args, options: make_vjp(function, k)(*args, **options)[0])
    return checkpointed
