"""The recurrent cells, one file each: equations, one step, and for three of them a whole fused sequence."""

from .cell import Cell
from .gru import GRUCell
from .indrnn import IndRNNCell
from .layer_norm import LayerNormGRUCell, LayerNormLSTMCell, LayerNormRNNCell
from .lengths import Lengths
from .lstm import LSTMCell
from .mgu import MGUCell
from .rnn import RNNCell
from .unroll import NO_MASKS, CellMasks

__all__ = ["Cell", "GRUCell", "IndRNNCell", "LayerNormGRUCell", "LayerNormLSTMCell", "LayerNormRNNCell", "Lengths"]
__all__ += ["NO_MASKS", "CellMasks", "LSTMCell", "MGUCell", "RNNCell"]
