"""`profile`: time and saved memory per operation, time step and module."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

from ..backend import BY_ARRAY_TYPE
from ..engine.metadata import ensure_metadata, get_metadata, operation_node
from ..engine.modes import mode
from ..engine.observer import ObserverContext
from ..engine.tape import Node, Rule
from ..nn.module import Module
from ..validation import check_choice, check_type
from .graph import kept_arrays

_inner: ContextVar[list[float] | None] = ContextVar(
    "minigrad seconds of the operations inside the running rule", default=None
)
_module: ContextVar[str] = ContextVar("minigrad label of the running module", default="")
KEY = ("operation", "time step", "module")
"""What is measured, as a key of the sums."""
NOTHING = (0, 0.0, 0, 0.0, 0)
"""The amounts of `Spent` to begin with."""
HEAD = ("calls", "forward ms", "backward ms", "saved bytes", "share")


class Spent(NamedTuple):
    """Time and memory of one operation, time step or module."""

    name: str
    calls: int
    forward: float
    """Seconds in the operation itself, including its recording."""
    backward_calls: int
    backward: float
    """Seconds in its rule."""
    saved_nbytes: int
    """Bytes of the arrays that the nodes keep for their rules."""

    @property
    def seconds(self) -> float:
        """Seconds forward and backward together."""
        return self.forward + self.backward


class profile(ObserverContext):
    """Context manager that measures the time and the saved bytes of every operation and rule.

    `print(p)` shows a table by operation, sorted by time; `p.table("time step")` and `p.table("module")` show the
    others, and `p.by(...)` returns the numbers. Every operation synchronises with the device, so that its time is its
    own. The last line shows what runs between the operations (Python, the backward pass, its gradient pools). In a
    `create_graph` backward pass the operations inside a rule count as themselves, not as the rule.

    >>> import numpy as np, minigrad as mg
    >>> x = mg.tensor(np.ones((100, 100)), requires_grad=True)
    >>> with mg.profile() as p:
    ...     mg.tanh(x @ x).sum().backward()
    >>> sorted((spent.name, spent.calls, spent.saved_nbytes) for spent in p.by("operation"))
    [('matmul', 1, 80000), ('sum', 1, 0), ('tanh', 1, 80000)]
    >>> print(p)  # doctest: +ELLIPSIS
    operation               calls  forward ms  backward ms  saved bytes  share
    ...

    Args:
        module: a module whose submodules are listed by their names; others are listed by their types.
    """

    def __init__(self, module: Any = None) -> None:
        super().__init__()
        self.wall = 0.0
        """Seconds spent in the blocks of this profile."""
        if module is not None:
            check_type("profile", Module, "a Module or None", module=module)
        named = module.named_modules() if module is not None else ()
        self._names = {id(part): name or type(part).__name__ for name, part in named}
        self._spent: dict[tuple[str, int | None, str], list[float]] = {}
        self._lock = threading.Lock()
        self._starts: list[float] = []

    def opening(self) -> profile:
        self._starts.append(self._starts[0] if self._starts else self._now())
        return self

    def closed(self) -> None:
        start = self._starts.pop()
        if not self._starts:  # the outermost block: an inner or a concurrent one is part of its time
            self.wall += self._now() - start

    _clock = staticmethod(time.perf_counter)

    def _now(self) -> float:
        """Return the time after synchronising with every device."""
        for backend in tuple(BY_ARRAY_TYPE.values()):
            backend.synchronize()
        return self._clock()

    def started(self, op: str) -> float:
        return self._clock()

    def finished(self, token: float, op: str, arrays: Sequence[Any], options: dict[str, Any], result: Any) -> None:
        seconds = self._now() - token
        outer = _inner.get()
        if outer is not None:
            outer[0] += seconds
        node = result[0].node if isinstance(result, tuple) else result.node
        saved, label = 0, _module.get()
        if node is not None:
            node = operation_node(node)
            saved = sum(a.nbytes for a in kept_arrays(node))
            ensure_metadata(node).module = label
        self._add((op, mode().time_step, label), 1, seconds, 0, 0.0, saved)

    def rules(self, node: Node, rules: Any) -> tuple[Rule, ...] | Rule:
        metadata = get_metadata(node)
        key = (node.op, node.time_step, "" if metadata is None else metadata.module or "")
        self._add(key, 0, 0.0, 1, 0.0, 0)
        if isinstance(rules, tuple):
            return tuple(partial(self._timed, key, rule) for rule in rules)
        return partial(self._timed, key, rules)

    def _timed(self, key: tuple[str, int | None, str], rule: Rule, *args: Any) -> Any:
        outer, inner = _inner.get(), [0.0]
        token = _inner.set(inner)
        start = self._clock()
        try:
            return rule(*args)
        finally:
            seconds = self._now() - start
            _inner.reset(token)
            if outer is not None:
                outer[0] += seconds
            self._add(key, 0, 0.0, 0, seconds - inner[0], 0)

    def _add(self, key: tuple[str, int | None, str], *amounts: float) -> None:
        with self._lock:
            self._spent[key] = [a + b for a, b in zip(self._spent.get(key, NOTHING), amounts)]

    @contextmanager
    def inside(self, module: Any) -> Iterator[None]:
        token = _module.set(self._names.get(id(module)) or type(module).__name__)
        try:
            yield
        finally:
            _module.reset(token)

    def by(self, what: str = "operation") -> list[Spent]:
        """Return what each "operation" or "module" took, the slowest first, or each "time step", in order.

        Raises:
            ValueError: `what` is none of these.
        """
        check_choice("profile.by", KEY, what=what)
        position = KEY.index(what)
        amounts: dict[Any, list[list[float]]] = {}
        with self._lock:
            for key, sums in self._spent.items():
                amounts.setdefault(key[position], []).append(sums)
        if what == "time step":
            amounts = dict(sorted(amounts.items(), key=lambda item: (item[0] is None, item[0])))
        spent = [_total(f"no {what}" if key in (None, "") else str(key), rows) for key, rows in amounts.items()]
        return spent if what == "time step" else sorted(spent, key=lambda s: -s.seconds)

    @property
    def total(self) -> Spent:
        """The sum over everything."""
        with self._lock:
            return _total("total", [NOTHING, *self._spent.values()])

    @property
    def saved_nbytes(self) -> int:
        """Bytes that all nodes keep for their rules."""
        return self.total.saved_nbytes

    def table(self, what: str = "operation") -> str:
        """Return the numbers of `by(what)` as a table, with the total and what ran between the operations."""
        total = self.total
        lines = [(what, *HEAD)]
        for spent in [*self.by(what), total]:
            share = spent.seconds / total.seconds if total.seconds else 0.0
            forward, backward = f"{1e3 * spent.forward:,.3f}", f"{1e3 * spent.backward:,.3f}"
            lines.append((spent.name, f"{spent.calls:,}", forward, backward, f"{spent.saved_nbytes:,}", f"{share:.1%}"))
        between = max(0.0, self.wall - total.seconds)
        widths = [max(map(len, column)) for column in zip(*lines)]
        widths[0] = max(widths[0], len("between the operations"))
        text = ["  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]) for first, *rest in lines]
        label = "between the operations".ljust(widths[0])
        text.append(f"{label}  {1e3 * between:,.3f} ms of {1e3 * self.wall:,.3f} ms")
        return "\n".join(line.rstrip() for line in text)

    def __repr__(self) -> str:
        return self.table()


def _total(name: str, amounts: Sequence[Sequence[Any]]) -> Spent:
    return Spent(name, *map(sum, zip(*amounts)))
