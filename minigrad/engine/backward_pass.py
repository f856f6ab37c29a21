"""The backward pass: from the newest node to the oldest, each passes its gradient on to its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..backend import BY_ARRAY_TYPE, HOST_SCALARS
from .account import Accounts, close_accounts, open_accounts
from .gradient_pool import (
    MANY,
    IndexedSlice,
    OuterProduct,
    PerStepSum,
    Pool,
    RowSum,
    in_dtype,
    unbroadcast,
    wrong_shape,
)
from .hooks import apply_hooks, hooked
from .modes import mode
from .mutation import check_saved
from .tape import GraphError, ManyNode, Node, Pick, held, output_of

Array = Any


def reachable(roots: Iterable[Node], lowest: int = 0) -> dict[int, Node]:
    """Return all nodes from which `roots` were computed, by serial number, none older than `lowest`."""
    nodes: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        serial = node.serial
        if serial in nodes:
            continue
        parents = node.parents  # before `rules`: what consumes a node clears `rules` first
        if node.rules is None:
            raise _consumed(node)
        nodes[serial] = node
        for parent in parents:
            if parent is not None and parent.serial >= lowest:
                stack.append(parent)
    return nodes


def _consumed(node: Node) -> GraphError:
    """Return the error for a node whose rules are gone, which another thread may take at any moment."""
    return GraphError(
        f"backward: an earlier backward pass has consumed the graph, and '{node.op}' {node.shape} with it; "
        "pass retain_graph=True to the first backward pass, or cut the graph with .detach() where it should end"
    )


def only_towards(nodes: dict[int, Node], wanted: set[int]) -> dict[int, Node]:
    """Return those of `nodes` through which a gradient can reach one of `wanted`."""
    result: dict[int, Node] = {}
    for serial in sorted(nodes):
        node = nodes[serial]
        if serial in wanted or any(p is not None and p.serial in result for p in node.parents):
            result[serial] = node
        elif node.rules is None:
            raise _consumed(node)
    return result


class RecordingNeeded(Exception):
    """A rule needs derivatives of the gradients that reach it, which only a recorded backward pass has."""


def _needs_limits(nodes: dict[int, Node]) -> bool:
    """Whether a gradient reaches an output for which its operation's rule needs a recorded pass."""
    for node in nodes.values():
        if type(node) is Pick:
            many: Any = node.parents[0]
            # If it is not in `nodes`, the pass ends at its output.
            if many.serial in nodes and node.slot in getattr(many, "needs_limits", ()):
                return True
    return False


Gradient = tuple[Node, Any, bool]
"""A node, its pooled gradient, and whether nothing else holds the gradient's memory."""


