"""Recurrent networks: any cell in layers and directions, the ones with names, truncated BPTT."""

from .checkpointed_recurrence import CheckpointedRecurrence, checkpointed
from .named import GRU, LSTM, MGU, RNN, IndRNN, LayerNormGRU, LayerNormLSTM, LayerNormRNN
from .recurrence import Recurrence
from .truncation import Truncation, Window

__all__ = ["GRU", "LSTM", "MGU", "RNN", "IndRNN", "LayerNormGRU", "LayerNormLSTM", "LayerNormRNN"]
__all__ += ["CheckpointedRecurrence", "Recurrence", "Truncation", "Window", "checkpointed"]
