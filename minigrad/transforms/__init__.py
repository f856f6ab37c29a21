"""Transformations of functions: derivatives of every kind and order, over trees of tensors and modules."""

from ..pytree import TreeDef, register_pytree, tree_flatten, tree_map, tree_unflatten
from .checkpoint import checkpoint
from .custom_rule import custom_rule
from .grad import assign_gradients, grad, jvp, value_and_grad, vjp
from .jacobian import hessian, hvp, jacobian

__all__ = [
    "TreeDef",
    "assign_gradients",
    "checkpoint",
    "custom_rule",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "register_pytree",
    "tree_flatten",
    "tree_map",
    "tree_unflatten",
    "value_and_grad",
    "vjp",
]
