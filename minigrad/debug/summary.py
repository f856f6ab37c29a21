"""`summary`: the layers of a model as a table, with their outputs' shapes, parameters and memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from ..engine.backward_pass import reachable
from ..engine.modes import enable_grad
from ..engine.observer import ObserverContext
from ..engine.tape import Leaf
from ..engine.tensor import Tensor
from ..nn.inference import inference
from ..nn.module import Module
from ..pytree import is_no_container, tree_flatten
from ..validation import check_integer, check_type
from .graph import distinct_nbytes, kept_arrays
from .html_table import html_table

HEAD = ("layer", "output", "parameters", "bytes")
RIGHT = (2, 3)
"""The right-aligned columns."""


class SummaryRow(NamedTuple):
    """A module of a model, in the order of `named_modules()`."""

    name: str
    """The dotted name; "" for the model itself."""
    kind: str
    """The class's name."""
    depth: int
    outputs: tuple[tuple[int, ...], ...]
    """The shapes of what its first call returned; () where it was not called."""
    calls: int
    inside: bool
    """Whether another module ran it without calling it, as a recurrence does its cells."""
    parameters: int
    """The numbers in the module's own parameters and those of all modules below it; a shared one counts once."""
    frozen: int
    """How many of these are frozen."""
    nbytes: int
    """The memory of these parameters, and of the buffers."""


class Summary:
    """The result of `summary`: its text is the table; `rows` are the modules, one by one.

    `parameters`, `trainable`, `buffers` count numbers; `nbytes` is their memory together, `gradient_nbytes` that of
    the gradients of all that is trained, and `saved_nbytes` what a forward pass of the example input keeps for the
    backward pass besides them, None without an input.
    """

    def __init__(self, model: Module, rows: list[SummaryRow], saved_nbytes: int | None, depth: int | None) -> None:
        self.rows, self.saved_nbytes = rows, saved_nbytes
        parameters = list(model.parameters())
        self.parameters = sum(p.size for p in parameters)
        self.trainable = sum(p.size for p in parameters if p.requires_grad)
        self.buffers = sum(b.size for b in model.buffers())
        self.nbytes = sum(t._array.nbytes for t in (*parameters, *model.buffers()))
        self.gradient_nbytes = sum(p._array.nbytes for p in parameters if p.requires_grad)
        self._depth = depth

    def _lines(self) -> list[tuple[str, str, str, str]]:
        shown = [row for row in self.rows if self._depth is None or row.depth <= self._depth]
        return [_line(row, guide, self.saved_nbytes is not None) for row, guide in zip(shown, _guides(shown))]

    @property
    def _totals(self) -> list[str]:
        frozen = f", {self.parameters - self.trainable:,} of them frozen" if self.trainable < self.parameters else ""
        buffers = f"; {self.buffers:,} numbers in buffers" if self.buffers else ""
        lines = [f"{self.parameters:,} parameters{frozen}{buffers}: {_size(self.nbytes)}"]
        lines.append(f"gradients: {_size(self.gradient_nbytes)}")
        if self.saved_nbytes is not None:
            lines.append(f"kept for the backward pass of this input: {_size(self.saved_nbytes)}")
        return lines

    def _columns(self) -> list[int]:
        return [k for k in range(len(HEAD)) if k != 1 or self.saved_nbytes is not None]

    def __repr__(self) -> str:
        columns = self._columns()
        table = [tuple(line[k] for k in columns) for line in [HEAD, *self._lines()]]
        widths = [max(len(line[c]) for line in table) for c in range(len(columns))]
        lines = []
        for line in table:
            cells = (x.rjust(w) if k in RIGHT else x.ljust(w) for k, x, w in zip(columns, line, widths))
            lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, "─" * max(map(len, lines)), *self._totals])

    def _repr_html_(self) -> str:
        columns = self._columns()
        rows = [[line[k].replace(" ", "\u00a0") for k in columns] for line in self._lines()]
        return html_table([HEAD[k] for k in columns], rows, foot=" · ".join(self._totals))


