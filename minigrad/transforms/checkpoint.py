"""Time for memory: a function whose intermediate values are not kept for the walk, but computed again when it comes.

The function is run recorded, and of what it wrote on the tape only the ends are kept: the inputs, and the entries
outside that it referred to. They become the parents of a single entry, `checkpoint`. Its rule runs the function again,
cut off at these ends, and walks through what that recorded. In a recorded walk the rule is itself a checkpoint, so that
memory falls at every order. (Chen et al. 2016; Griewank & Walther 2000.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..backend import backend_of, fingerprint, is_array
from ..engine import tape
from ..engine.gradient_pool import PerStepSum
from ..engine.gradients import walk_back
from ..engine.mutation import Fingerprint, FingerprintedSources, fingerprint_saved
from ..engine.primitive import JointRule, record
from ..engine.tape import GraphError, Leaf, Node
from ..engine.tensor import Tensor
from ..nn.module import Module
from ..pytree import tree_flatten, tree_unflatten
from .rng_state import Draws
from .tracing import named, outside, variable, variable_like, zeros_like

Run = Callable[[Sequence[Tensor]], list[Tensor]]
Book = dict[int, list[tuple[int | None, Any]]]
"""For each place among the parents, its contributions with their time steps."""


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, for which the tape keeps its inputs and outputs only; a walk runs it again.

    What lies between is there while it is computed and while it is walked, not in between. A chain of T steps in √T
    checkpoints of √T steps needs the memory of about 2√T steps, for one more forward. Values and derivatives of every
    order are what they were; so is the ledger, step by step. Tensors that the function refers to, such as a module's
    parameters, are found and receive their gradients.

    Random masks are drawn the same again: from the library's own generator, NumPy's old global one, and those that the
    function refers to directly (closed over, a global, an attribute of its modules, an argument). All else must be
    as it was when it is run again. A parameter changed by an optimizer in between is noticed and refused; so are an
    array that was written into, whether an argument or not, and any other state that makes the outputs others than they
    were. (On a device, where looking at them would wait, the outputs are not compared.)

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> y = mg.checkpoint(lambda x: mg.tanh(mg.exp(x) * 0.5))(x)
    >>> y.node.op
    'checkpoint'
    >>> y.sum().backward()

    Args:
        function: of any arguments; returns a tensor or a tree of them.

    Raises (from the walk):
        GraphError: a parameter or an array was written into since, or the function, run again, returned other tensors
            or referred to others.
    """
    if not callable(function):
        raise TypeError(f"checkpoint: function: got {type(function).__name__}, want a function")

    def checkpointed(*args: Any, **options: Any) -> Any:
        if not tape.mode().recording:
            return function(*args, **options)
        leaves, tree = tree_flatten((args, options), is_leaf=lambda value: isinstance(value, Module))
        positions = [k for k, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.node is not None]

        def call(inputs: Sequence[Tensor]) -> Any:
            given = list(leaves)
            for k, x in zip(positions, inputs):
                given[k] = x
            args, options = tree_unflatten(tree, given)
            return function(*args, **options)

        draws = Draws([function, args, options])
        inputs = [leaves[k] for k in positions]
        first = next(tape.serials)
        variables = [variable(x, x.node) for x in inputs]
        outputs, structure = tree_flatten(call(variables))
        draws.settle()
        live = [k for k, y in enumerate(outputs) if isinstance(y, Tensor) and y.node is not None]
        if not live:
            return tree_unflatten(structure, outputs)

        def run(inputs: Sequence[Tensor]) -> list[Tensor]:
            made = tree_flatten(call(inputs))[0]
            if len(made) != len(outputs_like) or any(not isinstance(made[k], Tensor) for k in live):
                raise GraphError(_otherwise(function, f"returned {len(made)} values, before {len(outputs_like)}"))
            for k, like in zip(live, shapes):
                if (made[k].shape, made[k].dtype) != like:
                    raise GraphError(_otherwise(function, f"returned {made[k].shape} {made[k].dtype}, before {like}"))
            return [made[k] for k in live]

        outputs_like = [None] * len(outputs)
        shapes = [(outputs[k].shape, outputs[k].dtype) for k in live]
        outers = outside([outputs[k].node for k in live], first, [v.node.serial for v in variables if v.node])
        segment = _Segment(function, run, list(outers.values()), draws, first, tape.mode().time_step)
        segment.before = [_Seen(outputs[k]._data) for k in live]
        segment.notes = _notes([outputs[k].node for k in live], first)
        others = [leaf for k, leaf in enumerate(leaves) if k not in positions]
        for k, y in zip(live, segment.entry(inputs, [outputs[k] for k in live], others)):
            outputs[k] = y
        return tree_unflatten(structure, outputs)

    if isinstance(function, Module):
        checkpointed.__name__ = checkpointed.__qualname__ = type(function).__name__
        return checkpointed
    return functools.wraps(function)(checkpointed)


