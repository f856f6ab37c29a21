"""The graph of a result as boxes and arrows, independent of their positions and the output format."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field

from ...engine.tensor import Tensor
from ..graph import Names, Row, rows_of
from ..repeated_steps import Part, parts_of


@dataclass(frozen=True)
class Box:
    """A node of the drawing. `kind` is "leaf", "const", "op" or "result"."""

    key: int
    kind: str
    title: str
    detail: str
    group: int | None = None
    """The index of the group that it is in, or None."""
    facts: tuple[tuple[str, str], ...] = ()
    """What else is known about it, as pairs of a name and a value."""


@dataclass(frozen=True)
class Arrow:
    """An arrow from a value to its use. `kind` is "plain", or "back" from a folded time step to a later one."""

    start: int
    end: int
    label: str = ""
    kind: str = "plain"


@dataclass
class Diagram:
    """Boxes and arrows; `groups` holds the labels of the time steps."""

    title: str
    about: str
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)

    def boxes_by_group(self) -> defaultdict[int | None, list[Box]]:
        """Return the boxes of each group, and under None those of no group."""
        groups: defaultdict[int | None, list[Box]] = defaultdict(list)
        for box in self.boxes:
            groups[box.group].append(box)
        return groups


def identifier(key: int) -> str:
    """Return a box's name in DOT and Mermaid: n and its number, or c and that of the box whose constant it is."""
    return f"n{key}" if key > 0 else f"c{-key}"


def diagram_of(result: Tensor, names: Names, fold: bool) -> Diagram:
    """Return the graph of a result; with `fold`, equal time steps become one with an arrow back to itself.

    Raises:
        GraphError: the graph was consumed by a backward pass. TypeError: `result` is not on the tape.
    """
    rows, nodes = rows_of("draw", result, names)
    leaves = sum(row.op == "leaf" for row in rows)
    diagram = Diagram(
        f"Graph of '{nodes[-1].op}' {rows[-1].shape}",
        f"{_count(len(rows) - leaves, 'operation')} on {_count(leaves, 'leaf', 'leaves')}; "
        "an arrow goes from a value to its use.",
    )
    parts = parts_of(rows, fold)
    shown = {i: part.start + (i - part.start) % part.length for part in parts for i in range(part.start, part.stop)}
    for part in parts:
        if part.folded:
            diagram.groups.append(f"t = {part.steps[0]} … {part.steps[-1]}  (× {part.times})")
        for k in range(part.length):
            row = rows[part.start + k]
            group = len(diagram.groups) - 1 if part.folded else _group_of_step(diagram, rows, part.start + k)
            diagram.boxes.append(_box(row, group, row.number == len(rows), _time_steps(row, part)))
            diagram.arrows += _arrows(diagram, rows, parts, shown, part, k, group)
    diagram.arrows = _merged(diagram.arrows)
    return diagram


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def _group_of_step(diagram: Diagram, rows: list[Row], index: int) -> int | None:
    """Return the group of a row that is not folded: that of its time step."""
    t = rows[index].time_step
    if t is None or rows[index].op == "leaf":
        return None
    before = rows[index - 1]
    if before.time_step != t or before.op == "leaf" or not diagram.groups or diagram.groups[-1] != f"t = {t}":
        diagram.groups.append(f"t = {t}")
    return len(diagram.groups) - 1


def _box(row: Row, group: int | None, last: bool, steps: str) -> Box:
    detail = str(row.shape) if len(row.shapes) == 1 else f"{row.shape} … {len(row.shapes)} outputs"
    several = len(row.shapes) > 1
    facts = [
        ("operation", row.op if row.op != "leaf" else ""),
        ("name", row.name),
        ("shapes" if several else "shape", ", ".join(map(str, row.shapes))),
        ("dtype", row.dtype),
        ("bytes", f"{row.nbytes:,}"),
        ("kept for its rule", ", ".join(map(str, row.saved)) + f": {row.saved_nbytes:,} bytes" if row.saved else ""),
        ("time step", steps),
    ]
    known = tuple((name, value) for name, value in facts if value)
    if row.op == "leaf":
        return Box(row.number, "leaf", row.title, detail, None, known)
    return Box(row.number, "result" if last else "op", row.title, detail, group, known)


def _time_steps(row: Row, part: Part) -> str:
    """Return the time steps that a box stands for."""
    if part.folded:
        return f"{part.steps[0]} … {part.steps[-1]}, {part.times} alike"
    return "" if row.time_step is None else str(row.time_step)


def _arrows(
    diagram: Diagram, rows: list[Row], parts: list[Part], shown: dict[int, int], part: Part, k: int, group: int | None
) -> list[Arrow]:
    """Return the arrows into one row, and add a box for its constants."""
    row = rows[part.start + k]
    arrows: list[Arrow] = []
    constants: list[str] = []
    for j, number in enumerate(row.inputs):
        slot = "" if row.slots[j] is None else f"[{row.slots[j]}]"
        first = ""
        if (earlier := part.recurrent_input(k, j)) is not None:
            arrows.append(Arrow(rows[earlier[0]].number, row.number, f"{slot} {earlier[1]}".strip(), "back"))
            first = f"t = {part.steps[0]}"
        if number is None:
            constants.append(first)
        elif number - 1 in shown:
            label = f"{slot} {first or _which(number - 1, part, parts)}".strip()
            arrows.append(Arrow(rows[shown[number - 1]].number, row.number, label))
    if constants:
        key = -row.number
        title = "const" if len(constants) == 1 else f"{len(constants)} consts"
        diagram.boxes.append(Box(key, "const", title, "", None))
        arrows.append(Arrow(key, row.number, constants[0] if len(set(constants)) == 1 else ""))
    return arrows


def _which(index: int, user: Part, parts: list[Part]) -> str:
    """Return the label of the time step that an arrow comes from, if its box stands for several."""
    part = parts[bisect_right(parts, index, key=lambda p: p.start) - 1]
    if not part.folded or part is user:
        return ""
    return f"t = {part.steps[(index - part.start) // part.length]}"


def _merged(arrows: list[Arrow]) -> list[Arrow]:
    """Merge the arrows between the same two boxes into one whose label says how many there are."""
    labels_between: dict[tuple[int, int, str], list[str]] = {}
    for a in arrows:
        labels_between.setdefault((a.start, a.end, a.kind), []).append(a.label)
    merged = []
    for (start, end, kind), labels in labels_between.items():
        different = list(dict.fromkeys(labels))
        if len(different) == 1:
            label = different[0] if len(labels) == 1 else f"{different[0]} × {len(labels)}".strip()
        elif all(label.startswith("t = ") for label in different):
            label = f"every t (× {len(labels)})"
        else:
            label = ", ".join(different) if len(different) <= 3 else f"× {len(labels)}"
        merged.append(Arrow(start, end, label, kind))
    return merged
