"""`EMA` keeps an exponential moving average of a model's weights, and puts it into the model for an evaluation."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import repeat
from operator import setitem
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import backend_of, to_numpy
from ..nn.module import Module
from ..validation import as_array, as_dictionary, check_flag, check_probability, check_type, is_integer, shown
from .undo import Update, all_or_nothing

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem

Array = Any


class EMA:
    """An exponential moving average of a model's weights (Polyak & Juditsky 1992): average ← d · average + (1 − d) · w.

    It often predicts better than the last weights. Call `update()` after each `optimizer.step()`. Parameters are
    averaged; buffers stay the model's own.

    >>> import minigrad as mg
    >>> model = mg.nn.Linear(1, 1, bias=False, rng=0)
    >>> ema = EMA(model, decay=0.75, warm_up=False)
    >>> with mg.no_grad():
    ...     model.weight -= model.weight - 4.0
    >>> before = ema.average["weight"].item()
    >>> ema.update()
    >>> bool(abs(ema.average["weight"].item() - (0.75 * before + 0.25 * 4.0)) < 1e-6)
    True
    >>> with ema.apply():
    ...     model.weight.item() == ema.average["weight"].item()
    True
    >>> model.weight.item()
    4.0

    Args:
        model: the module; its averages begin as its weights.
        decay: d, how slowly the average forgets, in [0, 1).
        warm_up: whether d is at most (1 + n) / (10 + n) in update n = 1, 2, …, so that the first weights are soon
            forgotten, as in tf.train.ExponentialMovingAverage with num_updates.

    Raises:
        TypeError: `model` is no module. ValueError: it has no parameters, or decay is out of range.
    """

    def __init__(self, model: Module, decay: float = 0.999, warm_up: bool = True) -> None:
        check_type("EMA", Module, "a Module", model=model)
        check_probability("EMA", decay=decay)
        check_flag("EMA", warm_up=warm_up)
        self.model, self.decay, self.warm_up = model, float(decay), bool(warm_up)
        self.updates = 0
        """The number of updates so far."""
        self.average: dict[str, Array] = {name: p._array.copy() for name, p in model.named_parameters()}
        """The averages by the parameters' names, on their backend."""
        self._applied = False
        if not self.average:
            raise ValueError("EMA: model: got one without parameters, want at least one")

    @property
    def current_decay(self) -> float:
        """The factor d of the next update."""
        n = self.updates + 1
        return min(self.decay, (1 + n) / (10 + n)) if self.warm_up else self.decay

    def update(self) -> None:
        """Take the model's current weights into the average, without synchronising with a device.

        After an error or Ctrl-C averages and number agree: nothing has changed; or, where the copies for that would
        take more than 1 MiB, the update was completed first.

        Raises:
            RuntimeError: inside `with ema.apply()`, where the weights are the averages.
            ValueError: the model has other parameters than at the beginning.
        """
        if self._applied:
            raise RuntimeError("EMA.update: the averages are in the model, want the call after the block of apply()")
        share = 1 - self.current_decay
        pairs = self._pairs("update")
        updates: list[Update] = [((average,), partial(_approach, average, p._array, share)) for average, p in pairs]

        def publish(made: int) -> None:
            self.updates += made == len(updates)

        all_or_nothing(updates, publish)

    @contextlib.contextmanager
    def apply(self) -> Iterator[None]:
        """Return a context manager in whose block the model's weights are the averages; then they are put back.

        What is done to the weights in the block is lost.

        Raises:
            RuntimeError: inside another such block. ValueError: the model has other parameters than at the beginning.
        """
        if self._applied:
            raise RuntimeError("EMA.apply: the averages are in the model already")
        pairs = self._pairs("apply")
        own = [p._array for _, p in pairs]
        copies = [array.copy() for array in own]
        try:
            self._applied = True
            for average, p in pairs:
                p._array[...] = average
                p.written()
            yield
        finally:
            deque(map(setitem, own, repeat(...), copies), maxlen=0)  # in C: nothing can come between
            self._applied = False
            for _, p in pairs:
                p.written()

    def _pairs(self, caller: str) -> list[tuple[Array, Any]]:
        """Each average, on its parameter's backend and in its dtype, with the parameter."""
        parameters = dict(self.model.named_parameters())
        if [(n, p.shape) for n, p in parameters.items()] != [(n, tuple(a.shape)) for n, a in self.average.items()]:
            got, want = sorted(parameters), sorted(self.average)
            raise ValueError(f"EMA.{caller}: model: got parameters {got}, want {want} in the shapes of the beginning")
        for name, p in parameters.items():
            average = self.average[name]
            if average.dtype != p.dtype or type(average) is not type(p._array):  # the module was moved since
                self.average[name] = backend_of(p._array).from_numpy(to_numpy(average).astype(p.dtype))
        return [(self.average[name], p) for name, p in parameters.items()]

    # Save and load

    def state_dict(self) -> dict[str, Any]:
        """Return {"decay", "warm_up", "updates", "average": {name: host copy}}."""
        averages = {name: np.array(to_numpy(average)) for name, average in self.average.items()}
        return {"decay": self.decay, "warm_up": self.warm_up, "updates": self.updates, "average": averages}

    def load_state_dict(self, state_dict: SupportsKeysAndGetItem[str, Any]) -> None:
        """Load the averages of a model with the same parameters. After an error nothing has changed.

        Args:
            state_dict: what `state_dict` returned; also what `minigrad.load` returns.

        Raises:
            TypeError: no dictionary, or values of other types.
            ValueError: other names or shapes, or a value out of range.
        """
        caller = "EMA.load_state_dict"
        state = as_dictionary(caller, "state_dict", state_dict)
        names = {"decay", "warm_up", "updates", "average"}
        if state.keys() != names:
            raise ValueError(f"{caller}: state_dict: got {sorted(state, key=str)}, want {sorted(names)}")
        check_probability(f"{caller}: state_dict", decay=state["decay"])
        check_flag(f"{caller}: state_dict", warm_up=state["warm_up"])
        if not is_integer(state["updates"]) or state["updates"] < 0:
            raise ValueError(f"{caller}: state_dict: updates: got {shown(state['updates'])}, want a whole number")
        found = state["average"]
        if not isinstance(found, Mapping) or found.keys() != self.average.keys():
            got = sorted(found, key=str) if isinstance(found, Mapping) else shown(found)
            raise ValueError(f"{caller}: state_dict: average: got {got}, want {sorted(self.average)}")
        averages = {}
        for name, own in self.average.items():
            array = as_array(found[name], caller, f"state_dict: average[{name!r}]")
            if tuple(array.shape) != tuple(own.shape) or array.dtype.kind not in "fiub":
                got = f"{array.dtype} of shape {tuple(array.shape)}"
                raise ValueError(f"{caller}: state_dict: average[{name!r}]: got {got}, want shape {tuple(own.shape)}")
            averages[name] = backend_of(own).from_numpy(np.array(to_numpy(array), dtype=own.dtype))
        self.decay, self.warm_up = float(state["decay"]), bool(state["warm_up"])
        self.updates, self.average = int(state["updates"]), averages

    def __repr__(self) -> str:
        return f"EMA(decay={self.decay}, warm_up={self.warm_up}, updates={self.updates})"


def _approach(average: Array, w: Array, share: float) -> None:
    """average ← average + share · (w − average), in place."""
    difference = w - average
    difference *= share
    average += difference
