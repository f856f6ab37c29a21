"""explore writes a page on which a model's forward pass, its BPTT and every shared weight's pool can be stepped."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import backend_of
from minigrad.serialize.atomic_files import write_text
from minigrad.validation import as_array, check_path, check_text

from ..networks.recurrence import Recurrence
from ..seq2seq.io_shapes import ManyToMany, ManyToOne, parts_of
from .divergence_gradient import divergence_gradient
from .html_page import html_page
from .recording import Recording, record
from .step_order import step_order
from .unrolled import Unrolled
from .unrolled_recurrence import unrolled_recurrence

MOST_STEPS = 2000
"""Time steps up to which a page is written."""
FULL_BYTES = 1_500_000
"""Bytes of contributions that a page holds in full; of those beyond it holds the norms."""
LOSS_TERMS = 64
"""Loss terms, at most, of which the heat map has a row each."""
DRAWN = "a recurrence (RNN, LSTM, GRU, …), alone or in ManyToMany or ManyToOne"


def explore(
    model: nn.Module,
    xs: Any,
    targets: Any,
    path: str | os.PathLike[str],
    loss: str | Callable[..., Tensor] | None = None,
    state: Any = None,
    reduction: str = "mean",
    title: str | None = None,
) -> None:
    """Write one HTML page that shows a model's BPTT on `xs` step by step, with its own numbers.

    The page draws the unrolled network as the lecture does, layers upward and time to the right. It steps forward
    through z, h and Y and backward through dz, dh and every shared parameter's gradient pool, contribution by
    contribution (slides 93, 107, 116, 118); it has each step's shapes, equations and line of the reference BPTT, and a
    map of what the loss at t contributes through the use of a parameter k steps before. It needs no network, no server
    and no other file.

    The model is copied and runs op by op, in evaluation, in its own dtype; nothing of it changes. The numbers on the
    page are those of that tape, bit by bit.

    Args:
        model: a `Recurrence`, `ManyToMany` or `ManyToOne`.
        xs: the sequences, in the model's layout; T at most 2,000.
        targets: for each output a vector of its size, or with "cross_entropy" a class; −100 marks one that does not
            count.
        path: of the file, such as "bptt.html". It appears whole or not at all.
        loss: "cross_entropy", "squared_error", "absolute_error", "kl", "binary_cross_entropy", or a function of
            (outputs (T, B, O), targets) that returns a term for each step (T, B) or feature, or one number; None for
            "cross_entropy" with classes and "squared_error" with vectors.
        state: the state before the first step, as the model takes it; None for the model's own.
        reduction: "mean" over all terms, or "sum"; not used where the function returns one number.
        title: of the page; None for the model's class.

    Raises:
        TypeError: a model of another kind, or xs or targets that are not numbers.
        ValueError: T above 2,000, a shape that does not fit, zoneout, an unknown loss.
        OSError: the file cannot be written.
    """
    check_path("explore", path=path)
    if title is not None:
        check_text("explore", title=title)
    recording = recorded(model, xs, targets, loss, state, reduction)
    name = type(model).__name__
    page = html_page(recording, name if title is None else title, f"{name}({model.extra_repr()})")
    write_text("explore", "path", path, page)


def recorded(
    model: Any, xs: Any, targets: Any, loss: Any = None, state: Any = None, reduction: str = "mean"
) -> Recording:
    """The numbers of a page: see `explore`."""
    if not isinstance(model, (Recurrence, ManyToMany, ManyToOne)):
        got = type(model).__name__ if not isinstance(model, type) else f"the class {model.__name__}"
        raise TypeError(f"explore: model: got {got}, want {DRAWN}")
    own = copy.deepcopy(model)
    own.eval()
    net = own if isinstance(own, Recurrence) else own.recurrence
    if any(net.zoneout):
        raise ValueError(f"explore: model: got zoneout={net.zoneout}, which no drawing shows; want a model without")
    x, unbatched = _time_first("xs", as_array(xs, "explore", "xs"), net.batch_first, 3)
    _check_steps(x.shape[0])
    if unbatched and state is not None:
        parts = [part if isinstance(part, Tensor) else as_array(part, "explore", "state") for part in parts_of(state)]
        state = tuple(part[:, None] for part in parts) if len(parts) > 1 else parts[0][:, None]
    d = as_array(targets, "explore", "targets")
    if isinstance(own, ManyToOne):
        d = d[None, None] if unbatched else d[None]
    elif unbatched and d.ndim:
        d = d[:, None]
    elif net.batch_first and d.ndim > 1:
        d = d.swapaxes(0, 1)
    backend = backend_of(next(own.parameters())._array)
    leaf = mg.tensor(x, requires_grad=x.dtype.kind == "f", backend=None if isinstance(x, np.ndarray) else backend)
    return _recorded(unrolled_recurrence(own, leaf, state), loss, d, reduction)


def _recorded(unrolled: Unrolled, loss: Any, targets: Any, reduction: str) -> Recording:
    found = divergence_gradient(loss, unrolled.output, targets, reduction)
    return record(unrolled, found, step_order(unrolled), FULL_BYTES, LOSS_TERMS)


def _time_first(argument: str, array: Any, batch_first: bool, ndim: int) -> tuple[Any, bool]:
    """The series (T, B, …), and whether it came without a batch axis."""
    if array.ndim == ndim - 1:
        return array[:, None], True
    if array.ndim != ndim:
        raise ValueError(f"explore: {argument}: got shape {tuple(array.shape)}, want {ndim} axes, or one less")
    return (array.swapaxes(0, 1) if batch_first else array), False


def _check_steps(T: int) -> None:
    if T > MOST_STEPS:
        raise ValueError(
            f"explore: xs: got T = {T} steps, want at most {MOST_STEPS}; pass a part of the sequence, such as its last "
            f"{MOST_STEPS} steps, and as state= what the model returned before it"
        )
