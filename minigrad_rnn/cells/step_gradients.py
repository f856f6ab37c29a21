"""StepGradients receives ∂L/∂h(t) of every step of one call of a cell; CellCall is that call, for those who listen.

Back-propagation through time computes ∂L/∂h(t) of every step on its way (and ∂L/∂c(t)); whoever listens is handed them
by the implementation that runs, graph, fused, native or kernels. While nobody listens nothing is kept.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.engine.hooks import add_hook

from .lengths import Lengths

Array = Any


class StepGradients:
    """The gradients of the state's arrays at every step of one call: `of[name]` is (T, B, H), in time order.

    Each backward pass that comes through the call adds to them, as it does to `.grad`. They are zero at padding.

    Args:
        names: of the state's arrays.
        lengths: of the sequences, or None.
    """

    def __init__(self, names: Sequence[str], lengths: Lengths | None = None) -> None:
        self.names = tuple(names)
        self.lengths = None if lengths is None or lengths.full else lengths
        self.of: dict[str, Array] = {}

    def add(self, name: str, gradients: Array) -> None:
        """Add those of every step, (T, B, H)."""
        self.of[name] = self.of[name] + gradients if name in self.of else gradients

    def add_step(self, xp: Any, name: str, t: int, T: int, gradient: Any) -> None:
        """Add that of step t of T, (B, H), which may be a tensor."""
        g = gradient._array if isinstance(gradient, Tensor) else gradient
        if name not in self.of:
            self.of[name] = xp.zeros((T, *g.shape), g.dtype)
        self.of[name][t] += g if self.lengths is None else g * self.lengths.valid[t]

    def add_last(self, xp: Any, name: str, T: int, gradient: Any, backward: bool) -> None:
        """Add the gradient (B, H) of the state after the last step that is read: each sequence's own, or step 0."""
        g = gradient._array if isinstance(gradient, Tensor) else gradient
        if name not in self.of:
            self.of[name] = xp.zeros((T, *g.shape[-2:]), g.dtype)
        if backward or self.lengths is None:
            self.of[name][0 if backward else -1] += g.reshape(g.shape[-2:])
        else:
            self.lengths.add_at_last(self.of[name], g.reshape(g.shape[-2:]))

    def watch(self, state: Sequence[Any], t: int, T: int, seen: set[int]) -> tuple[Any, ...]:
        """Let the backward pass add the gradients of a step's state, which is on the tape; return that state.

        Args:
            seen: serial numbers of the nodes that other steps are watched at, to which those of this one are added. A
                state that is one of these, where a step returns what it was given, is given a node of its own.
        """
        watched = []
        for name, part in zip(self.names, state):
            if isinstance(part, Tensor) and part.node is not None:
                if part.node.serial in seen:
                    part = mg.reshape(part, part.shape)
                assert part.node is not None
                seen.add(part.node.serial)
                add_hook(part.node, self._step_hook(part.node.xp, name, t, T))
            watched.append(part)
        return tuple(watched)

    def _step_hook(self, xp: Any, name: str, t: int, T: int) -> Callable[[Any], Any]:
        def hook(g: Any) -> Any:
            self.add_step(xp, name, t, T, g)
            return g

        return hook

    def clear(self) -> None:
        """Forget what earlier backward passes added."""
        self.of.clear()


@dataclass
class CellCall:
    """One call of one cell, or of one of the lecture's classics, over a sequence of T steps.

    Attributes:
        network: the recurrence, or the classic.
        name: of the cell in it, such as "forward0"; "" for a classic.
        backward: whether the cell reads from the last step to the first.
        lengths: of the sequences where some are padded, else None.
        masks: dropout and zoneout of the cell, `CellMasks`, or None.
        xs: what the cell read, (T, B, I); None for a classic.
        before: the state's arrays before the first step that was read, (B, H) each; () for a classic.
        states: the state's arrays after every step, (T, B, H), by name.
        total: ∂L/∂h(t) and so on: every way from the step's state to the loss.
        direct: the part that does not pass through the cell's own later steps: by way of the output and of the state
            after the last step.
    """

    network: nn.Module
    name: str
    backward: bool
    lengths: Lengths | None
    masks: Any
    xs: Array
    before: tuple[Array, ...]
    states: dict[str, Array]
    total: StepGradients
    direct: StepGradients = field(init=False)

    def __post_init__(self) -> None:
        self.direct = StepGradients(self.total.names, self.lengths)

    def watch_results(self, result: Sequence[Any], kinds: Sequence[tuple[str, bool]], T: int) -> tuple[Any, ...]:
        """Let the backward pass note the direct gradients; return the result to pass on.

        Args:
            result: arrays of every step, (T, B, H), or after the last step, (B, H).
            kinds: of each of them the name in the state, and whether it is that after the last step.
        """
        watched = []
        for (name, is_last), part in zip(kinds, result):
            if part.node is not None:
                part = mg.reshape(part, part.shape)  # a node of its own, which no later step reads
                assert part.node is not None
                add_hook(part.node, self._result_hook(part.node.xp, name, is_last, T))
            watched.append(part)
        return tuple(watched)

    def _result_hook(self, xp: Any, name: str, is_last: bool, T: int) -> Callable[[Any], Any]:
        def hook(g: Any) -> Any:
            if is_last:
                self.direct.add_last(xp, name, T, g, self.backward)
            else:
                array = g._array if isinstance(g, Tensor) else g
                lengths = self.direct.lengths
                # A copy: the pool may go on adding into the array, and so does `add_last`.
                array = xp.array(array, copy=True) if lengths is None else lengths.without_padding(xp, array)
                self.direct.add(name, array)
            return g

        return hook


class Listener(Protocol):
    """Whoever wants the calls of some networks' cells."""

    wants_states: bool
    """Whether it wants inputs and states, which keeps them alive."""

    def wants(self, network: nn.Module) -> bool:
        """Return whether it listens to this network."""
        ...

    def called(self, call: CellCall) -> None:
        """Take a call; its gradients come with a backward pass."""
        ...


listeners: ContextVar[tuple[Listener, ...]] = ContextVar("minigrad_rnn listeners", default=())
"""Those of the current thread and asyncio task."""


def listening_to(network: nn.Module) -> tuple[Listener, ...]:
    """Return those who listen to a network."""
    return tuple(listener for listener in listeners.get() if listener.wants(network))


def check_hands_out(network: str, name: str, sequence: Callable[..., Any]) -> None:
    """Raise TypeError where a cell's own fused `sequence` takes no `step_gradients`."""
    parameters = inspect.signature(sequence).parameters.values()
    if not any(p.name == "step_gradients" or p.kind is p.VAR_KEYWORD for p in parameters):
        raise TypeError(
            f"{network}: {name}: got a cell whose sequence does not hand out ∂L/∂h(t): it has no argument "
            "step_gradients; want one that does, or impl='graph'"
        )