def run(
    roots: Sequence[tuple[Node, Any]],
    *,
    wanted: set[int] | None,
    retain: bool,
    lift: Callable[[Array, Node | None], Any] | None,
    xp: Any,
    ledger: Accounts | None,
) -> dict[int, Gradient]:
    """Run the tape backwards from `roots`, pairs of a node and the gradient of the result with respect to it.

    Returns the pooled gradients of all leaves, or of the `wanted` serials only. Without `retain` each node drops its
    rules and its saved arrays once it is done, so memory falls during the backward pass.

    There are three modes. In a first-order backward pass (`lift` None) gradients are plain arrays. In a recorded one
    (`create_graph`) `lift` makes a tensor of an array and its node: the same rules run on tensors with the namespace
    `xp`, so that they are on the tape. With a `ledger` its accounts note each contribution to their
    value before it is pooled.
    """
    nodes = reachable([node for node, _ in roots], min(wanted, default=0) if wanted is not None else 0)
    if wanted is not None:
        nodes = only_towards(nodes, wanted)
    order = sorted(nodes)
    check_saved(nodes, order)
    if ManyNode.last_of_limits and lift is None and _needs_limits(nodes):
        raise RecordingNeeded
    pools: dict[int, Any] = {}
    for node, g in roots:
        if node.serial in nodes:
            _into_pool(pools, node.serial, g, node.xp)
    result: dict[int, Gradient] = {}
    first_order = lift is None
    never_factors = wanted or ()
    sums: dict[int, PerStepSum] = {}  # by the node that received it; for the ledger
    noted: dict[int, Node] = {}  # the ledger's values that were reached
    if ledger is not None:
        open_accounts(ledger, nodes)
    observer = mode().observer
    rules: Any
    for serial in reversed(order):  # newest first: every use of a node comes before the node itself
        node = nodes.pop(serial)
        g = pools.pop(serial, None)
        if g is None:  # nothing that depends on this node reached the result
            continue
        parents, saved = node.parents, node.saved
        rules, node_xp, kind = node.rules, node.xp, type(node)
        if rules is None:
            raise _consumed(node)

        # 1. Pool: the contributions of all uses have arrived, so the gradient is complete.
        owned = False
        if type(g) not in BY_ARRAY_TYPE:
            if type(g) in POOLED:
                # First order only: the transpose of a weight passes factors on, cheaper than their product.
                keep_factors = node.keeps_factors and first_order and bool(parents) and serial not in never_factors
                g, owned = pooled(g, keep_factors)
            # NumPy's results without axes are scalars. Rules of the library's own, one for each input, take them, at
            # half the price of arrays; everything else is given an array.
            if type(g) in HOST_SCALARS and (kind is not Node or type(rules) is not tuple or hooked):
                g = node_xp.asarray(g)
        if ledger is not None and serial in ledger:
            noted[serial] = node
            for account in ledger[serial]:
                account.pooled(g if first_order else g._array)
        if hooked:
            g, owned = apply_hooks(node, g, owned)
        if serial in wanted if wanted is not None else not parents:
            result[serial] = (node, g, owned)
        if not parents:
            continue

        # 2. Several outputs: each Pick leaves its gradient with the ManyNode, which comes after all of them.
        if kind is Pick:
            many: Any = parents[0]
            slots = pools.setdefault(many.serial, [None] * len(many.outputs))
            slots[node.slot] = g
            continue
        if kind is ManyNode:
            g = tuple(_or_zeros(g[k], like, node_xp, lift) for k, like in enumerate(node.outputs))

        # 3. The rules: on arrays, or in a recorded pass on tensors that are tied to the nodes they came from.
        if lift is not None:
            saved, node_xp = _attach(node, lift), xp
        if observer is not None:
            rules = observer.rules(node, rules)
        parts = None  # a joint rule's contributions
        if type(rules) is not tuple:
            needs = tuple(p is not None and p.serial in nodes for p in parents)
            parts = tuple(rules(node_xp, g, needs, *saved))
        count = len(saved)
        for k, parent in enumerate(parents):
            if parent is None or (wanted is not None and parent.serial not in nodes):
                continue
            if parts is not None:
                contribution = parts[k] if k < len(parts) else None
            elif count == 1:  # written out: a call with * costs twice as much
                contribution = rules[k](node_xp, g, saved[0])
            elif count == 2:
                contribution = rules[k](node_xp, g, saved[0], saved[1])
            elif not count:
                contribution = rules[k](node_xp, g)
            else:
                contribution = rules[k](node_xp, g, *saved)
            if contribution is None:
                continue
            per_step = None
            if ledger is not None:
                per_step = _per_step(node, contribution, g, sums)
                if per_step is not None and parent.parents:
                    sums[parent.serial] = per_step

            # 4. The contribution in the parent's shape and dtype, into its pool.
            if type(contribution) in BY_ARRAY_TYPE:
                if contribution.shape != parent.shape:  # the parent was broadcast
                    if contribution is not g and contribution.shape != node.shape:
                        _check_broadcast(node, parent, contribution.shape, saved)
                    defer = first_order and not parent.parents
                    contribution = unbroadcast(node_xp, contribution, parent.shape, defer, node.op)
            elif parent.shape or type(contribution) not in HOST_SCALARS:
                contribution = _finished(contribution, node, parent, first_order, saved, node_xp)
            if contribution.dtype is not parent.dtype and contribution.dtype != parent.dtype:
                contribution = in_dtype(contribution, parent.dtype, node_xp)
            if ledger is not None and parent.serial in ledger:
                line = per_step or (contribution if first_order else contribution._array)
                for account in ledger[parent.serial]:
                    account.note(node.time_step, parent, line, node.xp)
                line = None
            waiting = pools.get(parent.serial)
            if waiting is None:  # most nodes have one use: the contribution is borrowed, without a pool
                pools[parent.serial] = contribution
            elif type(waiting) is Pool:
                waiting.add(contribution)
            else:
                _into_pool(pools, parent.serial, contribution, parent.xp)
        if not retain and not (held and serial in held):
            node.rules, node.saved, node.parents, node.sources = None, (), (), ()
        # No array of this node stays alive while the next rule computes.
        g, saved, parts, contribution, waiting, per_step = None, (), None, None, None, None
        if sums:
            sums.pop(serial, None)
    if ledger is not None:
        close_accounts(ledger, noted)
    return result


