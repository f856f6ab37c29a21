"""The tape: one entry for every operation, and the walk that runs it backwards.

An entry (`Node`) knows who its inputs were and how a gradient passes back to them; it never holds its own output, so
a graph is freed by reference count the moment nobody needs it. Serial numbers grow as the tape is written: walking
them from high to low visits every entry after all of its uses, without recursion. This file knows no array library.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import ContextDecorator
from types import TracebackType
from typing import Any

from .pool import Outer, OverTime, Pool, RowSum, unbroadcast

Array = Any
Rule = Callable[..., Any]


class GraphError(RuntimeError):
    """The graph cannot be walked as asked: it was walked before, was never recorded, or a saved array changed."""


class _State(threading.local):
    recording: bool = True
    time_step: int | None = None


state = _State()
serials = itertools.count(1)


class Node:
    """One entry of the tape.

    `parents` are the inputs' entries (None where an input needs no gradient), `rules` either one rule per input,
    `rule(xp, g, *saved)`, or a single joint rule for all of them, `rule(xp, g, needs, *saved)`. `sources` are the ids
    of the inputs' and outputs' arrays: a saved array with the same id *is* that input or output (both were alive
    together), and so can be tied to its tape entry again when the walk itself is recorded.
    """

    __slots__ = ("dtype", "op", "parents", "rules", "saved", "serial", "shape", "sources", "time_step", "xp")
    serial: int
    op: str
    parents: Sequence[Node | None]
    rules: tuple[Rule, ...] | Rule | None
    saved: tuple[Array, ...]
    sources: Sequence[int]
    shape: tuple[int, ...]
    dtype: Any
    xp: Any
    time_step: int | None
    outputs: Any = None
    picks: Any = ()
    slot: Any = None
    exposed: Any = False
    keeps_factors: Any = False
    """Whether factors of a contribution are worth keeping here: for a weight, or the transpose of one."""

    def __repr__(self) -> str:
        at = "" if self.time_step is None else f", t={self.time_step}"
        return f"<{self.op} #{self.serial} {self.shape} {self.dtype}{at}>"


class ManyNode(Node):
    """The entry of an operation with several outputs, whose (shape, dtype) it lists. Each output has a `Pick` of it."""

    __slots__ = ("outputs", "picks")
    outputs: tuple[tuple[tuple[int, ...], Any], ...]
    picks: tuple[int, ...]
    """The serial number of each output's entry: however often it is made, it is the same one."""


class Pick(Node):
    """The entry of output number `slot` of its only parent, a `ManyNode`."""

    __slots__ = ("slot",)
    slot: int


class TransposeNode(Node):
    """The entry of `W.T`: factors of a contribution pass through it to the weight, exchanged."""

    __slots__ = ()
    keeps_factors = True


class Leaf(Node):
    """The entry of a tensor that the user made: no parents; holds the gradient, and when its array was last written."""

    __slots__ = ("exposed", "grad", "unchanged", "written_at")
    keeps_factors = True
    grad: Any
    written_at: int
    exposed: bool
    """Whether the user was handed the array itself, and so may write into it behind the tape's back."""
    unchanged: Note | None
    """The first entry alive that saved an exposed array, and a check that its content is still the same."""


class Sources(list[int]):
    """An entry's `sources`, of which a note may ask whether they, and so the entry's saved arrays, are still alive."""

    __slots__ = ("__weakref__",)


class Note:
    """What was in an array when an entry saved it."""

    __slots__ = ("alive", "serial", "unchanged")

    def __init__(self, node: Node, unchanged: Callable[[], bool]) -> None:
        node.sources = Sources(node.sources)
        self.serial, self.alive, self.unchanged = node.serial, weakref.ref(node.sources), unchanged


def new_leaf(shape: tuple[int, ...], dtype: Any, xp: Any) -> Leaf:
    leaf = Leaf()
    leaf.serial = next(serials)
    leaf.op, leaf.parents, leaf.rules, leaf.saved, leaf.sources = "leaf", (), (), (), ()
    leaf.shape, leaf.dtype, leaf.xp, leaf.time_step = shape, dtype, xp, None
    leaf.grad, leaf.written_at, leaf.exposed, leaf.unchanged = None, 0, False, None
    return leaf


