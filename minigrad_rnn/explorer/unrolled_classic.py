"""unrolled_classic runs one of the lecture's classics and names what each step computed, by its operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import minigrad as mg
from minigrad import Tensor

from ..classics import Elman, GeneralRecurrence, Jordan, StateSpace
from ..classics.base import Classic
from ..classics.one_hidden_layer import OneHiddenLayer
from ..classics.windowed_mlp import WindowedMLP
from .operation_log import Operation, OperationLog, named
from .unrolled import Arrow, Column, Lane, Quantity, Spot, Unrolled

Steps = list[list[Operation]]
"""The operations recorded under each time step."""


def unrolled_classic(model: Classic, xs: Tensor, state: Any) -> Unrolled:
    """Run `model`, a copy that may be changed; xs (T, B, I) is a leaf, the state as the model takes it.

    Raises:
        TypeError: a classic that is none of the lecture's.
    """
    model.batch_first = False
    T, B = xs.shape[:2]
    start = model._start(state, B, unbatched=False)
    for name, part in start.items():  # leaves, so that the gradient of what was before the series comes out
        start[name] = part if part.requires_grad else mg.tensor(part._array, requires_grad=True)
    log = OperationLog()
    with log:
        output, _ = model(xs, model._packed(start, unbatched=False))
    steps: Steps = [[] for _ in range(T)]
    for operation in log.operations:
        if operation.time_step is not None:
            steps[operation.time_step].append(operation)
    if isinstance(model, GeneralRecurrence):
        lanes, arrows = _general(model, steps)
    elif isinstance(model, WindowedMLP):
        lanes, arrows = _windowed(model, steps, log.operations, T)
    elif isinstance(model, Jordan):
        lanes, arrows = _jordan(model, steps, start["m"])
    elif isinstance(model, (Elman, StateSpace)):
        lanes, arrows = _one_hidden(model, steps, log.operations, start["h"])
    else:
        raise TypeError(f"explore: model: got {type(model).__name__}, want one of the lecture's classics")
    name = model.input if isinstance(model, GeneralRecurrence) else "x"
    rows = Lane(name, "input", "input", 0, [Quantity("x", {t: Spot(xs, t) for t in range(T)})])
    columns = [Column(f"t = {t}") for t in range(T)]
    parameters = dict(model.named_parameters())
    unrolled = Unrolled(columns, [rows, *lanes], arrows, output, list(range(T)), parameters)
    if steps[0] and all(spot.step is None for spot in lanes[-1].quantities[-1].spots.values()):
        unrolled.separate = [spot.tensor for spot in lanes[-1].quantities[-1].spots.values()]
    unrolled.output_lane = model.output if isinstance(model, GeneralRecurrence) else "Y"
    return unrolled


def _applied(operations: Sequence[Operation], z: Tensor, function: str | None) -> Tensor:
    """f(z): what the operation after z that reads it returned, or z itself where f is the identity."""
    if function is None:
        return z
    return next(operation.result for operation in operations if operation.name == function and operation.reads(z))


def _quantities(**values: list[Any]) -> list[Quantity]:
    """Quantities of one value for each step, or of one tensor (T, B, n) for all."""
    return [Quantity(name, {t: _spot(value, t) for t, value in enumerate(steps)}) for name, steps in values.items()]


def _spot(value: Any, t: int) -> Spot:
    return Spot(*value) if isinstance(value, tuple) else Spot(value)


def _function(letter: str, name: str | None, z: str = "z(t)") -> dict[str, str]:
    """How the equations write a function, F or G, of z(t) or zo(t); the identity is left out."""
    return {f"{letter}({z})": z, f" ⊙ {letter}′({z})": ""} if name is None else {letter: name}


def _one_hidden(
    model: OneHiddenLayer, steps: Steps, operations: Sequence[Operation], start: Tensor
) -> tuple[list[Lane], list[Arrow]]:
    zs = [named(step, "add")[0] for step in steps]
    hs = [_applied(step, z, model.nonlinearity) for step, z in zip(steps, zs)]
    zo = named(operations, "linear_over_time")[-1]
    ys = _applied(operations, zo, model.output_nonlinearity)
    cut = isinstance(model, Elman)
    names = _function("F", model.nonlinearity) | ({"h(t−1)": "clone(h(t−1))"} if cut else {})
    hidden = Lane(
        "h", "hidden", "elman" if cut else "state_space", 1, _quantities(z=zs, h=hs), ["Wc", "Wr", "b"], names
    )
    hidden.quantities[-1].start = Spot(start, 0)
    arrows = [
        Arrow("x", "h", 0, "Wc"), Arrow("h", "h", 1, "Wr", "cut" if cut else "weight"), Arrow("h", "Y", 0, "Wo")
    ]  # fmt: skip
    return [hidden, _output(model, [(zo, t) for t in range(len(zs))], [(ys, t) for t in range(len(zs))], 2)], arrows


def _output(model: Any, zo: list[Any], ys: list[Any], level: int) -> Lane:
    quantities = _quantities(zo=zo, Y=ys) if model.output_nonlinearity else _quantities(Y=ys)
    names = _function("G", model.output_nonlinearity, "zo(t)")
    cell = (
        "narx_output" if isinstance(model, WindowedMLP) else "jordan_output" if isinstance(model, Jordan) else "output"
    )
    return Lane("Y", "output", cell, level, quantities, ["Wo", "bo"], names)


def _jordan(model: Jordan, steps: Steps, start: Tensor) -> tuple[list[Lane], list[Arrow]]:
    zs = [named(step, "add")[0] for step in steps]
    hs = [_applied(step, z, model.nonlinearity) for step, z in zip(steps, zs)]
    zo = [named(step, "linear")[1] for step in steps]
    ys = [_applied(step, z, model.output_nonlinearity) for step, z in zip(steps, zo)]
    memory: list[Any] = [(start, 0), *(named(step, "add")[-1] for step in steps[:-1])]
    lanes = [
        Lane("m", "memory", "jordan_memory", 1, _quantities(m=memory), [], {"μ": f"{model.mu:g}"}),
        Lane(
            "h", "hidden", "jordan", 2, _quantities(z=zs, h=hs), ["Wc", "Wr", "b"], _function("F", model.nonlinearity)
        ),
        _output(model, zo, ys, 3),
    ]
    arrows = [
        Arrow("x", "h", 0, "Wc"), Arrow("m", "h", 0, "Wr"), Arrow("h", "Y", 0, "Wo"),
        Arrow("m", "m", 1, "", "fixed"), Arrow("Y", "m", 1, "", "fixed"),
    ]  # fmt: skip
    return lanes, arrows


def _windowed(
    model: WindowedMLP, steps: Steps, operations: Sequence[Operation], T: int
) -> tuple[list[Lane], list[Arrow]]:
    depth, f = model.hidden_layers, model.nonlinearity
    layers: list[list[Any]] = []
    values: list[list[Any]] = []
    if model.output_lags:
        pairs = []
        for step in steps:
            linear = named(step, "linear")
            if model.input_size:  # what is fed back is added to the inputs' part
                linear[0] = named(step, "add")[0]
            pairs.append([(z, _applied(step, z, f)) for z in linear[:-1]] + [(linear[-1], linear[-1])])
        for l in range(depth + 1):
            layers.append([pair[l][0] for pair in pairs])
            values.append([pair[l][1] for pair in pairs])
        values[-1] = [_applied(step, z, model.output_nonlinearity) for step, z in zip(steps, layers[-1])]
    else:
        linear = named(operations, "linear_over_time")
        functions = [f] * depth + [model.output_nonlinearity]
        for z, function in zip(linear, functions):
            h = _applied(operations, z, function)
            layers.append([(z, t) for t in range(T)])
            values.append([(h, t) for t in range(T)])
    lanes, arrows = [], []
    for l in range(1, depth + 1):
        name = "h" if depth == 1 else f"h{l}"
        own = [f"Wc{l}", f"b{l}"] + (["Wr"] if l == 1 else [])
        cell, names = ("narx" if l == 1 else "narx_upper"), _function("F", f)
        lanes.append(Lane(name, "hidden", cell, l, _quantities(z=layers[l - 1], h=values[l - 1]), own, names))
        if l > 1:
            arrows.append(Arrow(lanes[-2].name, name, 0, f"Wc{l}"))
    first = lanes[0].name
    arrows += [Arrow("x", first, k, "Wc1") for k in range(model.input_lags + 1 if model.input_size else 0)]
    arrows += [Arrow("Y", first, k, "Wr") for k in range(1, model.output_lags + 1)]
    arrows.append(Arrow(lanes[-1].name, "Y", 0, "Wo"))
    return [*lanes, _output(model, layers[-1], values[-1], depth + 1)], arrows


def _general(model: GeneralRecurrence, steps: Steps) -> tuple[list[Lane], list[Arrow]]:
    values: dict[str, tuple[list[Any], list[Any]]] = {layer: ([], []) for layer in model.connections}
    for step in steps:
        place = 0
        for layer, sources in model.connections.items():
            place += 2 * len(sources) - 1  # one product for each connection, and the sums of them
            z = step[place - 1].result
            values[layer][0].append(z)
            if model.nonlinearities[layer] is not None:
                place += 1
            values[layer][1].append(step[place - 1].result)
    lanes, arrows = [], []
    for level, (layer, connections) in enumerate(model._reads.items(), 1):
        zs, hs = values[layer]
        weights = [f"{layer}<-{connection}" for connection in connections]
        quantities = _quantities(z=zs, **{layer: hs}) if model.nonlinearities[layer] else _quantities(**{layer: hs})
        kind, own = "output" if layer == model.output else "hidden", [*weights, f"b({layer})"]
        names = _function("F", model.nonlinearities[layer]) | {"LAYER": layer}
        lanes.append(Lane(layer, kind, "general", level, quantities, own, names))
        arrows += [Arrow(k.source, layer, k.lag, weight) for k, weight in zip(connections, weights)]
    return lanes, arrows
