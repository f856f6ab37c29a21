"""The witness: every recurrence of the library differentiated by hand, on NumPy alone.

`lecture` follows the slides' own procedures. Nothing in this package imports anything else of the project.
"""

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
    witness,
)

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
    "fliplr",
    "network_bptt",
    "network_forward",
    "witness",
]
