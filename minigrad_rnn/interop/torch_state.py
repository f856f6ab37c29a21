"""Convert weights to and from the state_dict of a torch.nn model, under torch's names, without importing torch.

`Wc` is torch's `weight_ih`, `Wr` is `weight_hh`, `b` is `bias_ih`, `br` is `bias_hh` and `Wp` is `weight_hr`; the order
of the gate rows is the same. Where our RNN or LSTM has one bias, torch's two are added when loading; when exporting, it
is bias_ih, and bias_hh is zero. With `two_biases=True`, and in the GRU, both stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad import Parameter, Tensor, nn
from minigrad.backend import is_array, to_numpy
from minigrad.foreign_arrays import import_array
from minigrad.nn.module_state import named_state
from minigrad.validation import as_dictionary, check_choice, check_text, check_type

from ..cells import Cell, GRUCell, LSTMCell, RNNCell
from ..cells.lstm import STANDARD
from ..networks.named import GRU, LSTM, RNN
from ..networks.recurrence import Recurrence

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem

Host = np.ndarray[Any, Any]
Entry = tuple[tuple[str, ...], Tensor]
"""A parameter or buffer and its name in torch's state, or the names of two arrays whose sum it is."""

KINDS: dict[str, type[Recurrence]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
CELLS = (RNNCell, LSTMCell, GRUCell)
"""The cells that torch has too; a subclass of one may compute something else."""
LAYER = re.compile(r"weight_ih_l(\d+)(_reverse)?")
OF_A_CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""The names in the state of torch's cells."""
INFERRED = ("input_size", "hidden_size", "num_layers", "bias", "bidirectional", "proj_size")


def torch_state_dict(module: nn.Module, prefix: str = "") -> dict[str, Host]:
    """Return the module's parameters and persistent buffers, host copies, under torch.nn's names and in its order.

    A recurrence's names are `weight_ih_l0`, `weight_hh_l0_reverse`, `bias_ih_l1`, `weight_hr_l0` and so on; a cell's
    are the same without the layer; Linear, Embedding, LayerNorm and the user's own modules keep their names.
    `{name: torch.from_numpy(array) for name, array in torch_state_dict(module).items()}` has torch's tensors.

    Args:
        module: an RNN, LSTM or GRU, one of their cells, or any module, with or without such modules in it.
        prefix: the beginning of every name, such as "encoder.".

    Raises:
        ValueError: the module has an option that torch lacks; the message names it.
    """
    check_type("torch_state_dict", nn.Module, "a Module", module=module)
    check_text("torch_state_dict", prefix=prefix)
    state: dict[str, Host] = {}
    for keys, parameter in _entries(module, prefix):
        value = parameter.numpy()
        state |= {key: value if key == keys[0] else np.zeros_like(value) for key in keys}
    return state


def load_torch_state_dict(module: nn.Module, state: SupportsKeysAndGetItem[str, Any], prefix: str = "") -> None:
    """Write a torch model's state into the module's parameters, converted to their dtype and backend.

    Where torch has two biases and our cell one, their sum is written, added in the state's dtype. If anything is wrong,
    no parameter is written.

    Args:
        module: as for `torch_state_dict`.
        state: torch's tensors, on any device, or arrays, by torch's names.
        prefix: only names with this prefix are read, the others are ignored; "" reads every name.

    Raises:
        ValueError: the module has an option that torch lacks; or `state` has missing or unexpected names, values that
            are not arrays of real numbers, wrong shapes, or different values for a parameter that the module uses
            twice. The message lists every problem.
        TypeError: `state` is not a mapping, such as a torch module instead of its `state_dict()`.
    """
    check_type("load_torch_state_dict", nn.Module, "a Module", module=module)
    check_text("load_torch_state_dict", prefix=prefix)
    state = as_dictionary("load_torch_state_dict", "state", state)
    entries = list(_entries(module, prefix))
    known = {key: parameter for keys, parameter in entries for key in keys}
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
    for keys, parameter in entries:
        if all(key in arrays for key in keys):
            value = arrays[keys[0]] if len(keys) == 1 else arrays[keys[0]] + arrays[keys[1]]
            first_key, first_value = values.setdefault(id(parameter), (keys[0], value))
            if not np.array_equal(first_value, value, equal_nan=True):
                wrong.append(f"{keys[0]}: got other values than {first_key}, want the same, as the module shares them")
    if wrong:
        raise ValueError(f"{type(module).__name__}: state: " + "; ".join(wrong))
    module.load_state_dict({name: values[id(parameter)][1] for name, parameter in named_state(module)})


def recurrence_from_torch_state_dict(
    kind: str, state: SupportsKeysAndGetItem[str, Any], prefix: str = "", **options: Any
) -> Recurrence:
    """Return our RNN, LSTM or GRU with torch's weights, built from nothing but the state.

    The state may be that of a torch.nn.RNNCell, LSTMCell or GRUCell too: `weight_ih`, `weight_hh`, `bias_ih` and
    `bias_hh`, without a layer, make a recurrence of one layer. Sizes, layers, directions, biases and projection are
    read off the arrays. RNN and LSTM keep torch's two biases unless `two_biases=False`, and the parameters have the
    state's dtype unless `dtype` is passed (bfloat16 becomes float32).

    Args:
        kind: "rnn", "lstm" or "gru".
        state: the torch module's `state_dict()`, or arrays under these names.
        prefix: only names with this prefix are read, and it is removed from them; the others are ignored.
        options: what the state does not determine: nonlinearity, batch_first, dropout, dtype, impl, rng and so on.

    Raises:
        ValueError: an unknown kind, a state of another kind or of none; or as in `load_torch_state_dict`.
        TypeError: an option that the state determines; or as in `load_torch_state_dict`.
    """
    name = "recurrence_from_torch_state_dict"
    state = as_dictionary(name, "state", state)
    check_text(name, prefix=prefix)
    check_choice(name, KINDS, kind=kind)
    if inferred := [option for option in options if option in INFERRED]:
        raise TypeError(f"{name}: {inferred[0]}: got {options[inferred[0]]!r}, want it left out: the state decides it")
    if not options.get("reset_after", True):
        raise ValueError(f"{name}: reset_after: got False, want True: torch.nn.GRU has no other form")
    names = [key.removeprefix(prefix) for key in state if key.startswith(prefix)]
    if "weight_ih" in names and "weight_ih_l0" not in names:
        own = {prefix + name for name in OF_A_CELL}
        state = {f"{key}_l0" if key in own else key: value for key, value in state.items()}
        names = [f"{name}_l0" if name in OF_A_CELL else name for name in names]
    first: dict[str, Host] = {}
    for part in ("weight_ih_l0", "weight_hh_l0", "weight_hr_l0"):
        array = _host(state[prefix + part]) if part in names else None
        if array is not None and array.ndim == 2:
            first[part] = array
        elif part != "weight_hr_l0":
            got = "none" if array is None else f"shape {array.shape}"
            hint = f"prefixes in the state: {[key.removesuffix(part) for key in state if key.endswith(part)]}"
            raise ValueError(f"{name}: state: {prefix}{part}: got {got}, want a matrix; {hint}")
    projection, recurrent = first.get("weight_hr_l0"), first["weight_hh_l0"]
    hidden_size = (recurrent if projection is None else projection).shape[1]
    rows = KINDS[kind].cell_type.gates * hidden_size
    if recurrent.shape[0] != rows:
        got = f"{recurrent.shape[0]} rows for {hidden_size} units"
        raise ValueError(f"{name}: state: {prefix}weight_hh_l0: got {got}, want {rows} in kind {kind!r}")
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
        rng=np.random.default_rng(0),  # the weights are replaced below, so no generator that the user holds advances
        **{"dtype": first["weight_ih_l0"].dtype, **options},
    )
    module.rng = rng
    load_torch_state_dict(module, state, prefix)
    return module


