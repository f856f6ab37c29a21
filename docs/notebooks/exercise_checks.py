"""exercise_checks says in words whether an answer is right, and sets figures' looks.

The notebooks import it from their own folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def check(number: str, complaint: Callable[[], str | None]) -> None:
    """Print whether the answer to an exercise is right.

    Args:
        number: of the exercise, such as "1.2".
        complaint: returns what is wrong with the answer, in words, or None if nothing
            is. A gap that is still there raises NotImplementedError; any other error of
            the answer is reported, not raised.
    """
    try:
        wrong = complaint()
    except NotImplementedError:
        print(f"Exercise {number}: no answer yet.")
        return
    except Exception as error:
        wrong = f"it stops with {type(error).__name__}: {error}"
    print(
        f"Exercise {number}: "
        + ("right." if wrong is None else f"not yet: {wrong.rstrip('.')}.")
    )


def difference(
    name: str,
    answer: Any,
    want: Any,
    mistakes: Mapping[str, Any] | None = None,
    rtol: float = 1e-6,
) -> str | None:
    """Return what is wrong with an answer, in words; None if it is close to `want`.

    Args:
        name: what the answer is, for the words.
        answer, want: a number, an array or a tensor.
        mistakes: wrong answers that are likely, by what to say of each.

    Raises:
        NotImplementedError: the answer is `...`, so the gap is still there.
    """
    if answer is ...:
        raise NotImplementedError
    if answer is None:
        return f"{name} is None: does your function return its result?"
    got, target = (
        np.asarray(a.numpy() if hasattr(a, "numpy") else a) for a in (answer, want)
    )
    if got.shape != target.shape:
        return f"{name} has shape {got.shape}, want {target.shape}"

    def close(a: Any, b: Any) -> bool:
        return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol, atol=1e-9)

    if close(got, target):
        return None
    for words, mistake in (mistakes or {}).items():
        if close(got, mistake):
            return words
    if got.ndim == 2 and close(got.T, target):
        return f"{name} is transposed"
    if close(-got, target):
        return f"{name} has the wrong sign"
    return f"{name} is off by up to {np.abs(got - target).max():.2g}"


def set_figure_style() -> None:
    """Make figures readable without colour: lines have dashes, images are grey."""
    import matplotlib.pyplot as plt

    looks = {
        "color": ["#000000", "#c0392b", "#2563a8", "#777777"],
        "linestyle": ["-", "--", "-.", ":"],
    }
    plt.rcParams.update({
        "axes.prop_cycle": plt.cycler(**looks), "lines.linewidth": 2.0,
        "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "grid.alpha": 0.25, "image.cmap": "Greys",
        "figure.constrained_layout.use": True, "figure.figsize": (8.0, 3.4),
        "font.size": 11, "legend.frameon": False,
    })  # fmt: skip
