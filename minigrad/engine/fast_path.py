"""Fast paths for operations of few NumPy tensors, and of any number where nothing is recorded.

They halve the overhead of small operations.

`fast_operation` builds them all from one template: a shared helper would cost a Python call for each operation, 3–4 %
of a small one. The fast path decides nothing that `primitive` does not decide too. Special cases (another backend,
lists and NumPy scalars, arrays that the user holds or passes as options, an observer, an error) go to `general`, the
operation for any inputs; several outputs, and a result that is not recorded, go to `finish`.
"""

from __future__ import annotations

import inspect
import itertools
import linecache
from collections.abc import Callable, Sequence
from functools import cache
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import numpy as np

from ..backend import HOST_SCALARS
from .modes import mode
from .mutation import exposed, is_exposed, source_positions
from .tape import Node, UserNode, serials
from .tensor import Parameter, Tensor

PLAIN = frozenset((float, int, bool, tuple, type(None), slice, str, type(...)))
"""Types that pass through an operation unchanged. Python numbers stay weak: they never change a dtype (NEP 50)."""
WEAK = frozenset(("add", "subtract", "multiply", "divide", "maximum", "minimum"))
"""Operations that need only the value of a Python number: NumPy is faster with an array of the other input's dtype."""
EXACT = 2048
"""Up to here every floating dtype has all integers."""
_numbers: dict[tuple[float, Any], np.ndarray[Any, Any]] = {}


def number_as_array(value: float, dtype: Any) -> Any:
    """Return a Python number as a cached array of a floating dtype; unchanged where the two could differ."""
    array = _numbers.get((value, dtype))
    if array is None:
        # 0.0 and -0.0 are equal keys, a NaN equals nothing, and NumPy has to report each value too large for the dtype
        if dtype.kind != "f" or len(_numbers) > 1000 or not 0.0 < abs(value) <= float(np.finfo(dtype).max):
            return value
        if type(value) is int and abs(value) > EXACT:
            return value
        array = np.array(value, dtype)
        array.flags.writeable = False
        _numbers[value, dtype] = array
    return array


# The template: `input0`, `array0` and `parent0` are the first input as passed, its array and its node on the tape;
# `options` and `named` what follows an only input, by position and by name.

OPERATION = """\
def build(name, function, Node, general, finish, weak, without_last):
    def operation({parameters}):
{heads}
        now = mode()
        if now.observer is not None:
            return general({inputs})
{numbers}
{distinct}
        try:
            value, saved, rules = function(np, {arrays}{options})
        except (ValueError, TypeError, IndexError):
            return general({inputs})  # it raises the error again, with the shapes in the message
        if type(value) is ndarray:
            array = value
        elif type(value) in HOST_SCALARS:
            array = np.asarray(value)  # what has no axes is a scalar in NumPy
        else:
            return finish(np, value, saved, rules, ({arrays},), ({parents},), now)
        result = new(Tensor)
        result._array = array
        if ({constant}) or not now.recording:
            result.node = None
            return result
        if {other_rules}:
            return finish(np, value, saved, rules, ({arrays},), ({parents},), now)
        node = Node()
        node.serial = next_serial()
        node.op = name
        node.parents = ({parents},)
        node.rules = {rules}
        node.saved = saved
        node.sources = {sources} source_positions(saved, ({arrays}, value))
        node.shape = array.shape
        node.dtype = array.dtype
        node.xp = np
        node.time_step = now.time_step
        result.node = node
        return result
    return operation
"""
TENSOR = """\
        if type({x}) is not Tensor and type({x}) is not Parameter:
            return general({inputs})
        array{k} = {x}._array
        parent{k} = {x}.node
        if type(array{k}) is not ndarray or (exposed and is_exposed(array{k})):
            return general({inputs})
"""
TENSOR_OR_NUMBER = """\
        if type({x}) is Tensor or type({x}) is Parameter:
            array{k} = {x}._array
            parent{k} = {x}.node
            if type(array{k}) is not ndarray or (exposed and is_exposed(array{k})):
                return general({inputs})
        elif type({x}) is float or type({x}) is int:
            array{k} = {x}
            parent{k} = None
        else:
            return general({inputs})
"""
NUMBERS = """\
        if parent0 is None or parent1 is None:
            if type(array0) is not ndarray and type(array1) is not ndarray:
                return general({inputs})
            if weak:
                if type(array1) is not ndarray:
                    array1 = number_as_array(array1, array0.dtype)
                elif type(array0) is not ndarray:
                    array0 = number_as_array(array0, array1.dtype)
"""
DISTINCT = """\
        if array{j} is array{k} and parent{j} is not parent{k}:
            array{k} = array{k}[...]  # a view, so that `sources` can tell the two inputs apart
"""
OPTIONS = """\
        for option in options:
            if type(option) not in PLAIN:
                return general({inputs})
        for option in named.values():
            if type(option) not in PLAIN:
                return general({inputs})
"""
LAST_IS_OPTIONAL = """\
        if {x} is None:
            return without_last({others})
"""
# Most operations save an input, their result, or all inputs but a bias; `sources` says which.
SOURCES_OF_ONE = """() if not saved else \
((0,) if saved[0] is array0 else (1,) if saved[0] is value else (None,)) if len(saved) == 1 else \
(0, 1) if len(saved) == 2 and saved[0] is array0 and saved[1] is value else"""
SOURCES_OF_MORE = """() if not saved else {positions} if len(saved) == {count} and {identical} else"""