def _otherwise(function: Any, what: str) -> str:
    return f"checkpoint: {named(function)}, run again for the walk, {what}; want the same every time"


class _Seen:
    """What an output was, in a few numbers."""

    def __init__(self, array: Any) -> None:
        self.exact = fingerprint(array)
        self.sums: Any = None
        if self.exact is not None and array.dtype.kind in "fc":
            flat = array.reshape(-1)
            flat = flat.astype(np.float32) if flat.dtype == np.float16 else flat
            with np.errstate(all="ignore"):
                self.sums = np.array([flat.sum(), _ramped(flat)])
                size = (flat.size * abs(np.vdot(flat, flat))) ** 0.5  # at least Σ|x|
            self.rounding = 64 * float(np.finfo(array.dtype).eps) * size if np.isfinite(size) else 0.0

    def agrees(self, now: _Seen) -> bool:
        """Whether it is the same now. Its last digits may be others: a product's are where threads share it anew."""
        if self.exact == now.exact:
            return True
        if self.sums is None or now.sums is None:
            return False
        return bool((np.abs(self.sums - now.sums) <= self.rounding).all())


def _ramped(flat: Any) -> Any:
    """A sum that has another value where two of the numbers changed places."""
    whole = flat.size // 256 * 256
    ramp = np.linspace(1.0, 2.0, 256, dtype=flat.real.dtype)
    rows = flat[:whole].reshape(-1, 256) @ ramp
    return rows @ np.linspace(1.0, 2.0, rows.size, dtype=ramp.dtype) + flat[whole:] @ ramp[: flat.size - whole]


def _notes(roots: Sequence[Any], first: int) -> list[Fingerprint]:
    """What was in the arrays that the user holds and that entries from serial `first` on saved."""
    found: list[Fingerprint] = []
    seen: set[int] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node is None or node.serial in seen or node.serial < first:
            continue
        seen.add(node.serial)
        if type(node.sources) is FingerprintedSources:
            found += [noted for _, noted in node.sources.fingerprints]
        stack += node.parents
    return found


