"""`python -m benchmarks [name ...]`: run the benchmarks, print their tables, write them into README.md."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence

from . import (
    auto_choice,
    chain,
    distributed,
    fused,
    import_time,
    ledger,
    lengths,
    loss_curves,
    machine,
    memory,
    mlp,
    op_by_op,
    short_calls,
    training_step,
    truncation,
)
from .page import README, Benchmark, Options, replace_block
from .timing import QUICK, Plan

MODULES = (
    op_by_op,
    mlp,
    chain,
    fused,
    short_calls,
    auto_choice,
    training_step,
    loss_curves,
    lengths,
    memory,
    ledger,
    truncation,
    distributed,
    import_time,
)
ALL: dict[str, Benchmark] = {module.BENCHMARK.name: module.BENCHMARK for module in MODULES}


def report(line: str) -> None:
    """Print progress to stderr, so that stdout holds only the tables."""
    print(line, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"benchmarks to run: {', '.join(ALL)}; all by default")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and few rounds, to check that everything runs"
    )
    parser.add_argument("--write", action="store_true", help="write the tables into benchmarks/README.md")
    parser.add_argument(
        "--one-process", action="store_true", help="run all contestants in one process, to see the effect"
    )
    parser.add_argument("--no-collector", action="store_true", help="switch the garbage collector off in timed calls")
    parser.add_argument(
        "--patience", type=float, metavar="SECONDS", help="how long to wait for a quiet machine at each size"
    )
    parser.add_argument(
        "--restarts", type=int, metavar="N", help="over how many sets of processes to spread the rounds"
    )
    arguments = parser.parse_args(argv)
    if unknown := [name for name in arguments.names if name not in ALL]:
        parser.error(f"names: got {', '.join(unknown)}, want any of {', '.join(ALL)}")
    if arguments.write and (arguments.quick or arguments.one_process or arguments.no_collector):
        parser.error("--write: only the plain run goes into README.md")
    plan = dataclasses.replace(QUICK if arguments.quick else Plan(), collector=not arguments.no_collector)
    if arguments.patience is not None:
        plan = dataclasses.replace(plan, patience=arguments.patience)
    if arguments.restarts is not None:
        if arguments.restarts < 1:
            parser.error(f"--restarts: got {arguments.restarts}, want at least 1")
        plan = dataclasses.replace(plan, restarts=arguments.restarts)
    options = Options(plan, arguments.quick, arguments.one_process, report)
    status = 0
    for name in arguments.names or ALL:
        report(f"{name} …")
        begin = time.perf_counter()
        benchmark = ALL[name]
        tables = benchmark.measure(options)
        text = f"{tables.text}\n\n{machine.describe(benchmark.others)}."
        report(f"{name}: {time.perf_counter() - begin:.0f} s")
        print(f"## {name}\n\n{text}\n", flush=True)
        if arguments.write and not tables.quiet:
            report(f"{name}: not written, the machine was busy; --patience waits longer for quiet")
            status = 1
        elif arguments.write:
            page = README.read_text(encoding="utf-8")
            README.write_text(replace_block(page, name, text), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
