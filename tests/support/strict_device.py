"""A stand-in device: it computes with NumPy, and refuses whatever would leave the device unasked.

Its arrays are no `numpy.ndarray`, so NumPy never meets one by accident. Refused are: implicit conversion to NumPy,
operands that live on the host, NumPy scalars that would turn float32 into float64, names that CuPy does not have, and
inside `no_sync` everything that would make the host wait for the device. What passes here on any machine passes on
CuPy as far as such rules go; the numbers of a GPU it cannot foretell.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from minigrad.backend import Backend, register_backend

try:
    import cupy  # imports without a GPU
except ImportError:
    cupy = None


class SyncError(RuntimeError):
    """The host would have waited for the device inside `no_sync`."""


class _Rule(threading.local):
    forbidden: int = 0


_rule = _Rule()


@contextlib.contextmanager
def no_sync() -> Iterator[None]:
    """Inside, reading a value back to the host raises `SyncError`."""
    _rule.forbidden += 1
    try:
        yield
    finally:
        _rule.forbidden -= 1


def _wait(why: str) -> None:
    if _rule.forbidden:
        raise SyncError(f"{why} waits for the device inside no_sync")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The names that CuPy 14.2 and NumPy 2.4 share. Where CuPy is installed it is asked as well, never instead: a name that
# is missing here fails on every machine.
PINNED_NAMES = _words(
    """abs absolute acos acosh add all allclose amax amin angle any append apply_along_axis apply_over_axes arange
    arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argpartition argsort argwhere around
    array array2string array_equal array_equiv array_repr array_split array_str asanyarray asarray
    asarray_chkfinite ascontiguousarray asfortranarray asin asinh astype atan atan2 atanh atleast_1d atleast_2d
    atleast_3d average bartlett base_repr binary_repr bincount bitwise_and bitwise_count bitwise_invert
    bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor blackman bool bool_ broadcast
    broadcast_arrays broadcast_shapes broadcast_to byte c_ can_cast cbrt cdouble ceil choose clip column_stack
    common_type complex128 complex64 complexfloating compress concat concatenate conj conjugate convolve copy
    copysign copyto corrcoef correlate cos cosh count_nonzero cov cross csingle cumprod cumsum cumulative_prod
    cumulative_sum deg2rad degrees delete diag diag_indices diag_indices_from diagflat diagonal diff digitize
    divide divmod dot double dsplit dstack dtype e ediff1d einsum empty empty_like equal euler_gamma exceptions
    exp exp2 expand_dims expm1 extract eye fabs fft fill_diagonal finfo fix flatiter flatnonzero flip fliplr
    flipud float16 float32 float64 float_power floating floor floor_divide fmax fmin fmod
    format_float_positional format_float_scientific frexp from_dlpack frombuffer fromfile fromfunction fromiter
    fromstring full full_like gcd generic genfromtxt get_printoptions gradient greater greater_equal half
    hamming hanning heaviside histogram histogram2d histogramdd hsplit hstack hypot i0 identity iinfo imag
    index_exp indices inexact inf inner int16 int32 int64 int8 int_ intc integer interp intersect1d intp invert
    isclose iscomplex iscomplexobj isdtype isfinite isfortran isin isinf isnan isneginf isposinf isreal
    isrealobj isscalar issubdtype iterable ix_ kaiser kron lcm ldexp left_shift less less_equal lexsort lib
    linalg linspace load loadtxt log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or
    logical_xor logspace long longlong mask_indices matmul matrix_transpose max maximum may_share_memory mean
    median meshgrid mgrid min min_scalar_type minimum mintypecode mod modf moveaxis multiply nan nan_to_num
    nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanprod nanstd nansum nanvar
    ndarray ndim ndindex negative newaxis nextafter nonzero not_equal number ogrid ones ones_like outer packbits
    pad partition percentile permute_dims pi piecewise place poly poly1d polyadd polyfit polymul polynomial
    polysub polyval positive pow power printoptions prod promote_types ptp put put_along_axis putmask quantile
    r_ rad2deg radians random ravel ravel_multi_index real real_if_close reciprocal remainder repeat require
    reshape resize result_type right_shift rint roll rollaxis roots rot90 round row_stack s_ save savetxt savez
    savez_compressed searchsorted select set_printoptions setdiff1d setxor1d shape shares_memory short
    show_config sign signbit signedinteger sin sinc single sinh size sort sort_complex split sqrt square squeeze
    stack std subtract sum swapaxes take take_along_axis tan tanh tensordot testing tile trace transpose
    trapezoid tri tril tril_indices tril_indices_from trim_zeros triu triu_indices triu_indices_from true_divide
    trunc typename typing ubyte ufunc uint uint16 uint32 uint64 uint8 uintc uintp ulong ulonglong union1d unique
    unique_all unique_counts unique_inverse unique_values unpackbits unravel_index unsignedinteger unwrap ushort
    vander var vdot vectorize vsplit vstack where zeros zeros_like"""
)
PINNED_LINALG = _words(
    """LinAlgError cholesky cond cross det eig eigh eigvals eigvalsh inv lstsq matmul matrix_power matrix_rank
    matrix_transpose norm pinv qr slogdet solve svd tensorinv tensorsolve"""
)
PINNED_FFT = _words(
    """fft fft2 fftfreq fftn fftshift hfft ifft ifft2 ifftn ifftshift ihfft irfft irfft2 irfftn rfft rfft2 rfftfreq
    rfftn"""
)
PINNED_INSIDE = {
    "linalg": PINNED_LINALG,
    "fft": PINNED_FFT,
    "lib": _words("stride_tricks"),
    "lib.stride_tricks": _words("as_strided"),
}
PINNED_METHODS = _words(
    """T all any argmax argmin argpartition argsort astype base byteswap choose clip compress conj conjugate copy
    cumprod cumsum data device diagonal dot dtype dump dumps fill flags flat flatten imag item itemsize mT max
    mean min nbytes ndim nonzero partition prod put ravel real repeat reshape round searchsorted shape size sort
    squeeze std strides sum swapaxes take tobytes tofile tolist trace transpose var view"""
)
PINNED_UFUNC_METHODS = frozenset(("accumulate", "at", "outer", "reduce", "reduceat"))
WAITING = frozenset(("argwhere", "flatnonzero", "nonzero", "unique", "compress", "extract"))
"""Functions whose result's shape depends on values."""


