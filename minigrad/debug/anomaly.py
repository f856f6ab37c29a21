"""Where the first NaN or Inf was born: which operation or rule made one of numbers that had none."""

from __future__ import annotations

import inspect
import linecache
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np

from ..backend import backend_of, is_array, to_numpy
from ..engine.gradient_pool import IndexedSlice, OuterProduct, PerStepSum, RowSum
from ..engine.metadata import SourceLine, ensure_metadata, get_metadata
from ..engine.observer import ObserverContext
from ..engine.primitive import FUNCTION_OF, REGISTRY
from ..engine.tape import Node, Rule, mode
from ..engine.tensor import Tensor
from .source_line import users_line


class Arrived(dict[int, list[tuple[Node | None, str]]]):
    """In one walk by an entry's serial number: who contributed to its gradient, None for a seed, and whether a "NaN",
    an "Inf" or neither ("") was in that. `line` is the user's that began the walk."""

    line: SourceLine | None = None


_quiet: ContextVar[tuple[Any, ...]] = ContextVar("minigrad NumPy's settings of the blocks that are open", default=())
_arrived: ContextVar[Arrived | None] = ContextVar("minigrad what reached the entries of this walk", default=None)
_rules: ContextVar[int] = ContextVar("minigrad rules that run now", default=0)


class AnomalyError(ArithmeticError):
    """A NaN or an Inf was born.

    Attributes:
        kind: "NaN" or "Inf". phase: "forward" or "backward". op: the operation, or the one whose rule it was.
        shapes, dtypes: of its inputs. time_step: the step, where it is known, or None.
        file, line, source: the user's line that called the operation; None, None, "" where it was not recorded inside.
    """

    kind: str
    phase: str
    op: str
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    time_step: int | None
    file: str | None
    line: int | None
    source: str


class AnomalyWarning(RuntimeWarning):
    """What `detect_anomaly(warn=True)` says in the place of an `AnomalyError`."""


