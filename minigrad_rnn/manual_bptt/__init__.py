"""The witness: every recurrence of the library differentiated by hand, on NumPy alone.

`lecture` follows the slides' own procedures; `plain_cells` and `normalized_cells` say what each cell does at one step,
forward and back, and `stack` runs them through layers, directions, lengths, masks and truncation; `classics` and
`general_recurrence` are the lecture's other systems; `real_time` never looks back. Nothing in this package imports
anything else of the project.
"""

from .classics import elman_witness, jordan_witness, narx_witness, state_space_witness, tdnn_witness
from .general_recurrence import general_recurrence_witness
from .lecture import (
    LSTM,
    RNN,
    RNN_RELU,
    Cell,
    LSTM_bptt,
    LSTM_forward,
    RNN_bptt,
    RNN_forward,
    Witness,
    bidirectional_bptt,
    bidirectional_forward,
    fliplr,
    network_bptt,
    network_forward,
)
from .real_time_recurrent_learning import rtrl
from .stack import stack_witness, witness

__all__ = [
    "LSTM",
    "RNN",
    "RNN_RELU",
    "Cell",
    "LSTM_bptt",
    "LSTM_forward",
    "RNN_bptt",
    "RNN_forward",
    "Witness",
    "bidirectional_bptt",
    "bidirectional_forward",
    "elman_witness",
    "fliplr",
    "general_recurrence_witness",
    "jordan_witness",
    "narx_witness",
    "network_bptt",
    "network_forward",
    "rtrl",
    "stack_witness",
    "state_space_witness",
    "tdnn_witness",
    "witness",
]
