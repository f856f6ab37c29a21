"""The browser fixtures notice what a page must not do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("console.error('lost')", "console: lost"),
        ("null.x", "exception: Cannot read properties of null"),
        ("document.body.append(Object.assign(new Image(), {src: 'https://example.invalid/a.png'}))", "asks for https"),
    ],
)
def test_what_a_page_must_not_do(open_page: Callable[..., Any], tmp_path: Path, script: str, complaint: str) -> None:
    complaints = open_page.complaints  # type: ignore[attr-defined]
    (tmp_path / "page.html").write_text(f"<!doctype html><link rel=icon href='data:,'><body><script>{script}</script>")
    page = open_page(tmp_path / "page.html")
    page.wait_for_timeout(100)
    assert any(c.startswith(complaint) for c in complaints), complaints
    complaints.clear()
    page.close()


def test_a_quiet_page(open_page: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<!doctype html><title>t</title><link rel=icon href='data:,'><p>1 + 1</p>")
    assert open_page(tmp_path / "page.html", color_scheme="dark").inner_text("p") == "1 + 1"
