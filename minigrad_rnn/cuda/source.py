"""The text of a kernel: its file with the headers in their places, so that one string is all that a compiler needs."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
INCLUDE = re.compile(r'^#include (?:"([\w.]+)"|(K_GATES))$', re.MULTILINE)
GATES = {"rnn_tanh": "rnn_gates.h", "rnn_relu": "rnn_gates.h", "lstm": "lstm_gates.h", "gru": "gru_gates.h"}


@cache
def program(name: str, cell: str) -> str:
    """The source of `name`, such as "forward.cu", with the gates of `cell`."""
    included: set[str] = set()

    def expanded(file: str) -> str:
        if file in included:
            return ""
        included.add(file)
        text = (HERE / file).read_text(encoding="utf-8").replace("#pragma once\n", "")
        return INCLUDE.sub(lambda found: expanded(found[1] or GATES[cell]), text)

    return expanded(name)


def options(cell: str, H: int, itemsize: int, macros: dict[str, int]) -> tuple[str, ...]:
    """What a compiler is told beside the source: sizes are constants of a kernel."""
    defined: dict[str, int] = {"K_H": H, **macros}
    if itemsize == 8:
        defined["K_DOUBLE"] = 1
    if cell == "rnn_relu":
        defined["K_RELU"] = 1
    return tuple(f"-D{name}={value}" for name, value in defined.items())
