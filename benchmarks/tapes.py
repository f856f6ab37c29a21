"""The libraries whose tape ours is measured against, operation by operation, and what is wanted beside each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .page import Target
from .timing import Contestant, Work

OTHERS = ("torch", "autograd", "mygrad")
"""The packages."""
WANTED = {"PyTorch eager": 1.5, "autograd": 5.0, "MyGrad": 3.0}
"""Their time over ours, at least."""


def contestants(
    ours: Callable[..., Work],
    torch_eager: Callable[..., Work],
    autograd: Callable[..., Work],
    mygrad: Callable[..., Work],
) -> list[Contestant]:
    return [
        Contestant("minigrad", ours, "minigrad"),
        Contestant("PyTorch eager", torch_eager, "torch"),
        Contestant("autograd", autograd, "autograd"),
        Contestant("MyGrad", mygrad, "mygrad"),
    ]


def targets(sizes: Sequence[dict[str, int]]) -> list[Target]:
    return [Target(who, tuple(size.values()), least) for size in sizes for who, least in WANTED.items()]
