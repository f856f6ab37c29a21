"""From gradients as results to gradients where an optimizer looks for them."""

from __future__ import annotations

from typing import Any

from ..tape import Leaf
from ..tensor import Tensor
from .pytree import matched, with_paths


def assign_gradients(tree: Any, gradients: Any) -> None:
    """Set the `.grad` of every parameter in a tree to what a transformation found for it.

    >>> import numpy as np, minigrad as mg
    >>> model = mg.nn.Linear(2, 1)
    >>> optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    >>> x = np.ones((4, 2), np.float32)
    >>> loss, gradients = mg.value_and_grad(lambda m: (m(x) ** 2).mean())(model)
    >>> mg.assign_gradients(model, gradients)
    >>> optimizer.step()

    Args:
        tree: a module, or a tree of modules and tensors. Frozen parameters and constants are passed over.
        gradients: as `grad` returns them for it.

    Raises:
        ValueError: the gradients have another structure, or one has another shape than its parameter.
    """
    leaves, structure = with_paths(tree)
    found = matched("assign_gradients", "gradients", structure, gradients)
    for (path, x), g in zip(leaves, found):
        if isinstance(x, Tensor) and isinstance(g, Tensor) and g.shape != x.shape:
            raise ValueError(f"assign_gradients: gradients{path}: got shape {g.shape}, want {x.shape}")
    for (_, x), g in zip(leaves, found):
        if isinstance(x, Tensor) and type(x.node) is Leaf:
            x.grad = g
