"""`python_tokens` labels each character of Python source with the class of the token that it belongs to."""

from __future__ import annotations

import io
import keyword
import random
import tokenize
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minigrad_rnn.text.corpus import read_corpus

CLASSES = ("space", "keyword", "name", "call", "number", "operator", "string", "comment")
"""The label k of a character means CLASSES[k]. A call is a name with an opening bracket right behind it."""
_KINDS = {tokenize.NUMBER: "number", tokenize.OP: "operator", tokenize.STRING: "string", tokenize.COMMENT: "comment"}


class LabelledSource(NamedTuple):
    """A Python file."""

    name: str
    text: str
    labels: npt.NDArray[np.uint8]
    """(len(text),)"""


def python_tokens(limit: int | None = 2_000_000, seed: int = 0) -> list[LabelledSource]:
    """Return files of the standard library in an order that depends on `seed`, until they have `limit` characters.

    `limit=None` is all of them. The labels are those of Python's own tokenizer; from Python 3.12 on it takes f-strings
    apart, which here are strings from end to end, as before.
    """
    documents = list(read_corpus().documents)
    random.Random(seed).shuffle(documents)
    sources: list[LabelledSource] = []
    for document in documents:
        if limit is not None and limit <= 0:
            break
        text = document.text.replace("\f", " ")  # the tokenizer takes a form feed for the start of a line
        try:
            labels = token_classes(text)
        except (SyntaxError, tokenize.TokenError):  # such as a file that is a test of the tokenizer
            continue
        sources.append(LabelledSource(document.name, text, labels))
        limit = None if limit is None else limit - len(text)
    return sources


def token_classes(text: str) -> npt.NDArray[np.uint8]:
    """Return the class of each character of a Python source, uint8 of shape (len(text),).

    Raises:
        SyntaxError, tokenize.TokenError: it is no Python.
    """
    lines = io.StringIO(text).readlines()
    starts = np.concatenate([[0], np.cumsum([len(line) for line in lines], dtype=np.int64)])
    labels = np.zeros(len(text), dtype=np.uint8)
    previous = slice(0, 0)
    for kind, string, first, last in _tokens(text):
        place = slice(int(starts[first[0] - 1]) + first[1], int(starts[last[0] - 1]) + last[1])
        if kind == "name" and keyword.iskeyword(string):
            kind = "keyword"
        labels[place] = CLASSES.index(kind)
        if string == "(" and previous.stop == place.start and CLASSES[labels[previous.start]] == "name":
            labels[previous] = CLASSES.index("call")
        previous = place
    return labels


def _tokens(text: str) -> Iterator[tuple[str, str, tuple[int, int], tuple[int, int]]]:
    """Yield class, text, first and last position of each token; an f-string is one."""
    begin = {getattr(tokenize, name, None) for name in ("FSTRING_START", "TSTRING_START")} - {None}
    end = {getattr(tokenize, name, None) for name in ("FSTRING_END", "TSTRING_END")} - {None}
    depth, first = 0, (0, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in begin:
                first = first if depth else token.start
                depth += 1
            elif token.type in end:
                depth -= 1
                if not depth:
                    yield "string", "", first, token.end
            elif not depth and token.type == tokenize.NAME:
                yield "name", token.string, token.start, token.end
            elif not depth and token.type in _KINDS:
                yield _KINDS[token.type], token.string, token.start, token.end
