"""Compute gradients: into the leaves (`backward`), or as a result (`gradients`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from sys import getrefcount
from typing import Any

import numpy as np

from . import ops
from .backend import BY_ARRAY_TYPE, NUMPY, BackendError, backend_of, is_array
from .engine import backward_pass
from .engine.account import Account, Accounts
from .engine.backward_pass import Gradient
from .engine.modes import mode, run_recording
from .engine.tape import GraphError, deposit
from .engine.tensor import Operand, Tensor, tensor_view
from .validation import as_array, check_flag, check_type


def backward(output: Tensor, gradient: Operand = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Add d(output)/d(leaf) to the `.grad` of every leaf that `output` was computed from.

    The backward pass consumes the graph, so that memory falls as it runs, unless `retain_graph` keeps it for a second
    one. With `create_graph` the backward pass is itself recorded, and the new gradients can be differentiated again.

    Each `.grad` is a new tensor. All leaves receive theirs at once: after an error or Ctrl-C none has changed.

    Args:
        output: a tensor on the tape; a scalar unless `gradient` is given.
        gradient: d(objective)/d(output), of output's shape.

    Raises:
        ValueError: `output` is not a scalar and has no `gradient`, or `gradient` has another shape.
        GraphError: `output` is not on the tape, its graph was consumed before, or an array that a rule needs was
            written into.
    """
    if type(retain_graph) is not bool or type(create_graph) is not bool:
        check_flag("backward", retain_graph=retain_graph, create_graph=create_graph)
    retain = retain_graph or create_graph
    books = mode().ledgers
    opened = [book.open_pass() for book in books] if books else None
    accounts = None if opened is None else _by_serial(opened)
    gradient_of = _pooled_gradients("backward", [output], [gradient], None, retain, create_graph, accounts)
    deposit(gradient_of.values(), _recorded_sums if create_graph else _sums)
    if opened is not None:
        for book, own in zip(books, opened):
            book.close_pass(own)


def _by_serial(opened: Sequence[Mapping[int, Account]]) -> Accounts:
    """The accounts of several ledgers together."""
    return {serial: [own[serial] for own in opened if serial in own] for kept in opened for serial in kept}


def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> list[Tensor | None]:
    """Return d(sum of outputs)/d(input) for every input, leaf or not, without touching any `.grad`.

    Only what passes through the input itself counts. For the output of a recurrence, `gradients(loss, [output])`, this
    is the direct term, from the loss's own use of each h(t); what h(t) contributes through later steps stays inside
    the recurrence.

    >>> import minigrad as mg
    >>> x = mg.tensor([2.0, 3.0], requires_grad=True)
    >>> y = x * x
    >>> [g.tolist() for g in mg.gradients((y * y).sum(), [x, y])]
    [[32.0, 108.0], [8.0, 18.0]]

    Args:
        outputs: one or several tensors on the tape.
        inputs: tensors on the tape that the outputs may depend on.
        grad_outputs: d(objective)/d(output) for each output; optional for scalars.
        create_graph: record the backward pass, so that the results can be differentiated again.
        retain_graph: keep the graph for another backward pass; by default as `create_graph`.
        allow_unused: return None for an input that no output depends on, instead of raising.

    Raises:
        ValueError: as `backward`; or an input is unused and `allow_unused` is false.
        GraphError: as `backward`; or an input is not on the tape.
        TypeError: an output or input is no tensor.
    """
    outs, ins = _tensors("gradients", "outputs", outputs), _tensors("gradients", "inputs", inputs)
    if type(create_graph) is not bool or type(allow_unused) is not bool:
        check_flag("gradients", create_graph=create_graph, allow_unused=allow_unused)
    if retain_graph is not None:
        check_flag("gradients", retain_graph=retain_graph)
    if not (grad_outputs is None or isinstance(grad_outputs, Tensor)):
        check_type("gradients", (list, tuple), "a tensor or a list of them", grad_outputs=grad_outputs)
    seeds = [grad_outputs] if grad_outputs is None or isinstance(grad_outputs, Tensor) else list(grad_outputs)
    if grad_outputs is None:
        seeds = [None] * len(outs)
    if len(seeds) != len(outs):
        raise ValueError(f"gradients: grad_outputs: got {len(seeds)}, want one for each of {len(outs)} outputs")
    for k, x in enumerate(ins):
        if x.node is None:
            raise GraphError(f"gradients: inputs[{k}] of shape {x.shape} is not on the tape; requires_grad is off")
    wanted = {x.node.serial for x in ins if x.node is not None}
    retain = create_graph if retain_graph is None else retain_graph
    gradient_of = _pooled_gradients("gradients", outs, seeds, wanted, retain or create_graph, create_graph, None)
    results: list[Tensor | None] = []
    taken: set[int] = set()
    for k, x in enumerate(ins):
        assert x.node is not None
        item = gradient_of.get(x.node.serial)
        if item is None:
            if not allow_unused:
                raise ValueError(
                    f"gradients: inputs[{k}] of shape {x.shape} was not used to compute the outputs; "
                    "pass allow_unused=True to get None for it"
                )
            results.append(None)
        elif create_graph:
            results.append(_recorded_grad(item))
        else:
            if x.node.serial in taken:
                item = (item[0], item[1], False)
            taken.add(x.node.serial)
            results.append(Tensor(_owned_grad(item)))
    return results


def _tensors(caller: str, argument: str, values: Any) -> list[Tensor]:
    """Return one tensor, or a sequence of them, as a list. Raises TypeError for anything else."""
    if isinstance(values, Tensor):
        return [values]
    tensors: list[Any] = (
        list(values) if isinstance(values, Iterable) and not isinstance(values, (str, dict, np.ndarray)) else [None]
    )
    if not all(isinstance(x, Tensor) for x in tensors):
        raise TypeError(f"{caller}: {argument}: got {type(values).__name__}, want a tensor or a list of tensors")
    return tensors


