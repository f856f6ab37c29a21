"""The reference BPTT: every recurrence of the library differentiated by hand, in NumPy only.

`lecture` holds the slides' own procedures. `stack` is the reference that `verify_bptt` compares with: it runs a cell
through layers, directions, lengths, masks and truncation; `plain_cells` and `normalized_cells` say what each cell does
at one step, forward and back. `classics` and `general_recurrence` are the lecture's other systems, and
`real_time_recurrent_learning` computes gradients forward in time. This package imports NumPy and nothing else of the
project.
"""

from .classics import elman_reference, jordan_reference, narx_reference, state_space_reference, tdnn_reference
from .general_recurrence import general_recurrence_reference
from .lecture import (
    LSTM,
    RNN,
    RNN_RELU,
    Cell,
    LSTM_bptt,
    LSTM_forward,
    RNN_bptt,
    RNN_forward,
    bidirectional_bptt,
    bidirectional_forward,
    fliplr,
    network_bptt,
    network_forward,
)
from .real_time_recurrent_learning import rtrl
from .stack import ReferenceResult, reference_bptt

__all__ = ["elman_reference", "jordan_reference", "narx_reference", "state_space_reference", "tdnn_reference"]
__all__ += ["LSTM", "RNN", "RNN_RELU", "Cell", "LSTM_bptt", "LSTM_forward", "general_recurrence_reference"]
__all__ += ["RNN_bptt", "RNN_forward", "bidirectional_bptt", "bidirectional_forward", "fliplr", "network_bptt"]
__all__ += ["ReferenceResult", "network_forward", "reference_bptt", "rtrl"]
