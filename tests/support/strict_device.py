"""A stand-in for a GPU: it computes with NumPy and rejects what CuPy would reject.

Its arrays are not `numpy.ndarray`s. It rejects implicit conversion to NumPy, operands on the host, NumPy scalars that
would turn float32 into float64, names that CuPy does not have, what the sources read past their backend, and, inside
`no_sync`, everything that synchronises with the device. Code that passes here follows CuPy's rules; the numbers that a
GPU computes are not checked.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from minigrad.backend import Backend, register_backend
from minigrad.engine.mutation import owner_of
from tests.support.cupy_names import (
    PINNED_INSIDE,
    PINNED_METHODS,
    PINNED_NAMES,
    PINNED_UFUNC_METHODS,
    WAITING,
    cupy_has,
)


class SyncError(RuntimeError):
    """The host would have synchronised with the device inside `no_sync`."""


class _Rule(threading.local):
    forbidden: int = 0


_rule = _Rule()


@contextlib.contextmanager
def no_sync() -> Iterator[None]:
    """Raise `SyncError` inside the block where a value is read back to the host."""
    _rule.forbidden += 1
    try:
        yield
    finally:
        _rule.forbidden -= 1


def _wait(why: str) -> None:
    if _rule.forbidden:
        raise SyncError(f"{why} waits for the device inside no_sync")


def _read(why: str) -> None:
    """Wait for a value; the sources do it through their backend alone, which tells what a kernel reported."""
    _wait(why)
    module = sys._getframe(2).f_globals.get("__name__", "")
    if module.partition(".")[0] in ("minigrad", "minigrad_rnn") and not module.startswith("minigrad.backend"):
        raise AssertionError(f"{module}: {why} of an array of the device, want backend.scalar or backend.to_numpy")


def _to_host(value: Any) -> Any:
    """Return the host array behind an operand; raise TypeError for what a device rejects."""
    if isinstance(value, StrictArray):
        return value._host
    if isinstance(value, (tuple, list)):
        return type(value)(_to_host(part) for part in value)
    if isinstance(value, (np.generic, type)):
        return value
    if hasattr(value, "__array__"):
        raise TypeError(f"Unsupported type {type(value)}")
    return value


def _to_device(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return StrictArray(np.asarray(value))
    if isinstance(value, (tuple, list)):  # a NumPy result with named fields becomes a plain tuple
        return (list if isinstance(value, list) else tuple)(_to_device(part) for part in value)
    return value


def _check_promotion(operands: tuple[Any, ...], result: Any) -> None:
    """Raise TypeError where a `numpy.float64`, which is not weak (NEP 50), turns float32 arrays into float64."""
    if getattr(result, "dtype", None) != np.float64 or not any(type(v) is np.float64 for v in operands):
        return
    dtypes = {v.dtype for v in operands if isinstance(v, np.ndarray)}
    if dtypes and np.dtype(np.float64) not in dtypes:
        raise TypeError(
            f"a numpy.float64 scalar would turn {sorted(map(str, dtypes))} into float64; use a Python float"
        )


def _as_cupy_adds(function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """CuPy's reductions add float16 up in float32 (`e->e` with the type `float` in its kernels), in every order."""
    array = getattr(function, "__self__", args[0] if args else None)
    if getattr(array, "dtype", None) != np.float16 or options.get("dtype") not in (None, np.float16):
        return args, function
    method = getattr(array.astype(np.float32), function.__name__)
    rest = args if getattr(function, "__self__", None) is array else args[1:]
    return rest, lambda *a, **o: np.asarray(method(*a, **{**o, "dtype": np.float32})).astype(np.float16)


