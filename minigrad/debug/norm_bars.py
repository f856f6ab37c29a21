"""NormBars shows norms by time step or lag as a table with a bar for each: as text, and as HTML for a notebook."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .html_table import html_table

ROWS = 40
"""The most rows that are shown; of more every second, third … is."""
WIDTH = 32
"""Characters of the longest bar."""
LINEAR = 100.0
"""With a larger ratio between the norms, the bars show their logarithms."""
EIGHTHS = " ▏▎▍▌▋▊▉█"
HEIGHTS = " ▁▂▃▄▅▆▇█"
TABLES = 3
"""With more tensors than this, each has a line instead of a table."""


class NormBars:
    """One table.

    Args:
        norms: by time step, lag, or None for uses without a time step.
        head: what the keys are, such as "t".
    """

    def __init__(self, norms: Mapping[Any, float], head: str = "t") -> None:
        self.head = head
        keys = list(norms)
        self.every = -(-len(keys) // ROWS)
        shown = keys[:: self.every] if self.every > 1 else keys
        if keys and keys[-1] not in shown[-1:]:
            shown.append(keys[-1])
        self.all = list(norms.values())
        self.norms = {key: norms[key] for key in shown}
        sizes = [v for v in norms.values() if 0 < v < math.inf]
        self.high = max(sizes, default=0.0)
        self.low = max(min(sizes, default=0.0), self.high * 1e-16)
        self.logarithmic = self.high > LINEAR * self.low

    @property
    def scale(self) -> str:
        """What the bars mean."""
        if not self.high:
            finite = [math.isfinite(v) for v in self.all]
            return "all zero" if all(finite) else "all zero or not finite" if any(finite) else "none is finite"
        span = f"logarithmic, from {self.low:.0e} to {self.high:.0e}" if self.logarithmic else "from 0"
        folded = {1: "", 2: "; every 2nd step is shown", 3: "; every 3rd step is shown"}
        return f"bars: {span}{folded.get(self.every, f'; every {self.every}th step is shown')}"

    def part(self, value: float) -> float:
        """The length of a bar, 0 to 1."""
        if not 0 < value < math.inf or not self.high:
            return 0.0
        if not self.logarithmic:
            return value / self.high
        rise = math.log(self.high / self.low)
        return max(0.0, 1 - math.log(self.high / value) / rise) * (1 - 1 / WIDTH) + 1 / WIDTH

    def lines(self) -> list[str]:
        """The lines of the table."""
        keys = [_key(key) for key in self.norms]
        width = max(map(len, [self.head, *keys]), default=1)
        rows = [f"  {self.head:>{width}}  norm"]
        for key, value in zip(keys, self.norms.values()):
            full, rest = divmod(round(self.part(value) * WIDTH * 8), 8)
            rows.append(f"  {key:>{width}}  {value:7.1e}  {'█' * full}{EIGHTHS[rest]}".rstrip())
        return rows

    def line(self) -> str:
        """All bars in one line, standing."""
        marks = []
        for value in self.norms.values():
            height = 8 * self.part(value)
            marks.append("?" if not math.isfinite(value) else HEIGHTS[max(round(height), height > 0)])
        first, last = (_key(key) for key in (next(iter(self.norms)), next(reversed(self.norms))))
        return f"  {self.head} = {first} …  {''.join(marks)}  … {last}"

    def html(self, title: str) -> str:
        rows = []
        for key, value in self.norms.items():
            length = 12 * self.part(value)
            bar = f'<div style="background:currentColor;opacity:.6;height:.7em;width:{length:.2f}em"></div>'
            rows.append((_key(key), f"{value:.1e}", _Markup(bar)))
        return html_table((self.head, "norm", self.scale), rows, title)


class _Markup(str):
    """HTML that is not escaped."""

    def __html__(self) -> str:
        return str(self)


def text_of(head: str, tables: Sequence[tuple[str, NormBars]], nothing: str) -> str:
    """The tables below one another, each with its title."""
    lines = [head]
    for title, bars in tables:
        lines.append(title)
        if not bars.norms:
            lines.append(f"  {nothing}")
        elif len(tables) > TABLES:
            lines.append(bars.line())
        else:
            lines += bars.lines()
    return "\n".join(lines)


def html_of(head: str, tables: Sequence[tuple[str, NormBars]]) -> str:
    """The same for a notebook; of more than a few tables each is shown when it is opened."""
    parts = [f"<p>{escape(head)}</p>"]
    for title, bars in tables:
        if len(tables) > TABLES:
            parts.append(f"<details><summary>{escape(title)}</summary>{bars.html('')}</details>")
        else:
            parts.append(bars.html(title))
    return f"<div>{''.join(parts)}</div>"


def _key(key: Any) -> str:
    return "–" if key is None else str(key)