class recording(ContextDecorator):
    """Write to the tape, or not, inside a `with` block or a decorated function."""

    def __init__(self, on: bool) -> None:
        self._on = on
        self._before: list[bool] = []

    def _recreate_cm(self) -> recording:  # a decorated function may run in several threads at once
        return recording(self._on)

    def __enter__(self) -> None:
        self._before.append(state.recording)
        state.recording = self._on

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state.recording = self._before.pop()


class no_grad(recording):
    """Nothing computed inside is written to the tape."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(recording):
    """Write to the tape again inside a `no_grad` block."""

    def __init__(self) -> None:
        super().__init__(True)


class time_step:
    """Label what is recorded inside with a time step; the ledger shows contributions under it."""

    def __init__(self, t: int | None) -> None:
        self._t = t
        self._before: int | None = None

    def __enter__(self) -> None:
        self._before = state.time_step
        state.time_step = self._t

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state.time_step = self._before


def reachable(roots: Iterable[Node], lowest: int = 0) -> dict[int, Node]:
    """All entries from which `roots` were computed, by serial number; none older than `lowest`."""
    nodes: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.serial in nodes:
            continue
        if node.rules is None:
            raise GraphError(
                f"backward: the graph was walked before and its entry '{node.op}' {node.shape} is gone; pass "
                "retain_graph=True to the first walk, or cut the graph with .detach() where it should end"
            )
        nodes[node.serial] = node
        for parent in node.parents:
            if parent is not None and parent.serial not in nodes and parent.serial >= lowest:
                stack.append(parent)
    return nodes


def only_towards(nodes: dict[int, Node], wanted: set[int]) -> dict[int, Node]:
    """Those of `nodes` through which a gradient can reach one of `wanted`."""
    kept: dict[int, Node] = {}
    for serial in sorted(nodes):
        node = nodes[serial]
        if serial in wanted or any(p is not None and p.serial in kept for p in node.parents):
            kept[serial] = node
    return kept


class Gradient:
    """What the walk found for one entry: the pooled gradient, and whether its memory is ours alone."""

    __slots__ = ("node", "owned", "value")

    def __init__(self, node: Node, value: Any, owned: bool) -> None:
        self.node, self.value, self.owned = node, value, owned


def walk(
    roots: Sequence[tuple[Node, Any]],
    *,
    wanted: set[int] | None = None,
    retain: bool = False,
    lift: Callable[[Array, Node | None], Any] | None = None,
    xp: Any = None,
    ledger: dict[int, list[tuple[int | None, Any]]] | None = None,
) -> dict[int, Gradient]:
    """Run the tape backwards from `roots`, pairs of an entry and the gradient of the result with respect to it.

    Returns the pooled gradients of all leaves, or of the `wanted` serials only. Without `retain` each entry drops its
    rule and its saved arrays as the walk passes, so memory falls while it runs.

    In a first-order walk gradients are plain arrays. With `lift`, which makes a tensor of an array and its entry, the
    same rules run on tensors with the namespace `xp`, and what they do is recorded.
    """
    nodes = reachable([node for node, _ in roots], min(wanted, default=0) if wanted is not None else 0)
    if wanted is not None:
        nodes = only_towards(nodes, wanted)
    check_saved(nodes)
    pools: dict[int, Any] = {}
    for node, g in roots:
        if node.serial in nodes:
            _into_pool(pools, node.serial, g, node.xp)
    found: dict[int, Gradient] = {}
    first_order = lift is None
    kept_whole = wanted or ()
    for serial in sorted(nodes, reverse=True):
        node = nodes.pop(serial)
        if serial not in pools:  # nothing that depends on this entry reached the result
            continue
        g, owned = pools.pop(serial), False
        if type(g) in POOLED:
            g, owned = pooled(g, node.keeps_factors and first_order and bool(node.parents) and serial not in kept_whole)
        parents, rules, saved, here = node.parents, node.rules, node.saved, node.xp
        if serial in wanted if wanted is not None else not parents:
            found[serial] = Gradient(node, g, owned)
        if not parents:
            if not retain and type(node) is Leaf:
                node.unchanged = None
            continue
        if node.slot is not None:  # one of several outputs: wait for its siblings
            whole: Any = parents[0]
            slots = pools.setdefault(whole.serial, [None] * len(whole.outputs))
            slots[node.slot] = g if slots[node.slot] is None else slots[node.slot] + g
            continue
        if node.outputs is not None:
            g = tuple(_or_zeros(g[k], like, here, lift) for k, like in enumerate(node.outputs))
        if lift is not None:
            saved = _attach(node, saved, lift)
            here = xp
        if isinstance(rules, tuple):
            for parent, rule in zip(parents, rules):
                if parent is not None and parent.serial in nodes:
                    contribution = rule(here, g, *saved)
                    if ledger is not None and parent.serial in ledger:
                        ledger[parent.serial] += _ledger_lines(node, parent, contribution, here)
                    if type(contribution) in UNFINISHED:
                        contribution = _finished(contribution, parent, first_order)
                    elif contribution.shape != parent.shape:
                        contribution = unbroadcast(here, contribution, parent.shape, first_order and not parent.parents)
                    if contribution.dtype != parent.dtype:
                        contribution = contribution.astype(parent.dtype)
                    _into_pool(pools, parent.serial, contribution, parent.xp)
        elif rules is not None:
            needs = tuple(p is not None and p.serial in nodes for p in parents)
            for parent, contribution in zip(parents, rules(here, g, needs, *saved)):
                if parent is not None and contribution is not None and parent.serial in nodes:
                    if ledger is not None and parent.serial in ledger:
                        ledger[parent.serial] += _ledger_lines(node, parent, contribution, here)
                    if type(contribution) in UNFINISHED:
                        contribution = _finished(contribution, parent, first_order)
                    _into_pool(pools, parent.serial, contribution, parent.xp)
        if not retain:
            node.rules, node.saved, node.parents, node.sources = None, (), (), ()
    return found


UNFINISHED = frozenset((Outer, RowSum, OverTime))
POOLED = frozenset((Outer, RowSum, Pool))


def pooled(held: Any, keep_factors: bool) -> tuple[Any, bool]:
    """What a pool has come to, and whether that memory is its own; of a single contribution, that one as it is."""
    kind = type(held)
    if kind is Pool:
        total: tuple[Any, bool] = held.result(keep_factors)
        return total
    if kind is RowSum or (kind is Outer and not keep_factors):
        return held.dense(), True
    return held, False


def _finished(contribution: Any, parent: Node, first_order: bool) -> Any:
    """Factors stay factors only where a pool will gather many of them."""
    if type(contribution) is OverTime:
        return contribution.total
    return contribution if first_order and parent.keeps_factors else contribution.dense()


def _into_pool(pools: dict[int, Any], serial: int, contribution: Any, xp: Any) -> None:
    """Add to an entry's pool. The first contribution is only borrowed: most entries have one use and need no pool."""
    held = pools.get(serial)
    if held is None:
        pools[serial] = contribution
    elif type(held) is Pool:
        held.add(contribution)
    else:
        pools[serial] = pool = Pool(xp)
        pool.add(held)
        pool.add(contribution)


