"""Recurrent networks whose back-propagation through time falls out of the graph."""

from .cells import Cell, LSTMCell, RNNCell
from .ctc import CTCLoss, ctc_loss
from .ctc_decoding import Labelling, best_path, prefix_beam_search
from .recurrence import LSTM, RNN, Recurrence
from .verify import Verification, verify_bptt

__all__ = [
    "LSTM",
    "RNN",
    "CTCLoss",
    "Cell",
    "LSTMCell",
    "Labelling",
    "RNNCell",
    "Recurrence",
    "Verification",
    "best_path",
    "ctc_loss",
    "prefix_beam_search",
    "verify_bptt",
]
