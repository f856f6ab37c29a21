"""The libraries with a tape that minigrad is compared with, and the ratio wanted for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .contestant import Contestant, Work
from .page import Target

OTHERS = ("torch", "autograd", "mygrad")
"""The packages of the other libraries."""
WANTED = {"PyTorch eager": 1.5, "autograd": 5.0, "MyGrad": 3.0}
"""The least wanted ratio of their time to ours."""


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
