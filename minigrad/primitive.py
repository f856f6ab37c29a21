"""From a function on arrays, value and rule side by side, to an operation on tensors that the tape knows.

A primitive is written once, against a namespace `xp`:

    @primitive
    def tanh(xp, x):
        y = xp.tanh(x)
        return y, (y,), lambda xp, g, y: g * (1 - y * y)

It returns the value, the arrays its rule needs, and the rule: one function, a tuple with one per input, or a
`Joint` that gives all inputs' contributions at once. In a first-order walk `xp` is numpy or cupy and the rule runs on
plain arrays; under `create_graph=True` the same rule runs on tensors with `xp = minigrad.ops`, so that it is recorded
and can be differentiated again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from . import backend as seam
from .saved import VIEWS, Note, saves
from .tape import Leaf, ManyNode, Node, Rule, TransposeNode, output_of, serials, state
from .tensor import Tensor

if TYPE_CHECKING:
    from typing import Concatenate

P = ParamSpec("P")
R = TypeVar("R")
Array = Any

REGISTRY: dict[str, Callable[..., Any]] = {}
"""Every primitive by its name."""
COMPOSED: dict[str, Callable[..., Any]] = {}
"""Every operation that is made of others, by its name: its derivatives are theirs."""
_functions: dict[Callable[..., Any], Callable[..., Any]] = {}


PLAIN = frozenset((float, int, bool, tuple, type(None), slice, str, type(...)))
"""Types that an operation takes as they are. Python numbers stay weak, so they never change a dtype (NEP 50)."""
own_namespace: Any = None
"""`minigrad.ops`, once it is imported: what `xp` is when a walk is recorded."""


class Joint:
    """A rule for all inputs at once: `rule(xp, g, needs, *saved)` returns one contribution, or None, per input.

    `needs` says which inputs a gradient is wanted for. Of an operation with several outputs `g` is a tuple, with
    zeros for the outputs that nobody used.
    """

    __slots__ = ("rule",)

    def __init__(self, rule: Rule) -> None:
        self.rule = rule


def primitive(function: Callable[Concatenate[Any, P], Any]) -> Callable[P, Tensor]:
    """Make an operation on tensors of a function `(xp, *inputs, **options) -> (value, saved, rules)`.

    Positional tensors are the inputs that gradients flow to; arrays, Python numbers and options pass through.
    A tuple as value makes an operation with several outputs (see `primitive_with_outputs`).

    Raises (from the operation):
        BackendError: inputs live on different backends.
        ValueError, TypeError: as the array library raises them, with the operation and the inputs' shapes in front.
    """
    name = function.__name__.strip("_")

    def operation(*args: Any, **options: Any) -> Any:  # every operation passes here: lean before pretty
        arrays: list[Any] = []
        parents: list[Node | None] = []
        backend: seam.Backend | None = None
        live = odd = exposed = False
        if options and any(isinstance(value, Tensor) for value in options.values()):
            args, options = _by_position(function, args, options)
        for arg in args:
            if isinstance(arg, Tensor):
                node = arg.node
                if node is not None:
                    live = True
                    exposed = exposed or node.exposed
                parents.append(node)
                arg = arg._data
            else:
                parents.append(None)
            here = seam.BY_ARRAY_TYPE.get(type(arg))
            if here is None:
                odd = odd or type(arg) not in PLAIN
            elif here is not backend:
                if backend is not None:
                    raise mixed(name, args)
                backend = here
            arrays.append(arg)
        if odd or backend is None:
            backend, arrays = settle(backend, arrays)
        xp = backend.xp
        try:
            value, saved, rules = function(xp, *arrays, **options)
        except (ValueError, TypeError, IndexError) as error:
            raise _explained(error, name, arrays) from error
        if live and state.recording:
            made = record(name, xp, value, saved, rules, arrays, parents)
            if exposed and (saved or name in VIEWS):
                first = made[0] if type(made) is tuple else made
                _watch_leaves(first.node.parents[0] if first.node.slot is not None else first.node, arrays)
            return made
        if type(value) is tuple:
            return tuple(Tensor(v if type(v) is backend.array_type else xp.asarray(v)) for v in value)
        return Tensor(value if type(value) is backend.array_type else xp.asarray(value))

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = function.__doc__
    operation.__module__ = function.__module__
    REGISTRY[name] = operation
    _functions[operation] = function
    return operation


def composed(function: Callable[P, R]) -> Callable[P, R]:
    """List a function of tensors that is made of other operations beside the primitives, to be tested like them."""
    COMPOSED[function.__name__] = function
    return function


def primitive_with_outputs(
    function: Callable[Concatenate[Any, P], Any],
) -> Callable[P, tuple[Tensor, ...]]:
    """A `primitive` whose value is a tuple of arrays; its `Joint` rule is handed a gradient for every one."""
    return primitive(function)  # type: ignore[return-value]


def record(
    name: str,
    xp: Any,
    value: Any,
    saved: tuple[Any, ...],
    rules: Any,
    arrays: Sequence[Any],
    parents: Sequence[Node | None],
) -> Any:
    """Write one entry to the tape; returns the output tensor, or a tuple of them."""
    kind = type(value)
    if kind is tuple:
        return _record_many(name, xp, value, saved, rules, arrays, parents)
    node = Node() if name != "transpose" else TransposeNode()
    node.serial = next(serials)
    node.op = name
    node.parents = parents
    node.xp = xp
    node.time_step = state.time_step
    node.saved = saved
    node.sources = (*map(id, arrays), id(value)) if saved else ()
    if kind not in seam.BY_ARRAY_TYPE:  # a reduction to one number gives a NumPy scalar
        value = xp.asarray(value)
    node.shape = value.shape
    node.dtype = value.dtype
    kind = type(rules)
    if kind is Joint:
        node.rules = rules.rule
    else:
        node.rules = rules = rules if kind is tuple else (rules,)
        if len(rules) < len(parents) and any(parents[len(rules) :]):
            raise TypeError(f"{name}: no rule brings a gradient to argument {len(rules)}, which requires one")
    return Tensor(value, node)


def _record_many(
    name: str, xp: Any, values: tuple[Any, ...], saved: Any, rules: Joint, arrays: Any, parents: Any
) -> tuple[Tensor, ...]:
    node = ManyNode()
    node.serial = next(serials)
    node.op, node.parents, node.xp, node.time_step = name, parents, xp, state.time_step
    node.saved, node.rules = saved, rules.rule
    node.sources = [id(a) for a in (*arrays, *values)]
    values = tuple(v if type(v) in seam.BY_ARRAY_TYPE else xp.asarray(v) for v in values)
    node.picks = tuple(next(serials) for _ in values)
    node.outputs = tuple((tuple(v.shape), v.dtype) for v in values)
    node.shape, node.dtype = node.outputs[0]
    return tuple(Tensor(v, output_of(node, k)) for k, v in enumerate(values))


def within(xp: Any, operation: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Use an operation inside a rule: on plain arrays in a first-order walk, recorded where `xp` is minigrad's own."""
    if xp is own_namespace:
        return operation(*args, **options)
    return _functions[operation](xp, *args, **options)[0]


