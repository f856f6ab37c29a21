"""Weights to and from torch: the state_dict of a torch.nn model, under torch's names, without importing torch.

`Wc` is torch's `weight_ih`, `Wr` is `weight_hh`, `b` is `bias_ih`, `br` is `bias_hh` and `Wp` is `weight_hr`; the order
of the gate rows is the same. Where our RNN or LSTM has one bias, torch's two are added up on the way in; on the way
out it is bias_ih, beside a bias_hh of zeros. With `two_biases=True`, and in the GRU, both are kept as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minigrad import Parameter, Tensor, nn
from minigrad.backend import is_array, to_numpy

from ..cells import Cell, GRUCell, LSTMCell, RNNCell
from ..networks.named import GRU, LSTM, RNN
from ..networks.recurrence import Recurrence

Host = np.ndarray[Any, Any]
Place = tuple[tuple[str, ...], Parameter]
"""A parameter and the name of its value in torch's state, or the names of the two that add up to it."""

KINDS: dict[str, type[Recurrence]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
CELLS = (RNNCell, LSTMCell, GRUCell)
"""The cells that torch has too. A subclass may compute something else."""
LAYER = re.compile(r"weight_ih_l(\d+)(_reverse)?")
INFERRED = ("input_size", "hidden_size", "num_layers", "bias", "bidirectional", "proj_size")


def torch_state_dict(module: nn.Module, prefix: str = "") -> dict[str, Host]:
    """The module's parameters under the names and in the order of torch.nn, as host copies.

    A recurrence gives `weight_ih_l0`, `weight_hh_l0_reverse`, `bias_ih_l1`, `weight_hr_l0` and so on; a cell the same
    without the layer; Linear, Embedding, LayerNorm and modules of the user's own give the names that they have.
    `{name: torch.from_numpy(array) for name, array in torch_state_dict(module).items()}` is made of torch's tensors.

    Args:
        module: an RNN, LSTM or GRU, one of their cells, or any module, with or without such ones in it.
        prefix: what every name is to start with, such as "encoder.".

    Raises:
        ValueError: the module has an option that torch lacks; the message names it.
    """
    state: dict[str, Host] = {}
    for keys, parameter in _places(module, prefix):
        value = parameter.numpy()
        state |= {key: value if key == keys[0] else np.zeros_like(value) for key in keys}
    return state


def load_torch_state_dict(module: nn.Module, state: Mapping[str, Any], prefix: str = "") -> None:
    """Write a torch model's state into the module's parameters, converted to their dtype and backend.

    Where torch has two biases and our cell one, their sum is written, added up in the state's dtype. Either all
    parameters are written or, where anything is wrong, none.

    Args:
        module: as for `torch_state_dict`.
        state: torch's tensors, on any device, or arrays, by torch's names.
        prefix: take the names that start so and leave all others alone; "" takes every name.

    Raises:
        ValueError: the module has an option that torch lacks; or `state` has missing or unexpected names, values that
            are no arrays of real numbers, wrong shapes, or different values for a parameter that the module uses
            twice. Everything that is wrong is listed.
        TypeError: `state` is no mapping, such as a torch module instead of its `state_dict()`.
    """
    _check_mapping("load_torch_state_dict", state)
    places = list(_places(module, prefix))
    known = {key: parameter for keys, parameter in places for key in keys}
    wrong = [f"got no {key}, want its array {p.shape}" for key, p in known.items() if key not in state]
    wrong += [f"got {key}, want no such name" for key in state if key.startswith(prefix) and key not in known]
    arrays: dict[str, Host] = {}
    for key, parameter in known.items():
        if key not in state:
            continue
        array = _host(state[key])
        if array is None or array.dtype.kind not in "fiub":
            wrong.append(f"{key}: got {getattr(array, 'dtype', type(state[key]).__name__)}, want real numbers")
        elif array.shape != parameter.shape:
            wrong.append(f"{key}: got shape {array.shape}, want {parameter.shape}")
        else:
            arrays[key] = array
    values: dict[int, tuple[str, Host]] = {}
    for keys, parameter in places:
        if all(key in arrays for key in keys):
            value = arrays[keys[0]] if len(keys) == 1 else arrays[keys[0]] + arrays[keys[1]]
            before, held = values.setdefault(id(parameter), (keys[0], value))
            if not np.array_equal(held, value, equal_nan=True):
                wrong.append(f"{keys[0]}: got other values than {before}, want the same, as the module shares them")
    if wrong:
        raise ValueError(f"{type(module).__name__}: state: " + "; ".join(wrong))
    module.load_state_dict({name: values[id(parameter)][1] for name, parameter in module.named_parameters()})


def recurrence_from_torch_state_dict(
    kind: str, state: Mapping[str, Any], prefix: str = "", **options: Any
) -> Recurrence:
    """Our RNN, LSTM or GRU with the weights of torch's, built from the state alone.

    Sizes, layers, directions, biases and projection are read off the arrays. RNN and LSTM keep torch's two biases
    unless `two_biases=False`, and the parameters have the state's dtype unless `dtype` is given (bfloat16 comes as
    float32).

    Args:
        kind: "rnn", "lstm" or "gru".
        state: what `state_dict()` of the torch module gives, or arrays under these names.
        prefix: take the names that start so, without it, and leave all others alone.
        options: what the state does not tell: nonlinearity, batch_first, dropout, dtype, impl, rng and so on.

    Raises:
        ValueError: an unknown kind, a state that belongs to another or to none; or as `load_torch_state_dict`.
        TypeError: an option that the state decides; or as `load_torch_state_dict`.
    """
    name = "recurrence_from_torch_state_dict"
    _check_mapping(name, state)
    if kind not in KINDS:
        raise ValueError(f"{name}: kind: got {kind!r}, want one of {[*KINDS]}")
    if decided := [option for option in options if option in INFERRED]:
        raise TypeError(f"{name}: {decided[0]}: got {options[decided[0]]!r}, want it left out: the state decides it")
    if not options.get("reset_after", True):
        raise ValueError(f"{name}: reset_after: got False, want True: torch.nn.GRU has no other form")
    names = [key.removeprefix(prefix) for key in state if key.startswith(prefix)]
    first: dict[str, Host] = {}
    for part in ("weight_ih_l0", "weight_hh_l0", "weight_hr_l0"):
        array = _host(state[prefix + part]) if part in names else None
        if array is not None and array.ndim == 2:
            first[part] = array
        elif part != "weight_hr_l0":
            got = "none" if array is None else f"shape {array.shape}"
            hint = f"prefixes that there are: {[key.removesuffix(part) for key in state if key.endswith(part)]}"
            raise ValueError(f"{name}: state: {prefix}{part}: got {got}, want a matrix; {hint}")
    projection, recurrent = first.get("weight_hr_l0"), first["weight_hh_l0"]
    hidden_size = (recurrent if projection is None else projection).shape[1]
    gates = KINDS[kind].cell_type.gates
    if recurrent.shape[0] != gates * hidden_size:
        raise ValueError(
            f"{name}: state: {prefix}weight_hh_l0: got {recurrent.shape[0]} rows for {hidden_size} units, "
            f"want {gates * hidden_size} in kind {kind!r}"
        )
    layers = [match for key in names if (match := LAYER.fullmatch(key))]
    bias = "bias_ih_l0" in names
    if projection is not None and kind == "lstm":
        options["proj_size"] = projection.shape[0]
    if kind != "gru":
        options.setdefault("two_biases", bias)
    rng = nn.init.as_generator(options.pop("rng", None), name)
    module = KINDS[kind](
        first["weight_ih_l0"].shape[1],
        hidden_size,
        1 + max(int(match[1]) for match in layers),
        bias=bias,
        bidirectional=any(match[2] for match in layers),
        rng=np.random.default_rng(0),  # so that the weights about to be replaced take nothing from anybody's seed
        **{"dtype": first["weight_ih_l0"].dtype, **options},
    )
    module.rng = rng
    load_torch_state_dict(module, state, prefix)
    return module


def _check_mapping(name: str, state: Any) -> None:
    if not isinstance(state, Mapping):
        raise TypeError(f"{name}: state: got {type(state).__name__}, want arrays by their names, as state_dict() gives")


# Which parameter is what in torch


def _places(module: nn.Module, path: str, above: tuple[int, ...] = ()) -> Iterator[Place]:
    """Every parameter of a module tree, a shared one as often as torch names it."""
    if isinstance(module, Cell):
        yield from _cell_places(module, path, "")
        return
    cells: set[str] = set()
    if isinstance(module, Recurrence):
        _refuse_recurrence(module, path)
        cells = set(module.cell_names)
        for name in module.cell_names:
            suffix = f"_l{name.removeprefix('forward')}"
            if name.startswith("backward"):
                suffix = f"_l{name.removeprefix('backward')}_reverse"
            yield from _cell_places(getattr(module, name), path, suffix)
    held = {name: value for name, value in vars(module).items() if name not in cells}
    for name, value in held.items():
        if isinstance(value, Parameter):
            yield (f"{path}{name}",), value
    for name, value in held.items():
        if isinstance(value, nn.Module) and id(value) not in above:
            yield from _places(value, f"{path}{name}.", (*above, id(module)))


def _cell_places(cell: Cell, path: str, suffix: str) -> Iterator[Place]:
    _refuse_cell(cell, path)
    yield (f"{path}weight_ih{suffix}",), cell.Wc
    yield (f"{path}weight_hh{suffix}",), cell.Wr
    first, second = f"{path}bias_ih{suffix}", f"{path}bias_hh{suffix}"
    if cell.b is not None and cell.br is None:
        yield (first, second), cell.b
    elif cell.b is not None and cell.br is not None:
        yield (first,), cell.b
        yield (second,), cell.br
    if isinstance(cell, LSTMCell) and cell.Wp is not None:
        yield (f"{path}weight_hr{suffix}",), cell.Wp


def _refuse_recurrence(module: Recurrence, path: str) -> None:
    """What torch's modules cannot be told to do, and would do differently with the same weights."""
    if isinstance(module.num_layers, tuple):
        _lacks(module, path, "num_layers", module.num_layers, "one number for both directions")
    if module.bidirectional and module.merge != "concat":
        _lacks(module, path, "merge", module.merge, "'concat'")
    if any(module.zoneout):
        _lacks(module, path, "zoneout", module.zoneout, "0.0")


def _refuse_cell(cell: Cell, path: str) -> None:
    if type(cell) not in CELLS:
        _lacks(cell, path, "cell", type(cell).__name__, "RNNCell, LSTMCell or GRUCell")
    if getattr(cell, "peephole", False):
        _lacks(cell, path, "peephole", True, "False")
    if not getattr(cell, "reset_after", True):
        _lacks(cell, path, "reset_after", False, "True")
    if cell.initial_state != "zeros":
        _lacks(cell, path, "initial_state", cell.initial_state, "'zeros'")


def _lacks(module: nn.Module, path: str, option: str, got: Any, want: str) -> None:
    where = f" at {path.rstrip('.')}" if path else ""
    raise ValueError(f"{type(module).__name__}{where}: {option}: got {got!r}, want {want}, which torch.nn has")


def _host(value: Any) -> Host | None:
    """A tensor or array of any library as a NumPy array; None for what is neither."""
    if isinstance(value, Tensor):
        return value.numpy()
    if is_array(value):
        return to_numpy(value)
    if callable(getattr(value, "detach", None)):  # torch's
        value = value.detach().cpu()
        return np.asarray((value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy())
    return np.asarray(value) if hasattr(value, "__array__") else None
