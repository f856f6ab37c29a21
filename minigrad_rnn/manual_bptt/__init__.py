"""The reference: every recurrence of the library differentiated by hand, on NumPy alone.

`lecture` follows the slides' own procedures; `plain_cells` and `normalized_cells` say what each cell does at one step,
forward and back, and `stack` runs them through layers, directions, lengths, masks and truncation; `classics` and
`general_recurrence` are the lecture's other systems; `real_time` never looks back. Nothing in this package imports
anything else of the project.
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
    ReferenceResult,
    RNN_bptt,
    RNN_forward,
    bidirectional_bptt,
    bidirectional_forward,
    fliplr,
    network_bptt,
    network_forward,
)
from .real_time_recurrent_learning import rtrl
from .stack import reference_bptt, reference_stack

__all__ = [
    "LSTM",
    "RNN",
    "RNN_RELU",
    "Cell",
    "LSTM_bptt",
    "LSTM_forward",
    "RNN_bptt",
    "RNN_forward",
    "ReferenceResult",
    "bidirectional_bptt",
    "bidirectional_forward",
    "elman_reference",
    "fliplr",
    "general_recurrence_reference",
    "jordan_reference",
    "narx_reference",
    "network_bptt",
    "network_forward",
    "reference_bptt",
    "reference_stack",
    "rtrl",
    "state_space_reference",
    "tdnn_reference",
]
