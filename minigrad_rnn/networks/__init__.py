"""Recurrent networks: any cell in layers and directions, the ones with names, truncated BPTT."""

from .named import GRU, LSTM, MGU, RNN, IndRNN, LayerNormGRU, LayerNormLSTM, LayerNormRNN
from .recurrence import Recurrence
from .truncation import Truncation, Window

__all__ = ["GRU", "LSTM", "MGU", "RNN", "IndRNN", "LayerNormGRU", "LayerNormLSTM", "LayerNormRNN"]
__all__ += ["Recurrence", "Truncation", "Window"]
