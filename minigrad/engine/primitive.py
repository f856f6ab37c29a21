"""`@primitive` turns a function on arrays, which returns a value and its derivative rule, into an operation on tensors.

A primitive is written once, against a namespace `xp`:

    @primitive
    def tanh(xp, x):
        y = xp.tanh(x)
        return y, (y,), lambda xp, g, y: g * (1 - y * y)

It returns the value, the arrays its rule needs, and the rule: one function, a tuple with one per input, or a
`JointRule` that returns all inputs' contributions at once. In a first-order backward pass `xp` is numpy or cupy and the
rule runs on plain arrays; with `create_graph=True` the same rule runs on tensors with `xp = minigrad.ops`, so that it
is recorded and can be differentiated again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from numbers import Rational
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from ..backend import BY_ARRAY_TYPE, NUMPY, Backend, BackendError, backend_of, default_backend, fingerprint, is_array
from ..foreign_arrays import import_array, is_foreign
from ..option_checks import check_function, shown
from .fast_path import PLAIN, fast_inputs, fast_operation, unrecorded
from .host_array import host_array, operand, refuse_sparse
from .modes import Mode, mode
from .mutation import exposed, fingerprint_saved, source_positions
from .operation_signature import OperationSignature
from .tape import ManyNode, Node, Rule, TransposeNode, UserNode, output_of, serials
from .tensor import Tensor

if TYPE_CHECKING:
    from typing import Concatenate

P = ParamSpec("P")
R = TypeVar("R")
Array = Any

REGISTRY: dict[str, Callable[..., Any]] = {}
"""Every primitive by its name."""
COMPOSED: dict[str, Callable[..., Any]] = {}
"""Every operation composed of others, by its name."""
NONDIFFERENTIABLE: set[Callable[..., Any]] = set()
"""Every operation through which no gradient flows."""
FUNCTION_OF: dict[Callable[..., Any], Callable[..., Any]] = {}
"""The function on arrays behind each primitive."""

WITH_GENERAL: dict[Callable[..., Any], tuple[Callable[..., Any], Callable[..., Any]]] = {}
"""Each primitive's function for any inputs, and what builds the operation with another function in its place."""

FLOAT32 = np.dtype(np.float32)
OWN_PACKAGES = frozenset(("minigrad", "minigrad_rnn"))
own_namespace: Any = None
"""`minigrad.ops`, once it is imported: the `xp` of a recorded backward pass."""


class JointRule:
    """A rule for all inputs at once: `rule(xp, g, needs, *saved)` returns one contribution, or None, per input.

    `needs` tells for each input whether its gradient is wanted. For an operation with several outputs `g` is a tuple,
    with zeros for unused outputs.
    """

    __slots__ = ("rule",)

    def __init__(self, rule: Rule) -> None:
        if not callable(rule):
            check_function("JointRule", rule=rule)
        self.rule = rule


