"""Load the weights of Keras' SimpleRNN, LSTM, GRU and Bidirectional layers, without importing Keras.

Keras keeps kernels transposed, kernel (I, G·H) and recurrent_kernel (H, G·H), with gates in the order i, f, c, o in the
LSTM, which is ours, and z, r, h in the GRU, ours being r, z, n. A GRU with reset_after has its two biases in one array
(2, 3H).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.backend import is_array, to_numpy

from ..cells import Cell, GRUCell, LSTMCell, RNNCell
from ..cells.lstm import STANDARD
from ..networks.recurrence import Recurrence

Host = np.ndarray[Any, Any]
CALLER = "load_keras_weights"
GATES: dict[type[Cell], list[int]] = {RNNCell: [0], LSTMCell: [0, 1, 2, 3], GRUCell: [1, 0, 2]}
"""For each of our gates its index in Keras' order."""


def load_keras_weights(module: Recurrence | Cell, weights: Sequence[Any]) -> None:
    """Write a Keras layer's weights into the module's parameters, converted to their dtype and backend.

    Keras' options are these of ours: `activation` is an RNN's `nonlinearity`; `recurrent_activation` is
    `gate_activation`; Keras 3's "hard_sigmoid" is ("hard_sigmoid", 1/6, 0.5), that of Keras 1 and 2 is "hard_sigmoid";
    "linear" is "affine"; merge_mode "ave" is `merge="mean"`; `go_backwards` is `reverse`, but Keras hands its outputs
    out in the order in which it read them, so they are ours from the last step to the first. Keras is batch_first. If
    anything is wrong, no parameter is written.

    Args:
        module: an RNN for SimpleRNN, an LSTM or a GRU; with bidirectional for Bidirectional, and with several layers
            for several Keras layers; or a cell.
        weights: `layer.get_weights()`: for each cell kernel, recurrent_kernel and, with a bias, bias; forward before
            backward. For several layers the concatenated lists.

    Raises:
        TypeError: the module is none of these, or `weights` is not a list of arrays.
        ValueError: an option of the module that Keras lacks, a wrong number of arrays, or a wrong shape.
    """
    if not isinstance(module, (Recurrence, Cell)):
        raise TypeError(
            f"{CALLER}: module: got {type(module).__name__}, want an RNN, LSTM or GRU, or one of their cells"
        )
    if not isinstance(weights, (list, tuple)):
        got = type(weights).__name__
        raise TypeError(f"{CALLER}: weights: got {got}, want a list of arrays, as layer.get_weights() returns it")
    cells = {"": module} if isinstance(module, Cell) else dict(zip(module.cell_names, module.cells))
    if isinstance(module, Recurrence) and any(module.zoneout):
        _unsupported(module, "zoneout", module.zoneout, "0.0")
    for cell in cells.values():
        _check_cell(cell)
    each = 2 if next(iter(cells.values())).b is None else 3
    if len(weights) != each * len(cells):
        arrays = "kernel, recurrent_kernel" + (", bias" if each == 3 else "")
        want = f"{each * len(cells)}: {arrays} of each of {len(cells)} cell(s)"
        raise ValueError(f"{CALLER}: weights: got {len(weights)} arrays, want {want}")
    state: dict[str, Host] = {}
    for k, (name, cell) in enumerate(cells.items()):
        arrays_of_cell = [_host(k * each + n, a) for n, a in enumerate(weights[k * each : (k + 1) * each])]
        values = _parameters(cell, k * each, arrays_of_cell)
        state |= {f"{name}.{part}" if name else part: value for part, value in values.items()}
    module.load_state_dict(state)


def _parameters(cell: Cell, first: int, arrays: list[Host]) -> dict[str, Host]:
    """The cell's parameters from its Keras arrays, of which `first` is the index of the first."""
    H, order = cell.hidden_size, GATES[type(cell)]
    G = len(order)
    second_bias = isinstance(cell, GRUCell) and cell.reset_after
    shapes = [(cell.input_size, G * H), (H, G * H), (2, G * H) if second_bias else (G * H,)]
    for k, (array, shape) in enumerate(zip(arrays, shapes)):
        if array.shape != shape:
            hint = ""
            if k == 2 and isinstance(cell, GRUCell) and array.shape in ((3 * H,), (2, 3 * H)):
                hint = f"; the Keras layer has reset_after={not cell.reset_after}: make the module with the same"
            part = ("kernel", "recurrent_kernel", "bias")[k]
            raise ValueError(f"{CALLER}: weights[{first + k}]: {part}: got shape {array.shape}, want {shape}{hint}")

    def ours(rows: Host) -> Host:
        blocks = np.split(rows, G)
        return np.concatenate([blocks[k] for k in order])

    values = {"Wc": ours(arrays[0].T), "Wr": ours(arrays[1].T)}
    if cell.b is not None:
        biases = arrays[2] if second_bias else (arrays[2], np.zeros_like(arrays[2]))
        values["b"] = ours(biases[0])
        if cell.br is not None:
            values["br"] = ours(biases[1])
    return values


def _check_cell(cell: Cell) -> None:
    """Raise an error for a cell or an option that Keras lacks."""
    if type(cell) not in GATES:
        raise TypeError(f"{CALLER}: module: got a {type(cell).__name__}, want RNNCell, LSTMCell or GRUCell")
    options = {"peephole": False, "proj_size": 0, "initial_state": "zeros", "clip": None}
    for option, default in options.items():
        if (value := getattr(cell, option, default)) != default:
            _unsupported(cell, option, value, repr(default))
    if isinstance(cell, LSTMCell):
        gates = cell.gate_options
        if gates.output_activation != gates.activation:
            _unsupported(cell, "output_activation", gates.output_activation, repr(gates.activation))
        for option in ("clip", "coupled_gates"):
            if (value := getattr(gates, option)) != (default := getattr(STANDARD, option)):
                _unsupported(cell, option, value, repr(default))


def _unsupported(module: Any, option: str, got: Any, want: str) -> None:
    raise ValueError(f"{CALLER}: {type(module).__name__}: {option}: got {got!r}, want {want}, which Keras has")


def _host(k: int, value: Any) -> Host:
    """One of the weights as a NumPy array."""
    array = value.numpy() if isinstance(value, Tensor) else to_numpy(value) if is_array(value) else None
    if array is None or array.dtype.kind not in "fiub":
        got = getattr(array, "dtype", type(value).__name__)
        raise TypeError(f"{CALLER}: weights[{k}]: got {got}, want an array of real numbers")
    return np.asarray(array)
