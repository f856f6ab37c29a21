"""Joining several arrays into one, and splitting one into several."""

from __future__ import annotations

from typing import Any

from tests.ops.catalogue.sample import A, Sample


def parts(m: Any, result: Any) -> Any:
    """Several results in one array, each with its own weight."""
    return m.concatenate([m.reshape(part, (-1,)) * (k + 1) for k, part in enumerate(result)])


def joiner(name: str, *shapes: tuple[int, ...], **how: Any) -> Sample:
    how = {"torch": None, "autograd": True, "label": str(shapes[0]), **how}
    return Sample(name, lambda m, *xs: getattr(m, name)([*xs, xs[0]]), shapes, **how)


def cutter(name: str, shape: tuple[int, ...], *args: Any, **how: Any) -> Sample:
    how = {"autograd": True, "label": f"{name} {args}", **how}
    kind = "unstack" if name == "unstack" else "split"
    return Sample(kind, lambda m, x: parts(m, getattr(m, name)(x, *args)), (shape,), **how)


CATALOGUE = [
    *(
        Sample("concatenate", lambda m, a, b, k=k: m.concatenate([a, b, a], axis=k), (A, A), torch=None, autograd=True,
               label=str(k))
        for k in (0, -1)
    ),
    Sample("concatenate", lambda m, a, b: m.concatenate([a, b], axis=None), (A, (2, 1)), label="all"),
    Sample("concatenate", lambda m, a, b: m.concat([a, b]), (A, A), label="concat"),
    Sample("concatenate", lambda m, x: m.concatenate(x, axis=1), ((2, 3, 4),), label="of a tensor"),
    *(
        Sample("stack", lambda m, a, b, k=k: m.stack([a, b, a], axis=k), (A, A), label=str(k))
        for k in (0, -1)
    ),
    Sample("stack", lambda m, x: m.stack(x, axis=1), ((2, 3, 4),), label="of a tensor"),
    joiner("vstack", (3,), (3,)),
    joiner("vstack", (2, 3), (1, 3)),
    joiner("hstack", (3,), (2,)),
    joiner("hstack", (3, 2), (3, 1)),
    Sample("hstack", lambda m, x: m.hstack(x), ((2, 3, 4),), label="of a tensor"),
    *(joiner("dstack", s, s, autograd=False) for s in ((), (3,), (3, 2), (3, 2, 2))),
    joiner("column_stack", (3,), (3, 2)),
    Sample("block", lambda m, a, b: m.block([[a, b], [b, a]]), (A, (3, 2)), label="two by two"),
    Sample("block", lambda m, a, b: m.block([a, b, 1.0]), ((), (3,)), label="one list"),
    Sample("block", lambda m, a, b: m.block([[a], [b]]), ((3,), (1, 2, 3)), label="axes in front"),
    Sample("append", lambda m, a, b: m.append(a, b), (A, (2,)), autograd=True, label="flat"),
    Sample("append", lambda m, a, b: m.append(a, b, axis=1), (A, (3, 1)), autograd=True, label="axis"),
    cutter("unstack", (3, 2), autograd=False),
    Sample("unstack", lambda m, x: parts(m, m.unstack(x, axis=-1)), ((2, 3),), label="last axis"),
    cutter("split", (4, 3), 2),
    cutter("split", (3, 5), [1, 4], -1),
    cutter("split", (5,), [2, 2, -1]),
    cutter("split", (5,), [3, 1], autograd=False),
    cutter("split", (5, 2), [-2, 1, 9], autograd=False),
    cutter("array_split", (7, 2), 3),
    cutter("array_split", (2, 3), 5, 1),
    cutter("hsplit", (3, 4), 2),
    cutter("hsplit", (4,), [1], autograd=False),
    cutter("vsplit", (4, 3), [1, 3]),
    cutter("dsplit", (2, 1, 4), 2),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("concatenate", lambda m, a, b: m.concatenate([a, b]), ((0, 3), (2, 3)), label="empty"),
    Sample("split", lambda m, x: parts(m, m.split(x, [0, 0], axis=1)), ((2, 0),), label="empty"),
    Sample("vstack", lambda m, a, b: m.vstack([a, b]), ((0,), (2, 0)), label="empty"),
    Sample("stack", lambda m, a, b: m.stack([a, b], axis=1), ((0, 3), (0, 3)), label="empty"),
]  # fmt: skip
"""Empty arrays: compared with NumPy only, since finite differences do not apply."""
