"""Fixtures that open a page in headless Chromium, and fail if it reports an error or asks for anything but its file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    "--no-sandbox",  # which root needs, in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, driven by playwright. One for a module: its event loop would disturb other tests.

    Skips where Chromium (Debian: `apt-get install chromium`) or the package playwright (`pip install playwright`; the
    browsers that it offers for download are not needed) is missing.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("browser: there is no Chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="browser: the package playwright is missing")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens an HTML file and returns playwright's page.

    `open_page(path, width=1280, height=800, **context)`; `context` are options of playwright's `new_context`, such as
    `color_scheme="dark"` or `has_touch=True`. The page is offline. At the end of the test, each warning or error
    that it wrote to the console, each exception that it did not catch, and each request for more than the file fails
    the test.
    """
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_it(path: Path | str, width: int = 1280, height: int = 800, **context: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, offline=True, **context))
        page = contexts[-1].new_page()
        url = Path(path).resolve().as_uri()
        page.on("console", lambda m: m.type in ("error", "warning") and complaints.append(f"console: {m.text}"))
        page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
        own = (url, "data:", "blob:")
        page.on("request", lambda request: request.url.startswith(own) or complaints.append(f"asks for {request.url}"))
        page.goto(url)
        return page

    open_it.complaints = complaints  # type: ignore[attr-defined]
    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []
