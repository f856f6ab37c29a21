"""Per-node metadata (hooks, source line, modules), which few nodes have and which is freed with the node."""

from __future__ import annotations

from typing import Any

from .tape import Node

SourceLine = tuple[str, int, Any]
"""A file, a line number, and the globals there, with which `linecache` finds the source of a line in no file."""


class NodeMetadata:
    """The metadata of an operation's node, in its slot `metadata`, which most nodes never set."""

    __slots__ = ("__weakref__", "hooks", "layer", "line", "module")

    def __init__(self) -> None:
        self.hooks: dict[int, Any] = {}
        """The `Hooks` of the node, or of its `Pick`s, by serial number."""
        self.line: SourceLine | None = None
        """The user's line that recorded the node."""
        self.layer: tuple[Any, ...] = ()
        """The modules whose forward passes were running then, the outermost first."""
        self.module: Any = None
        """A label of the module whose forward pass recorded the node."""


def operation_node(node: Node) -> Node:
    """Return the node of the operation: for one of several outputs, the `ManyNode` of them all."""
    return node if node.slot is None or not node.parents else node.parents[0]  # type: ignore[return-value]


def get_metadata(node: Node) -> NodeMetadata | None:
    """Return the metadata of the operation's node, or None."""
    return getattr(operation_node(node), "metadata", None)


def ensure_metadata(node: Node) -> NodeMetadata:
    """Return the metadata of the operation's node; create it if there is none."""
    metadata = get_metadata(node)
    if metadata is None:
        metadata = operation_node(node).metadata = NodeMetadata()
    return metadata
