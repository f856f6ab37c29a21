"""Which implementation serves a recurrence's options on this machine, and the errors where one is asked for by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minigrad.backend import NUMPY, backend_of

from ..native import sequence as native, shared_library
from ..native.errors import NativeError

if TYPE_CHECKING:
    from .recurrence import Recurrence

IMPLEMENTATIONS = ("auto", "graph", "fused", "native")


def native_refusal(recurrence: Recurrence) -> str:
    """Why no compiled sequence runs it here, with a compiler's words after the first line; "" if one does."""
    cell = recurrence.cells[0]
    if why := recurrence.fused_refusal() or native.refusal(cell):
        return why
    parameter = cell.reference_parameter()
    if backend_of(parameter._array) is not NUMPY:
        return f"compiled sequences run on numpy, and the parameters are on {parameter.backend}"
    return shared_library.refusal(parameter.dtype)


def check_impl(recurrence: Recurrence, impl: str) -> None:
    """Check that `impl`, "fused" or "native", serves a recurrence's options, wherever its parameters are.

    Raises:
        ValueError: it does not. NativeError: it would, but cannot be compiled here; with the compiler's words.
    """
    name, cell = type(recurrence).__name__, recurrence.cells[0]
    if why := recurrence.fused_refusal():
        raise ValueError(f"{name}: impl: got {impl!r}, but {why}; want 'graph' or 'auto'")
    if impl != "native":
        return
    dtype = cell.reference_parameter().dtype
    if why := native.refusal(cell) or (
        "" if dtype in shared_library.DEFINITIONS else f"no compiled sequence is written for {dtype}"
    ):
        raise ValueError(f"{name}: impl: got 'native', but {why}; want 'fused' or 'auto'")
    if why := shared_library.refusal(dtype):
        first, _, words = why.partition("\n")
        raise NativeError(f"{name}: impl: got 'native', but {first}; want 'fused' or 'auto'\n{words}".strip())
