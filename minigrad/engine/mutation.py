"""Detect writes into arrays that the tape saved, in the backward pass, before they make a gradient wrong.

What matters is memory, not names: a saved array may be a leaf's own, a view made under `no_grad`, or what any operation
handed on. A write by the library itself (an optimizer's step) is noted for the array that owns the memory. Memory that
the user may still hold is fingerprinted when a node saves it; other memory cannot change.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from operator import is_
from typing import Any

from .tape import GraphError, Node, serials

Array = Any
Checksum = Callable[[Array], int | None]
"""`backend.fingerprint`: equal as long as the array's content is; None on a device."""


class Write:
    """The library's latest write into an array's memory. Does not keep the array alive."""

    __slots__ = ("array", "owner", "serial")
    latest = 0
    """The serial number of the latest write into any memory."""
    array: weakref.ref[Any] | None
    """The array that was written into; None if there were several, which then count as all of the memory."""

    def __init__(self, array: Array, owner: Array, serial: int, on_free: Callable[[Any], Any]) -> None:
        self.array, self.owner, self.serial = weakref.ref(array), weakref.ref(owner, on_free), serial

    def changed(self, array: Array, xp: Any) -> bool:
        """Return whether it may have changed an array that has the same owner."""
        written = None if self.array is None else self.array()
        return written is None or written is array or bool(xp.may_share_memory(written, array))


writes: dict[int, Write] = {}
"""The latest write into each memory, by the id of the array that owns it."""


def note_write(array: Array) -> int:
    """Note that an array was changed in place. Nodes older than this that saved any of its memory are now stale.

    Returns:
        The serial number of the write.
    """
    serial = next(serials)
    known = writes.get(id(array))  # an array that owns its memory, at its second write
    if known is None:
        owner = owner_of(array)
        key = id(owner)
        known = writes.get(key)
        if known is None:
            known = writes[key] = Write(array, owner, serial, lambda _: writes.pop(key, None))
    if known.array is not None and known.array() is not array:
        known.array = None
    if serial > known.serial:  # of two threads the later one counts
        known.serial = serial
    if serial > Write.latest:
        Write.latest = serial
    return serial


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


viewed: dict[int, weakref.ref[Any]] = {}
"""Arrays of which the user has a read-only view, whose `base` leads to the array; by the ids as in `exposed`."""
pickled: dict[int, weakref.ref[Any]] = {}
"""Arrays that were given to a pickler, which may pass on their memory out of band."""


def hand_out(array: Array, to: dict[int, weakref.ref[Any]]) -> None:
    """Note in `viewed` or `pickled` who has got hold of an array. The tape does not reckon with writes by them."""
    owner = owner_of(array)
    key = id(owner)
    if key not in to:
        to[key] = weakref.ref(owner, lambda _: to.pop(key, None))


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


def is_reachable(array: Array) -> bool:
    """Return whether the user may have a reference to the array or to its owner."""
    key = id(owner_of(array))
    return key in exposed or key in viewed


def source_positions(saved: Sequence[Any], arrays: Sequence[Any]) -> tuple[int | None, ...]:
    """Return for each saved array its position among `arrays`, the inputs followed by the outputs.

    Two inputs of different nodes are never the same array (see `primitive.tell_apart`). An output may be its input's
    array; then the saved arrays get the two positions in order.
    """
    if len(saved) <= len(arrays) and all(map(is_, saved, arrays)):  # the inputs themselves, in their order
        return tuple(range(len(saved)))
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


def fingerprint_saved(result: Any, arrays: Iterable[Any], fingerprint: Checksum) -> None:
    """Fingerprint what an operation's node saved of memory that the user can write into.

    Args:
        result: the operation's output tensor, or a tuple of them.
        arrays: its arguments that are the user's own. One whose memory is saved or handed on is marked.
    """
    several = type(result) is tuple
    node: Node | None = result[0].node if several else result.node
    if node is not None and node.slot is not None:
        node = node.parents[0]
    saved = () if node is None else node.saved
    for array in arrays:
        if not hasattr(array, "dtype"):
            continue
        owner = array if array.base is None else owner_of(array)
        if id(owner) not in exposed:
            shared = (*saved, *(y._array for y in result)) if several else (*saved, result._array)
            for other in shared:
                if other is owner or owner_of(other) is owner:
                    mark_user_owned(owner)  # so that views of it are fingerprinted as well
                    break
    fingerprints = None
    for array in saved:
        if id(array) in exposed or (getattr(array, "base", None) is not None and id(owner_of(array)) in exposed):
            note = (array, Fingerprint(array, fingerprint))
            if fingerprints is None:
                fingerprints = [note]
            else:
                fingerprints.append(note)
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
    oldest = Write.latest  # of the operations; a leaf is written into between two passes
    for serial in order:
        if nodes[serial].parents:
            oldest = serial
            break
    written = writes if Write.latest > oldest else {}
    if not exposed and not written:
        return
    for serial in order:
        node = nodes[serial]
        if type(node.sources) is FingerprintedSources:
            for saved, fingerprint in node.sources.fingerprints:
                if not fingerprint.unchanged():
                    raise GraphError(_stale_message(node, tuple(saved.shape)))
        for saved in node.saved:
            key = id(owner_of(saved))
            write, exposure = written.get(key), exposed.get(key)
            if write is not None and write.serial > serial and write.changed(saved, node.xp):
                raise GraphError(_stale_message(node, tuple(saved.shape)))
            if exposure is not None and exposure.serial > serial and not exposure.unchanged():
                raise GraphError(_stale_message(node, tuple(saved.shape)))


def _stale_message(node: Node, shape: tuple[int, ...]) -> str:
    return (
        f"backward: '{node.op}' saved a tensor of shape {shape} that was written into since, so its gradient "
        "would be wrong. Change parameters after the backward pass, or work on a copy"
    )
