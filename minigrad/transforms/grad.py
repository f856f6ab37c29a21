"""Derivatives of functions: of any trees of tensors, arrays, numbers and modules, to any order.

These rules hold for all transformations:

- Every tensor, array and Python number in a differentiated argument is a variable, which the function receives as a
  tensor (float64 for a Python number, as in NumPy; arrays and NumPy's numbers keep their dtype). A module is passed
  as a copy with variables for parameters (what `forward` assigns to its attributes stays in the copy). In a result a
  dict by the parameters' names stands in the module's place; `tree_map` accepts it beside the module, and
  `assign_gradients` passes it to an optimizer. Frozen parameters stay constants: their derivative is zero. Other
  arguments are passed unchanged.
- Arrays in, arrays out: a derivative with respect to an array or a number is an array (a NumPy scalar if it has no
  axes), one with respect to a tensor or a parameter a tensor, each in its place in the tree. Other results, such as the
  value, are arrays if no tensor is among the arguments. What stays on the tape, by the next rule, is a tensor.
- Nesting is exact, and so are references to tensors on the caller's tape: a result can be differentiated again with
  respect to whatever it depends on. For that the backward pass is recorded, at two to four times its cost, but only
  where there is something on the tape to depend on: an argument, or a tensor that the function refers to. Parameters
  that are differentiated do not count, so that a training step is a plain backward pass; `create_graph=True` counts
  them too, for a penalty on a module's gradient. With `create_graph=False`, or under `no_grad`, nothing counts, and
  results are off the tape.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, overload

from ..arguments_of import arguments_of
from ..backend import backend_of
from ..engine import modes
from ..engine.tape import Leaf, deposit
from ..engine.tensor import Tensor
from ..pytree import flatten_with_paths, match_structure, tree_unflatten
from ..validation import as_tensor
from .argnums import (
    Argnums,
    check_options,
    directions,
    is_single,
    match_leaves,
    on_tape,
    positions_of,
    recorded_pullback,
    split_aux,
)
from .derivative_types import Derivative, ValueAndDerivative
from .tracing import Trace, function_name, holds_tensor, pull, zeros_like


@overload
def grad(
    function: Callable[..., Any],
    argnums: Literal[0] = 0,
    has_aux: Literal[False] = False,
    create_graph: bool | None = None,
) -> Derivative: ...
@overload
def grad(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, create_graph: bool | None = None
) -> Callable[..., Any]: ...
def grad(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, create_graph: bool | None = None
) -> Callable[..., Any]:
    """Return the function that computes the gradient of a scalar `function`.

    >>> import minigrad as mg
    >>> mg.grad(lambda x: x**3)(2.0).item()
    12.0
    >>> mg.grad(mg.grad(lambda x: x**3))(2.0).item()
    12.0
    >>> {name: g.item() for name, g in mg.grad(lambda p: p["w"] * p["b"])({"w": 2.0, "b": 3.0}).items()}
    {'w': 3.0, 'b': 2.0}

    Args:
        function: returns a scalar tensor, or with `has_aux` a pair of it and any other results.
        argnums: the position of the argument to differentiate with respect to, or several.
        has_aux: the gradient function returns (gradient, other results).
        create_graph: whether the result can be differentiated again. None: with respect to all on the tape that it
            depends on but the parameters differentiated here; True: to those too; False: it is off the tape.

    Returns:
        A function of the same arguments. Its result has the structure of the argument, with a dict by name for a
        module; for several `argnums` it is a tuple of these.

    Raises (from that function):
        TypeError: something in the arguments at `argnums`, or the result, is not a floating-point number.
        ValueError: `argnums` is out of range, or the result is not a scalar.
    """
    both = _value_and_grad("grad", function, argnums, has_aux, create_graph)

    @functools.wraps(function, assigned=("__module__", "__name__", "__qualname__"), updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return gradient


@overload
def value_and_grad(
    function: Callable[..., Any],
    argnums: Literal[0] = 0,
    has_aux: Literal[False] = False,
    create_graph: bool | None = None,
) -> ValueAndDerivative: ...
@overload
def value_and_grad(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, create_graph: bool | None = None
) -> Callable[..., Any]: ...
@arguments_of(grad)
def value_and_grad(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, create_graph: bool | None = None
) -> Callable[..., Any]:
    """Return the function that computes (value, gradient), or ((value, other results), gradient) with `has_aux`.

    >>> import numpy as np, minigrad as mg
    >>> model = mg.nn.Linear(2, 1)
    >>> x, y = np.ones((4, 2), np.float32), np.zeros((4, 1), np.float32)
    >>> loss, gradients = mg.value_and_grad(lambda m: mg.mse(m(x), y))(model)
    >>> sorted(gradients)
    ['bias', 'weight']

    Args:
        has_aux: the new function returns ((value, other results), gradient).

    Returns:
        A function of the same arguments. The gradient has the structure of the argument, with a dict by name for a
        module; for several `argnums` it is a tuple of these.
    """
    both = _value_and_grad("value_and_grad", function, argnums, has_aux, create_graph)
    return functools.wraps(function, assigned=("__module__", "__name__", "__qualname__"), updated=())(both)


def _value_and_grad(
    caller: str, function: Callable[..., Any], argnums: Argnums, has_aux: bool, create_graph: bool | None
) -> Callable[..., Any]:
    check_options(caller, function, argnums, has_aux, create_graph)

    def both(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of(caller, function, argnums, len(args))
        run = Trace(caller, function, args, kwargs, positions, create_graph)
        value, aux = split_aux(run, has_aux)
        gradients = run.gradients([run.scalar(value)], [None], run.recorded)
        grads = run.split(run.outward_gradients(gradients), plain=True)
        value = run.outward(value)
        return (value, run.outward(aux)) if has_aux else value, grads[0] if is_single(argnums) else tuple(grads)

    return both


@overload
def elementwise_grad(
    function: Callable[..., Any], argnums: Literal[0] = 0, create_graph: bool | None = None
) -> Derivative: ...
@overload
def elementwise_grad(
    function: Callable[..., Any], argnums: Argnums = 0, create_graph: bool | None = None
) -> Callable[..., Any]: ...
@arguments_of(grad)
def elementwise_grad(
    function: Callable[..., Any], argnums: Argnums = 0, create_graph: bool | None = None
) -> Callable[..., Any]:
    """Return the function that computes the derivative of each value of `function`, where each depends on one input.

    It is the gradient of the sum of all results, in one backward pass: for a function that acts on each number by
    itself, such as `tanh`, the diagonal of the jacobian. Where a result depends on several numbers, each number gets
    the sum of its derivatives.

    >>> import minigrad as mg
    >>> slope = mg.elementwise_grad(mg.tanh)
    >>> slope(mg.tensor([0.0, 1.0])).numpy().round(3).tolist()
    [1.0, 0.41999998688697815]

    Args:
        function: returns a real tensor of any shape, or a tree of them.

    Returns:
        A function of the same arguments. Its result has the structure and shapes of the argument, with a dict by name
        for a module; for several `argnums` it is a tuple of these.

    Raises (from that function):
        TypeError: something in the arguments at `argnums`, or the result, is not a real floating-point number.
        ValueError: `argnums` is out of range.
    """
    check_options("elementwise_grad", function, argnums, create_graph=create_graph)

    @functools.wraps(function, assigned=("__module__", "__name__", "__qualname__"), updated=())
    def slopes(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of("elementwise_grad", function, argnums, len(args))
        run = Trace("elementwise_grad", function, args, kwargs, positions, create_graph)
        outputs, _ = run.tensors(run.result)
        for y in outputs:
            if y.dtype.kind == "c":
                name = function_name(function)
                raise TypeError(f"elementwise_grad: {name} returned dtype {y.dtype}, want real numbers")
        seeds = [Tensor(backend_of(y._array).xp.ones(y.shape, dtype=y.dtype)) for y in outputs]
        grads = run.split(run.outward_gradients(run.gradients(outputs, seeds, run.recorded)), plain=True)
        return grads[0] if is_single(argnums) else tuple(grads)

    return slopes


def vjp(
    function: Callable[..., Any], *primals: Any, has_aux: bool = False, create_graph: bool | None = None
) -> tuple[Any, ...]:
    """Return the value of `function(*primals)`, and its pullback g ↦ Jᵀg, which may be called any number of times.

    The pullback keeps the graph alive. Called with a g that is on the tape it is recorded.

    >>> import minigrad as mg
    >>> value, pullback = mg.vjp(lambda x, y: (x * y, x + y), 2.0, 5.0)
    >>> [y.item() for y in value]
    [10.0, 7.0]
    >>> [g.item() for g in pullback((1.0, 100.0))]
    [105.0, 102.0]

    Args:
        function: of trees; returns a tensor or a tree of them, or with `has_aux` a pair of that and other results.
        primals: its arguments, all of which are differentiated.
        has_aux: whether `function` returns other results too.
        create_graph: whether the result can be differentiated again. None: with respect to all on the tape that it
            depends on but the parameters differentiated here; True: to those too; False: it is off the tape.

    Returns:
        (value, pullback), and the other results with `has_aux`. The pullback takes a tree of the value's structure
        and shapes and returns a tuple of gradients, one for each primal.

    Raises:
        TypeError: something in the primals or the value is no floating-point number.
        ValueError: the pullback's argument has another structure or shape than the value.
    """
    check_options("vjp", function, has_aux=has_aux, create_graph=create_graph)
    run = Trace("vjp", function, primals, {}, range(len(primals)), create_graph)
    value, aux = split_aux(run, has_aux)
    outputs, structure = run.tensors(value)
    shapes = flatten_with_paths(value)[0]

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        seeds = match_leaves("vjp", "cotangent", structure, cotangent, shapes, "the value")
        recorded = run.recorded
        if create_graph is None and modes.mode().recording and any(g.node is not None for g in seeds):
            run.tie()
            recorded = True
        gradients: Sequence[Any] = run.gradients(outputs, seeds, recorded, retain=True)
        return tuple(run.split(gradients if recorded else run.outward_gradients(gradients), plain=True))

    return (run.outward(value), pullback, run.outward(aux)) if has_aux else (run.outward(value), pullback)


def jvp(function: Callable[..., Any], primals: Any, tangents: Any, create_graph: bool | None = None) -> tuple[Any, Any]:
    """Return the value of `function(*primals)` and its derivative along `tangents`, J·v.

    Two backward passes: g ↦ Jᵀg is linear in g, so its own derivative with respect to g, along v, is J·v. It works
    through everything that `create_graph` works through, fused sequences included, and costs about three to five times
    the forward pass, at the memory of a recorded backward pass.

    >>> import minigrad as mg
    >>> y, dy = mg.jvp(lambda x: x * x, [mg.tensor([3.0, 4.0])], [mg.tensor([1.0, 10.0])])
    >>> y.tolist(), dy.tolist()
    ([9.0, 16.0], [6.0, 80.0])

    Args:
        function: of trees; returns a tensor or a tree of them.
        primals: its arguments in a tuple or list: trees of floating-point tensors, arrays and numbers. Anything else is
            its only argument.
        tangents: one for each primal, of its structure and shapes; for a module a dict by its parameters' names.
        create_graph: whether the result can be differentiated again. None: with respect to all on the tape that it
            depends on but the parameters differentiated here; True: to those too; False: it is off the tape.

    Returns:
        (value, derivative), two trees of one structure.

    Raises:
        ValueError: another number of tangents than primals, or one of another structure or shape.
        TypeError: something in the primals or the value is no floating-point number.
    """
    check_options("jvp", function, create_graph=create_graph)
    if not isinstance(primals, (tuple, list)):
        primals, tangents = [primals], [tangents]
    elif not isinstance(tangents, (tuple, list)):
        raise ValueError(f"jvp: tangents: got {type(tangents).__name__}, want one for each of {len(primals)} primals")
    if len(primals) != len(tangents):
        raise ValueError(f"jvp: tangents: got {len(tangents)}, want one for each of {len(primals)} primals")
    run = Trace("jvp", function, list(primals), {}, range(len(primals)), create_graph)
    run.without_tensors = run.without_tensors and not holds_tensor(tangents)
    along = directions("jvp", "tangents", run, tangents)
    run.record_if_on_tape(along)
    outputs, structure = run.tensors(run.result)
    weights, back = recorded_pullback(run, outputs)
    products = pull("jvp", *on_tape(back, along), weights, run.recorded)
    derivative = [zeros_like(y) if p is None else p for y, p in zip(outputs, products)]
    return run.outward(run.result), run.outward(tree_unflatten(structure, derivative))


def assign_gradients(tree: Any, gradients: Any) -> None:
    """Set the `.grad` of every parameter in a tree to the gradient that a transformation computed for it.

    >>> import numpy as np, minigrad as mg
    >>> model = mg.nn.Linear(2, 1)
    >>> optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    >>> x = np.ones((4, 2), np.float32)
    >>> loss, gradients = mg.value_and_grad(lambda m: (m(x) ** 2).mean())(model)
    >>> mg.assign_gradients(model, gradients)
    >>> optimizer.step()

    Args:
        tree: a module, or a tree of modules and tensors. Frozen parameters and constants are skipped.
        gradients: as `grad` returns them for it.

    Raises:
        ValueError: the gradients have another structure, or one has another shape than its parameter.
        TypeError: one has another dtype or backend. After an error no `.grad` has changed.
    """
    leaves, structure = flatten_with_paths(tree)
    grads = match_structure("assign_gradients", "gradients", structure, gradients)
    for (path, x), g in zip(leaves, grads):
        if isinstance(x, Tensor) and isinstance(g, Tensor) and g.shape != x.shape:
            raise ValueError(f"assign_gradients: gradients{path}: got shape {g.shape}, want {x.shape}")
    items = []
    for (_, x), g in zip(leaves, grads):
        if isinstance(x, Tensor) and type(x.node) is Leaf:
            x.check_grad(g := g if g is None else as_tensor("assign_gradients", "gradients", g))
            items.append((x.node, g))
    deposit(items, lambda items: [g for _, g in items])