def primitive(function: Callable[Concatenate[Any, P], Any]) -> Callable[P, Tensor]:
    """Turn a function `(xp, *inputs, **options) -> (value, saved, rules)` into an operation on tensors.

    >>> import minigrad as mg
    >>> @mg.primitive
    ... def hypotenuse(xp, a, b):
    ...     c = xp.sqrt(a * a + b * b)
    ...     return c, (a, b, c), (lambda xp, g, a, b, c: g * a / c, lambda xp, g, a, b, c: g * b / c)
    >>> x = mg.tensor([3.0, 8.0], dtype="float64", requires_grad=True)
    >>> hypotenuse(x, [4.0, 6.0]).sum().backward()
    >>> x.grad.tolist()
    [0.6, 0.8]

    There is a rule for each input. It gets the namespace, the gradient of the value and everything that was saved.
    Positional tensors are the inputs that gradients flow to; arrays, Python numbers and options pass through.
    If the value is a tuple, the operation has several outputs (see `primitive_with_outputs`).

    A function of one or two inputs, or of three or five whose last is None by default (`x, W, b=None`), gets a fast
    path for NumPy tensors, whatever the names, and so does one of a single input and options. An option is recognised
    by its default value, by being keyword-only, or by an annotation other than that of the inputs
    (`x: Array, axis: int`).

    A rule is given the gradient of the value, an array of its shape, and the saved arrays. It returns a gradient of its
    input's shape, or of the shape to which the operation broadcast the input, whose sum the pool takes; or None.

    Raises (from the operation):
        BackendError: inputs live on different backends.
        ValueError, TypeError, IndexError: the array library's error, in its own class (such as NumPy's AxisError), with
            the operation and the inputs' shapes in front.
    Raises (from the backward pass):
        ValueError: a rule returned a gradient of another shape. TypeError: something other than an array.
    """
    check_function("primitive", function=function)
    name = function.__name__.strip("_")
    kind_of_node: type[Node] = UserNode
    if (function.__module__ or "").partition(".")[0] in OWN_PACKAGES:  # a function made by exec may have none
        kind_of_node = TransposeNode if name == "transpose" else Node

    def general(*args: Any, **options: Any) -> Any:
        now = mode()
        if not now.recording and now.observer is None and (y := unrecorded(function, args, options)) is not None:
            return constant(np, y)
        arrays: list[Any] = []
        parents: list[Node | None] = []
        array_type: type | None = None
        odd = live = several = False  # some argument is to be converted, is on the tape; two are arrays
        own: tuple[int, ...] = ()  # the positions of arguments that are the user's own
        if options:
            args, options = keywords_to_positions(function, args, options)
        for arg in args:
            if isinstance(arg, Tensor):
                node = arg.node
                if node is not None:
                    live = True
                parents.append(node)
                arg = arg._array
            else:
                parents.append(None)
                if type(arg) in PLAIN:
                    arrays.append(arg)
                    continue
                own = (*own, len(arrays))
            arrays.append(arg)
            if type(arg) is not array_type:
                if type(arg) not in BY_ARRAY_TYPE:
                    odd = True
                elif array_type is None:
                    array_type = type(arg)
                else:
                    raise mixed_backend_error(name, args)
            else:
                several = True
        if several and live and len(set(map(id, arrays))) < len(arrays):
            tell_apart(arrays, parents)
        backend = None if array_type is None else BY_ARRAY_TYPE[array_type]
        if odd or backend is None:
            try:
                backend, arrays = to_common_backend(backend, arrays, name)
            except (TypeError, ValueError) as error:
                raise error if str(error).startswith(name) else type(error)(f"{name}: {error}") from None
        token = None if now.observer is None else now.observer.started(name)
        try:
            value, saved, rules = function(backend.xp, *arrays, **options)
        except (ValueError, TypeError, IndexError) as error:
            raise with_shapes(error, name, arrays) from error
        except AttributeError as error:
            if all(getattr(getattr(a, "dtype", None), "kind", "O") != "O" for a in arrays):
                raise
            raise with_shapes(TypeError(str(error)), name, arrays) from error
        if own and (kind := getattr(value, "dtype", FLOAT32).kind) not in "fiubc":
            got = ", ".join(type(a).__name__ if not hasattr(a, "dtype") else str(a.dtype) for a in args)
            raise TypeError(f"{name}: got ({got}), which NumPy combines to values of kind {kind!r}, want numbers")
        if live and now.recording:
            result = record(name, kind_of_node(), backend.xp, value, saved, rules, arrays, parents, now.time_step)
        else:
            result = constant(backend.xp, value)
        if now.observer is not None:
            now.observer.finished(token, name, arrays, options, result)
        if options or own or (exposed and saved):
            users = [arrays[k] for k in own] if own else []
            for value in options.values():
                if type(value) not in PLAIN and hasattr(value, "dtype"):
                    users.append(value)
            if users or (exposed and saved):
                fingerprint_saved(result, users, fingerprint)
        return result

    def finish(
        xp: Any, value: Any, saved: Any, rules: Any, arrays: Sequence[Any], parents: Sequence[Node | None], now: Mode
    ) -> Any:
        if now.recording and any(parents):
            return record(name, kind_of_node(), xp, value, saved, rules, arrays, parents, now.time_step)
        return constant(xp, value)

    inputs = fast_inputs(function)

    def build(general: Callable[..., Any], reverse: bool = False) -> Callable[..., Any]:
        if inputs is not None:
            fast = fast_operation(inputs, name, function, kind_of_node, general, finish, reverse)
        else:
            fast = (lambda a, b: general(b, a)) if reverse else general
        fast.__name__ = fast.__qualname__ = name
        fast.__doc__ = function.__doc__
        fast.__module__ = function.__module__
        return fast

    operation = build(general)
    operation.__signature__ = OperationSignature(function)  # type: ignore[attr-defined]
    WITH_GENERAL[operation] = general, build
    REGISTRY[name] = operation
    FUNCTION_OF[operation] = function
    return operation


