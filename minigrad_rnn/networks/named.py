"""The named recurrent networks: `Recurrence` with a fixed cell. For arguments and calls see `Recurrence`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minigrad import nn

from .. import cells
from ..cells.activations import Activation
from .recurrence import Recurrence

if TYPE_CHECKING:
    from typing_extensions import TypedDict, Unpack

    class Options(TypedDict, total=False):
        """The keyword arguments of every recurrence that the named ones pass on."""

        impl: str
        initial_state: str
        recurrent_dropout: float
        zoneout: float | tuple[float, ...]
        merge: str
        reverse: bool
        rng: nn.init.Rng
        dtype: Any

    class RNNOptions(Options, total=False):
        two_biases: bool
        clip: float | None

    class GatedOptions(Options, total=False):
        gate_activation: Activation
        activation: Activation
        clip: float | None

    class LSTMOptions(GatedOptions, total=False):
        two_biases: bool
        peephole: bool
        forget_bias: float | None
        output_activation: Activation | None
        coupled_gates: bool

    class NamedRecurrence(Recurrence):
        """A recurrence whose cell has no options of its own."""

        def __init__(
            self, input_size: int, hidden_size: int, num_layers: int | tuple[int, int] = 1, bias: bool = True,
            batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, **options: Unpack[Options],
        ) -> None: ...  # fmt: skip

else:
    NamedRecurrence = Recurrence


class RNN(Recurrence):
    """The simple recurrent net: h(t, l) = tanh(Wc(l) h(t, l−1) + Wr(l) h(t−1, l) + b(l)) (slide 73).

    Additional arguments: `nonlinearity`, "tanh", "relu" or another activation, `clip` and `two_biases`. State: h.
    Equation: `minigrad_rnn.cells.rnn`.
    """

    cell_type = cells.RNNCell

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int | tuple[int, int] = 1,
        nonlinearity: Activation = "tanh", bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
        bidirectional: bool = False,
        **options: Unpack[RNNOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            nonlinearity=nonlinearity, **options,
        )  # fmt: skip


class LSTM(Recurrence):
    """Long short-term memory in layers and directions. State: (h, c).

    Additional arguments: `proj_size`, `peephole`, `forget_bias`, `two_biases`, `gate_activation`, `activation`,
    `output_activation`, `clip` and `coupled_gates`.
    Equations: `minigrad_rnn.cells.lstm`.
    """

    cell_type = cells.LSTMCell

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int | tuple[int, int] = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
        **options: Unpack[LSTMOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size=proj_size, **options,
        )  # fmt: skip


class GRU(Recurrence):
    """The gated recurrent unit in layers and directions. State: h.

    Additional arguments: `reset_after`, True as in cuDNN and torch, False as published; `gate_activation`,
    `activation` and `clip`.
    Equations: `minigrad_rnn.cells.gru`.
    """

    cell_type = cells.GRUCell

    if TYPE_CHECKING:

        def __init__(
            self, input_size: int, hidden_size: int, num_layers: int | tuple[int, int] = 1, bias: bool = True,
            batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, *, reset_after: bool = True,
            **options: Unpack[GatedOptions],
        ) -> None: ...  # fmt: skip


class LayerNormRNN(NamedRecurrence):
    """The simple recurrent net with layer normalisation. Equations: `minigrad_rnn.cells.layer_norm`. State: h."""

    cell_type = cells.LayerNormRNNCell


class LayerNormLSTM(NamedRecurrence):
    """The LSTM with layer normalisation. Equations: `minigrad_rnn.cells.layer_norm`. State: (h, c)."""

    cell_type = cells.LayerNormLSTMCell


class LayerNormGRU(NamedRecurrence):
    """The GRU with layer normalisation. Equations: `minigrad_rnn.cells.layer_norm`. State: h."""

    cell_type = cells.LayerNormGRUCell


class MGU(NamedRecurrence):
    """The minimal gated unit. Equations: `minigrad_rnn.cells.mgu`. State: h."""

    cell_type = cells.MGUCell


class IndRNN(Recurrence):
    """The independently recurrent net; also `nonlinearity`. Equation: `minigrad_rnn.cells.indrnn`. State: h."""

    cell_type = cells.IndRNNCell

    if TYPE_CHECKING:

        def __init__(
            self, input_size: int, hidden_size: int, num_layers: int | tuple[int, int] = 1, bias: bool = True,
            batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, *,
            nonlinearity: Activation = "relu",
            **options: Unpack[Options],
        ) -> None: ...  # fmt: skip
