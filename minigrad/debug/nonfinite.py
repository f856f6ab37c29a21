"""Find NaN and Inf in what an operation takes, saves or returns, and the time step in a fused sequence's arrays."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..backend import backend_of, is_array, scalar, to_numpy
from ..engine.gradient_pool import IndexedSlice, OuterProduct, PerStepSum, RowSum
from ..engine.primitive import FUNCTION_OF, REGISTRY
from ..engine.tensor import Tensor

NUMBERS = (float, complex, np.floating, np.complexfloating)


def leaves_in(value: Any) -> Iterator[Any]:
    """Yield the arrays, and the numbers that are not integers, that an operation takes, saves or returns, in order."""
    if isinstance(value, Tensor):
        yield value._array
    elif isinstance(value, (OuterProduct, RowSum)):
        yield value.dense()
    elif isinstance(value, IndexedSlice):
        yield from leaves_in(value.g)
    elif isinstance(value, PerStepSum):
        yield from leaves_in(value.total)
    elif isinstance(value, dict):
        yield from leaves_in(tuple(value.values()))
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from leaves_in(part)
    elif is_array(value) or isinstance(value, NUMBERS):
        yield value


def arrays_in(value: Any) -> list[Any]:
    """Return the arrays among the leaves."""
    return [leaf for leaf in leaves_in(value) if is_array(leaf)]


def all_finite(array: Any) -> bool:
    """Return whether the array holds neither NaN nor Inf. Synchronises with the device."""
    return array.dtype.kind not in "fc" or bool(scalar(backend_of(array).xp.isfinite(array).all()))


def first_nonfinite(outputs: Sequence[Any], inputs: Any) -> tuple[str, str] | None:
    """Return ("NaN" or "Inf", where) if an output holds one that no input explains, else None.

    A NaN is explained by a NaN among the inputs, an Inf by either.
    """
    kind = nonfinite_kind(outputs)
    if not kind or nonfinite_kind(inputs) in ("NaN", kind):
        return None
    return describe_nonfinite(next(a for a in outputs if _has(a, "isnan" if kind == "NaN" else "isinf")))


def describe_nonfinite(array: Any, of: str = "") -> tuple[str, str]:
    """Return "NaN" if an array holds one, else "Inf", with the first index and how many there are."""
    host = to_numpy(array)
    kind, bad = ("NaN", np.isnan(host)) if np.isnan(host).any() else ("Inf", np.isinf(host))
    index = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
    return kind, f"at index {index}{of}, {int(bad.sum())} of {bad.size} values"


def nonfinite_kind(value: Any) -> str:
    """Return "NaN" if the arrays or numbers of a value hold one, else "Inf" if they hold one, else ""."""
    arrays = [a if is_array(a) else np.asarray(a) for a in leaves_in(value)]
    bad = [a for a in arrays if not all_finite(a)]
    return ("NaN" if any(_has(a, "isnan") for a in bad) else "Inf") if bad else ""


def _has(array: Any, predicate: str) -> bool:
    return array.dtype.kind in "fc" and bool(scalar(getattr(backend_of(array).xp, predicate)(array).any()))


def sequences_in(
    op: str, arrays: Sequence[Any], options: dict[str, Any], outputs: Sequence[Any]
) -> list[tuple[Any, bool]]:
    """Return the outputs of every step (T, B, H) of each sequence that `op` ran, and whether it was read backward.

    A `…_sequence` takes xs (T, B, I) first and returns these outputs first. Of `…_sequences` the option `call` knows
    them by its method `every_output`.
    """
    if op.endswith("_sequence"):
        call = inspect.signature(FUNCTION_OF[REGISTRY[op]]).bind_partial(None, *arrays, **options)
        return [(outputs[0], bool(call.arguments.get("backward")))]
    every_output = getattr(options.get("call"), "every_output", None)
    return every_output(outputs) if every_output is not None else []


def first_step(sequences: Sequence[tuple[Any, bool]]) -> tuple[int | None, Any]:
    """Return the first step, in the order of reading, whose output holds a NaN or Inf, and that; None, None without."""
    for output, backward in sequences:
        host = to_numpy(output)
        steps = np.flatnonzero(~np.isfinite(host.reshape(len(host), -1)).all(axis=1))
        if len(steps):
            t = int(steps[-1 if backward else 0])
            return t, output[t]
    return None, None


def last_step(contributions: Sequence[Any]) -> tuple[int | None, Any]:
    """Return the first step that BPTT reaches whose share of a weight is not finite, and that share; or None, None."""
    sums = [c for c in contributions if isinstance(c, PerStepSum)]
    return next(((t, share) for c in sums for t in c.steps if not all_finite(share := c.at(t))), (None, None))
