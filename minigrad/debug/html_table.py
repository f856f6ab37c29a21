"""`html_table`: return a table as HTML, for a notebook; every text in it is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def html_table(head: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "", foot: str = "") -> str:
    """Return a table. A cell is text, which is escaped, or has a method `__html__`.

    A row of a single cell spans the table.
    """
    parts = ["<table>"]
    if caption:
        parts.append(f'<caption style="text-align:left">{escape(caption)}</caption>')
    parts.append("<thead><tr>" + "".join(f"<th>{escape(h)}</th>" for h in head) + "</tr></thead><tbody>")
    for row in rows:
        span = f' colspan="{len(head)}"' if len(row) == 1 < len(head) else ""
        parts.append("<tr>" + "".join(f"<td{span}>{_cell(cell)}</td>" for cell in row) + "</tr>")
    parts.append("</tbody>")
    if foot:
        parts.append(f'<tfoot><tr><td colspan="{len(head)}">{escape(foot)}</td></tr></tfoot>')
    return "".join([*parts, "</table>"])


def _cell(cell: Any) -> str:
    return str(cell.__html__()) if hasattr(cell, "__html__") else escape(str(cell))