class detect_anomaly(ObserverContext):
    """Inside the `with` block the first NaN or Inf is an error that says where it was born.

    Born means: the output of an operation, or what a rule passes back, has a NaN and no input has one, or has an Inf
    and the inputs are all finite. An Inf that comes in, such as a mask's −inf, and goes out again is no birth; the NaN
    that Inf − Inf or 0 · Inf makes of it is. A gradient that overflows as the sum of finite contributions was born in
    that sum, and the message lists the uses that they came from. The message names the operation, its inputs' shapes
    and dtypes, the user's line and the time step. Of a fused sequence it is the first step, in the order of reading,
    whose output has one.

    It looks at every operation of this thread and task, so it is slow: a reduction for each, and on a device each of
    them waits. NumPy's own warnings are silent inside. Walks of graphs that were recorded outside are watched too, but
    nothing is known of the lines then.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 0.0], requires_grad=True)
    >>> with mg.detect_anomaly():
    ...     y = mg.log(x)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    minigrad.debug.anomaly.AnomalyError: forward: 'log' made the first Inf, at index (1,), 1 of 2 values
      inputs: (2,) float32
      line: <doctest ...>:2: y = mg.log(x)...

    Args:
        warn: warn (`AnomalyWarning`) and go on, in the place of raising.

    Raises (inside):
        AnomalyError: see there what it knows.
    """

    def __init__(self, warn: bool = False) -> None:
        super().__init__()
        self.warn = warn

    def __enter__(self) -> None:
        super().__enter__()
        quiet = np.errstate(divide="ignore", over="ignore", invalid="ignore")
        quiet.__enter__()
        _quiet.set((*_quiet.get(), quiet))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        *others, quiet = _quiet.get()
        _quiet.set(tuple(others))
        quiet.__exit__(kind, error, trace)
        super().__exit__(kind, error, trace)

    def finished(self, token: Any, op: str, arrays: Sequence[Any], options: dict[str, Any], made: Any) -> None:
        outputs = [x._data for x in made] if isinstance(made, tuple) else [made._data]
        node = made[0].node if isinstance(made, tuple) else made.node
        if node is not None:
            ensure_metadata(node).line = users_line()
        if _rules.get():  # the rule will be judged by what it returns
            return
        if (found := first_nonfinite(outputs, (arrays, options))) is None:
            return
        walk = _arrived.get()
        if walk is not None and users_line() == walk.line:  # a recorded walk adds up: the sum will be judged, no hook's
            return
        t, note = mode().time_step, ""
        if t is None and op.endswith("_sequence"):
            t = first_step(op, arrays, options, outputs)
            if t is None:
                note = "\n  no step's output has one: only the last state has"
            else:
                found = describe_nonfinite(outputs[0][t], " of the step's output")
        line = users_line() if node is None else ensure_metadata(node).line
        self._report("forward", op, f"'{op}'", found, list(arrays_in(arrays)), t, line, note)

    def walk(self, roots: Sequence[tuple[Node, Any]], walk: Callable[[], dict[int, Any]]) -> dict[int, Any]:
        arrived = Arrived()
        arrived.line = users_line()
        for node, seed in roots:
            arrived.setdefault(node.serial, []).append((None, nonfinite_kind(seed)))
        before = _arrived.set(arrived)
        try:
            found = walk()
        finally:
            _arrived.reset(before)
        for node, value, _ in found.values():
            self._judge_sum(arrived, node, node.serial, value)
        return found

    def rules(self, node: Node, rules: Any) -> tuple[Rule, ...] | Rule:
        arrived = _arrived.get()
        assert arrived is not None  # rules are asked for inside a walk
        if isinstance(rules, tuple):
            return tuple(partial(self._rule, arrived, node, rule, k) for k, rule in enumerate(rules))
        return partial(self._joint, arrived, node, rules)

    def _rule(self, arrived: Arrived, node: Node, rule: Rule, k: int, xp: Any, g: Any, *saved: Any) -> Any:
        self._judge_sums(arrived, node, g)
        made = _inside_a_rule(rule, xp, g, *saved)
        self._check_rule(arrived, node, [made], [node.parents[k]], g, saved, f"the rule of '{node.op}' for input {k}")
        return made

    def _joint(self, arrived: Arrived, node: Node, rule: Rule, xp: Any, g: Any, needs: Any, *saved: Any) -> Any:
        self._judge_sums(arrived, node, g)
        made = _inside_a_rule(rule, xp, g, needs, *saved)
        self._check_rule(arrived, node, made, node.parents, g, saved, f"the rule of '{node.op}'")
        return made

    def _judge_sums(self, arrived: Arrived, node: Node, g: Any) -> None:
        if node.outputs is None:
            self._judge_sum(arrived, node, node.serial, g)
            return
        for serial, part in zip(node.picks, g):
            self._judge_sum(arrived, node, serial, part)

    def _judge_sum(self, arrived: Arrived, node: Node, serial: int, g: Any) -> None:
        """Whether the sum of what reached an entry has what no contribution had. Asked once for each entry."""
        uses = arrived.pop(serial, [])
        kinds = {kind for _, kind in uses}
        if not uses or "NaN" in kinds or not (kind := nonfinite_kind(g)) or (kind == "Inf" and "Inf" in kinds):
            return
        beside = get_metadata(node)
        lines = [line for user, _ in uses if user is not None and (line := _line_of(user))]
        own = None if beside is None else beside.line
        hooked = beside is not None and beside.hooks.get(serial)
        who = f"the sum of {len(uses)} contribution{'s' * (len(uses) > 1)} to the gradient of "
        who += (f"'{node.op}'" if node.parents else "a leaf") + f" {node.shape}" + (", or a hook," if hooked else "")
        names = [_use(user) for user, _ in uses]
        more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
        note = "".join(f"\n  from: {name}" for name in names[:SHOWN] + more)
        inputs = list(arrays_in(g))
        unknown = "outside detect_anomaly" if node.parents else "a leaf"
        found = describe_nonfinite(next(a for a in inputs if not all_finite(a)))
        line = own or (lines[0] if lines and not node.parents else None)
        self._report("backward", node.op, who, found, inputs, node.time_step, line, note, unknown)

    def _check_rule(
        self,
        arrived: Arrived,
        node: Node,
        made: Sequence[Any],
        parents: Sequence[Node | None],
        g: Any,
        saved: Any,
        who: str,
    ) -> None:
        arrays = [list(arrays_in(part)) for part in made]
        for parent, part in zip(parents, arrays):
            if parent is not None and part:
                arrived.setdefault(parent.serial, []).append((node, nonfinite_kind(part)))
        if (found := first_nonfinite([a for part in arrays for a in part], (g, saved))) is None:
            return
        t = node.time_step
        if t is None and node.op.endswith("_sequence"):
            t, share = last_step(made)
            if share is not None:
                found = describe_nonfinite(share, " of the step's share of a weight")
        line = _line_of(node)
        shapes = [*arrays_in(g), *arrays_in(saved)]
        self._report("backward", node.op, who, found, shapes, t, line, "", "" if line else "outside detect_anomaly")

    def _report(
        self,
        phase: str,
        op: str,
        who: str,
        found: tuple[str, str],
        inputs: list[Any],
        t: int | None,
        line: SourceLine | None,
        note: str = "",
        unknown: str = "not known",
    ) -> None:
        kind, where = found
        at = "" if t is None else f" at time step {t}"
        given = "inputs" if phase == "forward" else "gradient and saved" if who.startswith("the rule") else "gradient"
        shown = ", ".join(f"{tuple(a.shape)} {a.dtype}" for a in inputs) or "none"
        source = "" if line is None else linecache.getline(line[0], line[1], line[2]).strip()
        place = unknown if line is None else _shown(line)
        said = "line" if phase == "forward" else "recorded at"
        text = f"{phase}: {who} made the first {kind}{at}, {where}\n  {given}: {shown}\n  {said}: {place}{note}"
        if self.warn:
            here = users_line() or ("<unknown>", 0, None)
            warnings.warn_explicit(AnomalyWarning(text), None, here[0], here[1])
            return
        error = AnomalyError(text)
        error.kind, error.phase, error.op, error.time_step = kind, phase, op, t
        error.shapes = tuple(tuple(a.shape) for a in inputs)
        error.dtypes = tuple(str(a.dtype) for a in inputs)
        error.file, error.line, error.source = (None, None, "") if line is None else (line[0], line[1], source)
        raise error


