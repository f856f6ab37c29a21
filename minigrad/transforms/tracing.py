"""Run a function on variables of its own, and compute gradients from its results to these variables.

A transformation never differentiates with respect to the tensors in its arguments. It makes a variable for each: a node
of the same value, newer than everything recorded before. The backward pass ends at these nodes, so a function may refer
to anything else on the tape, its caller's variables included, and derivatives with respect to one never mix with those
with respect to another. A variable may be tied to the tensor it stands for; then a recorded backward pass can be
differentiated again with respect to that tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..backend import backend_of, fingerprint, is_array
from ..differentiate import run_backward
from ..engine import modes, tape
from ..engine.gradient_pool import PerStepSum
from ..engine.mutation import fingerprint_saved
from ..engine.primitive import JointRule, record
from ..engine.tensor import Parameter, Tensor, tensor
from ..foreign_arrays import type_name
from ..pytree import TreeDef, flatten_with_paths, tree_flatten, tree_map, tree_unflatten

Array = Any


class Variable(tape.Leaf):
    """The node of a transformation's variable. The user, who did not create it, does not see it as a leaf."""

    __slots__ = ()

    def tie(self, node: tape.Node) -> None:
        """Pass gradients on to the node that the variable stands for."""
        self.parents, self.rules = (node,), (_pass_on,)


def _pass_on(xp: Any, g: Any) -> Any:
    return g


def variable_like(shape: tuple[int, ...], dtype: Any, xp: Any, node: tape.Node | None = None) -> Variable:
    """Return a new node, tied to `node` if there is one."""
    entry = Variable()
    entry.serial = next(tape.serials)
    entry.op, entry.parents, entry.rules, entry.saved, entry.sources = "variable", (), (), (), ()
    entry.shape, entry.dtype, entry.xp, entry.time_step = shape, dtype, xp, None
    entry.grad, entry.written_at = None, 0
    if node is not None:
        entry.tie(node)
    return entry


def variable(x: Tensor, node: tape.Node | None = None) -> Tensor:
    """Return a tensor of x's value with a node of its own. Its array is a view, so that a write into x's is noticed."""
    return Tensor(x._array[...], variable_like(x.shape, x.dtype, backend_of(x._array).xp, node))


def constant(x: Tensor) -> Tensor:
    """Return a tensor of x's value off the tape, read-only on the host."""
    if x.node is None:
        return x
    array = x._array[...]
    if isinstance(array, np.ndarray):
        array.flags.writeable = False
    return Tensor(array)


