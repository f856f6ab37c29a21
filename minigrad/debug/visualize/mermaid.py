"""`mermaid_of`: a diagram in Mermaid's language, which Markdown pages and notebooks show."""

from __future__ import annotations

from .diagram import Box, Diagram, identifier

MERMAID_SHAPE = {"leaf": ("([", "])"), "const": ("{{", "}}"), "op": ("[", "]"), "result": ("[[", "]]")}


def mermaid_of(diagram: Diagram) -> str:
    """Return the diagram in Mermaid's language."""
    lines = ["flowchart TD"]
    inside = diagram.boxes_by_group()
    for g, label in enumerate(diagram.groups):
        lines.append(f'    subgraph g{g}["{_entities(label)}"]')
        lines += [f"        {_mermaid_box(box)}" for box in inside[g]]
        lines.append("    end")
    lines += [f"    {_mermaid_box(box)}" for box in inside[None]]
    for a in diagram.arrows:
        line = "-.->" if a.kind == "back" else "-->"
        lines.append(
            f"    {identifier(a.start)} {line}"
            + (f'|"{_entities(a.label)}"|' if a.label else "")
            + f" {identifier(a.end)}"
        )
    return "\n".join(lines)


def _mermaid_box(box: Box) -> str:
    left, right = MERMAID_SHAPE[box.kind]
    text = _entities(box.title) + (f"<br>{_entities(box.detail)}" if box.detail else "")
    return f'{identifier(box.key)}{left}"{text}"{right}'


def _entities(text: str) -> str:
    """Escape the characters that Mermaid would interpret."""
    special = {'"': "quot", "<": "lt", ">": "gt", "&": "amp", "#": "35", "`": "96", "\\": "92", "\n": "10"}
    return "".join(f"#{special[c]};" if c in special else c for c in text)