def tell_apart(arrays: list[Any], parents: Sequence[Node | None]) -> None:
    """Replace an array that stands for two nodes (`x * x.detach()`) by a view the second time, for `sources`."""
    first: dict[int, Node | None] = {}
    for k, (array, parent) in enumerate(zip(arrays, parents)):
        if type(array) in BY_ARRAY_TYPE and first.setdefault(id(array), parent) is not parent:
            arrays[k] = array[...]


def constant(xp: Any, value: Any) -> Any:
    """Return a value off the tape, as a tensor or a tuple of them."""
    if type(value) is tuple:
        return tuple([Tensor(v if type(v) in BY_ARRAY_TYPE else xp.asarray(v)) for v in value])
    return Tensor(value if type(value) in BY_ARRAY_TYPE else xp.asarray(value))


def composed(function: Callable[P, R]) -> Callable[P, R]:
    """Register a function composed of other operations, so that it is listed and tested like a primitive."""
    COMPOSED[function.__name__] = function
    return function


def nondifferentiable(function: Callable[P, R]) -> Callable[P, R]:
    """Register an operation through which no gradient flows, so that it is listed as such."""
    NONDIFFERENTIABLE.add(function)
    return function


def primitive_with_outputs(function: Callable[Concatenate[Any, P], Any]) -> Callable[P, tuple[Tensor, ...]]:
    """As `primitive`, for a function whose value is a tuple of arrays; its `JointRule` gets a gradient for each."""
    check_function("primitive_with_outputs", function=function)
    return primitive(function)  # type: ignore[return-value]


def record(
    name: str,
    node: Node,
    xp: Any,
    value: Any,
    saved: tuple[Any, ...],
    rules: Any,
    arrays: Sequence[Any],
    parents: Sequence[Node | None],
    time_step: int | None,
) -> Any:
    """Record an operation on the empty `node`; return the output tensor, or a tuple of them.

    `saved` are the arrays that `rules` need, `arrays` and `parents` the inputs and their nodes.
    """
    if type(value) is tuple:  # several outputs need a ManyNode instead
        return _record_many(name, xp, value, saved, rules, arrays, parents, time_step)
    node.serial = next(serials)
    node.op = name
    node.parents = parents
    node.xp = xp
    node.time_step = time_step
    node.saved = saved
    node.sources = source_positions(saved, (*arrays, value)) if saved else ()
    if type(value) not in BY_ARRAY_TYPE:  # a reduction to one number gives a NumPy scalar
        value = xp.asarray(value)
    node.shape = value.shape
    node.dtype = value.dtype
    if type(rules) is tuple:  # one rule per input; inputs without a rule must be constants
        node.rules = rules
        if None in rules or len(rules) < len(parents):
            _check_rules(name, rules, parents)
    elif type(rules) is JointRule:  # the bare function: the backward pass tells it from a tuple of rules
        node.rules = rules.rule
    else:  # a single rule, for the first input
        node.rules = (rules,)
        if len(parents) > 1:
            _check_rules(name, node.rules, parents)
    return Tensor(value, node)


def _check_rules(name: str, rules: tuple[Any, ...], parents: Sequence[Node | None]) -> None:
    """Raise TypeError if an input on the tape has no rule: its gradient would be missing without a word."""
    for k, parent in enumerate(parents):
        if parent is not None and (k >= len(rules) or rules[k] is None):
            operation = REGISTRY.get(name)
            parameters = list(inspect.signature(FUNCTION_OF[operation]).parameters)[1:] if operation else []
            argument = f"argument {k}" + (f", {parameters[k]}," if k < len(parameters) else "")
            raise TypeError(
                f"{name}: {argument} requires a gradient, but {name} has no rule for it: it has no derivative there, "
                "or none that is known; pass a number or .detach()"
            )


