"""Operations that move values without changing them."""

from __future__ import annotations

from .sample import A, Sample, shaper

CATALOGUE = [
    shaper("reshape", (4, 6), torch=None, autograd=True),
    shaper("reshape", (-1, 2), torch=None, autograd=True),
    shaper("transpose", autograd=True),
    shaper("transpose", (2, 0, 1), autograd=True, torch=lambda m, x: m.permute(x, (2, 0, 1))),
    shaper("transpose", (0, -1, -2)),
    shaper("transpose", shape=A, autograd=True, label="matrix"),
    shaper("transpose", (1, 0), shape=A, autograd=True, label="matrix by axes"),
    shaper("swapaxes", 0, -1, torch=None, autograd=True),
    shaper("broadcast_to", (5, 3, 4), shape=(3, 1), torch=None),
    shaper("squeeze", shape=(1, 3, 1), torch=None, autograd=True),
    shaper("squeeze", 0, shape=(1, 3, 1), torch=None, autograd=True),
    shaper("expand_dims", 1, autograd=True),
    shaper("expand_dims", (0, -1)),
    shaper("flip", torch=False),
    shaper("flip", 1, torch=lambda m, x: m.flip(x, (1,))),
    *(
        Sample("concatenate", lambda m, a, b, k=k: m.concatenate([a, b, a], axis=k), (A, A), torch=None, autograd=True,
               label=str(k))
        for k in (0, -1)
    ),
    *(
        Sample("stack", lambda m, a, b, k=k: m.stack([a, b, a], axis=k), (A, A), label=str(k))
        for k in (0, -1)
    ),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("reshape", lambda m, x: m.reshape(x, (0, 6)), ((2, 0, 3),), label="empty"),
    Sample("transpose", lambda m, x: m.transpose(x), ((2, 0, 3),), label="empty"),
    Sample("concatenate", lambda m, a, b: m.concatenate([a, b]), ((0, 3), (2, 3)), label="empty"),
]  # fmt: skip
"""Ties, bounds, and nothing at all: compared with NumPy, where finite differences have no say."""