def _has(name: str, path: str, pinned: frozenset[str]) -> bool:
    if cupy is None or name not in pinned:
        return name in pinned
    there: Any = cupy
    for part in path.split("."):
        there = getattr(there, part, None) if part else there
    return hasattr(there, name)


def _to_host(value: Any) -> Any:
    """The host array behind an operand; refuses what a device would not take."""
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


def _refuse_promotion(operands: tuple[Any, ...], result: Any) -> None:
    """A `numpy.float64` is not weak (NEP 50): beside float32 arrays it doubles every byte that follows."""
    if getattr(result, "dtype", None) != np.float64 or not any(type(v) is np.float64 for v in operands):
        return
    dtypes = {v.dtype for v in operands if isinstance(v, np.ndarray)}
    if dtypes and np.dtype(np.float64) not in dtypes:
        raise TypeError(
            f"a numpy.float64 scalar would turn {sorted(map(str, dtypes))} into float64; use a Python float"
        )


def _call(function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Run a NumPy function on the host arrays; `out=` is written through and handed back itself."""
    out = options.get("out")
    host_args = tuple(_to_host(a) for a in args)
    result = function(*host_args, **{name: _to_host(v) for name, v in options.items()})
    if out is not None:
        return out
    _refuse_promotion(host_args, result)
    return _to_device(result)


def _with_ellipsis(index: Any) -> Any:
    """An index of numbers alone still gives a view on a device, not a host scalar."""
    parts = index if isinstance(index, tuple) else (index,)
    return parts if any(part is Ellipsis for part in parts) else (*parts, Ellipsis)


def _is_mask(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, StrictArray) and part.dtype == bool for part in parts)


class StrictArray:
    """An array of the stand-in device."""

    __slots__ = ("__weakref__", "_host")
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray[Any, Any]) -> None:
        self._host = host

    # Refused ways to the host

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was called on an array of the device")

    def __index__(self) -> int:
        raise TypeError("an array of the device is no index")

    # Asked-for ways to the host, which wait

    def get(self) -> np.ndarray[Any, Any]:
        _wait(".get()")
        return self._host.copy()

    def item(self, *args: int) -> Any:
        _wait(".item()")
        return self._host.item(*args)

    def tolist(self) -> Any:
        _wait(".tolist()")
        return self._host.tolist()

    def __float__(self) -> float:
        _wait("float()")
        return float(self._host)

    def __int__(self) -> int:
        _wait("int()")
        return int(self._host)

    def __bool__(self) -> bool:
        _wait("bool()")
        return bool(self._host)

    # What every array has

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

    @property
    def base(self) -> StrictArray | None:
        return None if self._host.base is None else StrictArray(self._host.base)

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
        if name.startswith("_") or not _has(name, "ndarray", PINNED_METHODS):
            raise AttributeError(f"arrays of the device have no attribute {name!r}")
        found = getattr(self._host, name)
        if not callable(found):
            return found
        if name in WAITING:
            _wait(f".{name}()")
        return lambda *args, **options: _call(found, args, options)

    def __repr__(self) -> str:  # shows no values: that would wait
        return f"<StrictArray {self.shape} {self.dtype}>"


def _operator(name: str) -> Callable[..., Any]:
    in_place = name in ("__iadd__", "__isub__", "__imul__", "__itruediv__", "__imatmul__", "__ipow__")

    def operator(self: StrictArray, *others: Any) -> Any:
        if any(not isinstance(o, StrictArray) and hasattr(type(o), "__array_ufunc__") for o in others) and not any(
            isinstance(o, (np.ndarray, np.generic)) for o in others
        ):
            return NotImplemented  # somebody else's class, such as a Tensor, may know what to do
        hosts = tuple(_to_host(o) for o in others)
        result = getattr(self._host, name)(*hosts)
        if result is NotImplemented:
            return result
        if in_place:
            return self
        _refuse_promotion((self._host, *hosts), result)
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
    """A ufunc with those of its methods that CuPy's have too."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc

    def __call__(self, *args: Any, **options: Any) -> Any:
        for arg in args:
            if isinstance(arg, (list, tuple)):
                raise TypeError(f"Unsupported type {type(arg)}")
        return _call(self._ufunc, args, options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or not _has(name, "add", PINNED_UFUNC_METHODS):
            raise AttributeError(f"ufuncs of the device have no method {name!r}")
        method = getattr(self._ufunc, name)

        def call(*args: Any, **options: Any) -> Any:
            if name == "at" and _is_mask(args[1]):
                _wait("ufunc.at with a boolean mask")
            return _call(method, args, options)

        return call


class StrictNamespace:
    """NumPy's functions on the device's arrays; only those names that CuPy has."""

    ndarray = StrictArray

    def __init__(self, module: ModuleType = np, path: str = "") -> None:
        self._module, self._path = module, path

    def __getattr__(self, name: str) -> Any:
        path = f"{self._path}{'.' if self._path else ''}{name}"
        pinned = PINNED_INSIDE.get(self._path, PINNED_NAMES)
        if name.startswith("_") or not _has(name, self._path, pinned):
            raise AttributeError(f"the device's namespace has no {path}")
        found = getattr(self._module, name)
        if isinstance(found, ModuleType):
            found = StrictNamespace(found, path)
        elif isinstance(found, np.ufunc):
            found = StrictUfunc(found)
        elif callable(found) and not isinstance(found, type):
            found = self._function(name, found)
        setattr(self, name, found)
        return found

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
        """The explicit way in; of a device array a copy."""
        if isinstance(values, (list, tuple)):
            values = _to_host(values)
        host = values._host if isinstance(values, StrictArray) else values
        return StrictArray(np.array(host, dtype=dtype, **options))

    @staticmethod
    def asarray(values: Any, dtype: Any = None) -> StrictArray:
        """The explicit way in; of a device array, the array itself where the dtype is right."""
        if isinstance(values, StrictArray) and dtype in (None, values.dtype):
            return values
        return StrictNamespace.array(values, dtype)


xp = StrictNamespace()
STRICT = Backend(
    "strict",
    xp,
    StrictArray,
    to_numpy=StrictArray.get,
    from_numpy=StrictNamespace.array,
    synchronize=lambda: _wait("synchronize"),
)
register_backend("strict", lambda: STRICT)
