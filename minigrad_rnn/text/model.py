"""A character model: predict the next character from all before it (Mikolov et al. 2010; Karpathy 2015)."""

from __future__ import annotations

import math
from typing import Any

from minigrad import Tensor, losses, nn
from minigrad.nn.inference import inference
from minigrad.validation import check_choice, check_integer, check_probability, check_type

from ..networks.named import GRU, LSTM, RNN
from ..networks.recurrence import Recurrence
from .streams import IntArray, Streams, check_ids

State = Any
LARGEST_BLOCK = 1 << 24
"""Logits computed at once by `bits_per_character`: 64 MiB in float32."""
CELLS: dict[str, type[Recurrence]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class CharacterModel(nn.Module):
    """Embedding → RNN, LSTM or GRU → Linear: at each step the logits of the next character.

    Call: `logits, state = model(ids, state)`.
        ids: integers (T, B).
        state: the recurrence's state; None for the initial one.
        logits: (T, B, vocab_size).

    Args:
        vocab_size, embedding_size, hidden_size, num_layers: V characters, E, H units in each of L layers.
        cell: "rnn", "lstm" or "gru".
        dropout: probability of dropping a feature in training, between layers and before the readout.
        rng: for initial values and dropout masks: a generator, a seed, or None for the default generator.
        dtype: of the parameters.

    Raises:
        ValueError: an unknown cell, or a size or probability out of range.
    """

    @nn.init.undo_draws
    def __init__(
        self,
        vocab_size: int,
        cell: str = "lstm",
        embedding_size: int = 64,
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.0,
        rng: nn.init.Rng = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        check_choice("CharacterModel", CELLS, cell=cell)
        check_integer(
            "CharacterModel", vocab_size=vocab_size, embedding_size=embedding_size, hidden_size=hidden_size,
            num_layers=num_layers,
        )  # fmt: skip
        check_probability("CharacterModel", dropout=dropout)
        rng = nn.init.as_generator(rng, "CharacterModel")
        self.embedding = nn.Embedding(vocab_size, embedding_size, rng=rng, dtype=dtype)
        between = dropout if num_layers > 1 else 0.0
        # Forget gates start open, so that gradients reach far back from the first training step (Gers et al. 2000).
        options: dict[str, Any] = {"forget_bias": 1.0} if cell == "lstm" else {}
        self.recurrence = CELLS[cell](
            embedding_size, hidden_size, num_layers, dropout=between, rng=rng, dtype=dtype, **options
        )
        self.dropout = nn.Dropout(dropout, rng=rng)
        self.readout = nn.Linear(hidden_size, vocab_size, rng=rng, dtype=dtype)

    def forward(self, ids: Any, state: State = None) -> tuple[Tensor, State]:
        hs, state = self.recurrence(self.embedding(ids), state)
        return self.readout(self.dropout(hs)), state


def bits_per_character(
    model: CharacterModel, ids: IntArray, *, batch_size: int = 64, steps: int = 128, limit: int | None = None
) -> float:
    """Return the model's cross-entropy on a text in bits, mean over characters.

    The text is read as `batch_size` streams (`Streams`), fewer if it is short; each starts from the initial state and
    carries the state to its end. The model is in evaluation mode meanwhile; it synchronises with the device once.

    Args:
        ids: the encoded text (N,), on the host; the model may be on any backend.
        steps: characters read at once, fewer if the vocabulary is large, so that the logits stay small; the result does
            not depend on it.
        limit: stop when about this many characters are predicted in all streams together; None for all of them.

    Raises:
        ValueError: a text of fewer than two characters.
    """
    name = "bits_per_character"
    check_type(name, nn.Module, "a CharacterModel", model=model)
    check_integer(name, most=math.inf, batch_size=batch_size, steps=steps)
    if limit is not None:
        check_integer(name, most=math.inf, limit=limit)
    ids = check_ids(name, ids)
    batch_size = max(1, min(batch_size, ids.size // 512))
    steps = max(1, min(steps, LARGEST_BLOCK // (batch_size * model.readout.weight.shape[0])))
    streams = Streams(ids, batch_size, steps)
    state, total, count = None, None, 0
    with inference(model):
        for inputs, targets, _ in streams:
            logits, state = model(inputs, state)
            nats = losses.cross_entropy(logits, targets, reduction="sum").astype("float64")
            total, count = nats if total is None else total + nats, count + targets.size
            if limit is not None and count >= limit:
                break
    assert total is not None
    return float(total) / count / math.log(2)
