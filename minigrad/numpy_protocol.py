"""NumPy's own functions on tensors: `np.tanh(t)` and `np.concatenate([t, a])` record on the tape (NEP 13, NEP 18).

A NumPy function calls minigrad's of the same name, and so does a ufunc of scipy.special. If there is none, a tensor on
the tape raises an error that names the function, and constants are passed to NumPy as arrays; so are all tensors where
the result has no gradient. An argument our function lacks raises an error that names it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from . import ops
from .backend import NUMPY, fingerprint
from .engine.host_array import check_numbers
from .engine.modes import mode
from .engine.mutation import expose
from .engine.primitive import FUNCTION_OF, NONDIFFERENTIABLE
from .engine.tensor import Tensor
from .foreign_arrays import export_array, import_anywhere, layout_fault
from .pytree import is_no_container, tree_flatten, tree_unflatten

REDUCED = {np.add: "sum", np.multiply: "prod", np.maximum: "max", np.minimum: "min"}
ACCUMULATED = {np.add: "cumsum", np.multiply: "cumprod", np.maximum: "cummax", np.minimum: "cummin"}
"""The names of our functions for `ufunc.reduce` and `ufunc.accumulate`."""


def _pairs() -> Iterator[tuple[Any, Callable[..., Any]]]:
    """Yield (NumPy's function, ours) for every name that both have."""
    for theirs, ours in ((np, ops), (np.linalg, ops.linalg), (np.fft, ops.fft), (np.lib.stride_tricks, ops)):
        for name in ours.__all__:
            function, own = getattr(theirs, name, None), getattr(ours, name)
            if callable(function) and callable(own) and not isinstance(function, type):
                yield function, own


WITHOUT_GRADIENT: dict[Any, tuple[str, ...]] = {
    **dict.fromkeys((np.allclose, np.array_equal, np.array_equiv, np.isin, np.iscomplexobj, np.isrealobj), ()),
    **dict.fromkeys((np.can_cast, np.common_type, np.min_scalar_type, np.result_type), ()),
    **dict.fromkeys((np.array2string, np.array_repr, np.array_str, np.einsum_path, np.empty_like), ()),
    **dict.fromkeys((np.may_share_memory, np.shares_memory, np.packbits, np.unpackbits, np.spacing), ()),
    **dict.fromkeys((np.save, np.savetxt, np.savez, np.savez_compressed), ()),
    **dict.fromkeys((np.histogram, np.histogram2d, np.histogramdd), ("weights",)),
}
"""NumPy's functions that answer on the tape as off it: what they return has no gradient. (Of a histogram, the counts do
not; its edges are taken as constants.) With the names of arguments that do have one, and are refused on the tape."""

IN_PLACE = (np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask)
"""Functions that write into their first argument. Ours of the same name, if any, returns a new tensor instead."""
OURS: dict[Any, Callable[..., Any]] = {theirs: ours for theirs, ours in _pairs() if theirs not in IN_PLACE}
"""Our functions by NumPy's functions and ufuncs."""
NO_OUT = (
    "tensors are not written in place, and arrays hold no gradient; use the value that the function returns, or write "
    "a constant (.detach()) into an array"
)
INSTEAD = {
    "out": NO_OUT,
    "where": "use minigrad.where(mask, x, other) on the argument or the result",
    "initial": "combine it with the result, by minigrad.add, multiply, maximum or minimum",
    "dtype": "use .astype(dtype) on the argument or the result",
    "weights": "leave it out, or use minigrad.average",
    "mean": "leave it out: it is computed",
}
"""Advice for each of NumPy's arguments that ours do not take."""
DEFAULTS = {"out": None, "where": True, "dtype": None, "casting": "same_kind", "order": "K", "subok": True}
"""Values that change nothing. (Ufuncs have no signature to read them from.)"""


@cache
def _signatures(theirs: Any, ours: Callable[..., Any]) -> tuple[float, dict[str, str], list[str], dict[str, Any]]:
    """Compare the signatures of NumPy's function and ours.

    Returns:
        How many leading arguments have the same position; our name for each of NumPy's names; NumPy's names in order;
        NumPy's defaults. If ours has `**options`, all positions agree and no names are known.
    """
    own = list(inspect.signature(FUNCTION_OF.get(ours, ours)).parameters.values())[int(ours in FUNCTION_OF) :]
    if any(p.kind is p.VAR_KEYWORD for p in own):
        return float("inf"), {}, [], {}
    names = [p.name for p in own]
    known = {name: name for name in names}
    if isinstance(theirs, np.ufunc):
        return float("inf"), known, [], DEFAULTS
    try:
        parameters = list(inspect.signature(theirs).parameters.values())
    except ValueError:  # functions written in C have no signature before NumPy 2.4
        return float("inf"), known, [], DEFAULTS
    every = [p.name for p in parameters]
    known.update((a, b) for a, b in zip(every, names) if a not in known and b not in every)  # under another name
    different = [k for k, a in enumerate(every) if known.get(a) != (names[k] if k < len(names) else None)]
    starred = any(p.kind is p.VAR_POSITIONAL for p in (*own, *parameters))
    same = float("inf") if starred or not different else different[0]
    return same, known, every, {p.name: DEFAULTS.get(p.name, p.default) for p in parameters}


def _call(caller: str, theirs: Any, ours: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Call our function with NumPy's arguments.

    Raises:
        TypeError: our function lacks an argument whose value is not the default.
    """
    same, known, every, defaults = _signatures(theirs, ours)
    if len(args) > same:
        options = {**dict(zip(every[int(same) :], args[int(same) :])), **options}
        args = args[: int(same)]
    if not options or not known:
        return ours(*args, **options)
    accepted = {}
    for name, value in options.items():
        if name in known:
            if value is not np._NoValue:
                accepted[known[name]] = value
        elif value is not np._NoValue and not (name in defaults and value is defaults[name]):
            own = f"minigrad.{ours.__name__}"
            raise TypeError(f"{caller}: {name}: {own} does not take this; {INSTEAD.get(name, 'leave it out')}")
    return ours(*args, **accepted)


def array_ufunc(x: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """Implement `ufunc(..., x, ...)` and the ufunc's methods."""
    is_numpys = getattr(np, ufunc.__name__, None) is ufunc
    caller = ("numpy." if is_numpys else "scipy.special." if ufunc in _scipys() else "") + ufunc.__name__
    caller += "" if method == "__call__" else f".{method}"
    if options.get("out") is not None:
        return _into_arrays(caller, getattr(ufunc, method), inputs, options)
    options.pop("out", None)
    if method == "at" and isinstance(inputs[0], Tensor):
        raise TypeError(f"{caller}: it writes in place; minigrad.at(x)[index].add(value) gives a new tensor")
    # NumPy passes its scalars as arrays of no axes; as scalars they take any backend.
    inputs = tuple(a[()] if type(a) is np.ndarray and not a.ndim else a for a in inputs)
    own = OURS.get(ufunc) or _scipys().get(ufunc)
    if method == "__call__" and own is not None:
        return _call(caller, ufunc, own, inputs, options)
    if method == "outer" and own is not None:
        a, b = inputs
        columns = ops.reshape(a, (*np.shape(_array(a)), *(1,) * np.ndim(_array(b))))
        return _call(caller, ufunc, own, (columns, b), options)
    names = {"reduce": REDUCED, "accumulate": ACCUMULATED}.get(method, {})
    if ufunc in names:
        return _call(caller, ufunc, getattr(ops, names[ufunc]), inputs, {"axis": 0, **options})
    if own in NONDIFFERENTIABLE or ufunc in WITHOUT_GRADIENT:  # such as logical_and.reduce
        return _off_the_tape(getattr(ufunc, method), inputs, options)
    return _on_constants(caller, getattr(ufunc, method), inputs, options)


def _scipys() -> dict[Any, Any]:
    """Return our functions, or None, by the ufuncs of scipy.special. A ufunc of theirs means that it is imported."""
    special = sys.modules.get("scipy.special")
    return {} if special is None else _in_special(special)


@cache
def _in_special(special: Any) -> dict[Any, Any]:
    ufuncs = {name: f for name, f in vars(special).items() if isinstance(f, np.ufunc)}
    named = {f: getattr(ops, name) for name, f in ufuncs.items() if hasattr(ops, name)}
    return dict.fromkeys(ufuncs.values()) | named  # one of several names may be ours: psi is digamma


def array_function(
    x: Tensor, function: Callable[..., Any], types: Any, args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """Implement `numpy.function(..., x, ...)`."""
    caller = f"{function.__module__}.{function.__name__}"
    if options.get("out") is not None or (function in IN_PLACE and not isinstance(args[0], Tensor)):
        return _into_arrays(caller, function, args, options)
    if function in IN_PLACE:
        own = f"minigrad.{function.__name__}" if hasattr(ops, function.__name__) else "minigrad.at(x)[...].set(value)"
        raise TypeError(f"{caller}: it writes in place, and tensors never change; {own} gives a new one")
    if function in OURS:
        return _call(caller, function, OURS[function], args, options)
    if function in WITHOUT_GRADIENT:
        names = WITHOUT_GRADIENT[function]
        bound = inspect.signature(function).bind(*args, **options).arguments if names else {}
        if not any(isinstance(bound.get(name), Tensor) and bound[name].node is not None for name in names):
            return _off_the_tape(function, args, options)
    return _on_constants(caller, function, args, options)


def _off_the_tape(function: Callable[..., Any], args: Any, options: dict[str, Any]) -> Any:
    """Call a NumPy function on read-only views of the tensors' arrays."""
    leaves, structure = tree_flatten((args, options), is_leaf=is_no_container)
    args, options = tree_unflatten(structure, [_read_only(x) if isinstance(x, Tensor) else x for x in leaves])
    return function(*args, **options)


def _read_only(x: Tensor) -> Any:
    array = x._array[...]
    if isinstance(array, np.ndarray):
        array.flags.writeable = False
    return array


def _into_arrays(caller: str, function: Callable[..., Any], args: Any, options: dict[str, Any]) -> Any:
    """Call a NumPy function that writes into the user's arrays, from constants or, under `no_grad`, any tensors.

    Raises:
        TypeError: it would write into a tensor, or an array would take values that lose their gradient.
    """
    leaves, structure = tree_flatten((args, options), is_leaf=is_no_container)
    recorded = mode().recording and any(isinstance(x, Tensor) and x.node is not None for x in leaves)
    if recorded or any(isinstance(x, Tensor) for x in tree_flatten(options.get("out"), is_leaf=is_no_container)[0]):
        raise TypeError(f"{caller}: out: {NO_OUT}")
    args, options = tree_unflatten(structure, [x._array if isinstance(x, Tensor) else x for x in leaves])
    return function(*args, **options)


def _on_constants(caller: str, function: Callable[..., Any], args: Any, options: dict[str, Any]) -> Any:
    leaves, structure = tree_flatten((args, options), is_leaf=is_no_container)
    if any(isinstance(x, Tensor) and x.node is not None for x in leaves):
        raise TypeError(
            f"{caller}: minigrad has no rule for it, and a tensor on the tape is among its arguments; compose it from "
            "functions that have one, write a @minigrad.primitive, or take .detach() where no gradient is needed"
        )
    args, options = tree_unflatten(structure, [_array(x) for x in leaves])
    return function(*args, **options)


def _array(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def to_dlpack(x: Tensor, **options: Any) -> Any:
    """Export the tensor to another library (the DLPack protocol).

    A plain layout is shared; negative strides, broadcast axes and read-only, empty or unaligned memory are copied.

    Raises:
        BufferError: the tensor is on the tape, so that a write into its memory would make gradients wrong; or
            `copy=False` where a copy is needed.
    """
    if x.node is not None:
        raise BufferError(f"Tensor.__dlpack__: the tensor of shape {x.shape} is on the tape; export x.detach()")
    if not layout_fault(x._array):
        x._expose()
    return export_array(x._array, "Tensor.__dlpack__", **options)


def from_dlpack(x: Any) -> Tensor:
    """Return a constant tensor on another library's memory, without a copy: a torch tensor's, a CuPy or NumPy array's.

    Host memory gives the backend numpy, a CUDA device cupy. The backward pass detects writes into shared host memory as
    it does those into a user's own array. A tensor that torch negates or conjugates lazily is copied.

    >>> import numpy as np, minigrad as mg
    >>> a = np.ones(3)
    >>> np.shares_memory(mg.from_dlpack(a).data, a)
    True

    Raises:
        TypeError: `x` does not speak DLPack, requires a gradient, or has a dtype or layout that NumPy lacks.
        BackendError: it lives on a device whose backend is missing.
    """
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack: x: got {type(x).__name__}, want an object with __dlpack__")
    if isinstance(x, np.ndarray):
        check_numbers("from_dlpack: x", x)
    backend, array = import_anywhere("from_dlpack", x)
    if backend is NUMPY:
        expose(array, fingerprint)
    return Tensor(array)
