"""NumPy's own functions on tensors: `np.tanh(t)` and `np.concatenate([t, a])` record on the tape (NEP 13, NEP 18).

A function of NumPy's is minigrad's of the same name. What has no rule says so by name as soon as a tensor on the tape
is among its arguments; constants go to NumPy as the arrays that they hold. So does an argument that minigrad's has not.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from . import ops
from .backend import NUMPY, fingerprint, get_backend
from .engine.mutation import expose
from .engine.primitive import _functions
from .engine.tensor import Tensor
from .pytree import is_no_container, tree_flatten, tree_unflatten

REDUCED = {np.add: "sum", np.multiply: "prod", np.maximum: "max", np.minimum: "min"}
ACCUMULATED = {np.add: "cumsum", np.multiply: "cumprod", np.maximum: "cummax", np.minimum: "cummin"}
"""What `ufunc.reduce` and `ufunc.accumulate` are called among our functions."""


def _pairs() -> Iterator[tuple[Any, Callable[..., Any]]]:
    """(NumPy's function, ours) for every name that both have."""
    for theirs, ours in ((np, ops), (np.linalg, ops.linalg), (np.fft, ops.fft), (np.lib.stride_tricks, ops)):
        for name in ours.__all__:
            found, own = getattr(theirs, name, None), getattr(ours, name)
            if callable(found) and callable(own) and not isinstance(found, type):
                yield found, own


OURS: dict[Any, Callable[..., Any]] = dict(_pairs())
"""NumPy's functions and ufuncs, and what they are on tensors."""
IN_PLACE = (np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask)
"""Functions that write into their first argument: ours of that name, if there is one, returns a new tensor instead."""
for _function in IN_PLACE:
    OURS.pop(_function, None)


NO_OUT = "tensors are not written in place, nor arrays with what is on the tape; take what it returns"
INSTEAD = {
    "out": NO_OUT,
    "where": "choose with minigrad.where(mask, x, other) before it, or among its results",
    "initial": "put it beside the result: with minigrad.add, multiply, maximum or minimum",
    "dtype": "take .astype(dtype) of its argument or its result",
    "weights": "leave it out, or see minigrad.average",
    "mean": "leave it out: it is computed",
}
"""What to do where an argument of NumPy's is not taken."""
DEFAULTS = {"out": None, "where": True, "dtype": None, "casting": "same_kind", "order": "K", "subok": True}
"""What changes nothing. (Ufuncs have no signature to read it from.)"""


@cache
def _signatures(theirs: Any, ours: Callable[..., Any]) -> tuple[float, dict[str, str], list[str], dict[str, Any]]:
    """How many arguments stand at the same places, NumPy's names of arguments and ours, NumPy's in order, its defaults.

    Where ours takes whatever it is given, all of them are at the same places, and no name is known.
    """
    own = list(inspect.signature(_functions.get(ours, ours)).parameters.values())[int(ours in _functions) :]
    if any(p.kind is p.VAR_KEYWORD for p in own):
        return float("inf"), {}, [], {}
    names = [p.name for p in own]
    known = {name: name for name in names}
    if isinstance(theirs, np.ufunc):
        return float("inf"), known, [], DEFAULTS
    try:
        given = list(inspect.signature(theirs).parameters.values())
    except ValueError:  # what is written in C says nothing of its arguments before NumPy 2.4
        return float("inf"), known, [], DEFAULTS
    every = [p.name for p in given]
    known.update((a, b) for a, b in zip(every, names) if a not in known and b not in every)  # under another name
    rows = [k for k, a in enumerate(every) if known.get(a) != (names[k] if k < len(names) else None)]
    starred = any(p.kind is p.VAR_POSITIONAL for p in (*own, *given))
    same = float("inf") if starred or not rows else rows[0]
    return same, known, every, {p.name: DEFAULTS.get(p.name, p.default) for p in given}


def _called(caller: str, theirs: Any, ours: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Our function with arguments given as NumPy's are.

    Raises:
        TypeError: one of them is not taken, and says something.
    """
    same, known, every, defaults = _signatures(theirs, ours)
    if len(args) > same:
        options = {**dict(zip(every[int(same) :], args[int(same) :])), **options}
        args = args[: int(same)]
    if not options or not known:
        return ours(*args, **options)
    taken = {}
    for name, value in options.items():
        if name in known:
            if value is not np._NoValue:
                taken[known[name]] = value
        elif value is not np._NoValue and not (name in defaults and value is defaults[name]):
            own = f"minigrad.{ours.__name__}"
            raise TypeError(f"{caller}: {name}: {own} does not take this; {INSTEAD.get(name, 'leave it out')}")
    return ours(*args, **taken)


def array_ufunc(x: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """What NumPy calls for `ufunc(..., x, ...)` and its methods."""
    caller = f"numpy.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if options.pop("out", None) is not None:
        raise TypeError(f"{caller}: out: {NO_OUT}")
    if method == "at" and isinstance(inputs[0], Tensor):
        raise TypeError(f"{caller}: it writes in place; minigrad.at(x)[index].add(value) gives a new tensor")
    # A NumPy number comes here as an array without axes: it belongs to no backend.
    inputs = tuple(a[()] if type(a) is np.ndarray and not a.ndim else a for a in inputs)
    if method == "__call__" and ufunc in OURS:
        return _called(caller, ufunc, OURS[ufunc], inputs, options)
    if method == "outer" and ufunc in OURS:
        a, b = inputs
        columns = ops.reshape(a, (*np.shape(_array(a)), *(1,) * np.ndim(_array(b))))
        return _called(caller, ufunc, OURS[ufunc], (columns, b), options)
    names = {"reduce": REDUCED, "accumulate": ACCUMULATED}.get(method, {})
    if ufunc in names:
        return _called(caller, ufunc, getattr(ops, names[ufunc]), inputs, {"axis": 0, **options})
    return _on_constants(caller, getattr(ufunc, method), inputs, options)


def array_function(
    x: Tensor, function: Callable[..., Any], types: Any, args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """What NumPy calls for `numpy.function(..., x, ...)`."""
    caller = f"{function.__module__}.{function.__name__}"
    if function in IN_PLACE:
        own = f"minigrad.{function.__name__}" if hasattr(ops, function.__name__) else "minigrad.at(x)[...].set(value)"
        raise TypeError(f"{caller}: it writes in place, and tensors are not written into; {own} gives a new one")
    if function in OURS:
        return _called(caller, function, OURS[function], args, options)
    return _on_constants(caller, function, args, options)


def _on_constants(caller: str, function: Callable[..., Any], args: Any, options: dict[str, Any]) -> Any:
    leaves, structure = tree_flatten((args, options), is_leaf=is_no_container)
    if any(isinstance(x, Tensor) and x.node is not None for x in leaves):
        raise TypeError(
            f"{caller}: minigrad has no rule for it, and a tensor on the tape is among its arguments; compose it of "
            "functions that have one, write a @minigrad.primitive, or take .detach() where no gradient shall pass"
        )
    args, options = tree_unflatten(structure, [_array(x) for x in leaves])
    return function(*args, **options)


def _array(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def to_dlpack(x: Tensor, **options: Any) -> Any:
    """The tensor's memory for another library, without a copy (the DLPack protocol).

    Raises:
        BufferError: the tensor is on the tape, so that a write into its memory would make gradients wrong.
    """
    if x.node is not None:
        raise BufferError(f"Tensor.__dlpack__: the tensor of shape {x.shape} is on the tape; export x.detach()")
    return x.data.__dlpack__(**options)


def from_dlpack(x: Any) -> Tensor:
    """A constant tensor on another library's memory, without a copy: of a torch tensor, a CuPy or a NumPy array.

    What is on the host comes to the backend numpy, what is on a CUDA device to cupy. Writes into the shared memory are
    noticed by the walk as those into a user's own array are.

    >>> import numpy as np, minigrad as mg
    >>> a = np.ones(3)
    >>> np.shares_memory(mg.from_dlpack(a).data, a)
    True

    Raises:
        TypeError: `x` does not speak DLPack.
        BackendError: it lives on a device whose backend is missing.
    """
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack: x: got {type(x).__name__}, want an object with __dlpack__")
    kind = int(x.__dlpack_device__()[0])
    backend = NUMPY if kind == 1 else get_backend("cupy")
    array = backend.xp.from_dlpack(x)
    if backend is NUMPY:
        expose(array, fingerprint)
    return Tensor(array)
