"""A valid call of every public function, constructor and method of minigrad_rnn.data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigrad_rnn import data

from .example import LENGTHS, XS, Example, function

ITEMS = [[1], [2, 2], [3, 3, 3], [4]]

DATA_EXAMPLES: dict[str, Callable[[], Example]] = {
    "pad_sequence": function(
        data.pad_sequence, sequences=[XS[0], XS[1, :1]], batch_first=False, padding_value=0.0, padding_side="right",
        return_lengths=False,
    ),
    "unpad_sequence": function(data.unpad_sequence, padded=XS, lengths=LENGTHS, batch_first=False),
    "Stream": function(data.Stream),
    "Batches": function(
        data.Batches, data=XS, batch_size=2, collate=None, shuffle=True, drop_last=False, seed=0
    ),
    "BucketedBatches": function(
        data.BucketedBatches, data=ITEMS, batch_size=2, length=len, collate=None, max_padding=0.1, shuffle=True, seed=0
    ),
    "Batches.load_state_dict": lambda: (
        (stream := data.Batches(XS, 2)).load_state_dict, {"state": stream.state_dict()}
    ),
    "hold_out": function(
        data.hold_out, data=XS, fractions=0.4, seed=0, by_time=False, gap=0, groups=np.array([0, 1, 2])
    ),
}  # fmt: skip
