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
from .onnx_export import export_onnx
from .recurrence import Recurrence
from .torch_state import load_torch_state_dict, recurrence_from_torch_state_dict, torch_state_dict
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
    "export_onnx",
    "load_torch_state_dict",
    "prefix_beam_search",
    "recurrence_from_torch_state_dict",
    "torch_state_dict",
    "verify_bptt",
]