def _ledger_lines(node: Node, parent: Node, contribution: Any, xp: Any) -> list[tuple[int | None, Any]]:
    """One contribution as (time step, gradient in the parent's shape); a whole sequence's gives a line per step."""
    if type(contribution) is OverTime:
        return [(t, contribution.at(t)) for t in contribution.steps]
    if type(contribution) in UNFINISHED:
        return [(node.time_step, contribution.dense())]
    if contribution.shape != parent.shape:
        contribution = unbroadcast(xp, contribution, parent.shape, defer=False)
    return [(node.time_step, contribution * 1)]  # a copy: the pool may go on adding into the array


def _or_zeros(g: Any, like: tuple[tuple[int, ...], Any], xp: Any, lift: Any) -> Any:
    if g is not None:
        return g
    zeros = xp.zeros(like[0], dtype=like[1])
    return zeros if lift is None else lift(zeros, None)


def _attach(node: Node, saved: tuple[Array, ...], lift: Callable[[Array, Node | None], Any]) -> tuple[Any, ...]:
    """Saved arrays as tensors, each tied to the entry it came from, so that a recorded walk differentiates through.

    Where two inputs are one array (`x * x.detach()`), the saved ones are theirs in the order of the inputs.
    """
    tied = []
    found: dict[int, int] = {}
    for array in saved:
        if array is None or not hasattr(array, "dtype"):
            tied.append(array)
            continue
        origin: Node | None = None
        if id(array) in node.sources:
            k = found[id(array)] = _next_place(node.sources, id(array), found.get(id(array)))
            inputs = len(node.parents)
            origin = node.parents[k] if k < inputs else output_of(node, k - inputs)
        tied.append(lift(array, origin))
    return tuple(tied)


