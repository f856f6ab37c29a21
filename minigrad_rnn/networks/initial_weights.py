"""`chrono_init`, `identity_init` and `independent_init` start a recurrence so that it remembers for many steps.

As they are usually drawn, a net's weights forget within a few dozen steps, and so its gradient vanishes before training
has begun. Each of these is the published start of one kind of cell for long memories.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import Tensor, nn
from minigrad.backend import backend_of
from minigrad.validation import check_integer, check_number, check_type, shown

from ..cells import Cell, GRUCell, IndRNNCell, LSTMCell
from .recurrence import Recurrence

Array = np.ndarray[Any, Any]


def chrono_init(network: Recurrence, longest: int, rng: nn.init.Rng = None) -> None:
    """Spread the memories of an LSTM's or a GRU's units over 1 … `longest` steps (Tallec & Ollivier 2018, section 3).

    A unit whose forget gate is σ(b) keeps a value for 1 / (1 − σ(b)) = 1 + exp(b) steps. So of an LSTM
    b_f = log u and b_i = −log u, with u uniform in [1, longest − 1], and b_g = b_o = 0; of a GRU, whose z is the share
    that is kept, b_z = log u and b_r = b_n = 0. A second bias becomes 0, weights stay as they are.

    Args:
        network: a recurrence of LSTM or GRU cells with biases; every layer and direction is set.
        longest: the longest memory that the task may need, at least 3 steps: of a copy over T steps about T.
        rng: draws u: a generator, a seed, or None for the library's own generator.

    Raises:
        TypeError: no recurrence, or of other cells. ValueError: no biases, or longest below 3.
    """
    cells = _cells("chrono_init", network, (LSTMCell, GRUCell), "LSTM or GRU")
    check_integer("chrono_init", 3, longest=longest)
    for cell in cells:
        if cell.b is None:
            raise ValueError("chrono_init: network: got one without biases, want bias=True")
    generator = nn.init.as_generator(rng, "chrono_init") or nn.init.default_generator()
    for cell in cells:
        H = cell.hidden_size
        log_u = np.log(generator.uniform(1.0, longest - 1.0, H))
        bias = np.zeros(cell.b.shape)
        if isinstance(cell, LSTMCell):  # rows i f g o
            bias[:H], bias[H : 2 * H] = -log_u, log_u
        else:  # rows r z n
            bias[H : 2 * H] = log_u
        _set(cell.b, bias)
        if cell.br is not None:
            _set(cell.br, np.zeros(cell.br.shape))


def identity_init(network: Recurrence, scale: float = 1.0) -> None:
    """Start a simple recurrent net with Wr = scale · 1 and b = 0: it keeps its state (Le, Jaitly & Hinton 2015).

    With `nonlinearity="relu"` this is the IRNN. The weights of the input stay as they are.

    Args:
        network: a recurrence of RNN cells; every layer and direction is set.
        scale: the factor of the identity: 1 keeps everything, less forgets (Le et al. take 0.01 for short memories).

    Raises:
        TypeError: no recurrence, or of other cells. ValueError: a scale that is no finite number.
    """
    cells = _cells("identity_init", network, None, "RNN, one block of H rows and a square Wr")
    check_number("identity_init", scale=scale)
    for cell in cells:
        _set(cell.Wr, scale * np.eye(cell.hidden_size))
        for bias in (cell.b, cell.br):
            if bias is not None:
                _set(bias, np.zeros(bias.shape))


def independent_init(network: Recurrence, steps: int, shortest: float = 0.0, rng: nn.init.Rng = None) -> None:
    """Draw an IndRNN's recurrent weights, uniform in [shortest, 2^(1 / steps)] (Li et al. 2018).

    A unit of relu multiplies what it remembers by its weight in every step; over `steps` steps that is at most 2, so
    that gradients do not explode. Input weights and biases stay as they are.

    Args:
        network: a recurrence of IndRNN cells; every layer and direction is set.
        steps: over which a memory, and so a gradient, at most doubles.
        shortest: the lower bound, from 0 to 1: 0 for memories of all lengths; near 1 where only long ones help, as
            0.5^(1 / steps) in the top layer if the last output alone counts.
        rng: draws the weights: a generator, a seed, or None for the library's own generator.

    Raises:
        TypeError: no recurrence, or of other cells. ValueError: steps below 1, or a shortest that is not in [0, 1].
    """
    cells = _cells("independent_init", network, (IndRNNCell,), "IndRNN")
    check_integer("independent_init", steps=steps)
    check_number("independent_init", 0, shortest=shortest)
    if shortest > 1:
        raise ValueError(f"independent_init: shortest: got {shown(shortest)}, want a number from 0 to 1")
    generator = nn.init.as_generator(rng, "independent_init") or nn.init.default_generator()
    for cell in cells:
        _set(cell.Wr, generator.uniform(shortest, 2 ** (1 / steps), cell.hidden_size))


def _cells(name: str, network: Any, kinds: tuple[type[Cell], ...] | None, want: str) -> list[Cell]:
    """The network's cells, which are of these kinds, or for None have one block of rows and a square Wr."""
    check_type(name, Recurrence, f"a recurrence of {want}", network=network)
    for cell in network.cells:
        square = cell.gates == 1 and cell.Wr.shape == (cell.hidden_size, cell.hidden_size)
        if not (square if kinds is None else isinstance(cell, kinds)):
            raise TypeError(f"{name}: network: got cells {type(cell).__name__}, want {want}")
    cells: list[Cell] = network.cells
    return cells


def _set(parameter: Tensor, value: Array) -> None:
    array = parameter._array
    array[...] = backend_of(array).from_numpy(value.astype(array.dtype))
    parameter.written()
