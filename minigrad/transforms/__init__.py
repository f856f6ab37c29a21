"""Transformations of functions: derivatives of every kind and order, over trees of tensors and modules."""

from .checkpointing import checkpoint
from .custom_rules import custom_rule
from .depositing import assign_gradients
from .derivatives import grad, jvp, value_and_grad, vjp
from .matrices import hessian, hvp, jacobian
from .nodes import TreeDef, register_pytree
from .pytree import tree_flatten, tree_map, tree_unflatten

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
