"""The named recurrent networks: `Recurrence` with a fixed cell.

Their arguments are described where they belong, at `Recurrence` and at the cell; `arguments_of` brings them together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minigrad import nn
from minigrad.arguments_of import arguments_of

from .. import cells
from ..cells.activations import Activation
from .recurrence import Recurrence

WITHOUT = ("cell_type", "cell_options")
"""Arguments of `Recurrence` that the named ones fix."""

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
    """The base of recurrences whose cells have no options of their own."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int | tuple[int, int] = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options)


# An own constructor is completed by its class's decorator, this one here.
arguments_of(Recurrence, without=WITHOUT)(NamedRecurrence.__init__)


@arguments_of(Recurrence, cells.RNNCell, without=WITHOUT)
class RNN(Recurrence):
    """The simple recurrent net in layers and directions (slide 73). State: h.

    Equations:
        h(t, l) = tanh(Wc(l) h(t, l−1) + Wr(l) h(t−1, l) + b(l)), where h(t, 0) = x(t)
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


@arguments_of(Recurrence, cells.LSTMCell, without=WITHOUT)
class LSTM(Recurrence):
    """Long short-term memory in layers and directions (Hochreiter & Schmidhuber 1997). State: (h, c)."""

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


@arguments_of(Recurrence, cells.GRUCell, without=(*WITHOUT, "two_biases"))
class GRU(Recurrence):
    """The gated recurrent unit in layers and directions (Cho et al. 2014). State: h."""

    cell_type = cells.GRUCell

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int | tuple[int, int] = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, *, reset_after: bool = True,
        **options: Unpack[GatedOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            reset_after=reset_after, **options,
        )  # fmt: skip


@arguments_of(Recurrence, cells.LayerNormRNNCell, without=WITHOUT)
class LayerNormRNN(NamedRecurrence):
    """The simple recurrent net with layer normalisation, in layers and directions. State: h."""

    cell_type = cells.LayerNormRNNCell


@arguments_of(Recurrence, cells.LayerNormLSTMCell, without=WITHOUT)
class LayerNormLSTM(NamedRecurrence):
    """The LSTM with layer normalisation, in layers and directions. State: (h, c)."""

    cell_type = cells.LayerNormLSTMCell


@arguments_of(Recurrence, cells.LayerNormGRUCell, without=WITHOUT)
class LayerNormGRU(NamedRecurrence):
    """The GRU with layer normalisation, in layers and directions. State: h."""

    cell_type = cells.LayerNormGRUCell


@arguments_of(Recurrence, cells.MGUCell, without=WITHOUT)
class MGU(NamedRecurrence):
    """The minimal gated unit in layers and directions (Zhou, Wu, Zhang & Zhou 2016). State: h."""

    cell_type = cells.MGUCell


@arguments_of(Recurrence, cells.IndRNNCell, without=WITHOUT)
class IndRNN(Recurrence):
    """The independently recurrent net in layers and directions (Li et al. 2018). State: h."""

    cell_type = cells.IndRNNCell

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int | tuple[int, int] = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, *,
        nonlinearity: Activation = "relu",
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            nonlinearity=nonlinearity, **options,
        )  # fmt: skip