def run_backward(
    caller: str,
    outputs: Sequence[Tensor],
    seeds: Sequence[Operand],
    wanted: set[int],
    retain: bool,
    create_graph: bool,
    ledger: Accounts | None = None,
) -> dict[int, Tensor]:
    """Return the gradients of the nodes with the `wanted` serials, in memory of their own; for other modules."""
    gradient_of = _pooled_gradients(caller, outputs, seeds, wanted, retain, create_graph, ledger)
    if create_graph:
        return {serial: _recorded_grad(item) for serial, item in gradient_of.items()}
    return {serial: Tensor(_owned_grad(item)) for serial, item in gradient_of.items()}


def _pooled_gradients(
    caller: str,
    outputs: Sequence[Tensor],
    seeds: Sequence[Operand],
    wanted: set[int] | None,
    retain: bool,
    create_graph: bool,
    ledger: Accounts | None,
) -> dict[int, Gradient]:
    roots = []
    for output, seed in zip(outputs, seeds):
        if output.node is None:
            raise GraphError(
                f"{caller}: the output of shape {output.shape} is not on the tape: nothing that it was computed from "
                "requires a gradient, or it was computed under no_grad or detached"
            )
        roots.append((output.node, _initial_grad(caller, output, seed, create_graph)))
    lift = Tensor if create_graph else None
    run = partial(backward_pass.run, roots, wanted=wanted, retain=retain, lift=lift, xp=ops, ledger=ledger)
    observer = mode().observer
    walk = run if observer is None else partial(observer.backward_pass, roots, run)
    try:
        return run_recording(create_graph, walk)
    except backward_pass.RecordingNeeded:
        return _by_recorded_pass(caller, outputs, seeds, wanted, retain, ledger)


def _by_recorded_pass(
    caller: str,
    outputs: Sequence[Tensor],
    seeds: Sequence[Operand],
    wanted: set[int] | None,
    retain: bool,
    ledger: Accounts | None,
) -> dict[int, Gradient]:
    """Return the gradients as arrays, by a backward pass that is recorded for the sake of a rule that needs limits."""
    recorded = _pooled_gradients(caller, outputs, seeds, wanted, True, True, ledger)
    if not retain:
        backward_pass.consume([y.node for y in outputs if y.node is not None], wanted)
    return {serial: (node, value._array, False) for serial, (node, value, _) in recorded.items()}


def _initial_grad(caller: str, output: Tensor, seed: Operand, create_graph: bool) -> Any:
    """Return the gradient that the backward pass starts with: 1 for a scalar, or the user's, checked."""
    backend = backend_of(output._array)
    if seed is None:
        if output.size != 1:
            raise ValueError(
                f"{caller}: got an output of shape {output.shape} and no gradient; want a scalar (such as its sum or "
                "mean), or a gradient of the same shape"
            )
        if backend is NUMPY:
            array = np.array(1, dtype=output.dtype).reshape(output.shape)  # at a third of the price of `ones`
        else:
            array = backend.xp.ones(output.shape, dtype=output.dtype)
        return Tensor(array) if create_graph else array
    if not isinstance(seed, Tensor):
        array = as_array(seed, caller, "gradient")
        seed = tensor_view(array) if is_array(seed) else Tensor(backend.from_numpy(array))
    if seed.shape != output.shape:
        raise ValueError(f"{caller}: gradient: got shape {seed.shape}, want the output's shape {output.shape}")
    if backend_of(seed._array) is not backend:
        raise BackendError(f"{caller}: gradient: is on {seed.backend}, the output on {backend.name}")
    if seed.dtype.kind == "c" and output.dtype.kind != "c":
        raise TypeError(f"{caller}: gradient: got dtype {seed.dtype}, want {output.dtype}")
    if seed.dtype != output.dtype:
        seed = ops.astype(seed, dtype=output.dtype)
    return seed if create_graph else seed._array


def _recorded_grad(item: Gradient) -> Tensor:
    """Return the gradient of a recorded backward pass. A constant one is copied, since it may be written into."""
    node, value, _ = item
    return value if value.node is not None else Tensor(node.xp.array(value._array, copy=True))


def _recorded_sums(items: Collection[Gradient]) -> list[Tensor]:
    leaves: Any = [item[0] for item in items]
    earlier = [leaf.grad for leaf in leaves]
    return [_recorded_grad(item) if g is None else g + item[1] for g, item in zip(earlier, items)]


def _sums(items: Collection[Gradient]) -> list[Tensor]:
    """Return the leaves' gradients with the earlier ones added. Those are only read: others may hold them."""
    grads = []
    leaf: Any
    for leaf, value, owned in items:
        earlier = leaf.grad
        # A borrowed array that nobody else holds any more: only its tuple, this loop and the call itself do.
        if not owned and type(value) is np.ndarray and getrefcount(value) <= 3 and value.base is None:
            flags = value.flags
            owned = flags.owndata and flags.writeable
        if not owned:
            value = leaf.xp.array(value, copy=True) if earlier is None else leaf.xp.asarray(earlier._array + value)
        elif type(value) not in BY_ARRAY_TYPE:
            value = leaf.xp.asarray(value if earlier is None else earlier._array + value)
        elif earlier is not None:
            value += earlier._array  # in the new gradient's memory
        grads.append(Tensor(value))
    return grads


def _owned_grad(item: Gradient) -> Any:
    """Return the gradient in memory of its own: a borrowed or broadcast array is copied."""
    node, value, owned = item
    if not owned:
        return node.xp.array(value, copy=True)
    return value if type(value) in BY_ARRAY_TYPE else node.xp.asarray(value)