def _call(function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Run a NumPy function on the host arrays; `out=` is written through and returned itself."""
    out = options.get("out")
    host_args = tuple(_to_host(a) for a in args)
    if getattr(function, "__name__", "") in ("sum", "mean"):
        host_args, function = _as_cupy_adds(function, host_args, options)
    result = function(*host_args, **{name: _to_host(v) for name, v in options.items()})
    if out is not None:
        return out
    _check_promotion(host_args, result)
    return _to_device(result)


def _with_ellipsis(index: Any) -> Any:
    """Add an ellipsis, so that an index of numbers alone gives a view, as on a device, not a scalar."""
    parts = index if isinstance(index, tuple) else (index,)
    return parts if any(part is Ellipsis for part in parts) else (*parts, Ellipsis)


def _is_mask(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, StrictArray) and part.dtype == bool for part in parts)


_owners: weakref.WeakValueDictionary[int, StrictArray] = weakref.WeakValueDictionary()
"""The array of the device that owns a memory, by the id of the host array that does."""


class StrictArray:
    """An array of the stand-in device."""

    __slots__ = ("__weakref__", "_host", "base")
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray[Any, Any]) -> None:
        self._host = host
        memory = host if host.base is None else owner_of(host)
        owner = _owners.get(id(memory))
        if owner is None and memory is host:
            _owners[id(host)] = self
        self.base: StrictArray | None = StrictArray(memory) if owner is None and memory is not host else owner
        """The array of the device that owns the memory, the same one for every view; None for itself."""

    # Rejected conversions

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was called on an array of the device")

    def __index__(self) -> int:
        raise TypeError("an array of the device cannot be an index")

    # Explicit conversions, which synchronise

    def get(self) -> np.ndarray[Any, Any]:
        _read(".get()")
        return self._host.copy()

    def item(self, *args: int) -> Any:
        _read(".item()")
        return self._host.item(*args)

    def tolist(self) -> Any:
        _read(".tolist()")
        return self._host.tolist()

    def __float__(self) -> float:
        _read("float()")
        return float(self._host)

    def __int__(self) -> int:
        _read("int()")
        return int(self._host)

    def __bool__(self) -> bool:
        _read("bool()")
        return bool(self._host)

    # Array attributes

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._host.dtype

    @property
    def ndim(self) -> int:
        return self._host.ndim

    @property
    def size(self) -> int:
        return self._host.size

    @property
    def T(self) -> StrictArray:
        return StrictArray(self._host.T)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[StrictArray]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, index: Any) -> StrictArray:
        if _is_mask(index):
            _wait("indexing by a boolean mask")
        return StrictArray(self._host[_with_ellipsis(_to_host(index))])

    def __setitem__(self, index: Any, value: Any) -> None:
        if _is_mask(index) and isinstance(value, StrictArray) and value.ndim:
            _wait("writing an array through a boolean mask")
        self._host[_to_host(index)] = _to_host(value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not cupy_has(name, "ndarray", PINNED_METHODS):
            raise AttributeError(f"arrays of the device have no attribute {name!r}")
        attribute = getattr(self._host, name)
        if not callable(attribute):
            return attribute
        if name in WAITING:
            _wait(f".{name}()")
        return lambda *args, **options: _call(attribute, args, options)

    def __repr__(self) -> str:  # without values, which would synchronise
        return f"<StrictArray {self.shape} {self.dtype}>"


def _operator(name: str) -> Callable[..., Any]:
    in_place = name in ("__iadd__", "__isub__", "__imul__", "__itruediv__", "__imatmul__", "__ipow__")

    def operator(self: StrictArray, *others: Any) -> Any:
        if any(not isinstance(o, StrictArray) and hasattr(type(o), "__array_ufunc__") for o in others) and not any(
            isinstance(o, (np.ndarray, np.generic)) for o in others
        ):
            return NotImplemented  # another class, such as Tensor, may implement it
        hosts = tuple(_to_host(o) for o in others)
        result = getattr(self._host, name)(*hosts)
        if result is NotImplemented:
            return result
        if in_place:
            return self
        _check_promotion((self._host, *hosts), result)
        return _to_device(result)

    operator.__name__ = name
    return operator


_BINARY = ["add", "sub", "mul", "truediv", "floordiv", "pow", "matmul", "mod", "and", "or", "xor"]
for _name in [
    *_BINARY,
    *(f"r{name}" for name in _BINARY),
    *(f"i{name}" for name in ("add", "sub", "mul", "truediv", "pow")),
    *["neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne"],
]:
    setattr(StrictArray, f"__{_name}__", _operator(f"__{_name}__"))


class StrictUfunc:
    """A ufunc with the methods that CuPy's ufuncs have."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc

    def __call__(self, *args: Any, **options: Any) -> Any:
        for arg in args:
            if isinstance(arg, (list, tuple)):
                raise TypeError(f"Unsupported type {type(arg)}")
        return _call(self._ufunc, args, options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or not cupy_has(name, "add", PINNED_UFUNC_METHODS):
            raise AttributeError(f"ufuncs of the device have no method {name!r}")
        method = getattr(self._ufunc, name)

        def call(*args: Any, **options: Any) -> Any:
            if name == "at" and _is_mask(args[1]):
                _wait("ufunc.at with a boolean mask")
            return _call(method, args, options)

        return call


class StrictNamespace:
    """NumPy's functions on the device's arrays, restricted to names that CuPy has."""

    ndarray = StrictArray

    def __init__(self, module: ModuleType = np, path: str = "") -> None:
        self._module, self._path = module, path

    def __getattr__(self, name: str) -> Any:
        path = f"{self._path}{'.' if self._path else ''}{name}"
        pinned = PINNED_INSIDE.get(self._path, PINNED_NAMES)
        if name.startswith("_") or not cupy_has(name, self._path, pinned):
            raise AttributeError(f"the device's namespace has no {path}")
        member = getattr(self._module, name)
        if isinstance(member, ModuleType):
            member = StrictNamespace(member, path)
        elif isinstance(member, np.ufunc):
            member = StrictUfunc(member)
        elif callable(member) and not isinstance(member, type):
            member = self._function(name, member)
        setattr(self, name, member)
        return member

    @staticmethod
    def _function(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if name in WAITING or (name == "where" and len(args) == 1):
                _wait(f"xp.{name}")
            return _call(function, args, options)

        call.__name__ = name
        return call

    @staticmethod
    def array(values: Any, dtype: Any = None, copy: bool = True, **options: Any) -> StrictArray:
        """Copy host values or a device array to the device."""
        if isinstance(values, (list, tuple)):
            values = _to_host(values)
        host = values._host if isinstance(values, StrictArray) else values
        return StrictArray(np.array(host, dtype=dtype, **options))

    @staticmethod
    def asarray(values: Any, dtype: Any = None) -> StrictArray:
        """Copy host values to the device; return a device array itself if it has the dtype."""
        if isinstance(values, StrictArray) and dtype in (None, values.dtype):
            return values
        return StrictNamespace.array(values, dtype)


xp = StrictNamespace()
STRICT = Backend(
    "strict",
    xp,
    StrictArray,
    to_numpy=lambda array: array.get(),
    from_numpy=StrictNamespace.array,
    synchronize=lambda: _wait("synchronize"),
)
register_backend("strict", lambda: STRICT)