def _record_many(
    name: str, xp: Any, values: tuple[Any, ...], saved: Any, rules: JointRule, arrays: Any, parents: Any, time_step: Any
) -> tuple[Tensor, ...]:
    node = ManyNode()
    node.serial = next(serials)
    node.op, node.parents, node.xp, node.time_step = name, parents, xp, time_step
    node.saved, node.rules = saved, rules.rule
    node.sources = source_positions(saved, (*arrays, *values))
    values = tuple(v if type(v) in BY_ARRAY_TYPE else xp.asarray(v) for v in values)
    node.picks = tuple(next(serials) for _ in values)
    node.outputs = tuple((tuple(v.shape), v.dtype) for v in values)
    node.shape, node.dtype = node.outputs[0]
    return tuple(Tensor(v, output_of(node, k)) for k, v in enumerate(values))


def call_in(xp: Any, operation: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call `operation(*args, **options)` inside a rule: on plain arrays, or recorded if `xp` is `minigrad.ops`."""
    if xp is own_namespace:
        return operation(*args, **options)
    try:
        function = FUNCTION_OF[operation]
    except (KeyError, TypeError):
        raise TypeError(f"call_in: operation: got {shown(operation)}, want an operation of minigrad") from None
    return function(xp, *args, **options)[0]


def keywords_to_positions(
    function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with tensors passed by name moved to their positions, where gradients flow to."""
    for value in options.values():
        if isinstance(value, Tensor):
            break
    else:
        return args, options
    parameters = list(inspect.signature(function).parameters.values())[1:]
    args, options = list(args), dict(options)  # type: ignore[assignment]
    for parameter in parameters[len(args) :]:
        if not any(isinstance(value, Tensor) for value in options.values()):
            break
        if parameter.name not in options and parameter.default is parameter.empty:
            raise TypeError(f"{function.__name__.strip('_')}: missing argument: {parameter.name}")
        args.append(options.pop(parameter.name, parameter.default))  # type: ignore[attr-defined]
    return tuple(args), options


def to_common_backend(backend: Backend | None, arrays: list[Any], name: str = "operation") -> tuple[Backend, list[Any]]:
    """Convert lists, NumPy scalars and other libraries' arrays to arrays of the backend of the others."""
    if backend is None:
        first = next((a for a in arrays if is_array(a)), None)
        backend = default_backend() if first is None else backend_of(first)
        if first is None and arrays and isinstance(arrays[0], (int, float, Rational)):
            arrays = [backend.from_numpy(host_array(operand(arrays[0]))), *arrays[1:]]
    converted = []
    float_dtype = next((a.dtype for a in arrays if is_array(a) and a.dtype.kind == "f"), np.float32)
    for a in arrays:
        if type(a) is list:  # Python numbers take the dtype of the first floating-point array
            a = backend.from_numpy(host_array(a, float_dtype))
        elif isinstance(a, np.generic):
            a = backend.from_numpy(np.asarray(a))
        elif is_foreign(a):
            a = import_array(name, "argument", a)
            if backend is not NUMPY:
                raise mixed_backend_error(name, [*arrays, a])
        elif type(a) not in BY_ARRAY_TYPE and type(a) not in PLAIN:
            if not is_array(a):
                refuse_sparse(a)
            a = operand(a) if backend is NUMPY else a
        converted.append(a)
    return backend, converted


def mixed_backend_error(name: str, args: Sequence[Any]) -> BackendError:
    """Return the error for arguments on different backends."""
    sides = []
    for k, arg in enumerate(args):
        array = arg._array if isinstance(arg, Tensor) else arg
        if is_array(array):
            sides.append(f"argument {k} of shape {tuple(array.shape)} is on {backend_of(array).name}")
    return BackendError(f"{name}: {', '.join(sides)}; move one with .to(backend)")


def with_shapes(error: Exception, name: str, arrays: Sequence[Any]) -> Exception:
    """Return an error of the same class with the operation and the inputs' shapes in front of its message."""
    got = ", ".join(f"{tuple(a.shape)} {a.dtype}" if hasattr(a, "dtype") else repr(a)[:60] for a in arrays)
    message = f"{name}: got ({got}): {error}"
    try:
        return type(error)(message)
    except TypeError:  # its class needs more than a message
        return next(k for k in (ValueError, TypeError, IndexError) if isinstance(error, k))(message)
