"""as_html shows a result's text in a notebook as a terminal does."""

from __future__ import annotations

import html


def as_html(text: str) -> str:
    """The text in a fixed-width font, with its own line breaks; markup in it is shown as it is."""
    return f'<pre style="line-height: 1.2">{html.escape(text)}</pre>'
