"""`python -m minigrad ops`: every operation, how it is differentiated, and how many there are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .debug.op_list import table


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m minigrad", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ops", help="print the registry of operations")
    parser.parse_args(argv)
    print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
