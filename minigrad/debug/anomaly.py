"""`detect_anomaly`: find the operation or rule that produced the first NaN or Inf."""

from __future__ import annotations

import linecache
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np

from ..engine.metadata import SourceLine, ensure_metadata, get_metadata
from ..engine.modes import mode
from ..engine.observer import ObserverContext
from ..engine.tape import Node, Rule
from ..validation import check_flag
from .module_stack import inside, module_stack, name_of_layer, name_of_parameter
from .nonfinite import (
    all_finite,
    arrays_in,
    describe_nonfinite,
    first_nonfinite,
    first_step,
    last_step,
    leaves_in,
    nonfinite_kind,
    sequences_in,
)
from .source_line import users_line


class Contributions(dict[int, list[tuple[Node | None, str]]]):
    """In one backward pass, by a node's serial number: which nodes contributed to its gradient (None for the initial
    gradient), and whether each contribution held a "NaN", an "Inf" or neither (""). `line` is the user's line that
    started the backward pass."""

    line: SourceLine | None = None


_errstates: ContextVar[tuple[Any, ...]] = ContextVar("minigrad np.errstate of each open block", default=())
_contributions: ContextVar[Contributions | None] = ContextVar(
    "minigrad contributions of this backward pass", default=None
)
_told: ContextVar[list[bool]] = ContextVar("minigrad whether the open block has told of a NaN")
_rule_depth: ContextVar[int] = ContextVar("minigrad number of rules that are running", default=0)


