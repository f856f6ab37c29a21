"""Trees of values: nested lists, tuples, dicts, named tuples, dataclasses and modules, taken apart and put together.

What is none of these is a leaf: a tensor, an array, a number, any other object. None is a tree without leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..nn.module import Module
from .nodes import LEAF, TreeDef, apart, registered, same, together


def with_paths(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None, path: str = ""
) -> tuple[list[tuple[str, Any]], TreeDef]:
    """Every leaf with how it is reached, as written in Python, and the structure."""
    found: list[tuple[str, Any]] = []
    return found, _gather(tree, path, is_leaf, found)


def _gather(value: Any, path: str, is_leaf: Callable[[Any], bool] | None, found: list[tuple[str, Any]]) -> TreeDef:
    # No closure: one that calls itself is a cycle, and would keep the leaves until that is collected.
    parts = None if is_leaf is not None and is_leaf(value) else apart(value)
    if parts is None:
        found.append((path, value))
        return LEAF
    if parts.kind in registered or not issubclass(parts.kind, Module):
        below = [_gather(child, path + name, is_leaf, found) for name, child in zip(parts.names, parts.children)]
        return TreeDef(parts, below)
    found.extend((path + name, child) for name, child in zip(parts.names, parts.children))
    return TreeDef(parts, [LEAF] * len(parts.children))


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeDef]:
    """The leaves of a tree, and its structure.

    Lists and tuples go in order, dicts by sorted keys, named tuples and dataclasses by their fields, modules by their
    parameters in the order of `named_parameters()`. A field that says `field(metadata={"static": True})` belongs to
    the structure.

    >>> import minigrad as mg
    >>> leaves, structure = mg.tree_flatten({"b": 2.0, "a": [1.0, None]})
    >>> leaves
    [1.0, 2.0]
    >>> mg.tree_unflatten(structure, [10.0, 20.0])
    {'b': 20.0, 'a': [10.0, None]}

    Args:
        is_leaf: asked of every node; where it says yes the node is not taken apart.
    """
    found, structure = with_paths(tree, is_leaf)
    return [leaf for _, leaf in found], structure


def tree_unflatten(treedef: TreeDef, leaves: Any, plain: bool = False) -> Any:
    """A tree of this structure with these leaves: what `tree_flatten` took apart, put together.

    In a module's place comes a copy with these parameters and everything else shared. A constant becomes a parameter
    that can be trained, or a frozen one where the old one was; a tensor on the tape stays on it.

    >>> import minigrad as mg
    >>> leaves, structure = mg.tree_flatten(mg.nn.Linear(2, 1))
    >>> mg.tree_unflatten(structure, [0.0 * leaf for leaf in leaves])(mg.ones((1, 2))).tolist()
    [[0.0]]

    Args:
        plain: put a dict by the parameters' names in a module's place.

    Raises:
        ValueError: another number of leaves.
    """
    given = list(leaves)
    if len(given) != treedef.num_leaves:
        raise ValueError(f"tree_unflatten: leaves: got {len(given)}, want {treedef.num_leaves} for {treedef}")
    return _build(treedef, iter(given), plain)


def _build(tree: TreeDef, remaining: Iterator[Any], plain: bool) -> Any:
    if tree.is_leaf:
        return next(remaining)
    return together(tree, [_build(child, remaining, plain) for child in tree.children], plain)


def tree_map(function: Callable[..., Any], tree: Any, *rest: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """`function` of each leaf of `tree`, and of what stands in its place in each of `rest`, as a tree like `tree`.

    The others may go on where `tree` ends: what they have at a leaf's place is handed over whole. For a module the
    others may be modules with the same parameters or dicts by their names, such as gradients and state dicts.

    >>> import minigrad as mg
    >>> mg.tree_map(lambda a, b: a - 0.5 * b, {"w": [4.0, 6.0]}, {"w": [2.0, 2.0]})
    {'w': [3.0, 5.0]}

    Raises:
        ValueError: one of `rest` has another structure; the message says where.
    """
    found, structure = with_paths(tree, is_leaf)
    others = [matched("tree_map", f"rest[{k}]", structure, other) for k, other in enumerate(rest)]
    return tree_unflatten(structure, [function(leaf, *there) for (_, leaf), *there in zip(found, *others)])


def matched(asked: str, name: str, structure: TreeDef, value: Any) -> list[Any]:
    """What `value` has in the places of the structure's leaves, in their order.

    Raises:
        ValueError: it has another structure: where, what is there and what should be.
    """
    found: list[Any] = []
    _match(f"{asked}: {name}", structure, value, found)
    return found


def _match(place: str, tree: TreeDef, value: Any, found: list[Any]) -> None:
    if tree.is_leaf:
        found.append(value)
        return
    parts = apart(value)
    if parts is not None and isinstance(tree.kind, type) and issubclass(tree.kind, Module):
        held: Any = dict(value.named_parameters()) if isinstance(value, Module) else value
        if isinstance(held, Mapping) and held.keys() == set(tree.data):
            found.extend(held[key] for key in tree.data)
            return
    elif parts is not None and parts.kind is tree.kind and same(parts.data, tree.data):
        for child, label, below in zip(tree.children, parts.names, parts.children):
            _match(place + label, child, below, found)
        return
    got = type(value).__name__ if parts is None else with_paths(value)[1].drawn()
    raise ValueError(f"{place}: got {got}, want {tree.drawn()}")
