"""One application of a function to variables of its own, and walks from what it made to them.

A transformation never differentiates with respect to the tensors that it was given. It makes a variable of each: an
entry of the tape of the same value, younger than all that was there before. The walk goes to these entries and no
further, so a function may refer to anything else on the tape, its caller's variables too, and derivatives with respect
to one never mix with those to another. A variable may be tied to the tensor it stands for; then what is recorded of
the walk can be differentiated again with respect to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..backend import backend_of, is_array
from ..engine import tape
from ..engine.gradients import walk_back
from ..engine.tensor import Parameter, Tensor, tensor
from ..pytree import TreeDef, flatten_with_paths, tree_flatten, tree_unflatten

Array = Any


class Variable(tape.Leaf):
    """The entry of a transformation's variable: no leaf to the user, who did not make it."""

    __slots__ = ()

    def tie(self, node: tape.Node) -> None:
        """Let gradients pass on to the entry that the variable stands for."""
        self.parents, self.rules = (node,), (_pass_on,)


def _pass_on(xp: Any, g: Any) -> Any:
    return g


def variable_like(shape: tuple[int, ...], dtype: Any, xp: Any, node: tape.Node | None = None) -> Variable:
    """A new entry, tied to `node` if there is one."""
    made = Variable()
    made.serial = next(tape.serials)
    made.op, made.parents, made.rules, made.saved, made.sources = "variable", (), (), (), ()
    made.shape, made.dtype, made.xp, made.time_step = shape, dtype, xp, None
    made.grad, made.written_at = None, 0
    if node is not None:
        made.tie(node)
    return made


def variable(x: Tensor, node: tape.Node | None = None) -> Tensor:
    """A tensor of x's value with an entry of its own. Its array is a view, so that a write into x's is noticed."""
    return Tensor(x._data[...], variable_like(x.shape, x.dtype, backend_of(x._data).xp, node))


def constant(x: Tensor) -> Tensor:
    """A tensor of x's value off the tape, through which x's array cannot be written into."""
    if x.node is None:
        return x
    array = x._data[...]
    if isinstance(array, np.ndarray):
        array.flags.writeable = False
    return Tensor(array)


