"""bars draws norms of steps as lines of text, one character a step, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
LEVELS = " ▁▂▃▄▅▆▇█"
WIDTH = 60
"""Characters of a bar; longer series are thinned out, and keep their largest values."""


def bars(series: Mapping[str, Array]) -> list[str]:
    """A line for each series: its name, a bar, its range and its last value over its first.

    All bars have one scale, from the largest value to 1e-8 of it; a blank is less than that.
    """
    largest = max((float(np.nanmax(values, initial=0.0)) for values in series.values()), default=0.0)
    wide = max(map(len, series), default=0)
    lines = []
    for name, values in series.items():
        groups = np.array_split(values, min(WIDTH, len(values)))
        shown = np.array([np.nanmax(group, initial=0.0) for group in groups])
        with np.errstate(divide="ignore", invalid="ignore"):
            level = np.ceil((1 + np.log10(shown / largest) / 8) * (len(LEVELS) - 1)) if largest else shown * 0
        level = np.nan_to_num(level, nan=0.0, neginf=0.0).clip(0, len(LEVELS) - 1).astype(int)
        bar = "".join(LEVELS[k] for k in level)
        lines.append(f"  {name:<{wide}} |{bar}| {float(values[0]):.2g} … {float(values[-1]):.2g}")
    return lines
