"""Jacobians, Hessians and Hessian-vector products. See `grad.py` for what all transformations have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, overload

from .. import ops
from ..arguments_of import arguments_of
from ..backend import backend_of
from ..engine import modes
from ..engine.tensor import Tensor
from ..pytree import tree_unflatten
from .argnums import Argnums, check_options, directions, is_single, on_tape, positions_of, recorded_pullback, split_aux
from .derivative_types import Derivative
from .tracing import Trace, pull, zeros_like


@overload
def jacobian(
    function: Callable[..., Any],
    argnums: Literal[0] = 0,
    has_aux: Literal[False] = False,
    create_graph: bool | None = None,
) -> Derivative: ...
@overload
def jacobian(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, create_graph: bool | None = None
) -> Callable[..., Any]: ...
def jacobian(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, create_graph: bool | None = None
) -> Callable[..., Any]:
    """Return the function that computes all derivatives of all results of `function`.

    Many backward passes run over one graph. With no more results (numbers, in total) than inputs, one pass for each
    result gives a row. With fewer inputs, or complex results, the backward pass g ↦ Jᵀg is recorded, and one pass over
    it for each input gives a column (see `jvp`).

    >>> import minigrad as mg
    >>> mg.jacobian(lambda x: x * x)(mg.tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]

    Args:
        function: returns a tensor or a tree of them, or with `has_aux` a pair of that and any other results.
        argnums: the position of the argument to differentiate with respect to, or several.
        has_aux: the new function returns (derivatives, other results).
        create_graph: whether the result can be differentiated again. None: with respect to all on the tape that it
            depends on but the parameters differentiated here; True: to those too; False: it is off the tape.

    Returns:
        A function of the same arguments. Its result is the structure of the value, with the structure of the argument
        in each tensor's place (a tuple of these for several `argnums`), where each tensor has the shape
        (*result's shape, *input's shape). With `has_aux` it is a pair of this and the function's other results.

    Raises (from that function):
        TypeError: something in the arguments at `argnums`, or the value, is not a floating-point number.
        ValueError: `argnums` is out of range.
    """
    check_options("jacobian", function, argnums, has_aux, create_graph)

    @functools.wraps(function, assigned=("__module__", "__name__", "__qualname__"), updated=())
    def derivatives(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of("jacobian", function, argnums, len(args))
        run = Trace("jacobian", function, args, kwargs, positions, create_graph)
        value, aux = split_aux(run, has_aux)
        outputs, structure = run.tensors(value)
        fewer_inputs = sum(x.size for x in run.inputs) < sum(y.size for y in outputs)
        # One backward pass gives only the real part of a complex result's row.
        by_columns = fewer_inputs or any(y.dtype.kind == "c" for y in outputs)
        with modes.recording(run.recorded):
            blocks = _columns(run, outputs) if by_columns else _rows(run, outputs)
        rows = [run.split(run.outward_gradients(row), plain=True) for row in blocks]
        result = tree_unflatten(structure, [row[0] if is_single(argnums) else tuple(row) for row in rows])
        return (result, run.outward(aux)) if has_aux else result

    return derivatives


@overload
def hessian(function: Callable[..., Any], argnums: Literal[0] = 0, create_graph: bool | None = None) -> Derivative: ...
@overload
def hessian(
    function: Callable[..., Any], argnums: Argnums = 0, create_graph: bool | None = None
) -> Callable[..., Any]: ...
@arguments_of(jacobian)
def hessian(function: Callable[..., Any], argnums: Argnums = 0, create_graph: bool | None = None) -> Callable[..., Any]:
    """Return the function that computes all second derivatives of `function`: the jacobian of the jacobian.

    For a scalar of n inputs this is a recorded backward pass, over which n further ones run.

    >>> import minigrad as mg
    >>> mg.hessian(lambda x: x[0] ** 2 * x[1])(mg.tensor([3.0, 5.0])).tolist()
    [[10.0, 6.0], [6.0, 0.0]]

    Args:
        function: returns a tensor or a tree of them.

    Returns:
        A function of the same arguments. Its result is as that of `jacobian`, with the structure of the argument twice,
        and tensors of shape (*result's shape, *input's shape, *other input's shape).
    """
    check_options("hessian", function, argnums, create_graph=create_graph)
    first = jacobian(function, argnums, create_graph=create_graph)
    return jacobian(first, argnums, create_graph=create_graph)


@arguments_of(jacobian, sections=())
def hvp(function: Callable[..., Any], primals: Any, vector: Any, create_graph: bool | None = None) -> Any:
    """Compute the Hessian of a scalar `function` times a vector, without forming the Hessian.

    Two backward passes, one recorded: H is symmetric, so the pullback of v through the gradient is H·v. Costs about
    three to five times the forward pass, for any number of inputs.

    >>> import minigrad as mg
    >>> mg.hvp(lambda x: (x**3).sum(), mg.tensor([1.0, 2.0]), mg.tensor([1.0, 10.0])).tolist()
    [6.0, 120.0]

    Args:
        function: of trees; returns a scalar tensor.
        primals: the function's arguments in a tuple or list; anything else is its only argument.
        vector: of the primals' structure and shapes; for a module a dict by its parameters' names.

    Returns:
        A tuple of products, one for each primal; for an only argument that was not in a tuple or list, its product.

    Raises:
        ValueError: the vector has another structure or shape, or the function's result is not a scalar.
        TypeError: something in the primals, or the result, is not a floating-point number.
    """
    check_options("hvp", function, create_graph=create_graph)
    several = isinstance(primals, (tuple, list))
    args, along = (list(primals), vector) if several else ([primals], [vector])
    if several and (not isinstance(vector, (tuple, list)) or len(vector) != len(args)):
        got = len(vector) if isinstance(vector, (tuple, list)) else type(vector).__name__
        raise ValueError(f"hvp: vector: got {got}, want one for each of {len(args)} primals")
    run = Trace("hvp", function, args, {}, range(len(args)), create_graph)
    vs = directions("hvp", "vector", run, along, several)
    run.record_if_on_tape(vs)
    value = run.scalar(run.result)
    back = run.pull_back([value], [None], create_graph=True)
    products = run.split(run.outward_gradients(run.gradients(*on_tape(back, vs), run.recorded)), plain=True)
    return tuple(products) if several else products[0]


def _units(x: Tensor) -> Iterator[Tensor]:
    """Yield the unit vectors of x's shape."""
    xp = backend_of(x._array).xp
    for k in range(x.size):
        unit = xp.zeros(x.size, dtype=x.dtype)
        unit[k] = 1
        yield Tensor(unit.reshape(x.shape))


def _rows(run: Trace, outputs: Sequence[Tensor]) -> list[list[Tensor]]:
    """A block of the jacobian for each output and input, by a backward pass for each number of the output."""
    blocks = []
    for y in outputs:
        rows = [run.gradients([y], [unit], run.recorded, retain=True) for unit in _units(y)]
        parts = zip(*rows) if rows else [()] * len(run.inputs)
        blocks.append([_stacked(list(part), y, x) for part, x in zip(parts, run.inputs)])
    return blocks


def _columns(run: Trace, outputs: Sequence[Tensor]) -> list[list[Tensor]]:
    """A block of the jacobian for each output and input, by a backward pass for each number of the input."""
    weights, back = recorded_pullback(run, outputs)
    blocks: list[list[Tensor]] = [[] for _ in outputs]
    for x, g in zip(run.inputs, back):
        columns = []
        for unit in _units(x):
            products = pull(run.caller, *on_tape([g], [unit]), weights, run.recorded, retain=True)
            columns.append([zeros_like(y) if p is None else p for y, p in zip(outputs, products)])
        parts = zip(*columns) if columns else [()] * len(outputs)
        for block, part, y in zip(blocks, parts, outputs):
            block.append(_stacked(list(part), x, y, last=True))
    return blocks


def _stacked(parts: list[Tensor], along: Tensor, of: Tensor, last: bool = False) -> Tensor:
    """Parts of shape `of`, one for each number of `along`, as one tensor with the axes of `along` first, or last."""
    if not parts:
        xp = backend_of(of._array).xp
        return Tensor(xp.zeros((*of.shape, *along.shape) if last else (*along.shape, *of.shape), dtype=of.dtype))
    if last:
        return ops.reshape(ops.stack(parts, axis=-1), (*of.shape, *along.shape))
    return ops.reshape(ops.stack(parts), (*along.shape, *of.shape))
