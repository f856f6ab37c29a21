"""`frequent_tokens` chooses the tokens of a vocabulary, `as_token_ids` checks the ids that one is to decode."""

import math
from collections import Counter
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from minigrad.validation import as_array, check_integer

Token = TypeVar("Token", bound=str | int)


def frequent_tokens(
    caller: str, what: str, counts: Counter[Token], max_size: int | None, unknown: Token | None
) -> set[Token]:
    """Return the tokens that a text has and the one that stands for all others, at most `max_size`.

    The rarest are left out; of equally frequent ones those that sort last.

    Raises:
        ValueError: tokens must be left out and `max_size` is below 2, or nothing stands for them.
    """
    if max_size is not None:
        check_integer(caller, most=math.inf, max_size=max_size)
    symbols: set[Token] = set() if unknown is None else {unknown}
    tokens = {*counts, *symbols}
    if max_size is None or len(tokens) <= max_size:
        return tokens
    if unknown is None or max_size < 2:
        got = f"{max_size} for {len(counts)} {what} with unknown={unknown!r}"
        raise ValueError(f"{caller}: max_size: got {got}, want at least 2 and an unknown symbol")
    frequent: list[Token] = sorted(counts.keys() - symbols, key=lambda token: (-counts[token], token))
    return {unknown, *frequent[: max_size - 1]}


def as_token_ids(caller: str, ids: npt.ArrayLike, size: int) -> npt.NDArray[np.intp]:
    """Return `ids` as an array of the same shape.

    Raises:
        TypeError: ids that are not integers. ValueError: an id below 0 or not below `size`.
    """
    array: npt.NDArray[np.integer[Any]] = as_array(ids, caller, "ids")
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"{caller}: ids: got {array.dtype}, want integers")
    if array.size and (array.min() < 0 or array.max() >= size):
        raise ValueError(f"{caller}: ids: got {array.min()} to {array.max()}, want 0 to {size - 1}")
    return array.astype(np.intp)
