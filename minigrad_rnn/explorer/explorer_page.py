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
from minigrad.validation import as_array, as_tensor, check_path, check_text

from ..classics.base import Classic
from ..networks.recurrence import Recurrence
from ..seq2seq.encoder_decoder import EncoderDecoder
from ..seq2seq.io_shapes import ManyToMany, ManyToOne, parts_of
from .divergence_gradient import divergence_gradient
from .html_page import html_page
from .recording import Recording, record
from .step_order import step_order
from .unrolled import Unrolled
from .unrolled_classic import unrolled_classic
from .unrolled_encoder_decoder import unrolled_encoder_decoder
from .unrolled_recurrence import unrolled_recurrence

MOST_STEPS = 2000
"""Time steps up to which a page is written."""
MOST_BYTES = 30_000_000
"""Bytes of values and gradients up to which a page is written."""
FULL_BYTES = 1_500_000
"""Bytes of contributions that a page holds in full; of those beyond it holds the norms."""
LOSS_TERMS, LOSS_STEPS = (16, 64), 20_000
"""Loss terms with a row in the heat map, at least and at most: so many that their backward passes have LOSS_STEPS steps
together."""
DRAWN = "a recurrence (RNN, LSTM, …), alone or in ManyToMany or ManyToOne, a classic (Elman, …) or an EncoderDecoder"


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

    The model is copied and runs op by op, in evaluation, in its own dtype; nothing of it changes. A frozen parameter is
    shown with the gradient that it would have. The numbers on the
    page are those of that tape, bit by bit.

    Args:
        model: a `Recurrence`, alone or in `ManyToMany` or `ManyToOne`; a classic: `Elman`, `Jordan`, `StateSpace`,
            `NARX` (which is fed its own outputs), `TDNN`, `GeneralRecurrence`; or an `EncoderDecoder`.
        xs: the sequences, in the model's layout; for an encoder-decoder the pair (source, tokens fed to the decoder).
            At most 2,000 steps.
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
        ValueError: T above 2,000, values of more than 30 MB, a shape that does not fit, zoneout, an unknown loss.
        OSError: the file cannot be written.
    """
    check_path("explore", path=path)
    if title is not None:
        check_text("explore", title=title)
    with mg.enable_grad():
        recording = recorded(model, xs, targets, loss, state, reduction)
    name = type(model).__name__
    page = html_page(recording, name if title is None else title, _described(model))
    write_text("explore", "path", path, page)


def recorded(
    model: Any, xs: Any, targets: Any, loss: Any = None, state: Any = None, reduction: str = "mean"
) -> Recording:
    """The numbers of a page: see `explore`."""
    if not isinstance(model, (Recurrence, ManyToMany, ManyToOne, Classic, EncoderDecoder)):
        got = type(model).__name__ if not isinstance(model, type) else f"the class {model.__name__}"
        raise TypeError(f"explore: model: got {got}, want {DRAWN}")
    own = copy.deepcopy(model)
    own.eval()
    own.requires_grad_(True)
    for part in own.modules():
        if isinstance(part, Recurrence) and any(part.zoneout):
            raise ValueError(
                f"explore: model: got zoneout={part.zoneout}, which no drawing shows; want a model without"
            )
    d = as_array(targets, "explore", "targets")
    if isinstance(own, EncoderDecoder):
        unrolled, d = _encoder_decoder(own, xs, state, d)
    else:
        unrolled, d = _series(own, xs, state, d)
    _check_bytes(unrolled)
    found = divergence_gradient(loss, unrolled.output, d, reduction)
    least, most = LOSS_TERMS
    terms = max(least, min(most, LOSS_STEPS // len(unrolled.columns)))
    return record(unrolled, found, step_order(unrolled), FULL_BYTES, terms)


def _series(model: Recurrence | ManyToMany | ManyToOne | Classic, xs: Any, state: Any, d: Any) -> tuple[Unrolled, Any]:
    """A model of one series, unrolled, and the targets time first."""
    batch_first = (model.recurrence if isinstance(model, (ManyToMany, ManyToOne)) else model).batch_first
    x = as_array(xs, "explore", "xs")
    unbatched = x.ndim == 2
    if x.ndim not in (2, 3):
        raise ValueError(f"explore: xs: got shape {tuple(x.shape)}, want three axes, or two without a batch")
    x = x[:, None] if unbatched else x.swapaxes(0, 1) if batch_first else x
    _check_steps(x.shape[0])
    if unbatched and state is not None:
        parts = [part if part is None else as_tensor("explore", "state", part)[:, None] for part in parts_of(state)]
        state = tuple(parts) if len(parts) > 1 else parts[0]
    if isinstance(model, ManyToOne):
        d = d[None, None] if unbatched else d[None]
    elif unbatched and d.ndim:
        d = d[:, None]
    elif batch_first and d.ndim > 1:
        d = d.swapaxes(0, 1)
    leaf = _leaf(x)
    if isinstance(model, Classic):
        return unrolled_classic(model, leaf, state), d
    return unrolled_recurrence(model, leaf, state), d


def _encoder_decoder(model: EncoderDecoder, xs: Any, state: Any, d: Any) -> tuple[Unrolled, Any]:
    """An encoder-decoder, unrolled, and the targets time first."""
    if not isinstance(xs, (tuple, list)) or len(xs) != 2:
        got = f"{len(xs)} parts" if isinstance(xs, (tuple, list)) else type(xs).__name__
        raise TypeError(f"explore: xs: got {got}, want the pair (source, tokens fed to the decoder)")
    if state is not None:
        raise ValueError("explore: state: got one, want None: an encoder-decoder starts from its encoder")
    source, fed = (as_array(part, "explore", "xs") for part in xs)
    if model.batch_first:
        source, fed, d = (a.swapaxes(0, 1) if a.ndim > 1 else a for a in (source, fed, d))
    if fed.ndim != 2 or fed.dtype.kind not in "iu":
        raise ValueError(f"explore: xs: got tokens of dtype {fed.dtype} and shape {tuple(fed.shape)}, want ids (T, B)")
    ids = model.encoder.embedding is not None
    if source.ndim != (2 if ids else 3) or not source.size or source.shape[1] != fed.shape[1]:
        want = f"({'S, B' if ids else 'S, B, E'}) with B = {fed.shape[1]}"
        raise ValueError(f"explore: xs: got a source of shape {tuple(source.shape)}, want {want}")
    _check_steps(source.shape[0] + fed.shape[0])
    return unrolled_encoder_decoder(model, source if ids else _leaf(source), fed), d


def _leaf(x: Any) -> Tensor:
    return mg.tensor(x, requires_grad=x.dtype.kind == "f", backend=None if isinstance(x, np.ndarray) else backend_of(x))


def _described(model: nn.Module) -> str:
    """The model in one line, with its parts where it has no options of its own."""
    options = model.extra_repr()
    parts = [] if options else [f"{name}: {_described(part)}" for name, part in model.named_children()]
    return f"{type(model).__name__}({options or ', '.join(parts)})"


def _check_steps(T: int) -> None:
    if T > MOST_STEPS:
        raise ValueError(
            f"explore: xs: got T = {T} steps, want at most {MOST_STEPS}; pass a part of the sequence, such as its last "
            f"{MOST_STEPS} steps, and as state= what the model returned before it"
        )


def _check_bytes(unrolled: Unrolled) -> None:
    """Raise ValueError if all values and their gradients are too many for a page."""
    spots = [spot for lane in unrolled.lanes for q in lane.quantities for spot in q.spots.values()]
    sizes = [spot.tensor.size // (1 if spot.step is None else spot.tensor.shape[0]) for spot in spots]
    nbytes = 2 * sum(sizes) * unrolled.output.dtype.itemsize
    if nbytes > MOST_BYTES:
        got = f"values of {nbytes / 1e6:.0f} MB for B = {unrolled.output.shape[1]} sequences"
        raise ValueError(
            f"explore: xs: got {got}, want at most {MOST_BYTES / 1e6:.0f}; "
            "pass fewer sequences, such as xs[:, :1], or steps"
        )