NAMES = {
    **{f.__name__: f for f in (Parameter, Tensor, is_exposed, number_as_array, source_positions)},
    "FunctionType": FunctionType,
    "HOST_SCALARS": HOST_SCALARS,
    "PLAIN": PLAIN,
    "exposed": exposed,
    "mode": mode,
    "ndarray": np.ndarray,
    "np": np,
    "new": object.__new__,
    "next_serial": serials.__next__,
    "__name__": __name__,
    "__package__": __package__,
}
"""The globals of the built functions."""


@cache
def _builder(
    n: int, last_is_optional: bool, reverse: bool, check_rules: bool, with_options: bool
) -> Callable[..., Any]:
    """Compile the template for `n` inputs."""
    inputs = [f"input{k}" for k in range(n)]
    given = [*inputs, "*options", "**named"] if with_options else inputs
    words = {"inputs": ", ".join(given), "others": ", ".join(inputs[:-1])}
    head = TENSOR_OR_NUMBER if n == 2 else TENSOR
    heads = [head.format(x=x, k=k, **words) for k, x in enumerate(inputs)]
    if last_is_optional:
        heads.insert(0, LAST_IS_OPTIONAL.format(x=inputs[-1], **words))
    if with_options:
        heads.append(OPTIONS.format(**words))
    even = n // 2 * 2  # the inputs without a bias
    identical = " and ".join(f"saved[{k}] is array{k}" for k in range(even))
    source = OPERATION.format(
        parameters=", ".join(reversed(inputs)) if reverse else words["inputs"] + ("=None" if last_is_optional else ""),
        heads="".join(heads),
        numbers=NUMBERS.format(**words) if n == 2 else "",
        distinct="".join(DISTINCT.format(j=j, k=k) for j, k in itertools.combinations(range(n), 2)),
        arrays=", ".join(f"array{k}" for k in range(n)),
        options=", *options, **named" if with_options else "",
        parents=", ".join(f"parent{k}" for k in range(n)),
        constant=" and ".join(f"parent{k} is None" for k in range(n)),
        rules="(rules,) if type(rules) is FunctionType else rules" if n == 1 else "rules",
        other_rules=(
            "(type(rules) is not FunctionType and type(rules) is not tuple)"
            if n == 1
            else f"type(rules) is not tuple or len(rules) < {n}"
        )
        + (" or (type(rules) is tuple and None in rules)" if check_rules else ""),
        sources=SOURCES_OF_ONE
        if n == 1
        else SOURCES_OF_MORE.format(positions=tuple(range(even)), count=even, identical=identical),
        inputs=words["inputs"],
    )
    options = {
        "the last optional": last_is_optional,
        "reversed": reverse,
        "rules checked": check_rules,
        "with options": with_options,
    }
    file = ", ".join([__name__, f"{n} inputs", *(option for option, chosen in options.items() if chosen)])
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)  # tracebacks show these lines
    namespace: dict[str, Any] = {}
    exec(compile(source, file, "exec"), NAMES, namespace)
    return namespace["build"]  # type: ignore[no-any-return]


class Inputs(NamedTuple):
    """What a fast path takes."""

    names: tuple[str, ...]
    last_is_optional: bool = False
    """Whether the last input is None unless it is passed."""
    with_options: bool = False
    """Whether options follow the only input."""


def fast_inputs(function: Callable[..., Any]) -> Inputs | None:
    """Return the inputs of an operation's function if it has a fast path.

    The code object is read since `inspect.signature` would take 20 µs for each function.
    """
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        return None
    names = code.co_varnames[1 : code.co_argcount]
    required = len(names) - len(function.__defaults__ or ())
    kinds = [str(function.__annotations__.get(name)).removesuffix(" | None") for name in names]
    if len(set(kinds)) == 1 and not code.co_kwonlyargcount:
        if len(names) < 3 and required == len(names):
            return Inputs(names)
        if len(names) in (3, 5) and function.__defaults__ == (None,):
            return Inputs(names, last_is_optional=True)
    if required and kinds[0] not in kinds[1:required]:
        return Inputs(names[:1], with_options=True)
    return None


def fast_operation(
    inputs: Inputs,
    name: str,
    function: Callable[..., Any],
    kind_of_node: type[Node],
    general: Callable[..., Any],
    finish: Callable[..., Any],
    reverse: bool = False,
) -> Callable[..., Any]:
    """Build `operation(*inputs)`.

    Args:
        name, function, kind_of_node: the operation's name, what computes it on arrays, and its nodes.
        general, finish: what handles the special cases; see above.
        reverse: the operation takes its inputs in the other order, as Python's reflected operators do.
    """
    names, last_is_optional, with_options = inputs
    rest = (name, function, kind_of_node, general, finish, name in WEAK)
    user = kind_of_node is UserNode  # a rule may be missing; the library's own are tested
    without_last = _builder(len(names) - 1, False, False, user, False)(*rest, None) if last_is_optional else None
    operation = _builder(len(names), last_is_optional, reverse, user, with_options)(*rest, without_last)
    code: CodeType = operation.__code__
    own = reversed(names) if reverse else names
    operation.__code__ = code.replace(co_varnames=(*own, *code.co_varnames[len(names) :]))
    return operation  # type: ignore[no-any-return]


def unrecorded(function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Return the value of an operation's function, for NumPy tensors and what is no array; None for anything else."""
    arrays: list[Any] = []
    found = False
    for arg in args:
        kind = type(arg)
        if kind is Tensor or kind is Parameter:
            arg = arg._array
            if type(arg) is not np.ndarray:
                return None
            found = True
        elif kind not in PLAIN:
            return None
        arrays.append(arg)
    for option in options.values():
        if type(option) not in PLAIN:
            return None
    try:
        return function(np, *arrays, **options)[0] if found else None
    except (ValueError, TypeError, IndexError, AttributeError):
        return None  # the longer way raises the error again, with the shapes in the message