def _watch_leaves(node: Node, arrays: Sequence[Any]) -> None:
    """Where the user holds a saved leaf's array: note its content, so that the walk sees if it was written into."""
    for parent, array in zip(node.parents, arrays):
        if type(parent) is not Leaf or not parent.exposed or not (saves(node, parent) or node.op in VIEWS):
            continue
        if parent.unchanged is None or parent.unchanged.alive() is None:
            before = seam.fingerprint(array)
            if before is not None:
                parent.unchanged = Note(node, partial(_same, array, before))


def _by_position(
    function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs that were passed by name in their places, since gradients flow to positions."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    args, options = list(args), dict(options)  # type: ignore[assignment]
    for parameter in parameters[len(args) :]:
        if not any(isinstance(value, Tensor) for value in options.values()):
            break
        if parameter.name not in options and parameter.default is parameter.empty:
            raise TypeError(f"{function.__name__.strip('_')}: missing argument: {parameter.name}")
        args.append(options.pop(parameter.name, parameter.default))  # type: ignore[attr-defined]
    return tuple(args), options


def _same(array: Array, before: int) -> bool:
    return seam.fingerprint(array) == before


def settle(backend: seam.Backend | None, arrays: list[Any]) -> tuple[seam.Backend, list[Any]]:
    """Bring what is neither a tensor, a plain array nor a Python number to the others' backend."""
    if backend is None:
        known = next((a for a in arrays if seam.is_array(a)), None)
        backend = seam.default_backend() if known is None else seam.backend_of(known)
        if known is None and arrays and type(arrays[0]) in (int, float, bool):
            number = np.asarray(arrays[0], np.float32 if type(arrays[0]) is float else None)
            arrays = [backend.from_numpy(number), *arrays[1:]]
    settled = []
    beside = next((a.dtype for a in arrays if seam.is_array(a) and a.dtype.kind == "f"), np.float32)
    for a in arrays:
        if type(a) is list:  # of Python numbers, which take the dtype of what stands beside them
            a = np.asarray(a)
            a = backend.from_numpy(a.astype(beside) if a.dtype == np.float64 else a)
        elif isinstance(a, np.generic):
            a = backend.from_numpy(np.asarray(a))
        elif isinstance(a, np.ndarray) and type(a) is not np.ndarray and backend is seam.NUMPY:
            a = a.view(np.ndarray)  # a subclass, such as memmap
        settled.append(a)
    return backend, settled


def mixed(name: str, args: Sequence[Any]) -> seam.BackendError:
    sides = []
    for k, arg in enumerate(args):
        array = arg._data if isinstance(arg, Tensor) else arg
        if seam.is_array(array):
            sides.append(f"argument {k} of shape {tuple(array.shape)} is on {seam.backend_of(array).name}")
    return seam.BackendError(f"{name}: {', '.join(sides)}; move one with .to(backend)")


def _explained(error: Exception, name: str, arrays: Sequence[Any]) -> Exception:
    kind = next(k for k in (ValueError, TypeError, IndexError) if isinstance(error, k))
    got = ", ".join(f"{tuple(a.shape)} {a.dtype}" if hasattr(a, "dtype") else repr(a)[:60] for a in arrays)
    return kind(f"{name}: got ({got}): {error}")
