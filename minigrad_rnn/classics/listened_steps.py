"""ListenedSteps tells those who listen about one call of a classic: its steps' values, and later ∂L/∂ of each."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor, nn
from minigrad.backend import backend_of
from minigrad.engine.modes import mode

from ..cells.step_gradients import CellCall, StepGradients, listening_to


class ListenedSteps:
    """The steps of one call, of which each returns a result and, by name, what is fed back. False if nobody listens.

    Args:
        network: the classic.
        result: the name of what a step returns: "h", or "y" for an output.
        T: the number of steps.
    """

    def __init__(self, network: nn.Module, result: str, T: int) -> None:
        listeners = listening_to(network)
        self.network, self.result, self.T = network, result, T
        self.listeners = listeners if mode().recording or any(one.wants_states for one in listeners) else ()
        self.total: StepGradients | None = None
        self.seen: set[int] = set()
        self.values: dict[str, list[Any]] = {}

    def __bool__(self) -> bool:
        return bool(self.listeners)

    def step(self, t: int, result: Tensor, fed_back: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Watch the values of step t; return them as the step did."""
        # Elman's net feeds back a constant of the same name, which has no gradient: h is what the step returned.
        named = {**{name: x for name, x in fed_back.items() if x.node is not None}, self.result: result}
        if self.total is None:
            self.total = StepGradients(tuple(named))
        same = {name for name, x in fed_back.items() if named.get(name) is x}
        named = dict(zip(named, self.total.watch(tuple(named.values()), t, self.T, self.seen)))
        for name, x in named.items():
            self.values.setdefault(name, []).append(x._array)
        return named[self.result], {name: named[name] if name in same else x for name, x in fed_back.items()}

    def finished(self, outputs: Tensor) -> Tensor:
        """Tell the listeners; return the results of every step, (T, B, features), to go on with."""
        assert self.total is not None
        keeps = any(listener.wants_states for listener in self.listeners)
        xp = backend_of(outputs._array).xp
        states = {name: xp.stack(arrays) for name, arrays in self.values.items()} if keeps else {}
        call = CellCall(self.network, "", False, None, None, None, (), states, self.total)
        (outputs,) = call.watch_results((outputs,), [(self.result, False)], self.T)
        for listener in self.listeners:
            listener.called(call)
        return outputs
