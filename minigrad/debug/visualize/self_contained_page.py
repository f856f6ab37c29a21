"""`self_contained_page`: one HTML file with its styles, scripts and data, which needs and may use no network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from ..one_line import one_line

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


def self_contained_page(
    title: str,
    body: str,
    styles: Iterable[str] = (),
    scripts: Iterable[str] = (),
    data: Mapping[str, Any] | None = None,
) -> str:
    """Return the text of a page. Its content security policy forbids every request.

    Args:
        title: plain text, which is escaped here.
        body: HTML, as it is.
        styles: CSS texts.
        scripts: JavaScript texts, run in this order after the body was read.
        data: by the id of its element, what JSON can hold. A script reads it with
            `JSON.parse(document.getElementById(id).textContent)`; nothing in it can end the element.

    Raises:
        ValueError: a number is NaN or infinite, which JSON does not know; or a script holds `</script`, or a style
            `</style`, which would end it.
    """
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(one_line(title))}</title>",
        *(_element("style", text) for text in styles),
        "<body>",
        body,
    ]
    for name, value in (data or {}).items():
        text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        parts.append(f'<script type="application/json" id="{escape(name)}">{text}</script>')
    return "\n".join([*parts, *(_element("script", text) for text in scripts), "</body>", "</html>", ""])


def package_text(package: str, name: str) -> str:
    """Return the text of a file that belongs to a package, such as a script."""
    from importlib import resources  # here, for it takes a quarter of the time of importing all

    return (resources.files(package) / name).read_text(encoding="utf-8")


def _element(tag: str, text: str) -> str:
    if f"</{tag}" in text.lower():
        raise ValueError(f"self_contained_page: {tag}s: a text holds </{tag}, which would end its element")
    return f"<{tag}>\n{text}\n</{tag}>"
