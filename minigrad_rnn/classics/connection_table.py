"""Tables of connections: the lecture's figures, reading and checking a table, and the order of its layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from minigrad.validation import check_text, check_type, closest

FORM = re.compile(r"\s*(?P<source>[^\W\d]\w*)\s*(\[\s*t\s*((?P<sign>[+-])\s*(?P<lag>\d+)\s*)?\]\s*)?")

FIGURES: dict[str, dict[str, list[str]]] = {
    # Finite response, and feedback of the output only: slides 16–28 and 31–44
    "time-delay network": {"h": ["x", "x[t-1]", "x[t-2]", "x[t-3]"], "y": ["h"]},
    "NARX": {"h": ["x", "x[t-1]", "y[t-1]", "y[t-2]"], "y": ["h"]},
    # The state-space model, one hidden layer and several: slides 51–53 and 54
    "one recurrent layer": {"h": ["x", "h[t-1]"], "y": ["h"]},
    "several recurrent layers": {"h1": ["x", "h1[t-1]"], "h2": ["h1", "h2[t-1]"], "y": ["h2"]},
    # Generalised recurrences: slides 55–62
    "more than one lag": {"h": ["x", "h[t-1]", "h[t-2]"], "y": ["h"]},
    "skips across layers": {"h1": ["x", "h1[t-1]"], "h2": ["h1", "x", "h2[t-1]"], "y": ["h2", "h1"]},
    "from above, one step back": {"h1": ["x", "h1[t-1]", "h2[t-1]"], "h2": ["h1", "h2[t-1]"], "y": ["h2"]},
    "skips across layers and time": {"h1": ["x", "h1[t-1]"], "h2": ["h1", "h1[t-1]", "h2[t-2]"], "y": ["h2", "x[t-1]"]},
    "output beside hidden recurrence": {"h": ["x", "h[t-1]", "y[t-1]"], "y": ["h"]},
    "all of these": {
        "h1": ["x", "h1[t-1]", "h1[t-2]", "y[t-1]"],
        "h2": ["h1", "x[t-1]", "h2[t-1]", "y[t-2]"],
        "y": ["h2", "h1", "y[t-1]"],
    },
}
"""The lecture's figures as tables, for `GeneralRecurrence(sizes, FIGURES[name])`; layers are x, h or h1 and h2, y."""


class Connection(NamedTuple):
    """What a layer reads: layer `source` as it was `lag` steps ago; `str` gives the table's text."""

    source: str
    lag: int

    def __str__(self) -> str:
        return f"{self.source}[t-{self.lag}]" if self.lag else self.source


def read_connection(name: str, target: str, text: object) -> Connection:
    """Parse a connection's text: "h", "h[t]" or "h[t-2]".

    Raises:
        TypeError: no text. ValueError: another form, or a lag that points forward in time.
    """
    if not isinstance(text, str):
        raise TypeError(f"{name}: connections: {target}: got {type(text).__name__}, want text like 'h' or 'h[t-1]'")
    match = FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{name}: connections: {target}: got {text!r}, want a layer's name, like 'h' or 'h[t-1]'")
    lag = int(match["lag"] or 0)
    if match["sign"] == "+" and lag:
        raise ValueError(f"{name}: connections: {target}: got {text!r}, which points forward in time, want t or t-…")
    return Connection(match["source"], lag)


def read_table(
    name: str, sizes: Mapping[str, int], table: Mapping[str, Sequence[str]], input: str, output: str
) -> dict[str, tuple[Connection, ...]]:
    """Return what each layer reads, in the order in which the layers of one step are computed.

    Raises:
        ValueError: an unknown layer, a connection into the input, a layer that reads nothing or from which no way
            leads to the output, a connection given twice, a forward lag, a cycle without a lag, text of another form.
        TypeError: no text.
    """
    check_text(name, input=input, output=output)
    reads: dict[str, tuple[Connection, ...]] = {}
    for target, texts in table.items():
        if target not in sizes:
            hint = closest(target, sizes)
            raise ValueError(f"{name}: connections: got the unknown layer {target!r}, want one of {list(sizes)}{hint}")
        if target == input:
            raise ValueError(f"{name}: connections: got {target!r}, want no connection into the input")
        if isinstance(texts, str):
            raise TypeError(f"{name}: connections: {target}: got text, want a list like {[texts]}")
        check_type(name, (list, tuple), "a list of what the layer reads", **{f"connections: {target}": texts})
        connections = tuple(read_connection(name, target, text) for text in texts)
        for k, connection in enumerate(connections):
            source = connection.source
            if source not in sizes:
                raise ValueError(
                    f"{name}: connections: {target}: got the unknown layer {source!r}, want one of {list(sizes)}"
                    f"{closest(source, sizes)}"
                )
            if connection in connections[:k]:
                raise ValueError(f"{name}: connections: {target}: got {str(connection)!r} twice, want it once")
        reads[target] = connections
    # Only now: a mistake in the table should not read as one in the names, which have defaults.
    for argument, layer in (("input", input), ("output", output)):
        if layer not in sizes:
            hint = closest(layer, sizes) or f"; pass {argument}= with the name of the layer"
            raise ValueError(f"{name}: {argument}: got {layer!r}, want one of the layers {list(sizes)}{hint}")
    if input == output:
        raise ValueError(f"{name}: output: got {output!r}, want another layer than the input")
    for layer in sizes:
        if layer != input and not reads.get(layer):
            raise ValueError(f"{name}: connections: got none into {layer!r}, want at least one")
    reaching = [output]
    for layer in reaching:  # grows while it runs: all layers from which a way leads to the output
        reaching += {source for source, _ in reads.get(layer, ())}.difference(reaching)
    for layer in sizes:
        if layer not in reaching:
            raise ValueError(
                f"{name}: connections: got none that lead from {layer!r} to the output {output!r}, want a path"
            )
    return {layer: reads[layer] for layer in _order(name, sizes, reads, input)}


def _order(name: str, sizes: Mapping[str, int], reads: Mapping[str, tuple[Connection, ...]], input: str) -> list[str]:
    """The layers in an order in which each comes after those that it reads at lag 0."""
    done, order = {input}, list[str]()
    while len(order) < len(reads):
        ready = [
            layer for layer in sizes if layer not in done and all(lag or source in done for source, lag in reads[layer])
        ]
        if not ready:
            cycle = _cycle({layer: sources for layer, sources in reads.items() if layer not in done})
            raise ValueError(
                f"{name}: connections: got the cycle {' → '.join(cycle)} within one step, want a lag, as in "
                f"'{cycle[0]}[t-1]', somewhere on it"
            )
        order += ready
        done.update(ready)
    return order


def _cycle(waiting: Mapping[str, tuple[Connection, ...]]) -> list[str]:
    """A cycle at lag 0, in the direction of the connections; every layer waits for another one that waits too."""
    path = [next(iter(waiting))]
    while True:
        before = next(source for source, lag in waiting[path[-1]] if not lag and source in waiting)
        if before in path:
            return [before, *reversed(path[path.index(before) :])]
        path.append(before)
