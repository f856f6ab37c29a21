"""Writes into arrays that the tape saved: seen when the walk comes, before they make a gradient wrong."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from .tape import GraphError, Leaf, Node

VIEWS = frozenset(
    (
        "broadcast_to",
        "expand_dims",
        "flip",
        "getitem",
        "imag",
        "real",
        "reshape",
        "resized",
        "squeeze",
        "swapaxes",
        "transpose",
        "windows",
    )
)
"""Operations whose result may share its memory with the input."""


class Sources(list[int]):
    """An entry's `sources`, of which a note may ask whether they, and so the entry's saved arrays, are still alive."""

    __slots__ = ("__weakref__",)


class Note:
    """What was in an array when an entry saved it."""

    __slots__ = ("alive", "serial", "unchanged")

    def __init__(self, node: Node, unchanged: Callable[[], bool]) -> None:
        node.sources = Sources(node.sources)
        self.serial, self.alive, self.unchanged = node.serial, weakref.ref(node.sources), unchanged


def check_saved(nodes: dict[int, Node]) -> None:
    """Refuse a walk over an entry whose saved array was written into after it was recorded.

    Raises:
        GraphError: names the operation and the tensor's shape.
    """
    leaves = [n for n in nodes.values() if type(n) is Leaf and (n.written_at or n.unchanged or n.exposure)]
    if not leaves:
        return
    recorded = sorted(serial for serial, node in nodes.items() if node.parents)
    last_writes = {leaf.serial: _last_write(leaf, recorded) for leaf in leaves}
    before = [serial for serial in recorded if serial < max(last_writes.values())]
    for leaf in leaves:
        memory = {leaf.serial}  # the entries whose arrays lie in the leaf's memory
        for serial in before:
            node = nodes[serial]
            if serial > last_writes[leaf.serial]:
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


def _last_write(leaf: Leaf, recorded: list[int]) -> int:
    """When the leaf's array was last written into, as far as is known, as a serial number.

    An array first handed out after entries of this graph were recorded, and not the same since, was written then.
    """
    if leaf.exposure is not None and recorded and recorded[0] < leaf.exposure[0] and not leaf.exposure[1]():
        return max(leaf.written_at, leaf.exposure[0])
    return leaf.written_at


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
