"""explore writes a page on which a model's forward pass, its BPTT and every shared weight's pool can be stepped."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.serialize.atomic_files import atomic_write
from minigrad.validation import as_array, check_path, check_text, check_type

from ..networks.recurrence import Recurrence
from ..seq2seq.io_shapes import ManyToMany, ManyToOne
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
DRAWN = "a recurrence such as RNN, LSTM or GRU, ManyToMany, ManyToOne"


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
    """Write one self-contained HTML page that shows a model's BPTT on `xs` step by step, with its own numbers."""
    recording = recorded(model, xs, targets, loss, state, reduction)
    name = type(model).__name__ if title is None else title
    page = html_page(recording, name, f"{type(model).__name__}({model.extra_repr()})")
    with atomic_write(path) as file:
        file.write(page)


def recorded(
    model: Any, xs: Any, targets: Any, loss: Any = None, state: Any = None, reduction: str = "mean"
) -> Recording:
    """The numbers of a page: see `explore`."""
    own = copy.deepcopy(model)
    own.eval()
    x = mg.tensor(np.asarray(xs), requires_grad=True)
    unrolled = unrolled_recurrence(own, x, state)
    found = divergence_gradient(loss, unrolled.output, targets, reduction)
    return record(unrolled, found, step_order(unrolled), FULL_BYTES, LOSS_TERMS)