def summary(model: Module, *args: Any, depth: int | None = None, **kwargs: Any) -> Summary:
    """Return the layers of a model as a table: what each is, its parameters and their memory.

    With example inputs the model is called twice, in evaluation mode, so that no mask is drawn and no statistics move;
    then the table has the shapes of what each layer returns, and what the call would keep for the backward pass.

    >>> import numpy as np, minigrad as mg
    >>> model = mg.nn.Sequential(mg.nn.Linear(3, 4), mg.nn.Tanh(), mg.nn.Linear(4, 2))
    >>> mg.summary(model, np.ones((5, 3), np.float32))
    layer          output  parameters  bytes
    Sequential     (5, 2)          26    104
    ├─ 0 (Linear)  (5, 4)          16     64
    ├─ 1 (Tanh)    (5, 4)
    └─ 2 (Linear)  (5, 2)          10     40
    ────────────────────────────────────────
    26 parameters: 104 bytes
    gradients: 104 bytes
    kept for the backward pass of this input: 220 bytes

    Args:
        model: any module.
        args: example inputs, as in a call of the model; without any, and without keyword arguments, it is not called.
        depth: how many levels below the model are shown; None for all. Deeper ones still count.
        kwargs: more inputs, by name.

    Returns:
        A `Summary`: print it, or read its `rows` and totals.

    Raises:
        TypeError: the model is no Module. ValueError: the depth is no whole number of at least 0.
    """
    check_type("summary", Module, "a Module", model=model)
    if depth is not None:
        check_integer("summary", 0, depth=depth)
    outputs: dict[int, list[Any]] = {}
    seen = _Called()
    saved = None
    if args or kwargs:
        with inference(model), seen:
            model(*args, **kwargs)
        saved = _saved_by_a_call(model, seen, outputs, args, kwargs)
    rows = []
    for name, module in model.named_modules():
        parameters, calls = list(module.parameters()), outputs.get(id(module), [])
        rows.append(
            SummaryRow(
                name=name,
                kind=type(module).__name__,
                depth=name.count(".") + 1 if name else 0,
                outputs=calls[0] if calls else (),
                calls=len(calls),
                inside=id(module) in seen.inside_others,
                parameters=sum(p.size for p in parameters),
                frozen=sum(p.size for p in parameters if not p.requires_grad),
                nbytes=sum(t._array.nbytes for t in (*parameters, *module.buffers())),
            )
        )
    return Summary(model, rows, saved, depth)


class _Called(ObserverContext):
    """Notes which modules are called, and which others run without calling them."""

    def __init__(self) -> None:
        self.modules: dict[int, Module] = {}
        self.inside_others: set[int] = set()

    def inside(self, module: Any) -> AbstractContextManager[Any]:
        self.modules[id(module)] = module
        return nullcontext()

    def inside_layer(self, modules: tuple[Any, ...]) -> AbstractContextManager[Any]:
        self.inside_others.update(map(id, modules))
        return nullcontext()


def _saved_by_a_call(
    model: Module, called: _Called, outputs: dict[int, list[Any]], args: Sequence[Any], kwargs: dict[str, Any]
) -> int:
    """Call the model, put the shapes of each module's outputs into `outputs`, and return the bytes that it keeps.

    Only what is called gets a hook: with hooks on its cells a recurrence would run another implementation.
    """

    def note(module: Module, args: Any, result: Any) -> None:
        leaves = tree_flatten(result, is_leaf=is_no_container)[0]
        outputs.setdefault(id(module), []).append(tuple(tuple(x.shape) for x in leaves if hasattr(x, "shape")))

    handles = [module.register_forward_hook(note) for module in called.modules.values()]
    try:
        with inference(model), enable_grad():
            result = model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    ends = [x.node for x in tree_flatten(result)[0] if isinstance(x, Tensor) and x.node is not None]
    nodes = reachable(ends).values() if ends else ()
    own = {id(_owner(p._array)) for p in model.parameters()}
    kept = [a for node in nodes if not isinstance(node, Leaf) for a in kept_arrays(node)]
    return distinct_nbytes([a for a in kept if id(_owner(a)) not in own])


def _owner(array: Any) -> Any:
    base = getattr(array, "base", None)
    return base if base is not None and hasattr(base, "nbytes") else array


def _line(row: SummaryRow, guide: str, called: bool) -> tuple[str, str, str, str]:
    last = row.name.rpartition(".")[2]
    outputs = ", ".join(map(str, row.outputs[:3])) + (", …" if len(row.outputs) > 3 else "")
    if called and not row.calls and not row.inside:
        outputs = "not called"
    elif row.calls > 1:
        outputs += f" × {row.calls}"
    count = f"{row.parameters:,}" if row.parameters else ""
    if row.frozen:
        count = "frozen " + count if row.frozen == row.parameters else f"{row.frozen:,} frozen of {count}"
    return f"{guide}{last} ({row.kind})" if last else row.kind, outputs, count, f"{row.nbytes:,}" if row.nbytes else ""


def _guides(rows: list[SummaryRow]) -> Iterator[str]:
    """The lines of the tree in front of each row's name."""
    for k, row in enumerate(rows):
        guide = ""
        for level in range(1, row.depth + 1):
            # Whether another row of this level follows, before the tree goes back above it.
            below = (other.depth for other in rows[k + 1 :])
            follows = next((d == level for d in below if d <= level), False)
            guide += ("├─ " if follows else "└─ ") if level == row.depth else ("│  " if follows else "   ")
        yield guide


def _size(nbytes: int) -> str:
    """Bytes in the unit in which they are read most easily, in powers of 1,000."""
    if nbytes < 1000:
        return f"{nbytes} bytes"
    power = min(int(math.log10(nbytes)) // 3, 4)
    return f"{nbytes / 1000**power:.3g} {['', 'kB', 'MB', 'GB', 'TB'][power]}"
