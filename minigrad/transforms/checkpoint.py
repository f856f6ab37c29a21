"""Checkpoints trade time for memory: intermediate values are dropped and computed again in the backward pass.

The function is recorded, but the tape keeps only the ends of its graph: its inputs, and the outside nodes that it
refers to. They become the parents of a single node, `checkpoint`, whose rule runs the function again, cuts the new
graph off at these ends, and runs backward over it. In a recorded backward pass the rule is itself a checkpoint, so
that memory falls at every order. (Chen et al. 2016; Griewank & Walther 2000.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..backend import fingerprint, is_array
from ..differentiate import run_backward
from ..engine import modes, tape
from ..engine.account import Account, NormAccount
from ..engine.gradient_pool import PerStepSum
from ..engine.mutation import Fingerprint, FingerprintedSources
from ..engine.tape import GraphError, Leaf, Node
from ..engine.tensor import Tensor
from ..nn.module import Module
from ..pytree import TreeDef, tree_flatten, tree_unflatten
from ..validation import check_function, shown
from .rng_state import RngSnapshot, generators_of
from .tracing import (
    function_name,
    lazy_sum,
    record_outputs,
    recorded_since,
    summed_by_label,
    variable,
    variable_like,
    zeros_like,
)


def checkpoint(
    function: Callable[..., Any], rng: np.random.Generator | Sequence[np.random.Generator] | None = None
) -> Callable[..., Any]:
    """Return the same function with only its inputs and outputs kept on the tape; the backward pass runs it again.

    Intermediate values exist only while they are computed, and again during their backward pass. A chain of T steps in
    √T checkpoints of √T steps needs the memory of about 2√T steps, for one more forward pass. Values, derivatives of
    every order and the ledger's time steps do not change. Tensors that the function refers to, such as a module's
    parameters, are found and receive their gradients.

    Random numbers are drawn the same again from the library's own generator, NumPy's global one, generators among the
    arguments, those that are attributes of a module given as the function or an argument (`nn.Dropout(rng=...)`), and
    those in `rng`. Everything else must be as it was when the function runs again: a parameter changed by an optimizer,
    an array that was written into, and outputs that differ for any other reason raise an error. (Outputs on a device
    are not compared, because that would synchronise with it.)

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> y = mg.checkpoint(lambda x: mg.tanh(mg.exp(x) * 0.5))(x)
    >>> y.node.op
    'checkpoint'
    >>> y.sum().backward()

    Args:
        function: of any arguments; returns a tensor or a tree of them.
        rng: further generators that the function draws from, itself or in a checkpoint inside it.

    Raises:
        TypeError: `function` is not a function, or `rng` not a generator or a sequence of them.
    Raises (from the backward pass):
        GraphError: a parameter or an array was written into since, or the function, run again, returned other tensors
            or referred to others.
    """
    check_function("checkpoint", function=function)
    generators: Any = rng if isinstance(rng, (tuple, list)) else () if rng is None else (rng,)
    if not all(isinstance(generator, np.random.Generator) for generator in generators):
        raise TypeError(f"checkpoint: rng: got {shown(rng)}, want a numpy.random.Generator or a sequence of them")

    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        if not modes.mode().recording:
            return function(*args, **kwargs)
        leaves, tree = tree_flatten((args, kwargs), is_leaf=lambda value: isinstance(value, Module))
        positions = [k for k, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.node is not None]

        def call(inputs: Sequence[Tensor]) -> tuple[list[Any], TreeDef]:
            values = list(leaves)
            for k, x in zip(positions, inputs):
                values[k] = x
            args, kwargs = tree_unflatten(tree, values)
            return tree_flatten(function(*args, **kwargs))

        snapshot = RngSnapshot([*generators, *generators_of([function, *leaves])])
        inputs = [leaves[k] for k in positions]
        first = next(tape.serials)
        variables = [variable(x, x.node) for x in inputs]
        outputs, structure = call(variables)
        snapshot.prune()
        live = [k for k, y in enumerate(outputs) if isinstance(y, Tensor) and y.node is not None]
        if not live:
            return tree_unflatten(structure, outputs)

        count, shapes = len(outputs), [(outputs[k].shape, outputs[k].dtype) for k in live]

        def run(inputs: Sequence[Tensor]) -> list[Tensor]:
            again = call(inputs)[0]
            if len(again) != count or any(not isinstance(again[k], Tensor) for k in live):
                raise GraphError(_differs(function, f"returned {len(again)} values, before {count}"))
            for k, shape in zip(live, shapes):
                if (again[k].shape, again[k].dtype) != shape:
                    raise GraphError(_differs(function, f"returned {again[k].shape} {again[k].dtype}, before {shape}"))
            return [again[k] for k in live]

        inner, outer = recorded_since([outputs[k].node for k in live], first, variables)
        recompute = _Recompute(function, run, list(outer.values()), snapshot, first, modes.mode().time_step)
        recompute.digests = [_OutputDigest(outputs[k]._array) for k in live]
        fingerprinted = [node.sources for node in inner if type(node.sources) is FingerprintedSources]
        recompute.fingerprints = [fingerprint for sources in fingerprinted for _, fingerprint in sources.fingerprints]
        others = [leaf for k, leaf in enumerate(leaves) if k not in positions]
        for k, y in zip(live, recompute.entry(inputs, [outputs[k] for k in live], others)):
            outputs[k] = y
        return tree_unflatten(structure, outputs)

    if isinstance(function, Module):
        checkpointed.__name__ = checkpointed.__qualname__ = type(function).__name__
        return checkpointed
    return functools.wraps(function)(checkpointed)


def _differs(function: Any, what: str) -> str:
    return f"checkpoint: {function_name(function)}, run again for the backward pass, {what}; want the same every time"


class _OutputDigest:
    """A summary of an output in two numbers: a fingerprint, and a weighted sum of its elements.

    The last digits of a recomputed output may differ if threads divide a matrix product differently. So an
    output with another fingerprint still agrees if its weighted sum is the same up to rounding. The weights rise with
    the position, so that elements that changed places are noticed.
    """

    def __init__(self, array: Any) -> None:
        self.exact = fingerprint(array)
        self.weighted: Any = None
        if self.exact is not None and array.dtype.kind in "fc":
            flat = array.reshape(-1)
            flat = flat.astype(np.float32) if flat.dtype == np.float16 else flat
            # Weights of rows times weights within a row: no array of the output's size.
            ramp = functools.partial(np.linspace, 1.0, 2.0, dtype=flat.real.dtype)
            rows, rest = np.split(flat, [flat.size // 256 * 256])
            with np.errstate(all="ignore"):
                in_rows = rows.reshape(-1, 256) @ ramp(256)
                self.weighted = in_rows @ ramp(in_rows.size) + rest @ ramp(256)[: rest.size]
                size = (flat.size * abs(np.vdot(flat, flat))) ** 0.5  # at least Σ|x|
            self.rounding = 64 * float(np.finfo(array.dtype).eps) * size if np.isfinite(size) else 0.0

    def agrees(self, other: _OutputDigest) -> bool:
        if self.exact == other.exact:
            return True
        if self.weighted is None or other.weighted is None:
            return False
        return bool(abs(self.weighted - other.weighted) <= self.rounding)


class _Recompute:
    """A piece of computation that can be run again, `run`, and the outside nodes that it refers to, `outer`.

    `digests` describe its first outputs, `fingerprints` the content of the user's arrays that it saved.
    """

    digests: Sequence[_OutputDigest] = ()
    fingerprints: Sequence[Fingerprint] = ()

    def __init__(
        self,
        function: Any,
        run: Callable[[Sequence[Tensor]], list[Tensor]],
        outer: list[Node],
        snapshot: RngSnapshot,
        first: int,
        time_step: int | None,
    ) -> None:
        self.function, self.run, self.outer, self.snapshot = function, run, outer, snapshot
        self.first, self.time_step = first, time_step

    def entry(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], others: Sequence[Any] = ()) -> list[Tensor]:
        """Return the outputs as those of one node. `others` are constant arguments, which may be arrays."""
        constants = [x for x in others if isinstance(x, Tensor) or is_array(x)]
        single, n = len(outputs) == 1, len(inputs)

        def rule(xp: Any, g: Any, needs: Sequence[bool], *_: Any) -> list[Any]:
            positions = [k for k, needed in enumerate(needs) if needed]
            targets = [k if k < n else k - len(constants) for k in positions]  # among inputs and outer nodes
            pull = self._recorded if xp is ops else self._first_order
            contributions: list[Any] = [None] * len(needs)
            for k, contribution in zip(positions, pull(inputs, [g] if single else list(g), targets)):
                contributions[k] = contribution
            return contributions

        values = [y._array for y in outputs]
        return record_outputs("checkpoint", [*inputs, *constants], values, rule, self.time_step, self.outer)

    def _first_order(self, inputs: Sequence[Tensor], grads: list[Any], targets: list[int]) -> list[Any]:
        """The contribution to each target, as plain arrays, which yield their time steps if asked."""
        seeds = [Tensor(g) for g in grads]

        @functools.cache
        def by_time_step() -> dict[int, dict[int | None, Any]]:
            accounts = {k: Account() for k in targets}
            self.pull(inputs, seeds, targets, False, accounts)
            return {k: summed_by_label(account.lines) for k, account in accounts.items()}

        @functools.cache
        def norms() -> dict[int, dict[int | None, float]]:
            accounts = {k: NormAccount() for k in targets}
            self.pull(inputs, seeds, targets, False, accounts)
            return {k: account.norms for k, account in accounts.items()}

        def contribution(k: int, g: Tensor) -> PerStepSum:
            return lazy_sum(g._array, lambda: by_time_step()[k], lambda: norms()[k])

        grads = self.pull(inputs, seeds, targets, False)
        return [None if g is None else contribution(k, g) for k, g in zip(targets, grads)]

    def _recorded(self, inputs: Sequence[Tensor], seeds: list[Any], targets: list[int]) -> list[Tensor]:
        """The contribution to each target, as the outputs of a checkpoint of their own."""
        n = len(inputs)

        def run(tensors: Sequence[Tensor]) -> list[Tensor]:
            like = [*tensors[:n], *self.outer]
            grads = self.pull(tensors[:n], tensors[n:], targets, modes.mode().recording)
            return [_zeros_like(like[k]) if g is None else g for k, g in zip(targets, grads)]

        first = next(tape.serials)
        with modes.recording(False):
            outputs = run([*inputs, *seeds])
        recompute = _Recompute(self.function, run, self.outer, self.snapshot, first, self.time_step)
        return recompute.entry([*inputs, *seeds], outputs)

    def pull(
        self,
        inputs: Sequence[Tensor],
        seeds: Sequence[Tensor],
        targets: Sequence[int],
        create_graph: bool,
        accounts: Mapping[int, Account] | None = None,
    ) -> list[Tensor | None]:
        """Run again, then backward over the new graph; return the targets' gradients (inputs and outer nodes).

        `accounts`, by target, take note of the contributions.
        """
        for node in self.outer:
            if type(node) is Leaf and node.written_at > self.first:
                name = function_name(self.function)
                raise GraphError(
                    f"backward: {name} in a checkpoint refers to a tensor of shape {node.shape} that was written into "
                    "since, so that it cannot be run again. Change parameters after the backward pass"
                )
        if not all(note.unchanged() for note in self.fingerprints):
            raise GraphError(_differs(self.function, "would find an array that was written into since"))
        first = next(tape.serials)
        variables = [variable(x, x.node) for x in inputs]
        stand_ins = {node.serial: variable_like(node.shape, node.dtype, node.xp, node) for node in self.outer}
        with self.snapshot.restored(), modes.time_step(self.time_step), modes.recording(True):
            outputs = self.run(variables)
        ends = [v.node for v in variables if v.node is not None]
        outputs = self._cut(outputs, first, {end.serial for end in ends}, stand_ins)
        if not all(digest.agrees(_OutputDigest(y._array)) for digest, y in zip(self.digests, outputs)):
            raise GraphError(
                _differs(
                    self.function,
                    "returned other values than before: what it refers to was written into, or drawn from, since "
                    "(name the generators that it draws from in rng=)",
                )
            )
        nodes = [*(v.node for v in variables), *stand_ins.values()]
        serials = [nodes[k].serial for k in targets]  # type: ignore[union-attr]
        book = None if accounts is None else {serial: [accounts[k]] for serial, k in zip(serials, targets)}
        live = [(y, g) for y, g in zip(outputs, seeds) if y.node is not None]
        grads = run_backward(
            "backward", [y for y, _ in live], [g for _, g in live], set(serials), create_graph, create_graph, book
        )
        return [grads.get(serial) for serial in serials]

    def _cut(self, outputs: Sequence[Tensor], first: int, own: set[int], stand_ins: dict[int, Any]) -> list[Tensor]:
        """End the graph that was just recorded at the stand-ins, so that a backward pass goes no further.

        Nodes older than `first` existed before this run. Each must have a stand-in, which takes its place as a parent
        of the new nodes.
        """

        def end(node: Node) -> Node:
            if node.serial >= first and type(node) is not Leaf:
                return node
            if node.serial not in stand_ins and node.serial < first:
                raise GraphError(_differs(self.function, f"referred to a tensor of shape {node.shape} not met before"))
            replacement: Node = stand_ins.get(node.serial, node)
            return replacement

        outputs = [y if y.node is None else Tensor(y._array, end(y.node)) for y in outputs]
        seen = own | {node.serial for node in stand_ins.values()}
        stack = [y.node for y in outputs if y.node is not None]
        while stack:
            node = stack.pop()
            if node.serial in seen:
                continue
            seen.add(node.serial)
            parents = [p if p is None else end(p) for p in node.parents]
            if any(new is not old for new, old in zip(parents, node.parents)):
                node.parents = tuple(parents)
            stack += [p for p in parents if p is not None]
        return outputs


def _zeros_like(x: Any) -> Tensor:
    return zeros_like(x) if isinstance(x, Tensor) else Tensor(x.xp.zeros(x.shape, dtype=x.dtype))
