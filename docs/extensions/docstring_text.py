"""`to_markup` makes reStructuredText of a docstring, which is written to be read as it is by `help`.

In docstrings `code` stands in single backticks, nothing else is markup, and sections are Google's. Napoleon reads the
sections; here what reStructuredText would misread is escaped, and a heading with its lines indented below becomes a
list.
"""

from __future__ import annotations

import re
from typing import Any

CODE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`(?=(\w)?)")
MARKUP = re.compile(r"[\\*|]|(?<=\w)_(?!\w)")
SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Note|Warns|Examples?|References):$")
ITEM = re.compile(r"((?:[\w*()=−–/.+]|, )+): (.*)", re.DOTALL)


def inline(text: str) -> str:
    """Return text with its code as literals, and without any other markup."""
    result, end = [], 0
    for code in CODE.finditer(text):
        result.append(MARKUP.sub(r"\\\g<0>", text[end : code.start()]))
        before = "\\ " if code.start() and (text[code.start() - 1].isalnum() or text[code.start() - 1] in "·×") else ""
        result.append(f"{before}``{' '.join(code[1].split())}``" + ("\\ " if code[2] else ""))
        end = code.end()
    return "".join(result) + MARKUP.sub(r"\\\g<0>", text[end:])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def to_markup(lines: list[str]) -> list[str]:
    """Return a docstring's lines as reStructuredText, with Google's sections as they are."""
    result: list[str] = []
    position = 0
    while position < len(lines):
        if not lines[position].strip():
            result.append("")
            position += 1
            continue
        block = _block(lines, position)
        position += len(block)
        head = block[0]
        if head.startswith(">>>"):
            result += block
        elif SECTION.match(head):
            result += [head.replace("Args:", "Arguments:"), *inline("\n".join(block[1:])).split("\n")]
        elif _indent(head):  # indented by itself: equations or code
            result += ["::", "", *block, ""]
        elif len(block) > 1 and (below := _below(block)):
            first = len(block) - len(below)
            result += [*_bold(block[:first]), "", *_items(below), ""]
        else:
            result += inline("\n".join(block)).split("\n")
    return result


def _block(lines: list[str], start: int) -> list[str]:
    """Return the lines from `start` to the next blank line, or for a section to the end of what is indented."""
    end = start + 1
    section = bool(SECTION.match(lines[start]))
    while end < len(lines) and (lines[end].strip() or (section and _continues(lines, end))):
        if section and lines[end].strip() and not _indent(lines[end]):
            break
        if not section and lines[end].strip() and SECTION.match(lines[end]):
            break
        end += 1
    return lines[start:end]


def _continues(lines: list[str], blank: int) -> bool:
    """Whether what is indented goes on after a blank line."""
    after = next((line for line in lines[blank:] if line.strip()), "")
    return _indent(after) > 0


def _below(block: list[str]) -> list[str]:
    """Return the indented lines under a block's unindented ones, or nothing if there are none or more follows."""
    first = next((k for k, line in enumerate(block) if _indent(line)), len(block))
    return block[first:]


def _bold(head: list[str]) -> list[str]:
    """A heading such as `Call: …` or `Shapes:`, with its first words in bold."""
    text = " ".join(head)
    name, colon, rest = text.partition(":")
    if not colon or len(name.split()) > 6 or "`" in name:
        return [inline(text)]
    return [f":strong:`{name}:`" + (f" {inline(rest.strip())}" if rest.strip() else "")]


def _items(below: list[str]) -> list[str]:
    """The lines under a heading as a list; a line that is indented more continues the item before it."""
    step = min(_indent(line) for line in below if line.strip() and _indent(line))
    items: list[str] = []
    for line in below:
        if items and (_indent(line) > step or not line.strip()):
            items[-1] += f" {line.strip()}"
        elif not _indent(line):
            items.append(f"\0{line}" if not items or not items[-1].startswith("\0") else "")
            if not items[-1]:
                items.pop()
                items[-1] += f" {line}"
        else:
            items.append(line.strip())
    if not any(ITEM.match(item) for item in items):
        return ["::", "", *(f"    {line.strip()}" for line in below)]
    result = []
    for item in items:
        if item.startswith("\0"):
            result += ["", inline(item[1:]), ""]
        elif found := ITEM.match(item):
            result.append(f"- **{inline(found[1])}** – {inline(found[2])}")
        else:
            result.append(f"- {inline(item)}")
    return result


def prepare(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Prepare a docstring before napoleon reads it."""
    lines[:] = to_markup(lines)
    if what in ATTRIBUTES:
        _prepared[name] = list(lines)


def restore(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Undo what napoleon does to an attribute: it takes what stands before the first colon for a type."""
    if what in ATTRIBUTES:
        lines[:] = _prepared.pop(name)


ATTRIBUTES = ("attribute", "data", "property")
_prepared: dict[str, list[str]] = {}


def setup(app: Any) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", prepare, priority=100)
    app.connect("autodoc-process-docstring", restore, priority=900)
    return {"parallel_read_safe": True}
