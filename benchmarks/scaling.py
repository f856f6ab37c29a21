"""Measure what data-parallel training costs on this machine, and say what it would on up to 1,024 ranks.

    python -m benchmarks.scaling [measured] [--quick] [--write] [--measurements FILE]

One rank is timed with several numbers of streams, two ranks with messages and sums of several sizes; `scaling_model`
makes the tables and the picture of these. `--write` puts them into docs/scaling.md and docs/scaling.svg. The model is
held against the measured update of two ranks first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import machine
from .page import milliseconds, replace_block, table
from .ranks import HIDDEN, STEPS, mpiexec, on_ranks
from .scaling_model import NOMINAL, Link, Measured, all_reduce_seconds, measured_of

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, PICTURE, BLOCK = DOCS / "scaling.md", DOCS / "scaling.svg", "measured"
RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SHOWN = (1, 2, 8, 64, 256, 1024)
"""The numbers of ranks in the tables; the picture has all."""
STRONG = 1024
"""The streams that the ranks share in strong scaling: one for each of the largest number of ranks."""
STREAMS = (1, 2, 4, 8, 16, 32)
SIZES = tuple(4**k for k in range(2, 13))
ONE_MACHINE = 64
"""The most ranks that are taken to share a memory like this machine's."""
PIECES = (1, 6, 60)
"""In how many arrays the gradients are summed, to see what one bucket saves."""