class AnomalyError(ArithmeticError):
    """An operation or a rule produced the first NaN or Inf.

    Attributes:
        kind: "NaN" or "Inf". phase: "forward" or "backward". op: the operation, or the one whose rule it was.
        shapes, dtypes: of its inputs. time_step: the step, where it is known, or None.
        file, line, source: the user's line that called the operation; None, None, "" if it was recorded outside.
        layer: the path and class of the module in whose forward pass the operation ran, or "".
        came_in: whether the operation only passed it on: it came in with an input, a state or a parameter.
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
    layer: str
    came_in: bool


class AnomalyWarning(RuntimeWarning):
    """The warning that `detect_anomaly(warn=True)` issues in place of an `AnomalyError`."""


class detect_anomaly(ObserverContext):
    """Context manager that raises at the first NaN or Inf and says where it appeared.

    A NaN is reported where the output of an operation, or the result of a rule, holds one and no input does; an Inf
    where one appears and all inputs are finite. An Inf that only passes through, such as a mask's −inf, is not
    reported; a NaN that results from it, as in Inf − Inf or 0 · Inf, is, with the input that held the Inf. A NaN that
    comes into a module, in an input, a state or a parameter, is reported where the module first computes with it; one
    that it never computes with, such as a padded step's, is not. If the sum of finite contributions to a
    gradient overflows, the sum is reported and the message lists where they came from. The message names the operation,
    its inputs' shapes and dtypes, the user's line, the layer and the time step. For a fused sequence the time step is
    the first one, in the order of reading, whose output is not finite.

    Every operation of this thread and task is checked, which is slow: one reduction each, and on a device each of them
    synchronises. NumPy's own warnings are silenced inside. The backward pass of a graph that was recorded outside is
    checked too, but its lines are unknown.

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
        warn: issue an `AnomalyWarning` and go on, in place of raising.

    Raises (inside):
        AnomalyError: with the operation, the line and the time step as attributes.
    """

    def __init__(self, warn: bool = False) -> None:
        super().__init__()
        check_flag("detect_anomaly", warn=warn)
        self.warn = warn

    def opening(self) -> None:
        errstate = np.errstate(divide="ignore", over="ignore", invalid="ignore")
        errstate.__enter__()
        _errstates.set((*_errstates.get(), errstate))
        _told.set([False])

    def closed(self) -> None:
        *outer, errstate = _errstates.get()
        _errstates.set(tuple(outer))
        errstate.__exit__(None, None, None)

    def finished(self, token: Any, op: str, arrays: Sequence[Any], options: dict[str, Any], result: Any) -> None:
        outputs = [x._array for x in result] if isinstance(result, tuple) else [result._array]
        node = result[0].node if isinstance(result, tuple) else result.node
        stack = module_stack.get()
        if node is not None:
            metadata = ensure_metadata(node)
            metadata.line, metadata.layer = users_line(), stack
        if _rule_depth.get():  # an operation inside a rule: the rule's own result is checked
            return
        backward = _contributions.get()
        if (anomaly := first_nonfinite(outputs, (arrays, options))) is None:
            if stack and backward is None and op not in MOVES and nonfinite_kind(outputs) == "NaN":
                self._report_input(op, arrays, stack)
            return
        if backward is not None and users_line() == backward.line:
            return  # a create_graph backward pass adds contributions, not the user's hook: the sum is checked
        t, note = mode().time_step, ""
        if t is None and (sequences := sequences_in(op, arrays, options, outputs)):
            t, output = first_step(sequences)
            if t is None:
                note = "\n  no step's output has one: only the last state has"
            else:
                anomaly = describe_nonfinite(output, " of the step's output")
        line = users_line() if node is None else ensure_metadata(node).line
        if (before := _nonfinite_input(arrays, "Inf", stack)) is not None:
            note += f"\n  not finite before: {before[0]}, which held an Inf {before[1]}"
        self._report("forward", op, f"'{op}'", anomaly, arrays_in(arrays), t, line, note, layer=stack)

    def _report_input(self, op: str, arrays: Sequence[Any], stack: tuple[Any, ...]) -> None:
        """Report, once in a block, a NaN that a module computes with and that no operation has made."""
        found = _nonfinite_input(arrays, "NaN", stack)
        if found is None or _told.get()[0]:
            return
        which, where = found
        who = f"{which} of '{op}'"
        self._report(
            "forward", op, who, ("NaN", where), arrays_in(arrays), mode().time_step, users_line(),
            "\n  it came in: no operation made it", layer=stack, came_in=True,
        )  # fmt: skip

    def inside(self, module: Any) -> AbstractContextManager[Any]:
        return inside(module)

    def inside_layer(self, modules: tuple[Any, ...]) -> AbstractContextManager[Any]:
        return inside(modules)

    def backward_pass(self, roots: Sequence[tuple[Node, Any]], run: Callable[[], dict[int, Any]]) -> dict[int, Any]:
        contributions = Contributions()
        contributions.line = users_line()
        for node, initial_grad in roots:
            contributions.setdefault(node.serial, []).append((None, nonfinite_kind(initial_grad)))
        outer = _contributions.set(contributions)
        try:
            gradients = run()
        finally:
            _contributions.reset(outer)
        for node, gradient, _ in gradients.values():
            self._check_sum(contributions, node, node.serial, gradient)
        return gradients

    def rules(self, node: Node, rules: Any) -> tuple[Rule, ...] | Rule:
        contributions = _contributions.get()
        assert contributions is not None  # rules run in a backward pass only
        if isinstance(rules, tuple):
            return tuple(partial(self._run_rule, contributions, node, rule, k) for k, rule in enumerate(rules))
        return partial(self._run_rule, contributions, node, rules, None)

    def _run_rule(
        self, contributions: Contributions, node: Node, rule: Rule, k: int | None, xp: Any, g: Any, *saved: Any
    ) -> Any:
        """Run the rule for input k, or for all if k is None. Note what it contributes to each parent, and report a NaN
        or Inf that its inputs do not explain."""
        for serial, part in [(node.serial, g)] if node.outputs is None else zip(node.picks, g):
            self._check_sum(contributions, node, serial, part)
        token = _rule_depth.set(_rule_depth.get() + 1)
        try:
            result = rule(xp, g, *saved)
        finally:
            _rule_depth.reset(token)
        results, parents = (result, node.parents) if k is None else ([result], node.parents[k : k + 1])
        arrays = [arrays_in(r) for r in results]
        for parent, part in zip(parents, arrays):
            if parent is not None and part:
                contributions.setdefault(parent.serial, []).append((node, nonfinite_kind(part)))
        anomaly = first_nonfinite([a for part in arrays for a in part], (g, saved))
        if anomaly is not None:
            t = node.time_step
            if t is None and node.op.endswith(("_sequence", "_sequences")):
                t, share = last_step(results)
                if share is not None:
                    anomaly = describe_nonfinite(share, " of the step's share of a weight")
            who = f"the rule of '{node.op}'" + ("" if k is None else f" for input {k}")
            inputs = arrays_in((g, saved))
            layer = _layer_of(node)
            note = ""
            if (before := _nonfinite_input((g, *saved), "Inf", layer)) is not None:
                which = {"input 0": "the gradient"}.get(before[0], before[0].replace("input", "saved"))
                note = f"\n  not finite before: {which}, which held an Inf {before[1]}"
            self._report(
                "backward", node.op, who, anomaly, inputs, t, _line_of(node), note, "outside detect_anomaly", layer
            )
        return result

    def _check_sum(self, contributions: Contributions, node: Node, serial: int, g: Any) -> None:
        """Report a node's gradient `g` if it holds a NaN or Inf that no contribution held; once for each node."""
        uses = contributions.pop(serial, [])
        kinds = {kind for _, kind in uses}
        arrays = arrays_in(g) if uses else []
        if "NaN" in kinds or nonfinite_kind(arrays) in ("", *kinds):
            return
        metadata = get_metadata(node)
        hooked = metadata is not None and metadata.hooks.get(serial)
        lines = [line for user, _ in uses if user is not None and (line := _line_of(user))]
        who = f"the sum of {len(uses)} contribution{'s' * (len(uses) > 1)} to the gradient of "
        who += (f"'{node.op}'" if node.parents else "a leaf") + f" {node.shape}" + (", or a hook," if hooked else "")
        names = [_use(user) for user, _ in uses]
        more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
        note = "".join(f"\n  from: {name}" for name in names[:SHOWN] + more)
        unknown = "outside detect_anomaly" if node.parents else "a leaf"
        anomaly = describe_nonfinite(next(a for a in arrays if not all_finite(a)))
        line = _line_of(node) or (lines[0] if lines and not node.parents else None)
        layer = _layer_of(node)
        self._report("backward", node.op, who, anomaly, arrays, node.time_step, line, note, unknown, layer)

    def _report(
        self,
        phase: str,
        op: str,
        who: str,
        anomaly: tuple[str, str],
        inputs: list[Any],
        t: int | None,
        line: SourceLine | None,
        note: str = "",
        unknown: str = "not known",
        layer: tuple[Any, ...] = (),
        came_in: bool = False,
    ) -> None:
        """Raise the error, or issue the warning; `who` names the operation, rule or sum, `unknown` replaces a line."""
        kind, where = anomaly
        _told.get([True])[0] = True
        made, layer_name = "held" if came_in else "made", name_of_layer(layer)
        at = "" if t is None else f" at time step {t}"
        role = "inputs" if phase == "forward" else "gradient and saved" if who.startswith("the rule") else "gradient"
        shapes = ", ".join(f"{tuple(a.shape)} {a.dtype}" for a in inputs) or "none"
        place = unknown if line is None else _with_source(line)
        recorded = "line" if phase == "forward" else "recorded at"
        text = f"{phase}: {who} {made} the first {kind}{at}, {where}\n  {role}: {shapes}\n  {recorded}: {place}{note}"
        text += f"\n  layer: {layer_name}" if layer_name else ""
        if self.warn:
            here = users_line() or ("<unknown>", 0, None)
            warnings.warn_explicit(AnomalyWarning(text), None, here[0], here[1])
            return
        error = AnomalyError(text)
        error.kind, error.phase, error.op, error.time_step = kind, phase, op, t
        error.shapes = tuple(tuple(a.shape) for a in inputs)
        error.dtypes = tuple(str(a.dtype) for a in inputs)
        error.file, error.line = (None, None) if line is None else line[:2]
        error.layer, error.came_in = layer_name, came_in
        error.source = "" if line is None else linecache.getline(*line).strip()
        raise error


