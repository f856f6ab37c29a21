"""Trees of values: nested lists, tuples, dicts, named tuples, dataclasses and modules, taken apart and put together.

What is none of these is a leaf: a tensor, an array, a number, any other object. None is a tree without leaves.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .engine.tensor import Parameter, Tensor
from .nn.module import Module


class Parts(NamedTuple):
    """A node of a tree taken apart."""

    kind: Any
    """What its children are put back into: the class, as a rule."""
    data: Any
    """What beside the children makes it up; trees of one structure agree in it."""
    form: Any
    """What it is put together from and trees of one structure need not agree in: a dict's order, a module."""
    names: Sequence[str]
    """How each child is written after the node."""
    children: Sequence[Any]


class TreeDef:
    """The structure of a tree: what is left of it without its leaves. Two are equal where the structures are.

    Printed, a leaf is a star.

    >>> import minigrad as mg
    >>> mg.tree_flatten({"w": [1.0, (2.0, None)], "b": 3.0})
    ([3.0, 1.0, 2.0], TreeDef({'b': *, 'w': [*, (*, None)]}))
    """

    __slots__ = ("children", "data", "form", "kind", "names", "num_leaves")

    def __init__(self, parts: Parts | None, children: Sequence[TreeDef] = ()) -> None:
        whole = parts or Parts(Any, None, None, (), ())
        self.kind, self.data, self.form, self.names = whole.kind, whole.data, whole.form, whole.names
        self.children = tuple(children)
        self.num_leaves: int = 1 if parts is None else sum(child.num_leaves for child in children)

    @property
    def is_leaf(self) -> bool:
        return self.kind is Any

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TreeDef):
            return NotImplemented
        return self.kind is other.kind and same(self.data, other.data) and self.children == other.children

    def __hash__(self) -> int:
        return hash((self.kind, self.num_leaves, self.children))

    def __repr__(self) -> str:
        return f"TreeDef({self.drawn()})"

    def drawn(self) -> str:
        """The structure as it would be written in Python, with a star for each leaf."""
        inner = [child.drawn() for child in self.children]
        if self.is_leaf:
            return "*"
        if self.kind is type(None):
            return "None"
        if self.kind is list:
            return f"[{', '.join(inner)}]"
        if self.kind is tuple:
            return f"({', '.join(inner)}{',' * (len(inner) == 1)})"
        if self.kind in (dict, OrderedDict, defaultdict):
            keys = self.data[1] if self.kind is defaultdict else self.data
            body = "{" + ", ".join(f"{key!r}: {part}" for key, part in zip(keys, inner)) + "}"
            return body if self.kind is dict else f"{self.kind.__name__}({body})"
        labels = [name.lstrip(".") for name in self.names]
        body = ", ".join(part if "[" in name else f"{name}={part}" for name, part in zip(labels, inner))
        return f"{self.kind.__name__}({body})"


LEAF = TreeDef(None)


def same(a: Any, b: Any) -> bool:
    try:
        return a is b or bool(a == b)
    except ValueError:  # arrays, which have no single truth
        return False


registered: dict[type, tuple[Callable[[Any], tuple[Any, Any]], Callable[[Any, Any], Any]]] = {}


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
        kind: the class, exactly; a subclass is registered for itself.
        flatten: an instance to (its children, data): the data are what beside the children makes it up, and are
            compared with `==` where two trees shall have one structure.
        unflatten: (data, children) to an instance. The children may be anything, not only what a leaf was.

    Raises:
        TypeError: `kind` is no class. ValueError: it is a node already.
    """
    if not isinstance(kind, type):
        raise TypeError(f"register_pytree: kind: got {type(kind).__name__}, want a class")
    own = kind in (list, tuple, dict, OrderedDict, defaultdict, type(None)) or issubclass(kind, (Module, Tensor))
    if own or kind in registered:
        raise ValueError(f"register_pytree: kind: {kind.__name__} is known to trees already")
    registered[kind] = flatten, unflatten


def apart(value: Any) -> Parts | None:
    """A node's parts; None for a leaf."""
    kind = type(value)
    if kind is Tensor or kind is Parameter or kind is float:
        return None
    if kind is list or kind is tuple:
        return Parts(kind, len(value), None, _numbered(len(value)), value)
    if kind is dict:
        keys = _sorted(value)
        return Parts(dict, keys, tuple(value), [f"[{key!r}]" for key in keys], [value[key] for key in keys])
    if value is None:
        return Parts(kind, None, None, (), ())
    if kind in registered:
        children, data = registered[kind][0](value)
        children = tuple(children)
        return Parts(kind, (len(children), data), None, _numbered(len(children)), children)
    if isinstance(value, Tensor):
        return None
    if isinstance(value, Module):
        found = dict(value.named_parameters())
        return Parts(kind, tuple(found), value, [f".{name}" for name in found], list(found.values()))
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return Parts(kind, None, None, [f".{name}" for name in kind._fields], value)
    if kind is OrderedDict:
        return Parts(kind, tuple(value), None, [f"[{key!r}]" for key in value], list(value.values()))
    if kind is defaultdict:
        keys = _sorted(value)
        names = [f"[{key!r}]" for key in keys]
        return Parts(kind, (value.default_factory, keys), tuple(value), names, [value[key] for key in keys])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _dataclass_apart(value)
    return None


