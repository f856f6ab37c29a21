"""Encoder reads a source: an embedding, and a recurrence that may read in both directions."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor, nn
from minigrad.validation import check_integer, check_probability

from ..networks.named import LSTM
from ..networks.recurrence import Recurrence
from .validation import check_ids, check_network, check_time_major

State = Any


class Encoder(nn.Module):
    """Embedding → recurrence.

    Args:
        vocab_size: V, for integer ids; None if the source is vectors of embedding_size.
        embedding_size, hidden_size, num_layers, bidirectional: E, H, and as in the recurrence.
        network: the recurrence's class: `LSTM`, `GRU`, …, or `Recurrence` with `cell_type=`.
        rng, dtype: as in the recurrence; `options` are further arguments of it.
        embedding_dropout: the probability with which a feature of what the recurrence reads is dropped, in training.
        output_dropout: the same of a feature of the memory.

    Call: `memory, state = encoder(source, lengths)`: source (S, B) ids or (S, B, E); memory (S, B, output_size), zero
    at padding; state as returned by the recurrence. Ids at padding may be anything.
    """

    @nn.init.undo_draws
    def __init__(
        self,
        vocab_size: int | None,
        embedding_size: int,
        hidden_size: int,
        num_layers: int | tuple[int, int] = 1,
        bidirectional: bool = False,
        network: type[Recurrence] = LSTM,
        rng: nn.init.Rng = None,
        dtype: Any = "float32",
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__()
        check_network("Encoder", network)
        check_integer("Encoder", embedding_size=embedding_size)
        if vocab_size is not None:
            check_integer("Encoder", vocab_size=vocab_size)
        rng = nn.init.as_generator(rng, "Encoder")
        self.embedding = None if vocab_size is None else nn.Embedding(vocab_size, embedding_size, rng=rng, dtype=dtype)
        self.recurrence = network(
            embedding_size, hidden_size, num_layers, bidirectional=bidirectional, rng=rng, dtype=dtype, **options
        )
        check_time_major("Encoder", self.recurrence)
        check_probability("Encoder", embedding_dropout=embedding_dropout, output_dropout=output_dropout)
        self.embedding_dropout = nn.Dropout(embedding_dropout, rng)
        self.output_dropout = nn.Dropout(output_dropout, rng)

    @property
    def output_size(self) -> int:
        """The number of features of one step of the memory."""
        top, net = self.recurrence.cells[-1].state_sizes[0], self.recurrence
        return top * 2 if net.bidirectional and net.merge == "concat" else top

    def forward(self, source: Any, lengths: Any = None) -> tuple[Tensor, State]:
        if self.embedding is not None:
            ids, _ = check_ids("Encoder", "source", source, lengths, self.embedding)
            source = self.embedding(ids)
        memory, state = self.recurrence(self.embedding_dropout(source), lengths=lengths)
        return self.output_dropout(memory), state
