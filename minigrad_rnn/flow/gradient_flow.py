"""GradientFlow collects ∂L/∂h(t) and ∂L/∂c(t) of every step while an ordinary forward and backward pass run."""

from __future__ import annotations

from contextvars import Token
from types import TracebackType
from typing import Any

import numpy as np

from minigrad import GraphError, nn
from minigrad.backend import to_numpy
from minigrad.validation import check_choice, check_flag, check_type, closest

from ..cells.step_gradients import CellCall, Listener, listeners
from ..classics.base import Classic
from ..classics.tdnn import TDNN
from ..networks.recurrence import Recurrence
from .bars import bars
from .notebook import as_html

Array = np.ndarray[Any, Any]


def recurrent_modules(caller: str, model: Any) -> dict[int, str]:
    """The paths of a model's recurrences and classics, by their id; "" for the model itself.

    Raises:
        TypeError: no module, or one in which nothing recurs.
    """
    check_type(caller, nn.Module, "a module", model=model)
    paths = {
        id(module): path
        for path, module in model.named_modules()
        if isinstance(module, (Recurrence, Classic)) and not isinstance(module, TDNN)
    }
    if not paths:
        raise TypeError(
            f"{caller}: model: got {type(model).__name__}, in which nothing recurs; want a recurrence such as LSTM, a "
            "classic with feedback such as Elman, or a module that contains one"
        )
    return paths


class LayerFlow:
    """One call of one layer in one direction: its values at every step, and the gradients of the loss there.

    All arrays are on the host, in time order, and zero at padding. Norms are Euclidean, over the batch and the units.

    Attributes:
        layer: path and name, such as "encoder.forward0"; a classic's is its path, or its class where it is the model.
        call: what the layer's cell was called with (`CellCall`).
        names: of the state's arrays, such as ("h", "c"); of a classic what it feeds back, and its step's result.
        T, B: steps and sequences.
    """

    def __init__(self, layer: str, call: CellCall) -> None:
        self.layer, self.call, self.names = layer, call, call.total.names

    @property
    def T(self) -> int:
        return int(self._any().shape[0])

    @property
    def B(self) -> int:
        return int(self._any().shape[1])

    def _any(self) -> Any:
        return next(iter({**self.call.states, **self.call.total.of}.values()))

    def states(self, name: str = "h") -> Array:
        """The state's array after every step, (T, B, H)."""
        check_choice("LayerFlow.states", self.names, name=name)
        if name not in self.call.states:
            raise ValueError(f"LayerFlow.states: {self.layer}: no values were kept; want GradientFlow(values=True)")
        return _host(self.call.states[name])

    def gradient(self, name: str = "h") -> Array:
        """∂L/∂h(t) of every step, (T, B, H), or that of another of the state's arrays, by every way to the loss.

        Raises:
            GraphError: no backward pass has come through this call.
        """
        check_choice("LayerFlow.gradient", self.names, name=name)
        of = self.call.total.of
        if not of:
            raise GraphError(
                f"LayerFlow.gradient: {self.layer}: no backward pass has come through this call; want loss.backward() "
                "of a loss that depends on it"
            )
        return _host(of[name]) if name in of else np.zeros_like(_host(next(iter(of.values()))))

    @property
    def dh(self) -> Array:
        """∂L/∂h(t), (T, B, H)."""
        return self.gradient("h")

    @property
    def dc(self) -> Array:
        """∂L/∂c(t), (T, B, H), of an LSTM's cell."""
        return self.gradient("c")

    def direct(self, name: str = "h") -> Array:
        """The part of `gradient` that does not pass through the layer's own later steps, (T, B, H).

        It comes by way of the output, also from layers above, and from the state after the last step.
        """
        total = self.gradient(name)
        of = self.call.direct.of
        return _host(of[name]) if name in of else np.zeros_like(total)

    def carried(self, name: str = "h") -> Array:
        """The part of `gradient` that arrives through the layer's next step: gradient − direct, (T, B, H)."""
        return self.gradient(name) - self.direct(name)

    def norms(self, name: str = "h") -> Array:
        """‖∂L/∂h(t)‖ of every step, (T,)."""
        return norm_of_steps(self.gradient(name))

    def norms_by_lag(self, name: str = "h") -> Array:
        """The same by the number of steps between t and the last step that was read, (T,).

        With lengths the lag counts from each sequence's own end. For a loss at the last step alone this is how the
        gradient vanishes or explodes on its way back.
        """
        gradient, lengths = self.gradient(name), self.call.lengths
        if self.call.backward:  # the last step read is 0, for every sequence
            return norm_of_steps(gradient)
        if lengths is None:
            return norm_of_steps(gradient[::-1])
        lag = lengths.host - 1 - np.arange(self.T)[:, None]
        squares = np.zeros(self.T)
        inside = lag >= 0
        np.add.at(squares, lag[inside], (gradient.astype(np.float64) ** 2).sum(axis=2)[inside])
        return np.sqrt(squares)

    def __repr__(self) -> str:
        passed = bool(self.call.total.of)
        head = f"LayerFlow({self.layer!r}, T={self.T}, B={self.B}, state {', '.join(self.names)})"
        if not passed:
            return f"{head}: no backward pass yet"
        return "\n".join([head, *bars({f"‖∂L/∂{name}(t)‖": self.norms(name) for name in self.names})])

    def _repr_html_(self) -> str:
        return as_html(repr(self))


