"""Recurrent networks whose back-propagation through time falls out of the graph."""

from .cells import (
    Cell,
    CellMasks,
    GRUCell,
    IndRNNCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    LayerNormRNNCell,
    LSTMCell,
    MGUCell,
    RNNCell,
)
from .classics import NARX, TDNN, Elman, GeneralRecurrence, Jordan, StateSpace
from .ctc import CTCLoss, ctc_loss
from .ctc_decoding import Labelling, best_path, prefix_beam_search
from .networks import GRU, LSTM, MGU, RNN, IndRNN, LayerNormGRU, LayerNormLSTM, LayerNormRNN
from .recurrence import Recurrence
from .truncation import Truncation, Window
from .verify import Verification, verify_bptt

__all__ = [
    "GRU",
    "LSTM",
    "MGU",
    "NARX",
    "RNN",
    "TDNN",
    "CTCLoss",
    "Cell",
    "CellMasks",
    "Elman",
    "GRUCell",
    "GeneralRecurrence",
    "IndRNN",
    "IndRNNCell",
    "Jordan",
    "LSTMCell",
    "Labelling",
    "LayerNormGRU",
    "LayerNormGRUCell",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "LayerNormRNN",
    "LayerNormRNNCell",
    "MGUCell",
    "RNNCell",
    "Recurrence",
    "StateSpace",
    "Truncation",
    "Verification",
    "Window",
    "best_path",
    "ctc_loss",
    "prefix_beam_search",
    "verify_bptt",
]
