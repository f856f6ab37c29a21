"""Take in other libraries' arrays (torch's, JAX's), and hand out our own, through DLPack. No library is imported.

Memory is shared where both sides agree on what it holds: the host's, in a plain layout. The rest is copied or refused
by name, since consumers differ in what they check of a layout that they cannot use.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import BY_ARRAY_TYPE, MASK_LOST, NUMPY, Backend, get_backend, is_array

Array = Any
ON_HOST = frozenset((1, 3, 11))
"""DLPack's numbers of the kinds of memory that the host reads: its own, and that pinned for CUDA or ROCm."""


def is_foreign(value: Any) -> bool:
    """Return whether `value` is an array that speaks DLPack and belongs to no loaded backend."""
    return hasattr(type(value), "__dlpack__") and not isinstance(value, np.ma.MaskedArray) and not is_array(value)


def import_array(caller: str, argument: str, value: Any) -> Any:
    """Return a foreign array as a NumPy array, on the same memory if possible; anything else as it is.

    Raises:
        TypeError: it requires a gradient, which would end here; it is on a device; NumPy lacks its dtype or layout.
    """
    if type(value) in BY_ARRAY_TYPE:
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{caller}: {argument}: got a masked array, {MASK_LOST}")
    if not is_foreign(value):
        return value
    got = f"{caller}: {argument}: got a {type_name(value)}"
    if device_of(value, got) not in ON_HOST:
        raise TypeError(
            f"{got} on {getattr(value, 'device', 'a device')}, want one on the CPU: x.cpu(); minigrad.from_dlpack(x) "
            "makes it a tensor of the backend cupy"
        )
    return _import(NUMPY, value, got)


def import_anywhere(caller: str, value: Any) -> tuple[Backend, Array]:
    """Return the backend that reads the memory of a DLPack object, and the array there. Raises as `import_array`."""
    got = f"{caller}: x: got a {type_name(value)}"
    backend = NUMPY if device_of(value, got) in ON_HOST else get_backend("cupy")
    return backend, _import(backend, value, got)


def device_of(value: Any, got: str) -> int:
    """Return DLPack's number for the kind of memory. A library's own error becomes a TypeError saying what it got."""
    try:
        return int(value.__dlpack_device__()[0])
    except Exception as error:
        raise TypeError(f"{got}, which cannot be read from here: {error}") from error


def _import(backend: Backend, value: Any, got: str) -> Array:
    if getattr(value, "requires_grad", False) is True:
        raise TypeError(
            f"{got} that requires grad, and its gradient would be lost; pass x.detach(), and make it a leaf with "
            "minigrad.tensor(x.detach(), requires_grad=True) if minigrad shall differentiate by it"
        )
    for lazy, resolve in (("is_conj", "resolve_conj"), ("is_neg", "resolve_neg")):
        test = getattr(value, lazy, None)
        if callable(test) and test():  # the memory holds other numbers, and the export does not say so
            value = getattr(value, resolve)()
    try:
        return backend.xp.from_dlpack(value)
    except Exception:
        if backend is NUMPY and hasattr(value, "__array__"):
            try:
                return np.asarray(value)
            except Exception as second:
                error = second
        kind = getattr(value, "dtype", "this kind")
        raise TypeError(
            f"{got} of {kind}, which NumPy cannot read ({error}); convert it first, by x.float() or x.to_dense() say"
        ) from error


def type_name(value: Any) -> str:
    """Return the type's name; of another library's array with the library's, such as torch.Tensor."""
    kind = type(value)
    return f"{kind.__module__.split('.')[0]}.{kind.__name__}" if is_foreign(value) else kind.__name__


# Handing out


def layout_fault(array: Array) -> str:
    """Return why an array's memory is not handed out as it is, or "".

    Plain are native numbers, aligned and writable, whose axes are laid out with positive strides and do not overlap.
    """
    if isinstance(array, np.ndarray):
        if not array.dtype.isnative:
            return "its byte order is not the machine's"
        if not array.flags.aligned:
            return "it is not aligned"
        if not array.flags.writeable:
            return "it is read-only, which most consumers do not respect"
    if not array.size:
        return "it is empty"
    end = array.dtype.itemsize
    for stride, size in sorted((s, n) for s, n in zip(array.strides, array.shape) if n > 1):
        if stride < end or stride % array.dtype.itemsize:
            return "its strides are negative or odd, or its elements overlap"
        end = stride * size
    return ""


def export_array(array: Array, caller: str, **options: Any) -> Any:
    """Return a DLPack capsule of the memory itself if its layout is plain, else of a copy.

    Raises:
        BufferError: the consumer refuses copies, and this layout needs one.
    """
    fault = layout_fault(array)
    if fault and options.get("copy") is False:
        raise BufferError(f"{caller}: copy=False: the array has no plain layout: {fault}")
    if fault:
        dtype = array.dtype.newbyteorder("=")
        plain = array.astype(dtype, order="C", copy=True)
        return plain.__dlpack__(**options)
    return array.__dlpack__(**options)