def recorded_since(
    roots: Iterable[tape.Node], first: int, variables: Iterable[Tensor]
) -> tuple[list[tape.Node], dict[int, tape.Node]]:
    """Return what `roots` were computed from: the nodes recorded from serial `first` on, and the nearest older ones.

    Leaves count as older wherever they come from. The nodes of `variables` count as neither.
    """
    seen = {v.node.serial for v in variables if v.node is not None}
    inner: list[tape.Node] = []
    outer: dict[int, tape.Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        serial = node.serial
        if serial in seen:
            continue
        seen.add(serial)
        if serial < first or type(node) is tape.Leaf:
            outer[serial] = node
            continue
        inner.append(node)
        for parent in node.parents:
            if parent is not None and parent.serial not in seen:
                stack.append(parent)
    return inner, outer


class _LazySteps:
    """The time steps of a contribution, computed on first use."""

    def __init__(self, by_time_step: Callable[[], Mapping[int | None, Any]]) -> None:
        self._by_time_step = by_time_step

    def __iter__(self) -> Iterator[int | None]:
        return iter(self._by_time_step())


def lazy_sum(
    total: Array,
    by_time_step: Callable[[], Mapping[int | None, Array]],
    norms: Callable[[], Mapping[int | None, float]] | None = None,
) -> PerStepSum:
    """Return the contribution of a whole computation, whose parts, or their norms, are computed if a ledger asks."""
    return PerStepSum(total, _LazySteps(by_time_step), lambda t: by_time_step()[t], norms)  # type: ignore[arg-type]


def summed_by_label(lines: Iterable[tuple[int | None, Array]]) -> dict[int | None, Array]:
    """Return the sums of the contributions with the same time step."""
    sums: dict[int | None, Array] = {}
    for t, g in lines:
        sums[t] = sums[t] + g if t in sums else g
    return sums


def function_name(function: Any) -> str:
    """Return a function's name for messages."""
    return str(getattr(function, "__name__", type(function).__name__))


def floating(caller: str, path: str, leaf: Any) -> Tensor:
    """Return a leaf of a differentiated argument as a tensor. A Python number becomes float64, as in NumPy.

    Raises:
        TypeError: it is not a floating-point number, array or tensor.
    """
    if type(leaf) is float or type(leaf) is int:
        return tensor(leaf, dtype=np.float64)
    kind = getattr(getattr(leaf, "dtype", None), "kind", "")
    numeric = isinstance(leaf, (Tensor, np.generic)) or is_array(leaf)
    if not numeric or kind != "f":
        got = f"{leaf.dtype} of shape {tuple(np.shape(leaf))}" if numeric and kind else type(leaf).__name__
        raise TypeError(
            f"{caller}: {path}: got {got}, want floating-point numbers to differentiate with respect to; leave the "
            'argument out of argnums, or make it a dataclass\'s field(metadata={"static": True})'
        )
    return leaf if isinstance(leaf, Tensor) else tensor(leaf)


def holds_tensor(tree: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in tree_flatten(tree)[0])


def copy_of(x: Tensor) -> Array:
    return backend_of(x._array).xp.array(x._array, copy=True)


def to_array(x: Tensor) -> Array:
    """The tensor's array; a NumPy scalar if it has no axes, as NumPy's functions return."""
    return x._array if x.ndim else x._array[()]


class Trace:
    """The result of `function(*args, **kwargs)`, recorded with variables in place of the arguments at `positions`.

    Args:
        caller: the transformation's name, for messages.
        create_graph: whether backward passes are recorded. None: wherever their results depend on something on the
            tape other than Parameters among the arguments at `positions`.
    """

    def __init__(
        self,
        caller: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        positions: Sequence[int],
        create_graph: bool | None,
    ) -> None:
        self.caller, self.function = caller, function
        self.inputs: list[Tensor] = []
        self.trees: list[TreeDef] = []
        self._in_arrays: list[bool] = []
        for k in positions:
            leaves, tree = flatten_with_paths(args[k], path=f"argument {k}")
            self.trees.append(tree)
            self.inputs += [floating(caller, path, leaf) for path, leaf in leaves]
            self._in_arrays += [not isinstance(leaf, Tensor) for _, leaf in leaves]
        self.without_tensors = all(self._in_arrays) and not holds_tensor((*args, *kwargs.values()))
        self._automatic = create_graph is None
        self.recorded = bool(create_graph)
        recording = modes.mode().recording
        self.first = next(tape.serials)
        self.variables: list[Tensor] = []
        self._untied: list[tuple[Variable, tape.Node]] = []
        for x in self.inputs:
            node = x.node
            if node is None and isinstance(x, Parameter):  # frozen: stays a constant
                self.variables.append(x)
            elif node is None or create_graph is False or not (create_graph or recording):
                self.variables.append(variable(x))
            elif create_graph or not (isinstance(x, Parameter) and type(node) is tape.Leaf):
                self.variables.append(variable(x, node))
                self.recorded = True
            else:  # a trainable parameter: tied only if something else makes recording necessary
                self.variables.append(untied := variable(x))
                assert isinstance(untied.node, Variable)
                self._untied.append((untied.node, node))
        args = list(args)
        for k, part in zip(positions, self.split(self.variables)):
            args[k] = part
        running = tape.running_variables
        outer = running.get()
        token = running.set(outer.union(v.node.serial for v in self.variables if v.node is not None))
        try:
            with modes.recording(True):
                self.result = function(*args, **kwargs)
        finally:
            running.reset(token)
        if self._automatic and recording and not self.recorded:
            self.recorded = bool(self._outer())
        if self.recorded:
            self.tie()

    def _outer(self) -> dict[int, tape.Node]:
        roots = [t.node for t in tree_flatten(self.result)[0] if isinstance(t, Tensor) and t.node is not None]
        return recorded_since(roots, self.first, self.variables)[1]

    def record_if_on_tape(self, tensors: Sequence[Tensor]) -> None:
        """Record backward passes from now on if one of `tensors` is on the tape, and the choice was left open."""
        if self._automatic and modes.mode().recording and any(x.node is not None for x in tensors):
            self.recorded = True
            self.tie()

    def tie(self) -> None:
        """Let recorded backward passes be differentiated with respect to every input on the tape."""
        for entry, node in self._untied:
            entry.tie(node)
        self._untied = []

    def split(self, leaves: Sequence[Any], plain: bool = False) -> list[Any]:
        """Put leaves, one for each input, together to a tree for each position."""
        trees, start = [], 0
        for tree in self.trees:
            trees.append(tree_unflatten(tree, leaves[start : start + tree.num_leaves], plain))
            start += tree.num_leaves
        return trees

    def outward_gradients(self, gradients: Sequence[Tensor]) -> list[Any]:
        """Gradients, one for each input, as the caller receives them: an array where the input was none of ours."""
        if self.recorded:
            return list(gradients)
        return [to_array(g) if array else g for g, array in zip(gradients, self._in_arrays)]

    def outward(self, result: Any) -> Any:
        """A result as the caller receives it: off the tape unless backward passes are recorded.

        Then its tensors become arrays if the caller passed none.
        """
        if self.without_tensors and not self.recorded:
            return tree_map(lambda x: to_array(Tensor(copy_of(x))) if isinstance(x, Tensor) else x, result)
        own = {id(v.node): x for v, x in zip(self.variables, self.inputs) if v.node is not None}

        def free(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor) or leaf.node is None:
                return leaf
            if id(leaf.node) in own:
                return own[id(leaf.node)]
            return leaf if self.recorded else constant(leaf)

        return tree_map(free, result)

    def scalar(self, value: Any) -> Tensor:
        """Return `value` if it is a floating-point scalar.

        Raises:
            TypeError: not a floating-point tensor. ValueError: not a scalar.
        """
        name = function_name(self.function)
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{self.caller}: {name} returned {type_name(value)}, want a scalar Tensor, computed by minigrad's "
                "functions: no gradient flows through anything else"
            )
        if value.dtype.kind != "f":
            raise TypeError(f"{self.caller}: {name} returned dtype {value.dtype}, want a floating-point scalar")
        if value.size != 1:
            raise ValueError(
                f"{self.caller}: {name} returned shape {value.shape}, want a scalar; for other shapes use "
                "jacobian and vjp"
            )
        return value

    def tensors(self, result: Any) -> tuple[list[Tensor], TreeDef]:
        """The leaves of a result, all of which must be floating-point or complex tensors, and its structure."""
        leaves, tree = flatten_with_paths(result)
        for path, leaf in leaves:
            if not isinstance(leaf, Tensor) or leaf.dtype.kind not in "fc":
                got = leaf.dtype if isinstance(leaf, Tensor) else type(leaf).__name__
                raise TypeError(
                    f"{self.caller}: {function_name(self.function)} returned {got}{' at ' + path if path else ''}, "
                    "want a floating-point Tensor, computed by minigrad's functions"
                )
        return [leaf for _, leaf in leaves], tree

    def pull_back(
        self, outputs: Sequence[Tensor], seeds: Sequence[Tensor | None], create_graph: bool, retain: bool = False
    ) -> list[Tensor | None]:
        """Jᵀ·seeds for each variable; None where the outputs do not depend on it."""
        return pull(self.caller, outputs, seeds, self.variables, create_graph, retain)

    def gradients(
        self, outputs: Sequence[Tensor], seeds: Sequence[Tensor | None], create_graph: bool, retain: bool = False
    ) -> list[Tensor]:
        """As `pull_back`, with zeros in place of None."""
        grads = self.pull_back(outputs, seeds, create_graph, retain)
        return [zeros_like(x) if g is None else g for g, x in zip(grads, self.inputs)]


