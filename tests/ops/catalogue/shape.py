"""Changing shapes and the order of axes."""

from __future__ import annotations

from tests.ops.catalogue.sample import A, Sample, shaper

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
    shaper("reshape", (4, 6), "F", label="by columns"),
    shaper("ravel", torch=None, autograd=True),
    shaper("ravel", "F"),
    shaper("flatten", numpy=lambda m, x: x.flatten(), torch=None),
    shaper("flatten", "F", numpy=lambda m, x: x.flatten("F")),
    shaper("matrix_transpose", torch=lambda m, x: m.transpose(x, -1, -2)),
    shaper("matrix_transpose", shape=A, label="matrix"),
    shaper("transpose", label="permute_dims"),
    shaper("moveaxis", 0, -1, torch=None, autograd=True),
    shaper("moveaxis", (0, -1), (1, 0), torch=None, autograd=True),
    *(
        shaper("rollaxis", axis, start, autograd=min(axis, start) >= 0)
        for axis in (0, 1, -1)
        for start in (0, 2, 3, -1)
    ),
    shaper("rollaxis", 2, autograd=True),
    Sample("broadcast_arrays", lambda m, a, b: m.broadcast_arrays(a, b)[0] * m.broadcast_arrays(a, b, a)[1],
           ((3, 1), (4,)), label="two"),
    *(
        shaper(f"atleast_{n}d", shape=shape, torch=None, autograd=True, label=str(shape))
        for n in (1, 2, 3)
        for shape in ((), (3,), (2, 3), (2, 1, 3))
    ),
    *(
        Sample(f"atleast_{n}d", lambda m, a, b, n=n: m.multiply(*getattr(m, f"atleast_{n}d")(a, b)), ((), (3,)),
               label="two")
        for n in (1, 2, 3)
    ),
    shaper("flipud", torch=None, autograd=True),
    shaper("fliplr", torch=None, autograd=True),
    *(shaper("rot90", k, torch=None, autograd=True) for k in (0, 1, 2, 3, -1)),
    shaper("rot90", 1, (2, 0)),
    shaper("rot90", 3, (-1, 1)),
    shaper("roll", 2, torch=None, autograd=True),
    shaper("roll", -5, 1, torch=None, autograd=True),
    shaper("roll", (1, -2), (0, 2), torch=None),
    shaper("roll", 1, (0, -1)),
    shaper("roll", (1, 1), 1),
    shaper("roll", (1, 3)),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("reshape", lambda m, x: m.reshape(x, (0, 6)), ((2, 0, 3),), label="empty"),
    Sample("transpose", lambda m, x: m.transpose(x), ((2, 0, 3),), label="empty"),
    Sample("roll", lambda m, x: m.roll(x, 1, axis=0), ((0, 3),), label="empty"),
    Sample("ravel", lambda m, x: m.ravel(x), ((),), label="number"),
    Sample("rot90", lambda m, x: m.rot90(x), ((0, 3),), label="empty"),
    Sample("atleast_3d", lambda m, x: m.atleast_3d(x), ((0,),), label="empty"),
]  # fmt: skip
"""Ties, bounds and empty arrays: compared with NumPy only, since finite differences do not apply."""
