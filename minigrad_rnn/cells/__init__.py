"""The recurrent cells: equations, gate mathematics, one step, and the whole sequence as one primitive, a file each."""

from .cell import Cell, unroll
from .lstm import LSTMCell
from .rnn import RNNCell

__all__ = ["Cell", "LSTMCell", "RNNCell", "unroll"]
