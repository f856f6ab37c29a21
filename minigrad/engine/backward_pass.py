"""The walk: the tape from its newest entry to its oldest; each passes its gradient on to its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from .gradient_pool import MANY, IndexedSlice, OuterProduct, PerStepSum, Pool, RowSum, unbroadcast
from .hooks import apply_hooks, hooked
from .mutation import check_saved
from .tape import GraphError, ManyNode, Node, Pick, mode, output_of

Array = Any


def reachable(roots: Iterable[Node], lowest: int = 0) -> dict[int, Node]:
    """All entries from which `roots` were computed, by serial number, none older than `lowest`."""
    nodes: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        serial = node.serial
        if serial in nodes:
            continue
        if node.rules is None:
            raise GraphError(
                f"backward: the graph was walked before and its entry '{node.op}' {node.shape} is gone; pass "
                "retain_graph=True to the first walk, or cut the graph with .detach() where it should end"
            )
        nodes[serial] = node
        for parent in node.parents:
            if parent is not None and parent.serial >= lowest:
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


Gradient = tuple[Node, Any, bool]
"""What the walk found for one entry: the entry, the pooled gradient, and whether its memory is ours alone."""


def walk(
    roots: Sequence[tuple[Node, Any]],
    *,
    wanted: set[int] | None,
    retain: bool,
    lift: Callable[[Array, Node | None], Any] | None,
    xp: Any,
    ledger: dict[int, list[tuple[int | None, Any]]] | None,
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
    order = sorted(nodes)
    check_saved(nodes, order)
    pools: dict[int, Any] = {}
    for node, g in roots:
        if node.serial in nodes:
            _into_pool(pools, node.serial, g, node.xp)
    found: dict[int, Gradient] = {}
    first_order = lift is None
    kept_whole = wanted or ()
    watch, hooks = mode().observer, bool(hooked)
    for serial in reversed(order):
        node = nodes.pop(serial)
        g = pools.pop(serial, None)
        if g is None:  # nothing that depends on this entry reached the result
            continue
        parents, rules, saved, here = node.parents, node.rules, node.saved, node.xp
        owned = False
        if type(g) in POOLED:
            g, owned = pooled(g, node.keeps_factors and first_order and bool(parents) and serial not in kept_whole)
        if hooks:
            g, owned = apply_hooks(node, g, owned)
        if serial in wanted if wanted is not None else not parents:
            found[serial] = (node, g, owned)
        if not parents:
            continue
        kind = type(node)
        if kind is Pick:  # one of several outputs: wait for its siblings
            whole: Any = parents[0]
            slots = pools.setdefault(whole.serial, [None] * len(whole.outputs))
            slots[node.slot] = g
            continue
        if kind is ManyNode:
            g = tuple(_or_zeros(g[k], like, here, lift) for k, like in enumerate(node.outputs))
        if lift is not None:
            saved, here = _attach(node, lift), xp
        if watch is not None:
            rules = watch.rules(node, rules)
        if not isinstance(rules, tuple):  # a joint rule: its answers stand in for a rule each
            assert rules is not None
            needs = tuple(p is not None and p.serial in nodes for p in parents)
            rules = tuple(partial(_answer, part) for part in rules(here, g, needs, *saved))
        count = len(saved)
        for parent, rule in zip(parents, rules):
            if parent is None or (wanted is not None and parent.serial not in nodes):
                continue
            if count == 1:  # written out: a call with a star costs as much again
                contribution = rule(here, g, saved[0])
            elif count == 2:
                contribution = rule(here, g, saved[0], saved[1])
            else:
                contribution = rule(here, g, *saved)
            if contribution is None:
                continue
            if ledger is not None and parent.serial in ledger:
                ledger[parent.serial] += _ledger_lines(node, parent, contribution, here)
            if type(contribution) in UNFINISHED:
                contribution = _finished(contribution, parent, first_order)
            elif contribution.shape != parent.shape:
                contribution = unbroadcast(here, contribution, parent.shape, first_order and not parent.parents)
            if contribution.dtype is not parent.dtype and contribution.dtype != parent.dtype:
                contribution = _in_dtype(contribution, parent.dtype, here)
            if parent.serial in pools:
                _into_pool(pools, parent.serial, contribution, parent.xp)
            else:  # most entries have one use: it is only borrowed, and they need no pool
                pools[parent.serial] = contribution
        if not retain:
            node.rules, node.saved, node.parents, node.sources = None, (), (), ()
        g, saved, contribution = None, (), None  # nothing of this entry lives on while the next one's rule computes
    return found


def _in_dtype(contribution: Any, dtype: Any, xp: Any) -> Any:
    """In the parent's dtype; of a complex contribution a real parent feels the real part, as L changes by Re(g·dx)."""
    if contribution.dtype.kind == "c" and dtype.kind != "c":
        contribution = xp.real(contribution.dense() if type(contribution) in UNFINISHED else contribution)
    return contribution if contribution.dtype == dtype else contribution.astype(dtype)


UNFINISHED = frozenset((OuterProduct, RowSum, PerStepSum, IndexedSlice))
POOLED = frozenset((OuterProduct, RowSum, IndexedSlice, Pool))


def pooled(held: Any, keep_factors: bool) -> tuple[Any, bool]:
    """What a pool has come to, and whether that memory is its own; of a single contribution, that one as it is."""
    kind = type(held)
    if kind is Pool:
        total: tuple[Any, bool] = held.result(keep_factors)
        return total
    if kind is RowSum and held.count == 1:
        return held.rows[0], False
    if kind is RowSum or kind is IndexedSlice or (kind is OuterProduct and not keep_factors):
        return held.dense(), True
    return held, False


def _answer(contribution: Any, *_: Any) -> Any:
    return contribution


def _finished(contribution: Any, parent: Node, first_order: bool) -> Any:
    """Factors stay factors only where a pool will gather many of them."""
    kind = type(contribution)
    if kind is PerStepSum:
        return contribution.total
    if kind is IndexedSlice or (first_order and parent.keeps_factors and contribution.count < MANY):
        return contribution
    return contribution.dense()


def _into_pool(pools: dict[int, Any], serial: int, contribution: Any, xp: Any) -> None:
    """Add to an entry's pool, which is made when there is a second contribution."""
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
    if type(contribution) is PerStepSum:
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


def _attach(node: Node, lift: Callable[[Array, Node | None], Any]) -> tuple[Any, ...]:
    """Saved arrays as tensors, each tied to the entry it came from, so that a recorded walk differentiates through."""
    inputs = len(node.parents)
    tied = []
    for array, k in zip(node.saved, node.sources):
        if array is None or not hasattr(array, "dtype"):
            tied.append(array)
        elif k is None:
            tied.append(lift(array, None))
        else:
            tied.append(lift(array, node.parents[k] if k < inputs else output_of(node, k - inputs)))
    return tuple(tied)