def _numbered(n: int) -> list[str]:
    return [f"[{k}]" for k in range(n)]


def _sorted(keys: Mapping[Any, Any]) -> tuple[Any, ...]:
    """A dict's keys in an order that does not hang on how it was written."""
    try:
        return tuple(sorted(keys))
    except TypeError:
        return tuple(sorted(keys, key=lambda key: (type(key).__qualname__, repr(key))))


def _dataclass_apart(value: Any) -> Parts:
    fields = [f for f in dataclasses.fields(value) if hasattr(value, f.name)]
    inner = [f.name for f in fields if not f.metadata.get("static")]
    static = {f.name: getattr(value, f.name) for f in fields if f.metadata.get("static")}
    names = [f".{name}" for name in inner]
    return Parts(type(value), (tuple(inner), static), None, names, [getattr(value, name) for name in inner])


def together(tree: TreeDef, children: list[Any], plain: bool) -> Any:
    """A node of its children. `plain` makes of a module a dict by the parameters' names."""
    kind = tree.kind
    if kind is list or kind is tuple:
        return kind(children)
    if kind is dict:
        made = dict(zip(tree.data, children))
        return {key: made[key] for key in tree.form}
    if kind is type(None):
        return None
    if kind in registered:
        return registered[kind][1](tree.data[1], tuple(children))
    if issubclass(kind, Module):
        return dict(zip(tree.data, children)) if plain else _twin(tree, children)
    if issubclass(kind, tuple):
        return kind(*children)
    if kind is OrderedDict:
        return OrderedDict(zip(tree.data, children))
    if kind is defaultdict:
        made = dict(zip(tree.data[1], children))
        return defaultdict(tree.data[0], {key: made[key] for key in tree.form})
    inner, static = tree.data
    instance = object.__new__(kind)
    for name, value in (*zip(inner, children), *static.items()):
        object.__setattr__(instance, name, value)  # a frozen dataclass too
    return instance


def _twin(tree: TreeDef, values: list[Any]) -> Any:
    """A module with other parameters, sharing everything else with the one that was taken apart."""
    module = tree.form
    parameters = dict(module.named_parameters())
    if tuple(parameters) != tree.data:
        raise ValueError(
            f"tree_unflatten: {type(module).__name__}: its parameters were {list(tree.data)} when it was flattened "
            f"and are {list(parameters)} now"
        )
    twins: dict[int, Any] = {id(parameters[name]): _placed(parameters[name], v) for name, v in zip(tree.data, values)}

    return _twin_of(module, twins)


def _twin_of(value: Any, twins: dict[int, Any]) -> Any:
    """What stands for `value` in a copy, where `twins` is what stands for modules and parameters already."""
    if id(value) in twins:
        return twins[id(value)]
    if isinstance(value, Module):
        twins[id(value)] = made = type(value).__new__(type(value))
        own = {name: _twin_of(held, twins) for name, held in vars(value).items() if name != "_set_aside"}
        vars(made).update(own)
        return made
    if type(value) in (list, tuple) and any(isinstance(held, (Module, Parameter)) for held in value):
        return type(value)(_twin_of(held, twins) for held in value)
    if type(value) is dict and any(isinstance(held, (Module, Parameter)) for held in value.values()):
        return {key: _twin_of(held, twins) for key, held in value.items()}
    return value


def _placed(parameter: Parameter, value: Any) -> Any:
    """What stands in a parameter's place: a constant becomes a parameter to be trained, unless the old one is frozen.

    What is on the tape stays there, so that gradients pass; what is no array at all is put there as it is.
    """
    if isinstance(value, Parameter):
        return value
    if isinstance(value, Tensor) and value.node is not None:
        made = Parameter.__new__(Parameter)
        made._data, made.node = value._data, value.node
        return made
    if not isinstance(value, float) and getattr(getattr(value, "dtype", None), "kind", "") != "f":
        return value
    made = Parameter(value, dtype=parameter.dtype if isinstance(value, float) else None)
    if parameter.node is None:
        made.node = None
    return made


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


def matched(caller: str, name: str, structure: TreeDef, value: Any) -> list[Any]:
    """What `value` has in the places of the structure's leaves, in their order.

    Raises:
        ValueError: it has another structure: where, what is there and what should be.
    """
    found: list[Any] = []
    _match(f"{caller}: {name}", structure, value, found)
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