class _Segment:
    """A piece of computation that can be run again: a flat function, and the entries outside that it refers to.

    `before` is what its outputs were at first, and `notes` what was in the arrays that it looked at, where known.
    """

    before: Sequence[_Seen] = ()
    notes: Sequence[Fingerprint] = ()

    def __init__(
        self, function: Any, run: Run, outers: list[Node], draws: Draws, first: int, label: int | None
    ) -> None:
        self.function, self.run, self.outers, self.draws = function, run, outers, draws
        self.first, self.label = first, label

    def entry(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], others: Sequence[Any] = ()) -> list[Tensor]:
        """The outputs, as those of one entry of the tape. `others` are further arrays that the run looks at."""
        looked_at = [x for x in others if isinstance(x, Tensor) or is_array(x)]
        arrays = [x._data if isinstance(x, Tensor) else x for x in (*inputs, *looked_at)]
        parents = [x.node for x in inputs] + [None] * len(looked_at) + list(self.outers)
        values = [y._data for y in outputs]
        single, n = len(values) == 1, len(inputs)
        xp = backend_of(values[0]).xp

        def rule(xp: Any, g: Any, needs: Sequence[bool], *_: Any) -> list[Any]:
            positions = [k for k, needed in enumerate(needs) if needed]
            wanted = [k if k < n else k - len(looked_at) for k in positions]
            seeds = [g] if single else list(g)
            answers = self._recorded if xp is ops else self._first_order
            contributions: list[Any] = [None] * len(parents)
            for k, answer in zip(positions, answers(inputs, seeds, wanted)):
                contributions[k] = answer
            return contributions

        value = values[0] if single else tuple(values)
        ids: list[Any] = [*arrays, *(None for _ in self.outers)]
        made = record("checkpoint", Node(), xp, value, tuple(arrays), JointRule(rule), ids, parents, self.label)
        made = [made] if single else list(made)
        users = [not isinstance(x, Tensor) for x in (*inputs, *looked_at)]
        fingerprint_saved(made[0].node, "checkpoint", arrays, users, fingerprint)
        return made

    def _first_order(self, inputs: Sequence[Tensor], seeds: list[Any], wanted: list[int]) -> list[Any]:
        """What each wanted parent receives, on plain arrays."""
        given = [Tensor(g) for g in seeds]
        found = self.pulled(inputs, given, wanted, False)
        shares: dict[int, dict[int | None, Any]] = {}

        def by_step(k: int) -> dict[int | None, Any]:
            if not shares:
                book: Book = {}
                self.pulled(inputs, given, wanted, False, book)
                for place, lines in book.items():
                    shares[place] = {}
                    for t, g in lines:
                        shares[place][t] = shares[place][t] + g if t in shares[place] else g
            return shares[k]

        return [
            None if g is None else PerStepSum(g._data, *_lazily(functools.partial(by_step, k)))
            for k, g in zip(wanted, found)
        ]

    def _recorded(self, inputs: Sequence[Tensor], seeds: list[Any], wanted: list[int]) -> list[Tensor]:
        """What each wanted parent receives, as the outputs of a checkpoint of their own."""
        n = len(inputs)

        def run(given: Sequence[Tensor]) -> list[Tensor]:
            like = [*given[:n], *self.outers]
            found = self.pulled(given[:n], given[n:], wanted, tape.mode().recording)
            return [_zeros_of(like[k]) if g is None else g for k, g in zip(wanted, found)]

        first = next(tape.serials)
        given = [*inputs, *seeds]
        with tape.recording(False):
            outputs = run(given)
        return _Segment(self.function, run, self.outers, self.draws, first, self.label).entry(given, outputs)

    def pulled(
        self,
        inputs: Sequence[Tensor],
        seeds: Sequence[Tensor],
        wanted: Sequence[int],
        create_graph: bool,
        lines: Book | None = None,
    ) -> list[Tensor | None]:
        """Run again and walk: the gradients of the wanted ones among the inputs and the entries outside."""
        for node in self.outers:
            if type(node) is Leaf and node.written_at > self.first:
                raise GraphError(
                    f"backward: {named(self.function)} in a checkpoint refers to a tensor of shape {node.shape} that "
                    "was written into since, so that it cannot be run again. Change parameters after the walk"
                )
        if not all(noted.unchanged() for noted in self.notes):
            raise GraphError(_otherwise(self.function, "would find an array that was written into since"))
        first = next(tape.serials)
        variables = [variable(x, x.node) for x in inputs]
        stand_ins = {o.serial: variable_like(o.shape, o.dtype, o.xp, o) for o in self.outers}
        with self.draws.again(), tape.time_step(self.label), tape.recording(True):
            outputs = self.run(variables)
        ends = [v.node for v in variables if v.node is not None]
        outputs = self._cut(outputs, first, {end.serial for end in ends}, stand_ins)
        if not all(seen.agrees(_Seen(y._data)) for seen, y in zip(self.before, outputs)):
            raise GraphError(
                _otherwise(
                    self.function,
                    "returned other values than before: what it refers to was written into, or drawn from, since",
                )
            )
        targets = [*(v.node for v in variables), *stand_ins.values()]
        serials = [targets[k].serial for k in wanted]  # type: ignore[union-attr]
        book: Any = None if lines is None else {serial: [] for serial in serials}
        live = [(y, g) for y, g in zip(outputs, seeds) if y.node is not None]
        found = walk_back(
            "backward", [y for y, _ in live], [g for _, g in live], set(serials), create_graph, create_graph, book
        )
        if lines is not None:
            lines.update(zip(wanted, (book[serial] for serial in serials)))
        return [found.get(serial) for serial in serials]

    def _cut(self, outputs: Sequence[Tensor], first: int, own: set[int], stand_ins: dict[int, Any]) -> list[Tensor]:
        """End what was just recorded at the stand-ins, so that a walk goes no further."""

        def end(node: Node) -> Node:
            if node.serial >= first and type(node) is not Leaf:
                return node
            if node.serial not in stand_ins and node.serial < first:
                raise GraphError(
                    _otherwise(self.function, f"referred to a tensor of shape {node.shape} not met before")
                )
            made: Node = stand_ins.get(node.serial, node)
            return made

        outputs = [y if y.node is None else Tensor(y._data, end(y.node)) for y in outputs]
        seen = own | {node.serial for node in stand_ins.values()}
        stack = [y.node for y in outputs if y.node is not None]
        while stack:
            node = stack.pop()
            if node.serial in seen:
                continue
            seen.add(node.serial)
            ends = [p if p is None else end(p) for p in node.parents]
            if any(now is not before for now, before in zip(ends, node.parents)):
                node.parents = tuple(ends)
            stack += [p for p in ends if p is not None]
        return outputs


def _zeros_of(like: Any) -> Tensor:
    return zeros_like(like) if isinstance(like, Tensor) else Tensor(like.xp.zeros(like.shape, dtype=like.dtype))


class _Steps:
    """The steps of contributions that are only computed when somebody asks."""

    def __init__(self, ask: Callable[[], dict[int | None, Any]]) -> None:
        self._ask = ask

    def __iter__(self) -> Iterator[int | None]:
        return iter(self._ask())


def _lazily(ask: Callable[[], dict[int | None, Any]]) -> tuple[Any, Any]:
    return _Steps(ask), lambda t: ask()[t]
