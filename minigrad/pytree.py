"""Trees of values: nested lists, tuples, dicts, named tuples, dataclasses, modules and registered classes.

`tree_flatten` takes a tree apart into its leaves and its structure, `tree_unflatten` puts it together. Anything that
is not a node is a leaf: a tensor, an array, a number, any other object. None is a node without leaves.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .engine.tensor import Parameter, Tensor
from .option_checks import check_flag, check_function, check_type, shown


class Parts(NamedTuple):
    """One node of a tree, taken apart."""

    kind: Any
    """The class."""
    data: Any
    """What defines the node besides its children. Trees of equal structure have equal data."""
    template: Any
    """What rebuilding needs and equality ignores: the order of a dict, a module."""
    names: Sequence[str]
    """The suffix that leads from the node to each child, as written in Python."""
    children: Sequence[Any]


class TreeDef:
    """The structure of a tree without its leaves. Two are equal where the structures are.

    Printed, a leaf is a star.

    >>> import minigrad as mg
    >>> mg.tree_flatten({"w": [1.0, (2.0, None)], "b": 3.0})
    ([3.0, 1.0, 2.0], TreeDef({'b': *, 'w': [*, (*, None)]}))
    """

    __slots__ = ("children", "data", "kind", "names", "num_leaves", "template")

    def __init__(self, parts: Parts | None, children: Sequence[TreeDef] = ()) -> None:
        """The structure of a node with these children, or of a leaf, whose kind is Any."""
        self.kind, self.data, self.template, self.names, _ = parts or Parts(Any, None, None, (), ())
        self.children = tuple(children)
        self.num_leaves: int = 1 if parts is None else sum(child.num_leaves for child in children)

    @property
    def is_leaf(self) -> bool:
        return self.kind is Any

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TreeDef):
            return NotImplemented
        return self.kind is other.kind and _equal(self.data, other.data) and self.children == other.children

    def __hash__(self) -> int:
        return hash((self.kind, self.num_leaves, self.children))

    def __repr__(self) -> str:
        return f"TreeDef({self.source()})"

    def source(self) -> str:
        """Return the structure as written in Python, with a star for each leaf."""
        inner = [child.source() for child in self.children]
        if self.is_leaf:
            return "*"
        if self.kind is type(None):
            return "None"
        if self.kind is list:
            return f"[{', '.join(inner)}]"
        if self.kind is tuple:
            return f"({', '.join(inner)}{',' * (len(inner) == 1)})"
        if self.kind in _MAPPINGS:
            body = "{" + ", ".join(f"{name[1:-1]}: {child}" for name, child in zip(self.names, inner)) + "}"
            return body if self.kind is dict else f"{self.kind.__name__}({body})"
        labels = [name.lstrip(".") for name in self.names]
        body = ", ".join(child if "[" in name else f"{name}={child}" for name, child in zip(labels, inner))
        return f"{self.kind.__name__}({body})"


LEAF = TreeDef(None)


def _equal(a: Any, b: Any) -> bool:
    try:
        return a is b or bool(a == b)
    except ValueError:  # arrays, which have no single truth value
        return False


class NodeFamily(NamedTuple):
    """How trees handle the instances of a class and of its subclasses."""

    flatten: Callable[[Any], Parts]
    unflatten: Callable[[TreeDef, list[Any], bool], Any]
    """Of (structure, children, plain), where `plain` is that of `tree_unflatten`."""
    substitute: Callable[[TreeDef, Any], Sequence[Any] | None]
    """The children of a value that may stand in the node's place in another tree; None where it may not."""


_families: dict[type, NodeFamily] = {}
_registered: dict[type, tuple[Callable[[Any], tuple[Any, Any]], Callable[[Any, Any], Any]]] = {}
_MAPPINGS = (dict, OrderedDict, defaultdict)


def register_node_family(base: type, family: NodeFamily) -> None:
    """Make instances of a class and of its subclasses nodes of trees."""
    _families[base] = family


def _family_of(kind: type) -> NodeFamily | None:
    return next((family for base, family in _families.items() if issubclass(kind, base)), None)


