"""Argument checks of the reference BPTT: an error names what it got and what it wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .lecture import Array
from .step import Step


def describe(a: Any) -> str:
    """An array's dtype and shape, or the type of anything else."""
    return f"{a.dtype} {a.shape}" if isinstance(a, np.ndarray) else type(a).__name__


def is_integer(n: Any) -> bool:
    """Whether n is a Python or NumPy integer, and not a bool."""
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool)


def check_array(name: str, a: Array, shape: tuple[int, ...], dtype: Any) -> None:
    """Raise ValueError unless a is a NumPy array of that shape and dtype."""
    if not isinstance(a, np.ndarray) or a.shape != shape or a.dtype != dtype:
        raise ValueError(f"manual_bptt: {name}: got {describe(a)}, want a NumPy array {dtype} {shape}")


def check_inputs(
    xs: Any, num_layers: Any = 1, lengths: Any = None, cut_every: Any = None, bidirectional: bool = False,
    reverse: bool = False,
) -> None:  # fmt: skip
    """Raise ValueError unless xs is float32 or float64 (T, B, I) and the options fit it and each other."""
    if not isinstance(xs, np.ndarray) or xs.ndim != 3 or 0 in xs.shape or xs.dtype not in (np.float32, np.float64):
        raise ValueError(f"manual_bptt: xs: got {describe(xs)}, want a float32 or float64 array (T, B, I), not empty")
    if isinstance(num_layers, tuple) and not bidirectional:
        raise ValueError(f"manual_bptt: num_layers: got {num_layers}, want a whole number")
    depths = num_layers if isinstance(num_layers, tuple) else (num_layers,)
    if len(depths) != (2 if isinstance(num_layers, tuple) else 1) or not all(is_integer(n) and n >= 1 for n in depths):
        raise ValueError(f"manual_bptt: num_layers: got {num_layers!r}, want 1 or more, or a pair of such numbers")
    if bidirectional and reverse:
        raise ValueError("manual_bptt: reverse: got True with bidirectional=True, want one or the other")
    if cut_every is not None and (bidirectional or reverse or not is_integer(cut_every) or cut_every < 1):
        raise ValueError(f"manual_bptt: cut_every: got {cut_every!r}, want 1 or more, and to read forward")
    T, B = xs.shape[:2]
    if lengths is not None:
        got = np.asarray(lengths)
        if got.shape != (B,) or got.dtype.kind not in "iu" or got.min() < 1 or got.max() > T:
            raise ValueError(f"manual_bptt: lengths: got {lengths!r}, want {B} whole numbers from 1 to {T}")


def check_sizes(step: Step, name: str, parameters: Mapping[str, Array]) -> tuple[int, int]:
    """(H, P), read off the shapes of the first cell's recurrent weights."""
    if "Wr" not in parameters:
        raise ValueError(f"manual_bptt: parameters: got no '{name}.Wr' among {sorted(parameters)}, want one")
    return step.sizes(parameters)


def check_layer(
    step: Step, name: str, parameters: Mapping[str, Array], width: int, sizes: Sequence[int], dtype: Any
) -> None:
    """Raise ValueError unless these are the parameters of a cell that reads vectors of `width`, with sizes (H, P)."""
    H, P = sizes
    want = step.shapes(width, H, P)
    for part, shape in want.items():
        if part not in parameters and (part not in step.optional or (part == "Wp" and H != P)):
            raise ValueError(
                f"manual_bptt: parameters: got no '{name}.{part}' among {sorted(parameters)}, want one of {shape}"
            )
    for part, a in parameters.items():
        if part not in want:
            raise ValueError(f"manual_bptt: parameters: got '{name}.{part}', want only {' '.join(want)}")
        check_array(f"parameters['{name}.{part}']", a, want[part], dtype)


def check_masks(name: str, masks: Mapping[str, Array], want: Mapping[str, tuple[int, ...]], dtype: Any) -> None:
    """Raise ValueError unless each mask of the cell `name` has its shape in `want`, or a 1 for a constant axis.

    The time axis must be complete: a mask of a sequence has one row for each step.
    """
    for part, a in masks.items():
        if part not in want:
            raise ValueError(f"manual_bptt: masks[{name!r}]: got {part!r}, want names among {sorted(want)}")
        shape, full = np.shape(a), want[part]
        fits = len(shape) == len(full) and all(n in (1, m) for n, m in zip(shape, full))
        fits = fits and (len(full) == 2 or shape[0] == full[0])
        if not fits or not isinstance(a, np.ndarray) or a.dtype != dtype:
            raise ValueError(f"manual_bptt: masks[{name!r}][{part!r}]: got {describe(a)}, want {dtype} {full}")


def check_states(
    what: str, names: Sequence[str], state: Any, lead: tuple[int, ...], sizes: Sequence[int], dtype: Any
) -> tuple[Array, ...]:
    """The states as a tuple. Raises ValueError unless h is (*lead, P) and c is (*lead, H), for sizes (H, P)."""
    states = state if isinstance(state, tuple) else (state,)
    if len(states) != len(names):
        raise ValueError(f"manual_bptt: {what}: got {len(states)} part(s), want {' and '.join(names)}")
    for name, a, size in zip(names, states, reversed(sizes)):
        check_array(f"{what}'s {name}", a, (*lead, size), dtype)
    return states
