"""A planted fault of the persistent kernels: blocks that never publish, for which the others wait in vain."""

from __future__ import annotations


def silent(source: str) -> str:
    """The source of a kernel whose blocks beside the first never publish, and which soon gives up."""
    changed = source.replace("(1 << 23)", "(1 << 12)")
    changed = changed.replace("    store_relaxed(to,", "    if (blockIdx.x) store_relaxed(to,")
    assert changed.count("if (blockIdx.x)") == 1
    return changed
