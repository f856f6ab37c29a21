"""Assemble a kernel's text: its file with every header inlined, so that the compiler needs only one string."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
INCLUDE = re.compile(r'^#include (?:"([\w./]+)"|(K_CELL))$', re.MULTILINE)
CELLS = {"rnn_tanh": "rnn_cell.h", "rnn_relu": "rnn_cell.h", "lstm": "lstm_cell.h", "gru": "gru_cell.h"}


@cache
def program(name: str, cell: str) -> str:
    """Return the source of `name`, such as "forward.cu", of `cell`."""
    included: set[str] = set()

    def expanded(file: str) -> str:
        if file in included:
            return ""
        included.add(file)
        text = (HERE / file).read_text(encoding="utf-8").replace("#pragma once\n", "")
        return INCLUDE.sub(lambda match: expanded(match[1] or CELLS[cell]), text)

    return expanded(name)


def sources() -> list[Path]:
    """Return the files that kernels are compiled from."""
    return [path for folder in (HERE, HERE.parent / "gates") for kind in ("*.cu", "*.h") for path in folder.glob(kind)]


def options(cell: str, H: int, itemsize: int, macros: dict[str, int]) -> tuple[str, ...]:
    """Return the compiler's options: macros for the sizes, which are constants of a kernel."""
    macros = {"K_H": H, **macros}
    if itemsize == 8:
        macros["K_DOUBLE"] = 1
    if cell == "rnn_relu":
        macros["K_RELU"] = 1
    return tuple(f"-D{name}={value}" for name, value in macros.items())