def _next_place(sources: Sequence[int], source: int, last: int | None) -> int:
    """Where `source` stands next after place `last`; there again if it stands nowhere else."""
    if last is None:
        return sources.index(source)
    return next((k for k in range(last + 1, len(sources)) if sources[k] == source), last)


def output_of(node: Node, k: int) -> Node:
    """The entry of output k: the node itself, or, where there are several outputs, an entry that picks one."""
    if node.outputs is None:
        return node
    pick = Pick()
    pick.serial = node.picks[k]
    pick.op, pick.parents, pick.rules, pick.saved, pick.sources = node.op, (node,), (), (), ()
    (pick.shape, pick.dtype), pick.xp, pick.time_step = node.outputs[k], node.xp, node.time_step
    pick.slot = k
    return pick


VIEWS = frozenset(("broadcast_to", "expand_dims", "flip", "getitem", "reshape", "squeeze", "swapaxes", "transpose"))
"""Operations whose result may share its memory with the input."""


def check_saved(nodes: dict[int, Node]) -> None:
    """Refuse a walk over an entry whose saved array was written into after it was recorded.

    Raises:
        GraphError: names the operation and the tensor's shape.
    """
    leaves = [n for n in nodes.values() if type(n) is Leaf and (n.written_at or n.unchanged)]
    if not leaves:
        return
    last_write = max(leaf.written_at for leaf in leaves)
    before = sorted(serial for serial, node in nodes.items() if serial < last_write and node.parents)
    for leaf in leaves:
        memory = {leaf.serial}  # the entries whose arrays lie in the leaf's memory
        for serial in before:
            node = nodes[serial]
            if serial > leaf.written_at:
                break
            if any(p is not None and p.serial in memory for p in node.parents):
                if any(saves(node, p) for p in node.parents if p is not None and p.serial in memory):
                    raise GraphError(_stale(node, leaf))
                if node.op in VIEWS:
                    memory.add(serial)
        if leaf.unchanged is not None:
            noted = nodes.get(leaf.unchanged.serial)
            if noted is not None and not leaf.unchanged.unchanged():
                raise GraphError(_stale(noted, leaf))


def saves(node: Node, parent: Node) -> bool:
    """Whether the entry keeps its parent's array for its rule. Of a view, only one that still lies in the memory."""
    kept = {id(a): a for a in node.saved}
    return any(
        p is parent and source in kept and (type(p) is Leaf or getattr(kept[source], "base", None) is not None)
        for p, source in zip(node.parents, node.sources)
    )


def _stale(node: Node, leaf: Leaf) -> str:
    return (
        f"backward: '{node.op}' saved a tensor of shape {leaf.shape} that was written into since, so its gradient "
        "would be wrong. Change parameters after the walk, or work on a copy"
    )