def measure(quick: bool = False) -> dict[str, Any]:
    """Run the programs and return all that they measured."""
    model = {"hidden": 16, "steps": 4, "count": 5} if quick else {"hidden": HIDDEN, "steps": STEPS, "count": 60}
    streams, sizes, rounds = (STREAMS[:3], SIZES[:4], 20) if quick else (STREAMS, SIZES, 400)
    alone = []
    for batch in streams:
        print(f"one rank, {batch} streams …", file=sys.stderr, flush=True)
        alone.append((batch, on_ranks(1, "updates", batch=batch, **model)))
    print("two ranks …", file=sys.stderr, flush=True)
    nbytes = alone[-1][1]["gradient_bytes"]
    pieces = [4 * (nbytes // 4 // k) for k in PIECES]
    return {
        "alone": alone,
        "two": on_ranks(2, "updates", batch=streams[-1], **model),
        "exchanges": on_ranks(2, "exchanges", sizes=sizes, rounds=rounds),
        "pieces": on_ranks(2, "exchanges", sizes=pieces, rounds=rounds)["all_reduce"],
        "machine": machine.describe(("mpi4py", "mpich")),
    }


def links(measured: Measured) -> tuple[Link, ...]:
    """The links of the tables: the measured one first."""
    return (measured.link, *NOMINAL)


def text_of(results: dict[str, Any]) -> str:
    """Return the tables in Markdown: what was measured, the model against two ranks, and up to 1,024 ranks."""
    measured = measured_of(results["exchanges"], results["alone"])
    return "\n\n".join([*_measured_tables(results, measured), *_predicted_tables(measured), f"{results['machine']}."])


def _measured_tables(results: dict[str, Any], measured: Measured) -> list[str]:
    exchanges, streams, link = results["exchanges"], measured.streams[-1], measured.link
    rows = [
        [f"{n:,}", *(milliseconds(exchanges[key][k]) for key in ("message", "all_reduce", "sum"))]
        for k, n in enumerate(exchanges["bytes"])
    ]
    computing = [[str(b), milliseconds(t), f"{1000 * t / b:.2f}"] for b, t in zip(measured.streams, measured.compute)]
    parts = measured.update_seconds(2, streams, link)
    two, pooling = (statistics.median(results["two"][key]) for key in ("update", "pooling"))
    one = statistics.median(results["alone"][-1][1]["update"])
    nbytes, ran = measured.gradient_bytes, results["alone"][-1][1]["implementation"]
    pieces = [
        [
            str(k),
            milliseconds(k * seconds),
            milliseconds(k * all_reduce_seconds(2, nbytes / k, link, measured.gamma)[0]),
        ]
        for k, seconds in zip(PIECES, results["pieces"])
    ]
    return [
        f"One rank computes an update without pooling (median; the LSTM is {ran}), by streams:",
        table(["streams", "ms", "ms a stream"], computing),
        "Two ranks on this machine exchange float32 (the fastest of many, ms):",
        table(["bytes", "a message", "all-reduce", "adding"], rows),
        f"A message of n bytes: {1e6 * link.alpha:.1f} µs + n / ({1e-9 / link.beta:.1f} GB/s). Adding: "
        f"{1e-9 / measured.gamma:.1f} GB/s. A meeting of two: {1e6 * measured.meeting:.0f} µs. Laying "
        f"{nbytes / 1e6:.2f} MB of gradients into the bucket and taking them out: {milliseconds(measured.pack)} ms.",
        f"The sum of these {nbytes / 1e6:.2f} MB in one array, and in as many as a model or a larger one has:",
        table(["arrays", "measured, ms", "model, ms"], pieces),
        f"An update on two ranks with {streams} streams each: the model says {milliseconds(sum(parts.values()))} ms ("
        + ", ".join(f"{name} {milliseconds(seconds)}" for name, seconds in parts.items())
        + f"), measured were {milliseconds(two)} ms, of it {milliseconds(pooling)} pooling with the wait; one "
        f"rank took {milliseconds(one)} ms.",
    ]


def _predicted_tables(measured: Measured) -> list[str]:
    streams, found = measured.streams[-1], []
    for strong in (False, True):
        each = STRONG if strong else streams
        rows = []
        for ranks in SHOWN:
            cells = [f"{ranks:,}", f"{each / ranks:g}" if strong else f"{each}"]
            for link in links(measured):
                if link is measured.link and ranks > ONE_MACHINE:
                    cells.append("–")
                    continue
                share = measured.efficiency(ranks, each, link, strong)
                cells.append(f"{100 * share:.0f} % ({_figures(ranks * share)} ×)")
            rows.append(cells)
        head = ["ranks", "streams of a rank", *(link.name for link in links(measured))]
        what = (
            f"Strong scaling: {STRONG:,} streams for all ranks together"
            if strong
            else "Weak scaling: each rank has the same"
        )
        found += [f"{what}; share of the ideal speed (speed of one rank × …):", table(head, rows)]
    last = RANKS[-1]
    for link in NOMINAL:
        parts = measured.update_seconds(last, streams, link)
        _, algorithm = all_reduce_seconds(last, measured.gradient_bytes, link, measured.gamma)
        told = ", ".join(f"{name} {milliseconds(seconds)}" for name, seconds in parts.items())
        found.append(f"On {last:,} ranks over {link.name}, weak scaling, ms: {told} ({algorithm}).")
    return found


def _figures(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def draw(measured: Measured, path: Path) -> None:
    """Draw the efficiency over the number of ranks, weak and strong, for each link, into an SVG file."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "scaling"
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    for panel, strong in zip(panels, (False, True)):
        each = STRONG if strong else measured.streams[-1]
        for link, style in zip(links(measured), ("-", "--", ":")):
            own = link is measured.link
            counts = [ranks for ranks in RANKS if not own or ranks <= ONE_MACHINE]
            shares = [100 * measured.efficiency(ranks, each, link, strong) for ranks in counts]
            mark = " (fitted to two ranks)" if own else " (round figures)"
            panel.plot(counts, shares, style, marker="o", markersize=3, color="black", label=link.name + mark)
        panel.axvspan(2, RANKS[-1], color="0.95", zorder=0)
        panel.text(2.3, 3, "extrapolated", color="0.4", fontsize=8)
        panel.set_xscale("log", base=2)
        panel.set_xticks(RANKS, [f"{r:,}" if k % 2 == 0 else "" for k, r in enumerate(RANKS)])
        panel.set_ylim(0, 105)
        panel.set_xlabel("ranks")
        panel.set_title(f"strong: {each:,} streams in all" if strong else f"weak: {each} streams a rank", fontsize=10)
        panel.grid(color="0.9", linewidth=0.5)
    panels[0].set_ylabel("share of the ideal speed, %")
    panels[0].legend(fontsize=7, loc="lower left", bbox_to_anchor=(0.0, 0.08))
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("block", nargs="?", choices=[BLOCK], default=BLOCK, help="what is measured: all")
    parser.add_argument("--quick", action="store_true", help="a tiny model, to check that everything runs")
    parser.add_argument("--write", action="store_true", help="write the tables and the picture into docs/")
    parser.add_argument(
        "--measurements", type=Path, metavar="FILE", help="read them from here if it is there, else write"
    )
    options = parser.parse_args(argv)
    if options.write and options.quick:
        parser.error("--write: only the plain run goes into docs/")
    if options.measurements is not None and options.measurements.exists():
        results = json.loads(options.measurements.read_text(encoding="utf-8"))
    elif mpiexec() is None:
        print("mpi4py or mpiexec is missing: pip install mpi4py mpich", file=sys.stderr)
        return 2
    else:
        results = measure(options.quick)
        if options.measurements is not None:
            options.measurements.write_text(json.dumps(results), encoding="utf-8")
    text = text_of(results)
    print(text)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(replace_block(page, BLOCK, text, "benchmarks.scaling"), encoding="utf-8")
        draw(measured_of(results["exchanges"], results["alone"]), PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