def register_pytree(
    kind: type, flatten: Callable[[Any], tuple[Any, Any]], unflatten: Callable[[Any, tuple[Any, ...]], Any]
) -> None:
    """Make instances of a class nodes of trees.

    >>> import minigrad as mg
    >>> class Interval:
    ...     def __init__(self, low, high):
    ...         self.low, self.high = low, high
    >>> mg.register_pytree(Interval, lambda i: ((i.low, i.high), None), lambda data, ends: Interval(*ends))
    >>> mg.grad(lambda i: (i.high - i.low) ** 2)(Interval(1.0, 3.0)).high.item()
    4.0

    Args:
        kind: the class, exactly; a subclass needs a registration of its own.
        flatten: an instance to (its children, data). The data are what defines the instance besides its children;
            structures are compared by comparing data with `==`.
        unflatten: (data, children) to an instance. The children may be any objects.

    Raises:
        TypeError: `kind` is not a class. ValueError: it is already a node.
    """
    if not isinstance(kind, type):
        raise TypeError(f"register_pytree: kind: got {type(kind).__name__}, want a class")
    known = kind in (list, tuple, *_MAPPINGS, type(None)) or issubclass(kind, (Tensor, *_families))
    if known or kind in _registered:
        raise ValueError(f"register_pytree: kind: {kind.__name__} is already a node of trees")
    check_function("register_pytree", flatten=flatten, unflatten=unflatten)
    _registered[kind] = flatten, unflatten


def take_apart(value: Any) -> Parts | None:
    """The parts of a node; None for a leaf."""
    kind = type(value)
    if kind is Tensor or kind is Parameter or kind is float:
        return None
    if kind is list or kind is tuple:
        return Parts(kind, len(value), None, _indices(value), value)
    if kind in _MAPPINGS:
        keys = tuple(value) if kind is OrderedDict else _sorted_keys(value)
        data = keys, getattr(value, "default_factory", None)
        return Parts(kind, data, tuple(value), [f"[{key!r}]" for key in keys], [value[key] for key in keys])
    if value is None:
        return Parts(kind, None, None, (), ())
    if kind in _registered:
        children, data = _registered[kind][0](value)
        children = tuple(children)
        return Parts(kind, (len(children), data), None, _indices(children), children)
    if isinstance(value, Tensor):
        return None
    if (family := _family_of(kind)) is not None:
        return family.flatten(value)
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return Parts(kind, None, None, [f".{name}" for name in kind._fields], value)
    if dataclasses.is_dataclass(kind):
        fields = [f for f in dataclasses.fields(value) if hasattr(value, f.name)]
        names = tuple(f.name for f in fields if not f.metadata.get("static"))
        static = {f.name: getattr(value, f.name) for f in fields if f.metadata.get("static")}
        return Parts(kind, (names, static), None, [f".{n}" for n in names], [getattr(value, n) for n in names])
    return None


def put_together(tree: TreeDef, children: list[Any], plain: bool) -> Any:
    """A node with these children: the inverse of `take_apart`. `plain` is that of `tree_unflatten`."""
    kind = tree.kind
    if kind is list or kind is tuple:
        return kind(children)
    if kind in _MAPPINGS:
        keys, factory = tree.data
        by_key = dict(zip(keys, children))
        items = [(key, by_key[key]) for key in tree.template]
        return defaultdict(factory, items) if kind is defaultdict else kind(items)
    if kind is type(None):
        return None
    if kind in _registered:
        return _registered[kind][1](tree.data[1], tuple(children))
    if (family := _family_of(kind)) is not None:
        return family.unflatten(tree, children, plain)
    if issubclass(kind, tuple):
        return kind(*children)
    names, static = tree.data
    instance = object.__new__(kind)
    for name, value in (*zip(names, children), *static.items()):
        object.__setattr__(instance, name, value)  # a frozen dataclass too
    return instance


def _indices(children: Sequence[Any]) -> list[str]:
    return [f"[{k}]" for k in range(len(children))]


def _sorted_keys(value: dict[Any, Any]) -> tuple[Any, ...]:
    """The keys in an order independent of insertion."""
    try:
        return tuple(sorted(value))
    except TypeError:
        return tuple(sorted(value, key=lambda key: (type(key).__qualname__, repr(key))))


def flatten_with_paths(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None, path: str = ""
) -> tuple[list[tuple[str, Any]], TreeDef]:
    """Return (path, leaf) for every leaf, the path as written in Python; and the structure."""
    leaves: list[tuple[str, Any]] = []
    return leaves, _flatten_into(leaves, tree, path, is_leaf)


def _flatten_into(
    leaves: list[tuple[str, Any]], value: Any, path: str, is_leaf: Callable[[Any], bool] | None
) -> TreeDef:
    # A function, not a closure that calls itself: that is a reference cycle, which keeps the leaves until collected.
    parts = None if is_leaf is not None and is_leaf(value) else take_apart(value)
    if parts is None:
        leaves.append((path, value))
        return LEAF
    children = zip(parts.names, parts.children)
    return TreeDef(parts, [_flatten_into(leaves, child, path + name, is_leaf) for name, child in children])


