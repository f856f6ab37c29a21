"""TrainingMonitor logs gradient norms while a net trains, and says in words where gradients vanish or explode."""

from __future__ import annotations

import math
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.backend import to_numpy
from minigrad.debug.ledger import Ledger, new_accounts
from minigrad.engine.account import Account
from minigrad.validation import check_flag, check_integer, check_number

from .bars import bars
from .gains import state_gains
from .gradient_flow import GradientFlow, LayerFlow, recurrent_modules
from .notebook import as_html


class LastPass(Ledger):
    """The norms of what each time step contributed in the last backward pass; earlier ones are forgotten."""

    def open_pass(self) -> dict[int, Account]:
        return new_accounts(self._named.tensors, "norms")

    def close_pass(self, accounts: Any) -> None:
        self._accounts = {serial: [accounts[serial]] for serial in self._accounts}


class _record_last_pass(mg.record_ledger):
    def opening(self) -> Ledger:
        self._book = LastPass(self._named, "norms")
        return self._book


class TrainingMonitor:
    """Watch the gradients of a recurrent model while it trains: a `with` block around each training step.

    >>> import numpy as np
    >>> import minigrad as mg
    >>> from minigrad_rnn import RNN, TrainingMonitor
    >>> model, xs = RNN(3, 8, rng=0), np.ones((60, 4, 3), np.float32)
    >>> optimizer, monitor = mg.optim.SGD(model.parameters(), lr=0.1), TrainingMonitor(model, every=10)
    >>> for step in range(20):
    ...     with monitor:
    ...         optimizer.zero_grad()
    ...         output, state = model(xs)
    ...         (output[-1] ** 2).sum().backward()
    ...     optimizer.step()
    >>> [record["step"] for record in monitor.records]
    [0, 10]
    >>> print(monitor.records[0]["findings"][0])  # doctest: +ELLIPSIS
    step 0: forward0: the gradient vanishes: a step back leaves 0... of it, and from lag ... on less than 0.001 arrives

    Every `every` steps it measures; the other steps cost under a microsecond. A step that is measured takes 3 to 6
    times as long (CPU time on one core, T = 100, B = 32, H = 128), so that `every=100` adds at most 5 %.

    What it finds is written once, when it begins, to the logger "minigrad_rnn.flow" as a warning, and stands in
    `records` and `report()`. The judgement is made by layer and direction from the gain of each step: by what factor
    the gradient with respect to the whole state becomes larger on its way through one step. The product of the gains of
    the last k steps is the part of a gradient that arrives at lag k; where the loss has terms at every step it leaves
    their new contributions out, which would hide that old ones vanish, or that they last (`state_gains`).

    Args:
        model: a module in which something recurs.
        every: measure at every so many steps, beginning with the first.
        vanishing: the gradient vanishes where less than this part of it arrives.
        exploding: it explodes where more than this multiple of it arrives.
        contributions: whether to note what each time step contributes to the gradients of the recurrent layers' own
            parameters, in the last backward pass of the block.

    Attributes:
        records: one dict for each measured step, of numbers, lists and text only, for `json.dumps`: "step";
            "gradient_norm", of all parameters together; "parameters", by name; "layers": by layer "norms" (by the
            state's array, ‖∂L/∂h(t)‖ by lag), "gains" (by lag, the newest first) and "arrives" (their product);
            "contributions": by parameter, by time step; "findings", texts. What is not finite is None.

    Raises:
        TypeError, ValueError: a bad argument, or a model in which nothing recurs.
    """

    def __init__(
        self, model: nn.Module, every: int = 100, vanishing: float = 1e-3, exploding: float = 1e3,
        contributions: bool = True,
    ) -> None:  # fmt: skip
        paths = recurrent_modules("TrainingMonitor", model)
        check_integer("TrainingMonitor", every=every)
        check_number("TrainingMonitor", 0.0, vanishing=vanishing, exploding=exploding)
        check_flag("TrainingMonitor", contributions=contributions)
        if not vanishing < exploding:
            raise ValueError(f"TrainingMonitor: vanishing: got {vanishing}, want less than exploding = {exploding}")
        self.model, self.every, self.contributions = model, int(every), bool(contributions)
        self.vanishing, self.exploding = float(vanishing), float(exploding)
        self.step = -1
        """The step that runs, or ran last; the first is 0."""
        self.records: list[dict[str, Any]] = []
        self._recurrent = set(paths.values())
        self._found: set[tuple[str, str]] = set()
        self._stack: ExitStack | None = None
        self._flow: GradientFlow | None = None
        self._book: Ledger | None = None

    def __enter__(self) -> TrainingMonitor:
        if self._flow is not None:
            raise RuntimeError("TrainingMonitor: got a block inside its own block, want one for each training step")
        self.step += 1
        if self.step % self.every == 0:
            self._stack, self._flow = ExitStack(), GradientFlow(self.model)
            self._stack.enter_context(self._flow)
            inputs = self._recurrent_parameters() if self.contributions else {}
            if inputs:
                self._book = self._stack.enter_context(_record_last_pass(inputs, "norms"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        flow, book, stack = self._flow, self._book, self._stack
        self._flow = self._book = self._stack = None
        if stack is not None:
            stack.close()
        if flow is not None and kind is None:
            self._measure(flow, book)

    def _recurrent_parameters(self) -> dict[str, mg.Parameter]:
        prefixes = tuple(f"{path}." if path else "" for path in self._recurrent)
        return {
            name: p for name, p in self.model.named_parameters() if name.startswith(prefixes) and p.node is not None
        }

    def _measure(self, flow: GradientFlow, book: Ledger | None) -> None:
        findings: list[str] = []
        parameters = {
            name: None if p.grad is None else _norm(p.grad._array) for name, p in self.model.named_parameters()
        }
        squares = sum(n * n for n in parameters.values() if n is not None)
        layers = {}
        for layer in flow.layers:
            calls = flow.calls_of(layer)
            called = [call for call in calls if call.call.total.of]
            if called:  # of several windows the last one; of a checkpoint's segments, which run again from the end, too
                layers[layer] = self._layer(called[-1 if len(called) == len(calls) else 0], findings)
        record = {
            "step": self.step, "gradient_norm": _number(math.sqrt(squares)),
            "parameters": {name: _number(n) for name, n in parameters.items()},
            "layers": layers, "contributions": {}, "findings": findings,
        }  # fmt: skip
        if book is not None:
            record["contributions"] = {
                name: {str(t): _number(n) for t, n in book.norms(name).items()} for name in book.names
            }
        self.records.append(record)

    def _layer(self, call: LayerFlow, findings: list[str]) -> dict[str, Any]:
        norms = {name: call.norms_by_lag(name) for name in call.names}
        for name, values in norms.items():
            if not np.isfinite(values).all():
                lag = int(np.flatnonzero(~np.isfinite(values))[0])
                self._find(call.layer, "not finite", f"∂L/∂{name} is not finite from lag {lag} on", findings)
                return {"norms": {n: [_number(v) for v in a] for n, a in norms.items()}, "gains": [], "arrives": []}
        self._found.discard((call.layer, "not finite"))
        gains = state_gains(call)
        with np.errstate(over="ignore", under="ignore"):
            arrives = np.cumprod(gains)
        low, high = np.flatnonzero(arrives < self.vanishing), np.flatnonzero(arrives > self.exploding)
        for kind, lags, words in (
            ("vanishing", low, "vanishes: a step back leaves {mean:.2g} of it, and from lag {lag} on less than "
                               "{self.vanishing:g} arrives"),
            ("exploding", high, "explodes: a step back makes it {mean:.2g} times as large, and from lag {lag} on more "
                                "than {self.exploding:g} times arrives"),
        ):  # fmt: skip
            if len(lags):
                lag = int(lags[0]) + 1
                mean = float(arrives[lag - 1]) ** (1 / lag)  # of the steps up to there
                words = words.format(mean=mean, lag=lag, self=self)
                self._find(call.layer, kind, f"the gradient {words}", findings)
            else:
                self._found.discard((call.layer, kind))
        return {
            "norms": {name: [_number(v) for v in values] for name, values in norms.items()},
            "gains": [_number(g) for g in gains], "arrives": [_number(a) for a in arrives],
        }  # fmt: skip

    def _find(self, layer: str, kind: str, words: str, findings: list[str]) -> None:
        text = f"step {self.step}: {layer}: {words}"
        findings.append(text)
        if (layer, kind) not in self._found:
            import logging  # on use: most programs that import minigrad_rnn never need it

            self._found.add((layer, kind))
            logging.getLogger("minigrad_rnn.flow").warning(text)

    def report(self) -> str:
        """What was measured, in words: the gradients of the first and the last measured step, and what was found."""
        head = f"TrainingMonitor of {type(self.model).__name__}: {len(self.records)} of {self.step + 1} steps measured"
        if not self.records:
            return head
        first, last = self.records[0], self.records[-1]
        lines = [head, f"gradient norm: {_shown(first['gradient_norm'])} … {_shown(last['gradient_norm'])}"]
        for layer, now in last["layers"].items():
            series = {f"‖∂L/∂{name}‖": np.array(values, float) for name, values in now["norms"].items()}
            series["arrives"] = np.array([1.0, *now["arrives"]], float)
            lines += [f"{layer} at step {last['step']}, by lag 0 …", *bars(series)]
        found = last["findings"]
        earlier = [text for record in self.records[:-1] for text in record["findings"]]
        lines += found or ["nothing vanishes or explodes at the last measured step"]
        if earlier:
            lines.append(f"before: {len(earlier)} findings, the first: {earlier[0]}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.report()

    def _repr_html_(self) -> str:
        return as_html(self.report())


def _norm(array: Any) -> float:
    return float(np.linalg.norm(np.asarray(to_numpy(array), np.float64)))


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _shown(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3g}"
