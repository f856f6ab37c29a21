"""Argument checks of the reference BPTT: an error names what it got and what it wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .lecture import Array, check_array, met
from .step import Step


def check_inputs(
    xs: Any, num_layers: Any = 1, lengths: Any = None, cut_every: Any = None, bidirectional: bool = False
) -> None:
    """xs (T, B, I) of float32 or float64, a depth for each net, one length for each sequence, a window of 1 or more."""
    if not isinstance(xs, np.ndarray) or xs.ndim != 3 or 0 in xs.shape or xs.dtype not in (np.float32, np.float64):
        raise ValueError(f"reference: xs is {met(xs)}; it wants a NumPy array float32 or float64 (T, B, I) without a 0")
    if isinstance(num_layers, tuple) and not bidirectional:
        raise ValueError(f"reference: num_layers is {num_layers}; with one direction it wants a whole number")
    depths = num_layers if isinstance(num_layers, tuple) else (num_layers,)
    if len(depths) != (2 if isinstance(num_layers, tuple) else 1) or not all(whole(n) and n >= 1 for n in depths):
        raise ValueError(f"reference: num_layers is {num_layers!r}; it wants 1 or more, or a pair of such numbers")
    if cut_every is not None and (bidirectional or not whole(cut_every) or cut_every < 1):
        raise ValueError(f"reference: cut_every is {cut_every!r}; it wants 1 or more, and one direction")
    T, B = xs.shape[:2]
    if lengths is not None:
        got = np.asarray(lengths)
        if got.shape != (B,) or got.dtype.kind not in "iu" or got.min() < 1 or got.max() > T:
            raise ValueError(f"reference: lengths is {lengths!r}; it wants {B} whole numbers from 1 to {T}")


def check_sizes(step: Step, name: str, parameters: Mapping[str, Array]) -> tuple[int, int]:
    """(H, P), as the shapes of the first cell's recurrent weights say."""
    for part in ("Wc", "Wr"):
        if part not in parameters:
            raise ValueError(f"reference: parameters lacks '{name}.{part}'; {name} has {sorted(parameters)}")
    return step.sizes(parameters)


def check_layer(
    step: Step, name: str, parameters: Mapping[str, Array], width: int, sizes: Sequence[int], dtype: Any
) -> None:
    """A cell that reads vectors of `width` and has the whole stack's sizes (H, P)."""
    H, P = sizes
    want = step.shapes(width, H, P)
    for part in want:
        required = part not in step.optional or (part == "Wp" and H != P)
        if part not in parameters and required:
            raise ValueError(
                f"reference: parameters lacks '{name}.{part}' {want[part]}; {name} has {sorted(parameters)}"
            )
    for part, a in parameters.items():
        if part not in want:
            raise ValueError(f"reference: parameters has '{name}.{part}'; it wants {' '.join(want)} alone")
        check_array(f"parameters['{name}.{part}']", a, want[part], dtype)


def check_masks(name: str, masks: Mapping[str, Array], want: Mapping[str, tuple[int, ...]], dtype: Any) -> None:
    """Masks of a cell called `name`, each of its shape in `want` or with a 1 for an axis along which it is constant.

    The axis of time is never left out: a mask of a sequence has one row for each step.
    """
    for part, a in masks.items():
        if part not in want:
            raise ValueError(f"reference: masks[{name!r}] has {part!r}; it wants names among {sorted(want)}")
        shape, wanted = np.shape(a), want[part]
        fits = len(shape) == len(wanted) and all(n in (1, m) for n, m in zip(shape, wanted))
        fits = fits and (len(wanted) == 2 or shape[0] == wanted[0])
        if not fits or not isinstance(a, np.ndarray) or a.dtype != dtype:
            raise ValueError(f"reference: masks[{name!r}][{part!r}] is {met(a)}; it wants {dtype} {wanted}")


def check_states(
    what: str, names: Sequence[str], state: Any, lead: tuple[int, ...], sizes: Sequence[int], dtype: Any
) -> tuple[Array, ...]:
    """The states as a tuple: h is `lead` and P wide, c is `lead` and H wide, for sizes (H, P)."""
    states = state if isinstance(state, tuple) else (state,)
    if len(states) != len(names):
        raise ValueError(f"reference: {what} has {len(states)} part(s); it wants {' and '.join(names)}")
    for name, a, size in zip(names, states, reversed(sizes)):
        check_array(f"{what}'s {name}", a, (*lead, size), dtype)
    return states


def whole(n: Any) -> bool:
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool)
