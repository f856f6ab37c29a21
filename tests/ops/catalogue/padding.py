"""Padding in all modes."""

from __future__ import annotations

from typing import Any

from tests.ops.catalogue.sample import A, Sample
from tests.support.numpy_version import BEFORE_2_4


def padded(shape: tuple[int, ...], width: Any, mode: str, **options: Any) -> Sample:
    kind = "pad_constant" if mode == "constant" and "values" not in str(options) else "pad"
    words = [str(shape), str(width), *(f"{k}={v}" for k, v in options.items())]
    return Sample(
        kind,
        lambda m, x: m.pad(x, width, mode, **options),
        (shape,),
        autograd=mode == "constant" and not isinstance(width, dict),
        label=f"{mode} {' '.join(words)}",
    )


def filled(**options: Any) -> Sample:
    """Padding whose values are tensors."""
    ((name, mode),) = options.items()
    return Sample("pad", lambda m, x, v, w: m.pad(x, (2, 1), mode, **{name: ((v, w), (w, 1.5))}), (A, (), ()),
                  numpy=lambda m, x, v, w: m.pad(x, (2, 1), mode, **{name: ((float(v), float(w)), (float(w), 1.5))}),
                  label=f"{name} that are tensors")  # fmt: skip


WIDTHS = (2, (1, 2), ((0, 1), (3, 0)))
BY_AXIS: tuple[Any, ...] = () if BEFORE_2_4 else ({1: (0, 2), 0: 1}, {-1: 2})

CATALOGUE = [
    *(padded(A, width, "constant") for width in (*WIDTHS, ((1, 0),), *BY_AXIS)),
    padded(A, 1, "constant", constant_values=2.5),
    padded(A, 1, "constant", constant_values=(1.0, -1.0)),
    padded(A, (2, 1), "constant", constant_values=((1, 2), (3, 4))),
    Sample("pad", lambda m, x: m.pad(x, ((1, 0), (0, 2))), (A,), label="as torch's",
           torch=lambda m, x: m.nn.functional.pad(x, (0, 2, 1, 0))),
    *(
        padded(shape, width, mode)
        for mode in ("edge", "reflect", "symmetric", "wrap", "maximum", "mean", "median", "minimum", "linear_ramp")
        for shape in (A, (1, 2))
        for width in (*WIDTHS, 0)
    ),
    *(
        padded(shape, width, mode, reflect_type="odd")
        for mode in ("reflect", "symmetric")
        for shape, width in ((A, 2), ((3,), (7, 8)), ((1, 2), 3), ((4,), (2, 9)))
    ),
    *(
        padded(A, 2, mode, stat_length=n)
        for mode in ("mean", "median", "maximum")
        for n in (2, (1, 9), ((1, 2), (2, 3)), None)
    ),
    padded(A, 2, "linear_ramp", end_values=(1.0, -1.0)),
    filled(constant_values="constant"),
    filled(end_values="linear_ramp"),
    Sample("pad", lambda m, x, v: m.pad(x, 1, constant_values=v), (A, ()), label="constant_values a tensor"),
    padded((2, 3, 2), ((1, 0), (0, 2), (3, 1)), "reflect"),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("pad", lambda m, x: m.pad(x, 1), ((0, 3),), label="empty"),
    Sample("pad", lambda m, x: m.pad(x, ((0, 0), (1, 1)), "edge"), ((0, 3),), label="empty edge"),
    Sample("pad", lambda m, x: m.pad(x, 0), ((),), label="number"),
]  # fmt: skip
"""Empty arrays: compared with NumPy only, since finite differences do not apply."""
