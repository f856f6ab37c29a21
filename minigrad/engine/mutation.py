"""Writes into arrays that the tape saved: seen when the walk comes, before they make a gradient wrong.

What the library itself writes (an optimizer's step) leaves a serial number on the leaf. An array that somebody else
can write into, because it was handed out or is his own, is fingerprinted when an entry saves it. All else is ours.
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
    """What was in an array, since which serial number. Does not keep the array alive."""

    __slots__ = ("array", "before", "fingerprint", "serial")

    def __init__(self, array: Array, fingerprint: Checksum, gone: Callable[[Any], Any] | None = None) -> None:
        self.array, self.serial = weakref.ref(array, gone), next(serials)
        self.fingerprint, self.before = fingerprint, fingerprint(array)

    def unchanged(self) -> bool:
        array = self.array()
        return array is None or self.fingerprint(array) == self.before


exposed: dict[int, Fingerprint] = {}
"""The arrays whose memory the user holds, by ids, as long as they live: not views, but what they are views of."""


def expose(array: Array, fingerprint: Checksum) -> None:
    """Note that the user can write into the array from now on, and what is in it."""
    owner = owner_of(array)
    key = id(owner)
    held = exposed.get(key)
    if held is None or held.before is None:
        exposed[key] = Fingerprint(owner, fingerprint, lambda _: exposed.pop(key, None))


def mark_user_owned(array: Array) -> None:
    """Note that the array is the user's own. Whoever saves it looks what is in it then; nobody has looked before."""
    owner = owner_of(array)
    if id(owner) not in exposed:
        expose(owner, _not_looked_at)


def _not_looked_at(array: Array) -> None:
    return None


def is_exposed(array: Array) -> bool:
    """Whether the user can write into the array or into what it is a view of."""
    return id(array if array.base is None else owner_of(array)) in exposed


def source_positions(saved: Sequence[Any], there: Sequence[Any]) -> tuple[int | None, ...]:
    """For each saved array which of the inputs and outputs `there` it is.

    Where two of them are one array (`x * x.detach()`), the saved ones are theirs in their order: a rule that needs the
    second of two inputs alone saves the first as well.
    """
    source_positions: list[int | None] = []
    for array in saved:
        place = None
        for k, other in enumerate(there):
            if other is array:
                place = k
                if k not in source_positions:
                    break
        source_positions.append(place)
    return tuple(source_positions)


class FingerprintedSources(tuple[int | None, ...]):
    """An entry's `sources`, with a note of each array that it saved and that the user holds."""

    notes: list[tuple[Array, Fingerprint]]


def fingerprint_saved(
    node: Node | None, op: str, arrays: Sequence[Array], own: Sequence[bool], fingerprint: Checksum
) -> None:
    """Fingerprint what the entry saved of those inputs that the user can write into: his `own`, or handed out."""
    if node is None and op not in VIEWS:
        return
    if node is not None and node.slot is not None:
        node = node.parents[0]
    notes = []
    for array, users in zip(arrays, own):
        if not hasattr(array, "dtype"):
            continue
        owner = owner_of(array)
        if users:
            mark_user_owned(owner)  # whoever saves a view of it shall know
        elif id(owner) not in exposed:
            continue
        for kept in () if node is None else node.saved:
            if owner_of(kept) is owner:
                notes.append((kept, Fingerprint(kept, fingerprint)))
    if node is not None and notes:
        node.sources = FingerprintedSources(node.sources)
        node.sources.notes = notes


def owner_of(array: Array) -> Array:
    """The array that owns the memory, or first lay on somebody else's; many views share it."""
    base = getattr(array, "base", None)
    while base is not None:  # through what a memmap, or an array made by strides, has between
        deeper = getattr(base, "base", None)
        if hasattr(base, "dtype") and hasattr(base, "base"):
            array = base
        base = deeper
    return array


def check_saved(nodes: dict[int, Node], order: Sequence[int]) -> None:
    """Refuse a walk over an entry whose saved array was written into after it was recorded.

    Args:
        nodes: the entries to be walked, by serial number; order: those numbers, rising.

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
            for kept, noted in node.sources.notes:
                if not noted.unchanged():
                    raise GraphError(_stale(node, tuple(kept.shape)))
        for kept in node.saved:
            held = exposed.get(id(owner_of(kept)))
            if held is not None and held.serial > serial and not held.unchanged():
                raise GraphError(_stale(node, tuple(kept.shape)))


def _refuse_older_uses(nodes: dict[int, Node]) -> None:
    """Some leaf was written into: refuse uses older than that. A leaf need not lie on the way of the walk itself."""
    whole, stack = dict(nodes), list(nodes.values())
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent.serial not in whole:
                whole[parent.serial] = parent
                stack.append(parent)
    lies_in: dict[int, Leaf] = {}  # the leaf in whose memory an entry's array lies
    for serial in sorted(whole):
        node = whole[serial]
        if type(node) is Leaf:
            lies_in[serial] = node
        for parent in node.parents:
            leaf = None if parent is None else lies_in.get(parent.serial)
            if leaf is not None and serial < leaf.written_at:
                if serial in nodes and _saves(node, parent):
                    raise GraphError(_stale(node, leaf.shape))
                if node.op in VIEWS:
                    lies_in[serial] = leaf


def _saves(node: Node, parent: Node | None) -> bool:
    """Whether the entry keeps its parent's array for its rule. Of a view, only one that still lies in the memory."""
    return any(
        k is not None
        and k < len(node.parents)
        and node.parents[k] is parent
        and (type(parent) is Leaf or getattr(array, "base", None) is not None)
        for array, k in zip(node.saved, node.sources)
    )


def _stale(node: Node, shape: tuple[int, ...]) -> str:
    return (
        f"backward: '{node.op}' saved a tensor of shape {shape} that was written into since, so its gradient "
        "would be wrong. Change parameters after the walk, or work on a copy"
    )
