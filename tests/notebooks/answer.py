"""Answer is a right answer to an exercise of a notebook, with wrong ones and what the check says of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """The source of an exercise's cell, filled in; and faults to plant into it."""

    right: str
    faults: tuple[tuple[str, str, str], ...]
    """(old, new, words): the right source with `old` replaced by `new` is wrong, and the check says these words."""

    def wrong(self) -> list[tuple[str, str]]:
        """Return (source, words) for each fault."""
        assert all(self.right.count(old) == 1 for old, _, _ in self.faults)
        return [(self.right.replace(old, new), words) for old, new, words in self.faults]
