"""`self_contained_page`: nothing in names or data can leave its place, and the page may ask for nothing."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from minigrad.debug.one_line import one_line
from minigrad.debug.visualize.self_contained_page import self_contained_page

NASTY = '</script><!--<img src=x onerror="alert(1)">\ud800\x00'


class Elements(HTMLParser):
    """The elements of a page, and the text in each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data


def test_markup_in_titles_and_data_stays_text() -> None:
    data = {"one": {"name": NASTY}, "two": [1.5, None]}
    page = self_contained_page(NASTY, "<p>body</p>", ["p {}"], ["let a = 1 < 2;"], data)
    parsed = Elements(page)
    tags = [tag for tag, _ in parsed.found]
    assert tags == ["html", "meta", "meta", "meta", "title", "style", "body", "p", "script", "script", "script"]
    assert json.loads(parsed.texts[8]) == data["one"]
    assert json.loads(parsed.texts[9]) == data["two"]
    assert parsed.texts[10].strip() == "let a = 1 < 2;"
    assert parsed.texts[4].strip() == '</script><!--<img src=x onerror="alert(1)">??'
    assert "default-src 'none'" in str(parsed.found[2][1]["content"])


def test_what_would_end_an_element_is_refused() -> None:
    with pytest.raises(ValueError, match="scripts: a text holds </script"):
        self_contained_page("t", "", scripts=["'</SCRIPT>'"])
    with pytest.raises(ValueError, match="styles: a text holds </style"):
        self_contained_page("t", "", styles=["</style>"])
    with pytest.raises(ValueError, match="not JSON compliant"):
        self_contained_page("t", "", data={"x": float("nan")})


def test_one_line() -> None:
    assert one_line("a\nb\u202e c∂") == "a?b? c∂"
