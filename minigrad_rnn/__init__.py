"""Recurrent networks whose back-propagation through time falls out of the graph."""

from .cells import Cell, LSTMCell, RNNCell
from .recurrence import LSTM, RNN, Recurrence
from .verify import Verification, verify_bptt

__all__ = ["LSTM", "RNN", "Cell", "LSTMCell", "RNNCell", "Recurrence", "Verification", "verify_bptt"]
