"""Any arrangement of connections between layers, as long as time runs forward (slides 55–62)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import minigrad as mg
from minigrad import Tensor, nn

from .base import NONLINEARITIES, Classic, State, one_of, whole
from .connection_table import Connection, read_connection, read_table


class GeneralRecurrence(Classic):
    """A recurrent net given by the table of its connections (slides 51–62; Werbos 1990).

        z(t, l) = Σ W(l ← k, lag) k(t − lag) + b(l),   l(t) = f_l(z(t, l))

    for every layer l and all that it reads: layers of this step, the input among them, or of steps before, in any
    arrangement without a cycle inside one step. Steps before the series are zeros, or learned, or given as the state.

    >>> import numpy as np
    >>> from minigrad_rnn import GeneralRecurrence
    >>> net = GeneralRecurrence(
    ...     {"x": 3, "h1": 5, "h2": 4, "y": 2},
    ...     {"h1": ["x", "h1[t-1]", "h1[t-2]", "y[t-1]"], "h2": ["h1", "h2[t-1]"], "y": ["h2", "h1"]},
    ... )
    >>> output, state = net(np.ones((10, 1, 3), np.float32))
    >>> output.shape
    (10, 1, 2)
    >>> {name: part.shape for name, part in zip(net.state_names, state)}
    {'h1': (2, 1, 5), 'h2': (1, 1, 4), 'y': (1, 1, 2)}
    >>> [name for name, _ in net.named_parameters()][:5]
    ['h1<-x', 'h1<-h1[t-1]', 'h1<-h1[t-2]', 'h1<-y[t-1]', 'b(h1)']
    >>> net.weight("h1", "y[t-1]").shape
    (5, 2)

    The lecture's figures are in `minigrad_rnn.classics.FIGURES`:

    >>> from minigrad_rnn.classics import FIGURES
    >>> FIGURES["output beside hidden recurrence"]
    {'h': ['x', 'h[t-1]', 'y[t-1]'], 'y': ['h']}

    Args:
        sizes: features of every layer by name, the input's and the output's too.
        connections: for every layer but the input what it reads: "h" for h(t), "h[t-2]" for h(t−2).
        nonlinearities: by layer: "tanh", "relu", "sigmoid", "softmax", or None for the identity. Where it says
            nothing, hidden layers have "tanh" and the output has none, since losses take logits.
        input, output: the names of the layers that X(t) is and that Y(t) comes from.
        initial_state: "zeros", or "learned": then layer l's past is the parameter `{l}_init` (lags, size), (size,) for
            one lag, and so is that of a lagged input.
        bias, batch_first, rng, dtype: as in `TDNN`.

    Parameters: for every connection a weight (size of the layer, size of the source), named as in the table, such as
        `h1<-h1[t-2]`; `weight` gets it; for every layer a bias `b(h1)`.
    State: for every layer that is read at a lag its last steps (largest lag, B, size), oldest first; in the order of
        `state_names`, the input before the layers in the order in which they are computed.
    Call: xs (T, B, I) gives (output (T, B, O), state); other layouts: see `Classic`.

    Raises:
        ValueError: an unknown layer, a cycle inside one step (which is named), a connection into the input or forward
            in time, a connection given twice, a layer that reads nothing or from which no way leads to the output,
            text of another form; another argument, a shape, T = 0 or B = 0.
        TypeError: a connection that is no text; xs or the state is no array, or of another dtype.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        connections: Mapping[str, Sequence[str]],
        nonlinearities: Mapping[str, str | None] | None = None,
        input: str = "x",
        output: str = "y",
        initial_state: str = "zeros",
        bias: bool = True,
        batch_first: bool = False,
        rng: nn.init.Rng = None,
        dtype: Any = "float32",
    ) -> None:
        name = "GeneralRecurrence"
        for layer, size in sizes.items():
            whole(name, 1, **{f"sizes: {layer}": size})
        one_of(name, "initial_state", initial_state, ("zeros", "learned"))
        self._reads = read_table(name, sizes, connections, input, output)
        self.connections = {layer: tuple(map(str, found)) for layer, found in self._reads.items()}
        """The table, in the order in which the layers of one step are computed."""
        said = dict(nonlinearities or {})
        for layer, f in said.items():
            one_of(name, "nonlinearities", layer, self.connections)
            one_of(name, f"nonlinearities: {layer}", f, NONLINEARITIES)
        self.nonlinearities = {
            layer: said.get(layer, None if layer == output else "tanh") for layer in self.connections
        }
        read = [one for found in self._reads.values() for one in found]
        layers = (input, *self._reads)
        deepest = {layer: max((one.lag for one in read if one.source == layer), default=0) for layer in layers}
        super().__init__(
            sizes[input], sizes[output], {layer: (lags, sizes[layer]) for layer, lags in deepest.items()}, batch_first
        )
        self.sizes, self.input, self.output = dict(sizes), input, output
        self.initial_state, self.bias = initial_state, bias
        rng = nn.init.as_generator(rng, name)
        for layer, found in self._reads.items():
            reads = {_weight_name(layer, one): sizes[one.source] for one in found}
            self._make_layer(sizes[layer], reads, f"b({layer})" if bias else None, rng, dtype)
        if initial_state == "learned":
            for layer in self.state_names:
                self._learn_initial(layer, dtype)

    def weight(self, target: str, connection: str) -> mg.Parameter:
        """The weight of a connection as the table names it: `net.weight("h1", "h1[t-2]")`.

        Raises:
            KeyError: there is no such connection.
        """
        one = read_connection("GeneralRecurrence", target, connection)
        if one not in self._reads.get(target, ()):
            raise KeyError(f"GeneralRecurrence: weight: got {_weight_name(target, one)!r}, want one of its connections")
        weight: mg.Parameter = getattr(self, _weight_name(target, one))
        return weight

    def forward(self, xs: Any, state: State = None) -> tuple[Tensor, State]:
        xs, unbatched = self._series("xs", xs, self.input_size)
        past = {layer: list(mg.unstack(part)) for layer, part in self._start(state, xs.shape[1], unbatched).items()}
        weights = {layer: [getattr(self, _weight_name(layer, one)) for one in found]
                   for layer, found in self._reads.items()}  # fmt: skip
        ys = []
        for t, x in enumerate(mg.unstack(xs)):
            with mg.time_step(t):
                now = {self.input: x}
                for layer, found in self._reads.items():
                    z: Any = None
                    for W, (source, lag) in zip(weights[layer], found):
                        value = past[source][-lag] if lag else now[source]
                        if z is None:
                            z = mg.linear(value, W, getattr(self, f"b({layer})") if self.bias else None)
                        else:
                            z = z + mg.linear(value, W)
                    now[layer] = NONLINEARITIES[self.nonlinearities[layer]](z)
            for layer in past:
                past[layer] = [*past[layer][1:], now[layer]]
            ys.append(now[self.output])
        finals = {layer: mg.stack(parts) for layer, parts in past.items()}
        return self._out(mg.stack(ys), unbatched), self._packed(finals, unbatched)

    def extra_repr(self) -> str:
        table = "; ".join(f"{layer} ← {', '.join(found)}" for layer, found in self.connections.items())
        return f"{self.sizes}, {table}"


def _weight_name(target: str, one: Connection) -> str:
    return f"{target}<-{one}"
