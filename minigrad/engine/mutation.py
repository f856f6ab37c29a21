"""Detect writes into arrays that the tape saved, in the backward pass, before they make a gradient wrong.

A write by the library itself (an optimizer's step) leaves a serial number on the leaf. Arrays the user may still hold
are fingerprinted when a node saves them; other arrays cannot change.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from .tape import GraphError, Leaf, Node, serials

Array = Any
Checksum = Callable[[Array], int | None]
"""`backend.fingerprint`: equal as long as the array's content is; None on a device."""
VIEWS = frozenset(
    (
        "broadcast_to",
        "diagonal",
        "expand_dims",
        "flip",
        "getitem",
        "imag",
        "module_inputs",
        "module_outputs",
        "real",
        "real_if_close",
        "reshape",
        "resized",
        "split",
        "squeeze",
        "swapaxes",
        "transpose",
        "variable",
        "windows",
    )
)
"""Operations whose result may share its memory with the input."""


class Fingerprint:
    """A checksum of an array's content, and the serial number when it was taken. Does not keep the array alive."""

    __slots__ = ("array", "before", "fingerprint", "serial")

    def __init__(self, array: Array, fingerprint: Checksum, on_free: Callable[[Any], Any] | None = None) -> None:
        self.array, self.serial = weakref.ref(array, on_free), next(serials)
        self.fingerprint, self.before = fingerprint, fingerprint(array)

    def unchanged(self) -> bool:
        array = self.array()
        return array is None or self.fingerprint(array) == self.before


exposed: dict[int, Fingerprint] = {}
"""Fingerprints of the arrays the user may write into, by the ids of the arrays that own the memory, not of views."""


def expose(array: Array, fingerprint: Checksum) -> None:
    """Fingerprint an array that the user can write into from now on."""
    owner = owner_of(array)
    key = id(owner)
    known = exposed.get(key)
    if known is None or known.before is None:
        exposed[key] = Fingerprint(owner, fingerprint, lambda _: exposed.pop(key, None))


def mark_user_owned(array: Array) -> None:
    """Mark the array as the user's own. It is fingerprinted only when a node saves it."""
    owner = owner_of(array)
    if id(owner) not in exposed:
        expose(owner, _no_fingerprint)


def _no_fingerprint(array: Array) -> None:
    return None


def is_exposed(array: Array) -> bool:
    """Return whether the user can write into the array or into the array it is a view of."""
    return id(array if array.base is None else owner_of(array)) in exposed


def source_positions(saved: Sequence[Any], arrays: Sequence[Any]) -> tuple[int | None, ...]:
    """Return for each saved array its position among `arrays`, the inputs followed by the outputs.

    If two of them are the same array (`x * x.detach()`), the saved arrays get its two positions in order. So a rule
    that needs only the second of two inputs has to save the first as well.
    """
    positions: list[int | None] = []
    for array in saved:
        position = None
        for k, other in enumerate(arrays):
            if other is array:
                position = k
                if k not in positions:
                    break
        positions.append(position)
    return tuple(positions)


class FingerprintedSources(tuple[int | None, ...]):
    """A node's `sources`, with the fingerprints of the saved arrays that the user can write into."""

    fingerprints: list[tuple[Array, Fingerprint]]


def fingerprint_saved(
    node: Node | None, op: str, arrays: Sequence[Array], own: Sequence[bool], fingerprint: Checksum
) -> None:
    """Fingerprint those inputs saved by the node that the user can write into: the user's `own`, or exposed ones."""
    if node is None and op not in VIEWS:
        return
    if node is not None and node.slot is not None:
        node = node.parents[0]
    fingerprints = []
    for array, is_own in zip(arrays, own):
        if not hasattr(array, "dtype"):
            continue
        owner = owner_of(array)
        if is_own:
            mark_user_owned(owner)  # so that views of it are fingerprinted as well
        elif id(owner) not in exposed:
            continue
        for saved in () if node is None else node.saved:
            if owner_of(saved) is owner:
                fingerprints.append((saved, Fingerprint(saved, fingerprint)))
    if node is not None and fingerprints:
        node.sources = FingerprintedSources(node.sources)
        node.sources.fingerprints = fingerprints


def owner_of(array: Array) -> Array:
    """Return the array that owns the memory of a view, or the outermost array on memory of another library."""
    base = getattr(array, "base", None)
    while base is not None:  # also through the objects between a memmap, or an array made by strides, and its base
        deeper = getattr(base, "base", None)
        if hasattr(base, "dtype") and hasattr(base, "base"):
            array = base
        base = deeper
    return array


def check_saved(nodes: dict[int, Node], order: Sequence[int]) -> None:
    """Refuse a backward pass of a node whose saved array was written into after it was recorded.

    Args:
        nodes: the nodes of the backward pass, by serial number.
        order: these numbers, rising.

    Raises:
        GraphError: names the operation and the array's shape.
    """
    if Leaf.last_written_at > next((serial for serial in order if nodes[serial].parents), Leaf.last_written_at):
        _refuse_older_uses(nodes)
    if not exposed:
        return
    for serial in order:
        node = nodes[serial]
        if type(node.sources) is FingerprintedSources:
            for saved, fingerprint in node.sources.fingerprints:
                if not fingerprint.unchanged():
                    raise GraphError(_stale_message(node, tuple(saved.shape)))
        for saved in node.saved:
            exposure = exposed.get(id(owner_of(saved)))
            if exposure is not None and exposure.serial > serial and not exposure.unchanged():
                raise GraphError(_stale_message(node, tuple(saved.shape)))


def _refuse_older_uses(nodes: dict[int, Node]) -> None:
    """Refuse uses of a leaf older than a write into it. The leaf need not take part in the backward pass itself."""
    graph, stack = dict(nodes), list(nodes.values())
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent.serial not in graph:
                graph[parent.serial] = parent
                stack.append(parent)
    leaf_of: dict[int, Leaf] = {}  # the leaf whose memory a node's array shares
    for serial in sorted(graph):
        node = graph[serial]
        if type(node) is Leaf:
            leaf_of[serial] = node
        for parent in node.parents:
            leaf = None if parent is None else leaf_of.get(parent.serial)
            if leaf is not None and serial < leaf.written_at:
                if serial in nodes and _saves(node, parent):
                    raise GraphError(_stale_message(node, leaf.shape))
                if node.op in VIEWS:
                    leaf_of[serial] = leaf


def _saves(node: Node, parent: Node | None) -> bool:
    """Return whether the node saved its parent's array; of a view, only one that still shares the leaf's memory."""
    return any(
        k is not None
        and k < len(node.parents)
        and node.parents[k] is parent
        and (type(parent) is Leaf or getattr(array, "base", None) is not None)
        for array, k in zip(node.saved, node.sources)
    )


def _stale_message(node: Node, shape: tuple[int, ...]) -> str:
    return (
        f"backward: '{node.op}' saved a tensor of shape {shape} that was written into since, so its gradient "
        "would be wrong. Change parameters after the backward pass, or work on a copy"
    )
