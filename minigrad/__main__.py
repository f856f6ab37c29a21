"""Command line: `python -m minigrad ops` lists every operation and how it is differentiated."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from .debug.op_list import table


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m minigrad", description="Tools of the automatic differentiation.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ops", help="list every operation and how it is differentiated")
    parser.parse_args(argv)
    try:
        print(table(), flush=True)
    except BrokenPipeError:  # the reader closed the pipe, as `head` does; Python would fail again when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