def recorded_since(
    roots: Iterable[tape.Node], first: int, variables: Iterable[Tensor]
) -> tuple[list[tape.Node], dict[int, tape.Node]]:
    """What `roots` were computed from: the entries recorded from serial `first` on, and the nearest older ones.

    Leaves count as older wherever they come from. The entries of `variables` count as neither.
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


def function_name(function: Any) -> str:
    """How a message calls a function."""
    return str(getattr(function, "__name__", type(function).__name__))


def floating(caller: str, path: str, leaf: Any) -> Tensor:
    """A leaf of a differentiated argument as a tensor.

    Raises:
        TypeError: it is no floating-point number, array or tensor.
    """
    kind = "f" if type(leaf) is float else getattr(getattr(leaf, "dtype", None), "kind", "")
    known = isinstance(leaf, (Tensor, float, np.generic)) or is_array(leaf)
    if not known or kind != "f":
        got = f"{leaf.dtype} of shape {tuple(np.shape(leaf))}" if known and kind else type(leaf).__name__
        raise TypeError(
            f"{caller}: {path}: got {got}, want floating-point numbers to differentiate with respect to; leave the "
            'argument out of argnums, or make it a dataclass\'s field(metadata={"static": True})'
        )
    return leaf if isinstance(leaf, Tensor) else tensor(leaf)


class Trace:
    """What became of `function(*args, **options)`, with variables in the place of the arguments at `positions`.

    Args:
        caller: the transformation's name, for messages.
        create_graph: whether walks are recorded. None: wherever what they give depends on something on the tape other
            than Parameters among the arguments at `positions`.
    """

    def __init__(
        self,
        caller: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        options: Mapping[str, Any],
        positions: Sequence[int],
        create_graph: bool | None,
    ) -> None:
        self.caller, self.function = caller, function
        self.inputs: list[Tensor] = []
        self.paths: list[str] = []
        self.trees: list[TreeDef] = []
        for k in positions:
            found, tree = flatten_with_paths(args[k], path=f"argument {k}")
            self.trees.append(tree)
            self.paths += [path for path, _ in found]
            self.inputs += [floating(caller, path, leaf) for path, leaf in found]
        self._automatic = create_graph is None
        self.recorded = bool(create_graph)
        recording = tape.mode().recording
        self.first = next(tape.serials)
        self.variables: list[Tensor] = []
        self._untied: list[tuple[Variable, tape.Node]] = []
        for x in self.inputs:
            node = x.node
            if node is None and isinstance(x, Parameter):  # frozen
                self.variables.append(x)
                continue
            if node is None or create_graph is False or not (create_graph or recording):
                self.variables.append(variable(x))
            elif create_graph or not (isinstance(x, Parameter) and type(node) is tape.Leaf):
                self.variables.append(variable(x, node))
                self.recorded = True
            else:
                self.variables.append(made := variable(x))
                assert isinstance(made.node, Variable)
                self._untied.append((made.node, node))
        given = list(args)
        for k, part in zip(positions, self.split(self.variables)):
            given[k] = part
        with tape.recording(True):
            self.made = function(*given, **options)
        if self._automatic and recording and not self.recorded:
            self.recorded = bool(self._outer())
        if self.recorded:
            self.tie()

    def _outer(self) -> dict[int, tape.Node]:
        roots = [t.node for t in tree_flatten(self.made)[0] if isinstance(t, Tensor) and t.node is not None]
        return recorded_since(roots, self.first, self.variables)[1]

    def tie(self) -> None:
        """From now on walks can be recorded with respect to every input on the tape."""
        for entry, node in self._untied:
            entry.tie(node)
        self._untied = []

    def split(self, leaves: Sequence[Any], plain: bool = False) -> list[Any]:
        """Leaves, one for each input, as a tree for each position."""
        trees, start = [], 0
        for tree in self.trees:
            trees.append(tree_unflatten(tree, leaves[start : start + tree.num_leaves], plain))
            start += tree.num_leaves
        return trees

    def outward(self, made: Any) -> Any:
        """What the caller may have of what the function made: off the tape unless walks are recorded."""
        own = {id(v.node): x for v, x in zip(self.variables, self.inputs) if v.node is not None}

        def free(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor) or leaf.node is None:
                return leaf
            if id(leaf.node) in own:
                return own[id(leaf.node)]
            return leaf if self.recorded else constant(leaf)

        leaves, tree = tree_flatten(made)
        return tree_unflatten(tree, [free(leaf) for leaf in leaves])

    def scalar(self, made: Any) -> Tensor:
        """`made`, if it can be differentiated without more ado.

        Raises:
            TypeError: no tensor, or not floating. ValueError: no scalar.
        """
        name = function_name(self.function)
        if not isinstance(made, Tensor):
            raise TypeError(
                f"{self.caller}: {name} returned {type(made).__name__}, want a scalar Tensor, computed by minigrad's "
                "functions: no gradient comes through anything else"
            )
        if made.dtype.kind != "f":
            raise TypeError(f"{self.caller}: {name} returned dtype {made.dtype}, want a floating-point scalar")
        if made.size != 1:
            raise ValueError(
                f"{self.caller}: {name} returned shape {made.shape}, want a scalar; for other shapes there are "
                "jacobian and vjp"
            )
        return made

    def tensors(self, made: Any) -> tuple[list[Tensor], TreeDef]:
        """The function's results, all of which must be tensors that are not whole numbers."""
        found, tree = flatten_with_paths(made)
        for path, leaf in found:
            if not isinstance(leaf, Tensor) or leaf.dtype.kind not in "fc":
                got = leaf.dtype if isinstance(leaf, Tensor) else type(leaf).__name__
                raise TypeError(
                    f"{self.caller}: {function_name(self.function)} returned {got}{' at ' + path if path else ''}, "
                    "want a floating-point Tensor, computed by minigrad's functions"
                )
        return [leaf for _, leaf in found], tree

    def walk(
        self,
        outputs: Sequence[Tensor],
        seeds: Sequence[Tensor | None],
        create_graph: bool,
        retain: bool = False,
        towards: Sequence[Tensor] | None = None,
    ) -> list[Tensor | None]:
        """Jᵀ·seeds for each variable; None where the outputs do not depend on it."""
        return pull(self.caller, outputs, seeds, self.variables if towards is None else towards, create_graph, retain)

    def gradients(
        self, outputs: Sequence[Tensor], seeds: Sequence[Tensor | None], create_graph: bool, retain: bool = False
    ) -> list[Tensor]:
        """As `walk`, with zeros where there is nothing."""
        found = self.walk(outputs, seeds, create_graph, retain)
        return [zeros_like(x) if g is None else g for g, x in zip(found, self.inputs)]


def zeros_like(x: Tensor) -> Tensor:
    return Tensor(backend_of(x._data).xp.zeros(x.shape, dtype=x.dtype))


def pull(
    caller: str,
    outputs: Sequence[Tensor],
    seeds: Sequence[Tensor | None],
    towards: Sequence[Tensor],
    create_graph: bool,
    retain: bool = False,
) -> list[Tensor | None]:
    """Walk from those of `outputs` that are on the tape to `towards`."""
    live = [k for k, y in enumerate(outputs) if y.node is not None]
    targets = [None if x.node is None else x.node.serial for x in towards]
    if not live or not any(targets):
        return [None] * len(towards)
    found = walk_back(
        caller,
        [outputs[k] for k in live],
        [seeds[k] for k in live],
        {serial for serial in targets if serial is not None},
        retain or create_graph,
        create_graph,
    )
    return [None if serial is None else found.get(serial) for serial in targets]
