"""Recurrent nets with any connections between layers that do not point forward in time (slides 55–62)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.arguments_of import arguments_of
from minigrad.validation import check_choice, check_integer, check_text, check_type

from .base import NONLINEARITIES, Classic, Past, States
from .connection_table import Connection, read_connection, read_table


@arguments_of(Classic)
class GeneralRecurrence(Classic):
    """A recurrent net given by the table of its connections (slides 51–62; Werbos 1990).

        z(t, l) = Σ W(l ← k, lag) k(t − lag) + b(l),   l(t) = f_l(z(t, l))

    for every layer l and each layer k that it reads: the input or a layer, of this step or of steps before, in any
    arrangement without a cycle inside one step. Steps before the series are zeros, learned, or passed as the state.

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
        nonlinearities: by layer: "tanh", "relu", "sigmoid", "softmax", or None for the identity. By default hidden
            layers have "tanh" and the output has none, since losses take logits.
        input, output: the names of the layers X(t) and Y(t).
        initial_state: "zeros", or "learned": then layer l's past is the parameter `{l}_init` (lags, size), (size,) for
            one lag, and so is that of a lagged input.

    Parameters: for every connection a weight (size of the layer, size of the source), named as in the table, such as
        `h1<-h1[t-2]`; `weight` gets it; for every layer a bias `b(h1)`.
    State: for every layer that is read at a lag its last steps (largest lag, B, size), oldest first; in the order of
        `state_names`, the input before the layers in the order in which they are computed.

    Raises:
        ValueError: an unknown layer, a cycle inside one step (which is named), a connection into the input or forward
            in time, a connection given twice, a layer that reads nothing or from which no path leads to the output,
            text of another form; another bad argument or shape, T = 0 or B = 0.
        TypeError: a connection that is not text; xs or the state is not an array of `dtype`.
    """

    def __init__(
        self, sizes: Mapping[str, int], connections: Mapping[str, Sequence[str]],
        nonlinearities: Mapping[str, str | None] | None = None, input: str = "x", output: str = "y",
        initial_state: str = "zeros", bias: bool = True, batch_first: bool = False, rng: nn.init.Rng = None,
        dtype: Any = "float32",
    ) -> None:  # fmt: skip
        name = "GeneralRecurrence"
        check_type(name, Mapping, "sizes by the names of layers", sizes=sizes)
        check_type(name, Mapping, "lists of what each layer reads, by its name", connections=connections)
        if nonlinearities is not None:
            check_type(name, Mapping, "names of functions by the names of layers", nonlinearities=nonlinearities)
        check_integer(name, **{f"sizes: {layer}": size for layer, size in sizes.items()})
        check_choice(name, ("zeros", "learned"), initial_state=initial_state)
        self._reads = read_table(name, sizes, connections, input, output)
        self.connections = {layer: tuple(map(str, sources)) for layer, sources in self._reads.items()}
        """The table, in the order in which the layers of one step are computed."""
        nonlinearities = dict(nonlinearities or {})
        for layer, f in nonlinearities.items():
            check_choice(name, self.connections, nonlinearities=layer)
            check_choice(name, NONLINEARITIES, **{f"nonlinearities: {layer}": f})
        defaults = {layer: None if layer == output else "tanh" for layer in self.connections}
        self.nonlinearities = defaults | nonlinearities
        lags = dict.fromkeys((input, *self._reads), 0)
        for source, lag in (connection for sources in self._reads.values() for connection in sources):
            lags[source] = max(lags[source], lag)
        state_sizes = {layer: (lag, sizes[layer]) for layer, lag in lags.items()}
        super().__init__(sizes[input], sizes[output], state_sizes, batch_first)
        self._check_parameters(bias, dtype)
        self.sizes, self.input, self.output = dict(sizes), input, output
        self.initial_state, self.bias = initial_state, bias
        rng = nn.init.as_generator(rng, name)
        for layer, sources in self._reads.items():
            reads = {_weight_name(layer, connection): sizes[connection.source] for connection in sources}
            self._make_layer(sizes[layer], reads, f"b({layer})" if bias else None, rng, dtype)
        if initial_state == "learned":
            for layer in self.state_names:
                self._learn_initial(layer, dtype)

    def weight(self, target: str, connection: str) -> mg.Parameter:
        """Return the weight of a connection into the layer `target`, as the table names it: `net.weight("h1", "x")`.

        Raises:
            KeyError: there is no such connection.
        """
        check_text("GeneralRecurrence.weight", target=target, connection=connection)
        wanted = read_connection("GeneralRecurrence", target, connection)
        name = _weight_name(target, wanted)
        if wanted not in self._reads.get(target, ()):
            raise KeyError(f"GeneralRecurrence.weight: target, connection: got {name!r}, which is not in the table")
        weight: mg.Parameter = getattr(self, name)
        return weight

    def _run(self, xs: Any, start: States) -> tuple[Tensor, States]:
        layers = [
            (
                layer,
                [(getattr(self, _weight_name(layer, connection)), *connection) for connection in sources],
                getattr(self, f"b({layer})") if self.bias else None,
                NONLINEARITIES[self.nonlinearities[layer]],
            )
            for layer, sources in self._reads.items()
        ]

        def step(x: Tensor, past: Past) -> tuple[Tensor, States]:
            now = {self.input: x}
            for layer, connections, b, f in layers:
                z: Any = None
                for W, source, lag in connections:
                    value = past[source][-lag] if lag else now[source]
                    z = mg.linear(value, W, b) if z is None else z + mg.linear(value, W)
                now[layer] = f(z)
            return now[self.output], {layer: now[layer] for layer in past}

        return self._unroll(mg.unstack(xs), start, step)

    def extra_repr(self) -> str:
        table = "; ".join(f"{layer} ← {', '.join(sources)}" for layer, sources in self.connections.items())
        return f"{self.sizes}, {table}"


def _weight_name(target: str, connection: Connection) -> str:
    return f"{target}<-{connection}"