SHOWN = 8
"""Uses that a message lists."""


def _line_of(node: Node) -> SourceLine | None:
    beside = get_metadata(node)
    return None if beside is None else beside.line


def _shown(line: SourceLine) -> str:
    return f"{line[0]}:{line[1]}: {linecache.getline(line[0], line[1], line[2]).strip()}"


def _use(node: Node | None) -> str:
    """A use of an entry, as a message says it."""
    if node is None:
        return "the gradient that the walk began with"
    at = "" if node.time_step is None else f" at time step {node.time_step}"
    line = _line_of(node)
    return f"'{node.op}'{at}" + ("" if line is None else f", {_shown(line)}")


def _inside_a_rule(rule: Rule, *args: Any) -> Any:
    token = _rules.set(_rules.get() + 1)
    try:
        return rule(*args)
    finally:
        _rules.reset(token)


# What is finite


def arrays_in(value: Any) -> Iterator[Any]:
    """The arrays in what an operation takes, saves or returns, in order."""
    if isinstance(value, Tensor):
        yield value._data
    elif isinstance(value, (OuterProduct, RowSum)):
        yield value.dense()
    elif isinstance(value, IndexedSlice):
        yield from arrays_in(value.g)
    elif isinstance(value, PerStepSum):
        yield from arrays_in(value.total)
    elif isinstance(value, dict):
        yield from arrays_in(tuple(value.values()))
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from arrays_in(part)
    elif is_array(value):
        yield value


def numbers_in(value: Any) -> Iterator[Any]:
    """The Python numbers there."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from numbers_in(part)
    elif isinstance(value, (float, complex, np.floating, np.complexfloating)):
        yield value


def all_finite(array: Any) -> bool:
    """Whether there is neither a NaN nor an Inf. On a device this waits."""
    return array.dtype.kind not in "fc" or bool(backend_of(array).xp.isfinite(array).all())


def first_nonfinite(outputs: Sequence[Any], given: Any) -> tuple[str, str] | None:
    """("NaN" or "Inf", where) if an output has one that no input explains.

    A NaN is explained by a NaN, an Inf by either.
    """
    ill = [a for a in outputs if not all_finite(a)]
    if not ill:
        return None
    inputs = [*arrays_in(given), *map(np.asarray, numbers_in(given))]
    inputs = [a for a in inputs if not all_finite(a)]
    if any(_has(a, "isnan") for a in inputs):
        return None
    if any(_has(a, "isnan") for a in ill):
        return describe_nonfinite(next(a for a in ill if _has(a, "isnan")))
    return None if inputs else describe_nonfinite(ill[0])


def describe_nonfinite(array: Any, of: str = "") -> tuple[str, str]:
    """What an array with a NaN or an Inf has, NaN before Inf, and where first."""
    host = to_numpy(array)
    kind, bad = ("NaN", np.isnan(host)) if np.isnan(host).any() else ("Inf", np.isinf(host))
    index = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
    return kind, f"at index {index}{of}, {int(bad.sum())} of {bad.size} values"


def nonfinite_kind(value: Any) -> str:
    """ "NaN" if there is one in the arrays of a value, else "Inf" if there is one, else ""."""
    ill = [a for a in arrays_in(value) if not all_finite(a)]
    return ("NaN" if any(_has(a, "isnan") for a in ill) else "Inf") if ill else ""


def _has(array: Any, is_one: str) -> bool:
    return array.dtype.kind in "fc" and bool(getattr(backend_of(array).xp, is_one)(array).any())


# When


def ill_steps(array: Any) -> list[int]:
    """The steps t of an array (T, …) that hold a NaN or an Inf."""
    host = to_numpy(array)
    return [int(t) for t in np.flatnonzero(~np.isfinite(host.reshape(len(host), -1)).all(axis=1))]


def first_step(op: str, arrays: Sequence[Any], options: dict[str, Any], outputs: Sequence[Any]) -> int | None:
    """The first step, in the order in which the sequence is read, whose output holds one; None if none does.

    A sequence takes xs (T, B, I) first and returns the outputs of every step first (T, B, H).
    """
    found = ill_steps(outputs[0])
    if not found:
        return None
    return found[-1 if _argument(op, "backward", arrays, options) else 0]


def _argument(op: str, name: str, arrays: Sequence[Any], options: dict[str, Any]) -> Any:
    """What an operation was given under a name, by place or by name."""
    names = list(inspect.signature(FUNCTION_OF[REGISTRY[op]]).parameters)[1:]
    if name in options or name not in names:
        return options.get(name)
    place = names.index(name)
    return arrays[place] if place < len(arrays) else None


def last_step(made: Sequence[Any]) -> tuple[int | None, Any]:
    """The first step that BPTT comes to whose share of a weight holds one, and that share; or (None, None)."""
    for contribution in made:
        if isinstance(contribution, PerStepSum):
            for t in contribution.steps:
                share = contribution.at(t)
                if not all_finite(share):
                    return t, share
    return None, None
