"""Hold what was predicted of the kernels before their first run against what a run measured.

    python -m benchmarks.gpu_predictions [--dry-run] FOLDER

FOLDER is where `tests/on_a_gpu.sh` wrote: `probe.jsonl` of `benchmarks.gpu_probe`, the page `gpu.md` of
`benchmarks.gpu`, `summary`, and `rest.xml` of pytest. What was not measured has no number.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass
class Measured:
    """What a run left: the probe's rows, the summary of its stages, pytest's report, and the page of tables."""

    rows: list[Row]
    summary: str = ""
    report: str = ""
    page: str = ""

    def over_ours(self, T: int, B: int, H: int) -> float | None:
        """Return cuDNN's time in IEEE arithmetic over ours, of an LSTM forward and backward."""
        block = self.page.partition("<!-- begin --only LSTM")[2].partition("<!-- end")[0]
        row = re.search(rf"^\| {T}, {B}, {H}, {H} +\|[^|]*\|[^|]*\| *([\d.]+) *\|", block, re.MULTILINE)
        return float(row[1]) if row else None

    def fastest(self, pass_name: str, B: int, H: int, T: int = 100, directions: int = 1, **wanted: Any) -> float | None:
        """Return the fewest µs of a step of an LSTM's launch, of a pass without one, among the rows that fit.

        `kind` takes rows of one kind alone; `cluster=True` tiles with clusters, False those without.
        """
        key = {"cell": "lstm", "pass": pass_name, "B": B, "H": H, "T": T, "directions": directions, **wanted}
        found = [row for row in self.rows if key.items() <= {**row, "cluster": _has_cluster(row)}.items()]
        times = [row["launch_us"] if row["launch_us"] is not None else row["pass_us"] for row in found]
        return min(times) if times else None


def _has_cluster(row: Row) -> bool:
    return bool((row.get("tile") or {}).get("cluster"))


@dataclass(frozen=True)
class Prediction:
    """A range that a number should lie in."""

    what: str
    low: float
    high: float
    measure: Callable[[Measured], float | None]


def step(pass_name: str, B: int, H: int, low: float, high: float, cluster: bool) -> Prediction:
    """Return a prediction of the µs of a step at T = 100."""
    how = "one cluster" if cluster else "polling"
    what = f"LSTM ({B}, {H}) {pass_name}, {how}, µs a step"
    return Prediction(what, low, high, lambda m: m.fastest(pass_name, B, H, cluster=cluster))


def ratio(what: str, low: float, high: float, over: dict[str, Any], under: dict[str, Any]) -> Prediction:
    """Return a prediction of one time over another, of forward passes."""

    def measure(m: Measured) -> float | None:
        above, below = (m.fastest("forward", kind="steps", **size) for size in (over, under))
        return None if above is None or not below else above / below

    return Prediction(what, low, high, measure)


def over_ours(T: int, B: int, H: int, low: float, high: float = math.inf) -> Prediction:
    """Return what is wanted, or predicted, of cuDNN's time over ours."""
    what = f"LSTM ({T}, {B}, {H}, {H}), cuDNN IEEE over ours"
    return Prediction(what, low, high, lambda m: m.over_ours(T, B, H))


def share_of_first_tiles(m: Measured) -> float | None:
    """Return the share of shapes whose fastest tile is the planner's first one."""
    by_shape: dict[Any, list[Row]] = {}
    for row in m.rows:
        if row.get("launch_us") is not None and "rank" in row:
            by_shape.setdefault((row["B"], row["H"], row["pass"]), []).append(row)
    best = [min(rows, key=lambda row: row["launch_us"])["rank"] == 0 for rows in by_shape.values()]
    return sum(best) / len(best) if best else None


def red_tests(m: Measured) -> float | None:
    """Return how many tests of the suite failed."""
    suites = re.findall(r'<testsuite [^>]*errors="(\d+)"[^>]*failures="(\d+)"', m.report)
    return float(sum(int(n) for pair in suites for n in pair)) if suites else None


def green(m: Measured) -> float | None:
    """Return 1 if the smoke test and the tests of the kernels passed, 0 if one failed."""
    codes = re.findall(r"^(?:smoke|kernels) +rc +(\d+)", m.summary, re.MULTILINE)
    return float(not any(int(code) for code in codes)) if codes else None


PREDICTIONS = (
    Prediction("smoke and kernels right at first try (75 %)", 1, 1, green),
    step("forward", 1, 128, 0.9, 1.6, cluster=False),
    step("forward", 16, 256, 1.1, 1.6, cluster=False),
    step("forward", 64, 512, 4.5, 6.5, cluster=False),
    step("backward", 64, 512, 7.0, 10.0, cluster=False),
    step("forward", 1, 128, 0.45, 0.7, cluster=True),
    step("forward", 16, 256, 0.6, 0.9, cluster=True),
    ratio("LSTM (64, 512), T = 1000 over T = 100", 1.05, 1.25, {"B": 64, "H": 512, "T": 1000}, {"B": 64, "H": 512}),
    ratio(
        "LSTM (16, 256), two directions over one", 1.05, 1.2, {"B": 16, "H": 256, "directions": 2}, {"B": 16, "H": 256}
    ),
    ratio(
        "LSTM (64, 512), two directions over one", 1.6, 2.0, {"B": 64, "H": 512, "directions": 2}, {"B": 64, "H": 512}
    ),
    over_ours(1000, 1, 64, 1.0),
    over_ours(1000, 16, 256, 1.5),
    over_ours(100, 64, 512, 1.0),
    over_ours(100, 64, 1024, 0.8, 1.0),
    Prediction("shapes whose fastest tile is the planner's first", 0.2, 0.5, share_of_first_tiles),
    Prediction("red tests of ops, CuPy's or a tolerance's", 1, 10, red_tests),
)


def lines(m: Measured, predictions: Iterable[Prediction] = PREDICTIONS) -> list[str]:
    """Return a table, one line for each prediction."""
    result = [f"{'predicted':<52}{'range':>12}{'measured':>10}"]
    for p in predictions:
        measured = p.measure(m)
        span = f"{p.low:g}–{p.high:g}"
        if p.low == p.high or p.high == math.inf:
            span = f"{p.low:g}" if p.low == p.high else f"≥ {p.low:g}"
        number = "–" if measured is None else f"{measured:.2f}"
        held = "" if measured is None else "  held" if p.low <= measured <= p.high else "  NOT HELD"
        result.append(f"{p.what:<52}{span:>12}{number:>10}{held}")
    return result


def read(folder: Path) -> Measured:
    """Return what a folder holds; a file that is missing, or a line that was cut, is left out."""

    def text(name: str) -> str:
        path = folder / name
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    rows = []
    for line in text("probe.jsonl").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "pass" in row:
            rows.append(row)
    return Measured(rows, text("summary"), text("rest.xml"), text("gpu.md"))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.gpu_predictions", description=__doc__)
    result.add_argument("folder", type=Path, help="where tests/on_a_gpu.sh wrote")
    result.add_argument("--dry-run", action="store_true", help="say that no device measured anything")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    if arguments.dry_run:
        print("a dry run on the host: what is measured here says nothing")
    print("\n".join(lines(read(arguments.folder))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