def record_outputs(
    name: str,
    inputs: Sequence[Any],
    outputs: Sequence[Array],
    rule: Callable[..., Any],
    time_step: int | None,
    outer: Sequence[tape.Node] = (),
    save_outputs: bool = False,
) -> list[Tensor]:
    """Record one node with these outputs and a joint rule, which saves the inputs; return the outputs.

    The inputs are tensors, or user-owned arrays: writes into these are noticed. `outer` are further parents.
    """
    arrays = [x._array if isinstance(x, Tensor) else x for x in inputs]
    parents = [*(x.node if isinstance(x, Tensor) else None for x in inputs), *outer]
    value = outputs[0] if len(outputs) == 1 else tuple(outputs)
    saved = (*arrays, *outputs) if save_outputs else tuple(arrays)
    sources = [*arrays, *(None for _ in outer)]
    xp = backend_of(outputs[0]).xp
    recorded: Any = record(name, tape.Node(), xp, value, saved, JointRule(rule), sources, parents, time_step)
    tensors = [recorded] if len(outputs) == 1 else list(recorded)
    fingerprint_saved(recorded, [x for x in inputs if not isinstance(x, Tensor)], fingerprint)
    return tensors


def zeros_like(x: Tensor) -> Tensor:
    return Tensor(backend_of(x._array).xp.zeros(x.shape, dtype=x.dtype))


def pull(
    caller: str,
    outputs: Sequence[Tensor],
    seeds: Sequence[Tensor | None],
    towards: Sequence[Tensor],
    create_graph: bool,
    retain: bool = False,
) -> list[Tensor | None]:
    """The gradients of `outputs`, weighted by `seeds`, with respect to `towards`; None where nothing depends on it."""
    live = [k for k, y in enumerate(outputs) if y.node is not None]
    targets = [None if x.node is None else x.node.serial for x in towards]
    if not live or not any(targets):
        return [None] * len(towards)
    grads = run_backward(
        caller,
        [outputs[k] for k in live],
        [seeds[k] for k in live],
        {serial for serial in targets if serial is not None},
        retain or create_graph,
        create_graph,
    )
    return [None if serial is None else grads.get(serial) for serial in targets]
