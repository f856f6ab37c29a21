"""Pickle and copy tensors: a leaf becomes a new leaf, what is on the tape is refused.

A copy keeps values, dtype, backend, class and hooks, and in one pickle or `copy.deepcopy` also who shares what: tied
parameters stay tied, and an optimizer's parameters are the module's. The gradient stays behind: the copy's own backward
passes fill `.grad`. `copy.copy` gives another name for the same array and the same node.
"""

from __future__ import annotations

import copy
import weakref
from typing import Any

import numpy as np

from ..backend import BY_ARRAY_TYPE, backend_of, get_backend
from .hooks import get_hooks, set_hooks
from .mutation import hand_out, is_reachable, pickled, viewed
from .tape import Leaf, Node, new_leaf
from .tensor import Parameter, Tensor


def reduce_tensor(x: Tensor, protocol: int) -> tuple[Any, ...]:
    """Implement `Tensor.__reduce_ex__`: pickle the values from the host, in every protocol.

    Raises:
        TypeError: an operation computed the tensor; its gradient cannot leave this process.
    """
    node = _leaf_of(x)
    backend = backend_of(x._array)
    arguments: tuple[Any, ...] = (type(x), backend.name, backend.to_numpy(x._array), node)
    if is_reachable(x._array):  # then the user may have put the array itself into the same pickle
        arguments = (*arguments, True)
    if protocol >= 5:
        hand_out(x._array, pickled)
    return _rebuild, arguments, vars(x) if hasattr(x, "__dict__") else None


def copy_tensor(x: Tensor) -> Tensor:
    """Implement `Tensor.__copy__`: another tensor with the same array and the same place on the tape."""
    return _new(x, x._array, x.node, vars(x) if hasattr(x, "__dict__") else {})


def deepcopy_tensor(x: Tensor, memo: dict[int, Any]) -> Tensor:
    """Implement `Tensor.__deepcopy__`: the values in memory of their own, on the same backend.

    Raises:
        TypeError: an operation computed the tensor.
    """
    node = _leaf_of(x)
    memo[id(x)] = twin = _new(x, _deepcopied_array(x._array, memo), None, {})
    twin.node = copy.deepcopy(node, memo)
    if hasattr(x, "__dict__"):
        vars(twin).update(copy.deepcopy(vars(x), memo))
    return twin


def _deepcopied_array(array: Any, memo: dict[int, Any]) -> Any:
    """A copy of the array, the same one for each tensor that holds it."""
    if id(array) not in memo:
        memo[id(array)] = backend_of(array).xp.array(array, copy=True)
    if is_reachable(array):  # and so is the copy, where the user's own reference is copied along
        hand_out(memo[id(array)], viewed)
    return memo[id(array)]


def _new(x: Tensor, array: Any, node: Node | None, attributes: dict[str, Any]) -> Tensor:
    twin: Tensor = type(x).__new__(type(x))
    twin._array, twin.node = array, node
    if attributes:
        vars(twin).update(attributes)
    return twin


def _leaf_of(x: Tensor) -> Leaf | None:
    if x.node is None or type(x.node) is Leaf:
        return x.node
    raise TypeError(
        f"pickle, copy.deepcopy: the tensor of shape {x.shape} that '{x.node.op}' computed is on the tape, which is "
        "not copied; detach it first: x.detach()"
    )


def _rebuild(
    kind: type[Tensor], backend: str, host: np.ndarray[Any, Any], node: Leaf | None, reachable: bool = False
) -> Tensor:
    """Make the tensor again. Constants may stay on memory that the loader maps; what is trained gets its own.

    `reachable`: the pickle may hold the array for the user as well, who can then write into it.
    """
    x: Tensor = kind.__new__(kind)
    if reachable:
        hand_out(host, viewed)
    if node is not None or issubclass(kind, Parameter):
        host = _in_own_memory(host)
    x._array, x.node = get_backend(backend).from_numpy(np.asarray(host)), node
    return x


_copies: dict[int, tuple[weakref.ref[Any], weakref.ref[Any]]] = {}
"""Arrays from pickles in others' memory, and their copies, by the arrays' ids."""


def _in_own_memory(host: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array, or a copy if its memory is not its own; the same copy for all tensors that shared the array."""
    own: np.ndarray[Any, Any] = np.require(host, requirements=["W", "E", "O"])
    if own is host:
        return host
    key = id(host)
    known = _copies.get(key)
    earlier: np.ndarray[Any, Any] | None = known[1]() if known is not None and known[0]() is host else None
    if earlier is not None:
        return earlier
    _copies[key] = weakref.ref(host, lambda _: _copies.pop(key, None)), weakref.ref(own)
    return own


def _reduce_leaf(leaf: Leaf, protocol: Any) -> tuple[Any, ...]:
    backend = next(b.name for b in BY_ARRAY_TYPE.values() if b.xp is leaf.xp)
    return _rebuild_leaf, (leaf.shape, leaf.dtype, backend), get_hooks(leaf)


def _rebuild_leaf(shape: tuple[int, ...], dtype: Any, backend: str) -> Leaf:
    return new_leaf(shape, dtype, get_backend(backend).xp)


def _refuse_node(node: Node, protocol: Any) -> Any:
    raise TypeError(f"pickle, copy.deepcopy: the node of '{node.op}' belongs to this process's tape; copy x.detach()")


for _class, _method, _function in (
    (Node, "__reduce_ex__", _refuse_node),
    (Leaf, "__reduce_ex__", _reduce_leaf),
    (Leaf, "__setstate__", set_hooks),
    (Tensor, "__reduce_ex__", reduce_tensor),
    (Tensor, "__copy__", copy_tensor),
    (Tensor, "__deepcopy__", deepcopy_tensor),
):
    setattr(_class, _method, _function)
