"""`tape_table`: print the recorded graph of a result (its Wengert list) as a table."""

from __future__ import annotations

from collections.abc import Sequence

from ..engine.tensor import Tensor
from ..validation import check_flag
from .graph import Names, Row, distinct_nbytes, kept_arrays, rows_of
from .html_table import html_table
from .repeated_steps import Part, parts_of

FOLD_FROM = 40
"""With more rows than this, a table is folded by default."""
SHOWN = 400
"""The most lines that are printed; of longer tables the middle is left out."""
HEAD = ("#", "t", "operation", "output", "bytes", "saved for the rule", "bytes", "inputs")
RIGHT = (0, 4, 6)
"""The right-aligned columns."""


class TapeTable:
    """The result of `tape_table`: its text is the table; `rows` are the nodes, one by one."""

    def __init__(self, rows: list[Row], parts: list[Part], memory: int, op: str) -> None:
        self.rows, self.memory = rows, memory
        self._parts, self._op = parts, op

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def saved_nbytes(self) -> int:
        """The bytes of all saved arrays; `memory` counts shared memory once."""
        return sum(row.saved_nbytes for row in self.rows)

    def _lines(self) -> list[tuple[str, ...] | str]:
        """The lines between head and total: cells, or a text that spans the table."""
        lines: list[tuple[str, ...] | str] = []
        for part in self._parts:
            if part.folded:
                first, last = part.start + 1, part.stop
                span = f"t = {part.steps[0]} … {part.steps[-1]}"
                lines.append(f"  × {part.times} for {span}, #{first}–{last}; the first is shown:")
            lines += [_line(self.rows, part, k) for k in range(part.length)]
            if part.folded:
                lines.append("  " + "─" * 3)
        if len(lines) >= SHOWN:  # the head is one line more
            half = SHOWN // 2
            lines = [*lines[: half - 1], f"  … {len(lines) + 1 - 2 * half} lines left out …", *lines[-half:]]
        return lines

    @property
    def _title(self) -> str:
        leaves = sum(row.op == "leaf" for row in self.rows)
        counts = _counted(leaves, "leaf", "leaves"), _counted(len(self.rows) - leaves, "operation")
        return f"The tape of '{self._op}': {', '.join(counts)}"

    @property
    def _total(self) -> str:
        return f"saved: {self.saved_nbytes:,} bytes, {self.memory:,} of them distinct memory"

    def __repr__(self) -> str:
        return "\n".join([self._title, *_aligned([HEAD, *self._lines()]), self._total])

    def _repr_html_(self) -> str:
        rows = [(line.strip(),) if isinstance(line, str) else line for line in self._lines()]
        return html_table(HEAD, rows, self._title, self._total)


def tape_table(result: Tensor, names: Names = None, fold: bool | None = None) -> TapeTable:
    """Return the recorded graph of a result as a table of each node's operation, output, saved arrays and inputs.

    >>> import minigrad as mg
    >>> W, x = mg.tensor([[1.0, 2.0]], requires_grad=True), mg.tensor([[3.0, 4.0]])
    >>> mg.tape_table(mg.tanh(x @ W.T).sum(), names={"W": W})
    The tape of 'sum': 1 leaf, 4 operations
    #  t  operation  output          bytes  saved for the rule  bytes  inputs
    1     W          (1, 2) float32      8                          0
    2     transpose  (2, 1) float32      8                          0  1
    3     matmul     (1, 1) float32      4  (1, 2), (2, 1)         16  const, 2
    4     tanh       (1, 1) float32      4  (1, 1), (1, 1)          8  3
    5     sum        () float32          4                          0  4
    saved: 24 bytes, 24 of them distinct memory

    Args:
        result: a tensor on the tape, before its backward pass.
        names: a dict of tensors by name, or a module, whose parameters then have their names.
        fold: show equal time steps once; by default if there are more than 40 rows.

    Returns:
        A `TapeTable`: print it, or read its `rows`.

    Raises:
        GraphError: the graph was consumed by a backward pass. TypeError: `result` is not on the tape.
    """
    if fold is not None:
        check_flag("tape_table", fold=fold)
    rows, nodes = rows_of("tape_table", result, names)
    parts = parts_of(rows, len(rows) > FOLD_FROM if fold is None else fold)
    arrays = [a for node in nodes for a in kept_arrays(node)]
    assert result.node is not None
    return TapeTable(rows, parts, distinct_nbytes(arrays), result.node.op)


def _line(rows: list[Row], part: Part, k: int) -> tuple[str, ...]:
    row = rows[part.start + k]
    t = "" if row.time_step is None else str(row.time_step)
    return (
        str(row.number),
        f"{t}…" if part.folded else t,
        row.title,
        ", ".join(map(str, row.shapes)) + f" {row.dtype}",
        f"{row.nbytes:,}",
        _abridged([str(shape) for shape in row.saved]),
        f"{row.saved_nbytes:,}",
        _inputs(rows, part, k),
    )


def _inputs(rows: list[Row], part: Part, k: int) -> str:
    row = rows[part.start + k]
    inputs = []
    for j, (number, slot) in enumerate(zip(row.inputs, row.slots)):
        at = ""
        if (earlier := part.recurrent_input(k, j)) is not None:
            number, at = rows[earlier[0]].number, f"@{earlier[1]}"
        inputs.append("const" if number is None else f"{number}" + ("" if slot is None else f".{slot}") + at)
    return _abridged(inputs)


def _abridged(items: list[str]) -> str:
    if len(items) <= 6:
        return ", ".join(items)
    return f"{items[0]}, {items[1]}, … {items[-1]} ({len(items)})"


def _counted(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _aligned(lines: Sequence[tuple[str, ...] | str]) -> list[str]:
    """Align the columns; a line that is a single text stays as it is."""
    columns = [line for line in lines if not isinstance(line, str)]
    widths = [max(len(line[c]) for line in columns) for c in range(len(HEAD))]

    def padded(line: tuple[str, ...]) -> str:
        cells = (cell.rjust(w) if c in RIGHT else cell.ljust(w) for c, (cell, w) in enumerate(zip(line, widths)))
        return "  ".join(cells).rstrip()

    return [line if isinstance(line, str) else padded(line) for line in lines]