def _entries(module: nn.Module, path: str, ancestors: tuple[int, ...] = ()) -> Iterator[Entry]:
    """Yield every parameter and persistent buffer of a module tree, a shared one as often as torch names it."""
    if isinstance(module, Cell):
        yield from _cell_entries(module, path, "")
        return
    cell_names: list[str] = []
    if isinstance(module, Recurrence):
        _check_recurrence(module, path)
        cell_names = module.cell_names
        for name in cell_names:
            layer, backward = name.removeprefix("forward").removeprefix("backward"), name.startswith("backward")
            yield from _cell_entries(getattr(module, name), path, f"_l{layer}" + "_reverse" * backward)
    attributes = {name: value for name, value in vars(module).items() if name not in cell_names}
    for name, value in attributes.items():
        if isinstance(value, Parameter):
            yield (f"{path}{name}",), value
    for name, buffer in module._own_buffers(persistent=True).items():
        yield (f"{path}{name}",), buffer
    for name, value in attributes.items():
        if isinstance(value, nn.Module) and id(value) not in ancestors:
            yield from _entries(value, f"{path}{name}.", (*ancestors, id(module)))


def _cell_entries(cell: Cell, path: str, suffix: str) -> Iterator[Entry]:
    """Yield a cell's parameters in torch's order. Raises ValueError for a cell or an option that torch lacks."""
    if type(cell) not in CELLS:
        _unsupported(cell, path, "cell", type(cell).__name__, "RNNCell, LSTMCell or GRUCell")
    options = {"peephole": False, "reset_after": True, "initial_state": "zeros"}
    options |= {"gate_activation": "sigmoid", "activation": "tanh", "clip": None}
    pairs = [(option, getattr(cell, option, default), default) for option, default in options.items()]
    if isinstance(cell, LSTMCell):
        pairs += zip(cell.gate_options._fields, cell.gate_options, STANDARD)
    for option, value, default in pairs:
        if value != default:
            _unsupported(cell, path, option, value, repr(default))
    if isinstance(cell, RNNCell) and cell.nonlinearity not in ("tanh", "relu"):
        _unsupported(cell, path, "nonlinearity", cell.nonlinearity, "'tanh' or 'relu'")
    biases = ("bias_ih", "bias_hh") if cell.br is None else ("bias_ih",)
    parts = {("weight_ih",): cell.Wc, ("weight_hh",): cell.Wr, biases: cell.b, ("bias_hh",): cell.br}
    parts[("weight_hr",)] = getattr(cell, "Wp", None)
    for names, parameter in parts.items():
        if parameter is not None:
            yield tuple(f"{path}{name}{suffix}" for name in names), parameter


def _check_recurrence(module: Recurrence, path: str) -> None:
    """Raise ValueError for an option with which torch's modules would compute something else from the same weights."""
    if isinstance(module.num_layers, tuple):
        _unsupported(module, path, "num_layers", module.num_layers, "one number for both directions")
    if module.bidirectional and module.merge != "concat":
        _unsupported(module, path, "merge", module.merge, "'concat'")
    if module.reverse:
        _unsupported(module, path, "reverse", True, "False")
    if any(module.zoneout):
        _unsupported(module, path, "zoneout", module.zoneout, "0.0")


def _unsupported(module: nn.Module, path: str, option: str, got: Any, want: str) -> None:
    where = f" at {path.rstrip('.')}" if path else ""
    raise ValueError(f"{type(module).__name__}{where}: {option}: got {got!r}, want {want}, which torch.nn has")


def _host(value: Any) -> Host | None:
    """A tensor or array of any library as a NumPy array; None for anything else."""
    if isinstance(value, Tensor):
        return value.numpy()
    if is_array(value):
        return to_numpy(value)
    if callable(getattr(value, "detach", None)):  # a torch tensor
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    value = import_array("torch_state_dict", "value", value)
    return np.asarray(value) if hasattr(value, "__array__") else None