SHOWN = 8
"""How many contributions a message lists."""


MOVES = frozenset(
    [
        "astype",
        "broadcast_to",
        "concatenate",
        "expand_dims",
        "flip",
        "getitem",
        "moveaxis",
        "ravel",
        "reshape",
        "squeeze",
        "stack",
        "swapaxes",
        "take",
        "transpose",
        "unstack",
        "where",
    ]
)
"""Operations that compute nothing: a NaN at padding may pass through them."""


def _nonfinite_input(arrays: Sequence[Any], kind: str, stack: tuple[Any, ...]) -> tuple[str, str] | None:
    """Return which of an operation's inputs holds a NaN or Inf, and where; None if none does."""
    for k, value in enumerate(arrays):
        for a in leaves_in(value):
            if nonfinite_kind(a) == kind:
                name = name_of_parameter(stack, a)
                which = f"the parameter {name}" if name else f"input {k}"
                return which, describe_nonfinite(np.asarray(a) if isinstance(a, (float, complex)) else a)[1]
    return None


def _layer_of(node: Node) -> tuple[Any, ...]:
    metadata = get_metadata(node)
    return () if metadata is None else metadata.layer


def _line_of(node: Node) -> SourceLine | None:
    metadata = get_metadata(node)
    return None if metadata is None else metadata.line


def _with_source(line: SourceLine) -> str:
    return f"{line[0]}:{line[1]}: {linecache.getline(*line).strip()}"


def _use(node: Node | None) -> str:
    """Return the message's text for where a contribution came from."""
    if node is None:
        return "the gradient that the backward pass began with"
    at = "" if node.time_step is None else f" at time step {node.time_step}"
    line = _line_of(node)
    return f"'{node.op}'{at}" + ("" if line is None else f", {_with_source(line)}")
