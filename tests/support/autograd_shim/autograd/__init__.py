"""autograd's interface implemented with minigrad, so that autograd's own tests check minigrad's rules.

It replaces autograd on the path of the process that runs those tests (see tests/support/autograds_tests.py). A function
that is not being differentiated runs on NumPy alone; inside a derivative its arguments are minigrad's tensors, and
`autograd.numpy` is `minigrad.ops`.
"""

from .builtins import dict, isinstance, list, tuple, type
from .differential_operators import (
    checkpoint,
    deriv,
    elementwise_grad,
    grad,
    grad_and_aux,
    hessian,
    hessian_tensor_product,
    holomorphic_grad,
    jacobian,
    make_ggnvp,
    make_hvp,
    make_jvp,
    make_vjp,
    tensor_jacobian_product,
    value_and_grad,
)
from .extend import primitive_with_deprecation_warnings as primitive

hessian_vector_product = hessian_tensor_product
vector_jacobian_product = tensor_jacobian_product

__all__ = [
    "checkpoint",
    "deriv",
    "dict",
    "elementwise_grad",
    "grad",
    "grad_and_aux",
    "hessian",
    "hessian_tensor_product",
    "hessian_vector_product",
    "holomorphic_grad",
    "isinstance",
    "jacobian",
    "list",
    "make_ggnvp",
    "make_hvp",
    "make_jvp",
    "make_vjp",
    "primitive",
    "tensor_jacobian_product",
    "tuple",
    "type",
    "value_and_grad",
    "vector_jacobian_product",
]
