"""Recurrent networks: any cell in layers and directions, the ones with names, truncated BPTT."""

from .bias_of_truncation import TruncationBias, truncation_bias
from .checkpointed_recurrence import CheckpointedRecurrence, checkpointed
from .named import GRU, LSTM, MGU, RNN, IndRNN, LayerNormGRU, LayerNormLSTM, LayerNormRNN
from .recurrence import Recurrence
from .truncation import Truncation, Window

__all__ = ["GRU", "LSTM", "MGU", "RNN", "IndRNN", "LayerNormGRU", "LayerNormLSTM", "LayerNormRNN"]
__all__ += ["CheckpointedRecurrence", "Recurrence", "Truncation", "TruncationBias", "Window", "checkpointed"]
__all__ += ["truncation_bias"]