def consume(roots: Sequence[Node], wanted: set[int] | None) -> None:
    """Drop the rules and saved arrays of the nodes that a backward pass from `roots` without `retain` would drop."""
    nodes = reachable(roots, min(wanted, default=0) if wanted is not None else 0)
    for node in (nodes if wanted is None else only_towards(nodes, wanted)).values():
        if node.parents and node.serial not in held:
            node.rules, node.saved, node.parents, node.sources = None, (), (), ()


POOLED = frozenset((OuterProduct, RowSum, IndexedSlice, Pool))
"""What may wait in `pools` in place of an array."""


def pooled(waiting: Any, keep_factors: bool) -> tuple[Any, bool]:
    """Return the sum of a node's contributions, and whether it owns its memory (a single array is borrowed)."""
    kind = type(waiting)
    if kind is Pool:
        total: tuple[Any, bool] = waiting.result(keep_factors)
        return total
    if kind is RowSum and waiting.count == 1:
        return waiting.rows[0], False
    if kind is RowSum or kind is IndexedSlice or (kind is OuterProduct and not keep_factors):
        return waiting.dense(), True
    return waiting, False


def _finished(contribution: Any, node: Node, parent: Node, first_order: bool, saved: Any, xp: Any) -> Any:
    """Return a contribution as an array of the parent's shape, or as it is where the pool sums it faster."""
    kind = type(contribution)
    if kind is OuterProduct or kind is RowSum:
        if first_order and parent.keeps_factors and contribution.count < MANY:
            return contribution
        contribution = contribution.dense()
    elif kind is PerStepSum:
        contribution = contribution.total
    elif kind is IndexedSlice:
        return contribution if parent.shape else contribution.dense()  # a scalar total cannot be written into
    elif not hasattr(contribution, "shape"):
        raise TypeError(
            f"backward: the rule of '{node.op}' returned {kind.__name__} for an input of shape {parent.shape}, want "
            "an array of that shape, or None for no gradient"
        )
    if contribution.shape == parent.shape:
        return contribution
    _check_broadcast(node, parent, contribution.shape, saved)
    return unbroadcast(xp, contribution, parent.shape, first_order and not parent.parents, node.op)


def _check_broadcast(node: Node, parent: Node, shape: Sequence[int], saved: Sequence[Any]) -> None:
    """Check that an operation may have broadcast the parent to the `shape` of a contribution to it.

    Raises:
        ValueError: no array that it took, returned or saved has so many axes, or an axis of a length that would have to
            be summed over.
    """
    arrays = (*saved, *(p for p in node.parents if p is not None))
    shapes = [shape for shape, _ in node.outputs or ((node.shape, None),)]
    shapes += [tuple(a.shape) for a in arrays if hasattr(a, "shape")]
    extra = len(shape) - len(parent.shape)
    summed = [n for k, n in enumerate(shape) if k < extra or n != parent.shape[k - extra]]
    if len(shape) > max(map(len, shapes)) or not {1}.union(*shapes).issuperset(summed):
        raise wrong_shape(node.op, tuple(shape), parent.shape)


def _into_pool(pools: dict[int, Any], serial: int, contribution: Any, xp: Any) -> None:
    """Add a contribution to a node's pool, which is created for the second one."""
    waiting = pools.get(serial)
    if waiting is None:
        pools[serial] = contribution
    elif type(waiting) is Pool:
        waiting.add(contribution)
    else:
        pools[serial] = pool = Pool(xp, waiting)
        pool.add(contribution)


def _per_step(node: Node, contribution: Any, g: Any, sums: dict[int, PerStepSum]) -> PerStepSum | None:
    """Return the sum over time steps that a contribution is, or that a rule such as that of `b + br` passed on."""
    if type(contribution) is PerStepSum:
        return contribution
    passed_on = sums.get(node.serial) if contribution is g else None
    return passed_on if passed_on is not None and passed_on.total is g else None


def _or_zeros(g: Any, like: tuple[tuple[int, ...], Any], xp: Any, lift: Any) -> Any:
    if g is not None:
        return g
    zeros = xp.zeros(like[0], dtype=like[1])
    return zeros if lift is None else lift(zeros, None)


def _attach(node: Node, lift: Callable[[Array, Node | None], Any]) -> tuple[Any, ...]:
    """Return the saved arrays as tensors tied to the nodes they came from, so that derivatives flow through them."""
    inputs = len(node.parents)
    tensors = []
    for array, k in zip(node.saved, node.sources):
        if array is None or not hasattr(array, "dtype"):
            tensors.append(array)
        elif k is None:
            tensors.append(lift(array, None))
        else:
            tensors.append(lift(array, node.parents[k] if k < inputs else output_of(node, k - inputs)))
    return tuple(tensors)