def _host(a: Any) -> Array:
    """A copy on the host: what the backward pass adds to goes on changing."""
    return np.array(to_numpy(a))


def norm_of_steps(a: Array) -> Array:
    """The Euclidean norm of each step of (T, B, H), (T,), in float64."""
    return np.asarray(np.sqrt((a.astype(np.float64) ** 2).sum(axis=(1, 2))))


class GradientFlow:
    """Collect ∂L/∂h(t), and ∂L/∂c(t), of every step, layer and direction, while an ordinary training step runs.

    >>> import numpy as np
    >>> from minigrad_rnn import LSTM, GradientFlow
    >>> model, xs = LSTM(3, 8, num_layers=2), np.ones((20, 4, 3), np.float32)
    >>> with GradientFlow(model) as flow:
    ...     output, state = model(xs)
    ...     output[-1].sum().backward()
    >>> flow.layers
    ['forward0', 'forward1']
    >>> flow["forward1"].dh.shape, flow["forward1"].dc.shape
    ((20, 4, 8), (20, 4, 8))

    The implementation stays the one that would run anyway (graph, fused, native or kernels): BPTT computes these
    gradients on its way, and hands them out. A backward pass may also come after the block, and a second one adds, as
    it does to `.grad`; `clear()` starts anew. Blocks may be nested.

    Args:
        model: a recurrence, one of the lecture's classics with feedback, or a module that contains some.
        values: whether to keep the layers' inputs and states too, which the analyses of `minigrad_rnn.flow` need.

    Raises:
        TypeError: nothing in the model recurs; inside the block, a user's cell has a fused sequence that does not hand
            its gradients out.
    """

    def __init__(self, model: nn.Module, values: bool = True) -> None:
        self._paths = recurrent_modules("GradientFlow", model)
        check_flag("GradientFlow", values=values)
        self.model, self.wants_states = model, bool(values)
        self.calls: list[LayerFlow] = []
        """Every call of a layer inside the block, in order."""
        self._tokens: list[Token[tuple[Listener, ...]]] = []

    def wants(self, network: nn.Module) -> bool:
        """Whether it listens to this network."""
        return id(network) in self._paths

    def called(self, call: CellCall) -> None:
        """Note a call of a layer."""
        path = self._paths[id(call.network)]
        layer = ".".join(part for part in (path, call.name) if part) or type(call.network).__name__
        self.calls.append(LayerFlow(layer, call))

    def __enter__(self) -> GradientFlow:
        self._tokens.append(listeners.set((*listeners.get(), self)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        listeners.reset(self._tokens.pop())

    @property
    def layers(self) -> list[str]:
        """The layers that were called, in the order of their first call."""
        return list(dict.fromkeys(call.layer for call in self.calls))

    def calls_of(self, layer: str) -> list[LayerFlow]:
        """Every call of a layer, in order: several where a model runs in windows or step by step."""
        found = [call for call in self.calls if call.layer == layer]
        if not self.calls:
            raise KeyError(f"GradientFlow: got the layer {layer!r}, but none was called: call the model in the block")
        if not found:
            raise KeyError(
                f"GradientFlow: got the layer {layer!r}, want one of {self.layers}{closest(layer, self.layers)}"
            )
        return found

    def __getitem__(self, layer: str) -> LayerFlow:
        """The only call of a layer; of several the only one that a backward pass came through.

        Under `minigrad.checkpoint` a layer runs twice, the second time in the backward pass, whose gradients these are.
        """
        found = self.calls_of(layer)
        passed = [call for call in found if call.call.total.of]
        if len(found) > 1 and len(passed) == 1:
            return passed[0]
        if len(found) > 1:
            raise KeyError(
                f"GradientFlow: {layer!r} was called {len(found)} times inside the block; want "
                f"flow.calls_of({layer!r})[k]"
            )
        return found[0]

    def clear(self) -> None:
        """Forget what earlier backward passes added."""
        for layer in self.calls:
            layer.call.total.clear()
            layer.call.direct.clear()

    def __repr__(self) -> str:
        return "\n".join([f"GradientFlow of {type(self.model).__name__}", *(repr(call) for call in self.calls)])

    def _repr_html_(self) -> str:
        return as_html(repr(self))