def is_no_container(value: Any) -> bool:
    """An `is_leaf` for trees that consist of tuples, lists and dicts only."""
    return not isinstance(value, (tuple, list, dict))


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeDef]:
    """Return the leaves of a tree, and its structure.

    Lists and tuples go in order, dicts by sorted keys, named tuples and dataclasses by their fields, modules by their
    parameters in the order of `named_parameters()`. A field with `field(metadata={"static": True})` belongs to the
    structure.

    >>> import minigrad as mg
    >>> leaves, structure = mg.tree_flatten({"b": 2.0, "a": [1.0, None]})
    >>> leaves
    [1.0, 2.0]
    >>> mg.tree_unflatten(structure, [10.0, 20.0])
    {'b': 20.0, 'a': [10.0, None]}

    Args:
        is_leaf: called with every node; where it returns True the node is not taken apart.
    """
    if is_leaf is not None:
        check_function("tree_flatten", is_leaf=is_leaf)
    leaves, structure = flatten_with_paths(tree, is_leaf)
    return [leaf for _, leaf in leaves], structure


def tree_unflatten(treedef: TreeDef, leaves: Any, plain: bool = False) -> Any:
    """Return a tree of this structure with these leaves: the inverse of `tree_flatten`.

    A module becomes a copy with these parameters that shares everything else. A constant becomes a parameter
    that can be trained, or a frozen one where the old one was; a tensor on the tape stays on it.

    >>> import minigrad as mg
    >>> leaves, structure = mg.tree_flatten(mg.nn.Linear(2, 1))
    >>> mg.tree_unflatten(structure, [0.0 * leaf for leaf in leaves])(mg.ones((1, 2))).tolist()
    [[0.0]]

    Args:
        treedef: the structure, as `tree_flatten` returns it.
        leaves: one for each of its leaves, in order.
        plain: put a dict by the parameters' names in a module's place.

    Raises:
        ValueError: another number of leaves.
    """
    if type(treedef) is not TreeDef:
        check_type("tree_unflatten", TreeDef, "the structure that tree_flatten returned", treedef=treedef)
    if type(plain) is not bool:
        check_flag("tree_unflatten", plain=plain)
    if type(leaves) is not list:
        if isinstance(leaves, str) or not isinstance(leaves, Iterable):
            raise TypeError(f"tree_unflatten: leaves: got {shown(leaves)}, want a list of {treedef.num_leaves}")
        leaves = list(leaves)
    if len(leaves) != treedef.num_leaves:
        raise ValueError(f"tree_unflatten: leaves: got {len(leaves)}, want {treedef.num_leaves} for {treedef}")
    return _build(treedef, iter(leaves), plain)


def _build(tree: TreeDef, remaining: Iterator[Any], plain: bool) -> Any:
    if tree.is_leaf:
        return next(remaining)
    return put_together(tree, [_build(child, remaining, plain) for child in tree.children], plain)


def tree_map(function: Callable[..., Any], tree: Any, *rest: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """Return a tree like `tree` of `function` applied to each leaf and the values in its place in each of `rest`.

    The others may be deeper than `tree`: the subtree in a leaf's place is passed whole. For a module the others
    may be modules with the same parameters or dicts by their names, such as gradients and state dicts.

    >>> import minigrad as mg
    >>> mg.tree_map(lambda a, b: a - 0.5 * b, {"w": [4.0, 6.0]}, {"w": [2.0, 2.0]})
    {'w': [3.0, 5.0]}

    Args:
        function: of one leaf of `tree` and one value of each of `rest`.
        tree: the tree whose structure the result has.
        rest: other trees.
        is_leaf: of a part of `tree`: whether to take it as a leaf.

    Raises:
        ValueError: one of `rest` has a different structure; the message says where.
    """
    check_function("tree_map", function=function)
    if is_leaf is not None:
        check_function("tree_map", is_leaf=is_leaf)
    leaves, structure = tree_flatten(tree, is_leaf)
    others = [match_structure("tree_map", f"rest[{k}]", structure, other) for k, other in enumerate(rest)]
    return tree_unflatten(structure, [function(*args) for args in zip(leaves, *others)])


def match_structure(caller: str, name: str, structure: TreeDef, value: Any) -> list[Any]:
    """Return the parts of `value` at the places of the structure's leaves, in order.

    Raises:
        ValueError: it has another structure. The message says where, what is there and what should be.
    """
    leaves: list[Any] = []
    _match_into(leaves, f"{caller}: {name}", structure, value)
    return leaves


def _match_into(leaves: list[Any], place: str, tree: TreeDef, value: Any) -> None:
    if tree.is_leaf:
        leaves.append(value)
        return
    parts, children = take_apart(value), None
    if (family := _family_of(tree.kind)) is not None:
        children = family.substitute(tree, value)
    elif parts is not None and parts.kind is tree.kind and _equal(parts.data, tree.data):
        children = parts.children
    if children is None:
        got = type(value).__name__ if parts is None else tree_flatten(value)[1].source()
        raise ValueError(f"{place}: got {got}, want {tree.source()}")
    for child, suffix, below in zip(tree.children, tree.names, children):
        _match_into(leaves, place + suffix, child, below)
