"""Run HIPS autograd's own tests on minigrad: `python tests/support/autograds_tests.py .venv/autograd-1.9.1/tests`.

They run in a process of their own, in which `import autograd` finds `tests/support/autograd_shim/autograd`: autograd's
interface implemented with minigrad. autograd itself need not be installed. Its tests come from its sdist, which
`make autograd-sdist` downloads.

Derivatives with respect to complex arguments are skipped, since minigrad's variables are real: such points inside a
test are counted, and tests with nothing else in them are listed here. Everything else counts: every failure, whatever
its reason, and every test that passes without having checked anything.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SDIST = Path(sys.prefix) / "autograd-1.9.1" / "tests"
"""Where `make autograd-sdist` unpacks the tests: in the virtual environment."""
WANTED = 0.95
"""The share of the real-number tests of SCORED that must pass."""

SCORED = (
    "test_systematic.py",
    "test_numpy.py",
    "test_linalg.py",
    "test_fft.py",
    "test_scalar_ops.py",
    "test_binary_ops.py",
)
NOT_SCORED = (
    "test_graphs.py",
    "test_jacobian.py",
    "test_wrappers.py",
    "test_truediv.py",
    "test_logic.py",
    "test_dict.py",
    "test_list.py",
    "test_tuple.py",
    "test_builtins.py",
    "test_direct.py",
    "test_core.py",
)
"""Tests of autograd's interface more than of derivatives: they are in the table, but not in the score."""

COMPLEX_INPUT = "the matrix to differentiate with respect to is complex"
HALF_SPECTRUM = "the transform's input is the complex half spectrum"
COMPLEX = {
    "test_linalg.py": {
        "test_vector_2norm_complex": COMPLEX_INPUT,
        "test_frobenius_norm_complex": COMPLEX_INPUT,
        "test_frobenius_norm_axis_complex": COMPLEX_INPUT,
        "test_vector_norm_ord_complex": COMPLEX_INPUT,
        "test_norm_axis_complex": COMPLEX_INPUT,
        "test_norm_nuclear_complex": COMPLEX_INPUT,
        "test_norm_nuclear_axis_complex": COMPLEX_INPUT,
        "test_eigvalh_lower_complex": COMPLEX_INPUT,
        "test_eigvalh_upper_complex": COMPLEX_INPUT,
        "test_eig_complex": COMPLEX_INPUT,
        "test_eig_batched": COMPLEX_INPUT,
        "test_svd_wide_2d_complex": COMPLEX_INPUT,
        "test_svd_wide_3d_complex": COMPLEX_INPUT,
        "test_svd_square_2d_complex": COMPLEX_INPUT,
        "test_svd_square_3d_complex": COMPLEX_INPUT,
        "test_svd_tall_2d_complex": COMPLEX_INPUT,
        "test_svd_tall_3d_complex": COMPLEX_INPUT,
        "test_svd_only_s_2d_complex": COMPLEX_INPUT,
        "test_svd_only_s_3d_complex": COMPLEX_INPUT,
    },
    "test_fft.py": {
        "test_irfft_n_smaller": HALF_SPECTRUM,
        "test_irfft_n_bigger": HALF_SPECTRUM,
        "test_irfft2_s": HALF_SPECTRUM,
        "test_irfftn_s": HALF_SPECTRUM,
        "test_irfft": HALF_SPECTRUM,
        "test_irfft_ortho": HALF_SPECTRUM,
        "test_irfft2": HALF_SPECTRUM,
        "test_irfftn": HALF_SPECTRUM,
        "test_irfftn_subset": HALF_SPECTRUM,
    },
    "test_graphs.py": {"test_complex_separate_real_and_imaginary": COMPLEX_INPUT},
}
"""Tests of complex numbers only, with what is complex in them."""

EXPLAINED = {
    "test_rfftn_odd_not_implemented": "it expects a NotImplementedError; minigrad differentiates odd lengths too"
}
"""The table's notes on failures that are not minigrad's faults. They count as failures all the same."""


class BrokenRun(RuntimeError):
    """The tests could not run, or the lists here do not match them."""


@dataclass
class Outcome:
    """The outcome of one test; `status` is "passed", "failed" or "complex"."""

    file: str
    name: str
    status: str
    reason: str
    checked: int
    complex: int


def run(tests: Path, files: tuple[str, ...], complex_too: bool = False) -> list[Outcome]:
    """Run test files from a folder on minigrad.

    Raises:
        BrokenRun: a file cannot be imported or has no tests, or one is listed as complex that checks real numbers.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "outcomes.json"
        shim = ROOT / "tests" / "support" / "autograd_shim"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "outcomes", "-p", "no:cacheprovider"]
        command += ["-c", os.devnull, "--rootdir", str(tests), "--outcomes", str(report)]
        command += ["--with-complex"] * complex_too + [str(tests / file) for file in files]
        paths = os.pathsep.join([str(shim), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        process = subprocess.run(command, cwd=tests, env=environment, capture_output=True, text=True, check=False)
        if not report.is_file():
            raise BrokenRun(f"autograd's tests did not run:\n{process.stdout[-3000:]}{process.stderr[-3000:]}")
        results = json.loads(report.read_text())
    if results["broken"]:
        raise BrokenRun("not collected: " + "; ".join(results["broken"]))
    outcomes = [outcome_of(test, complex_too) for test in results["tests"]]
    seen = {(o.file, o.name.partition("[")[0]) for o in outcomes}
    if empty := [file for file in files if file not in {o.file for o in outcomes}]:
        raise BrokenRun(f"no tests in {', '.join(empty)}")
    if gone := [name for file in files for name in COMPLEX.get(file, ()) if (file, name) not in seen]:
        raise BrokenRun(f"listed as complex, but missing: {', '.join(gone)}")
    return outcomes


def outcome_of(test: dict[str, Any], complex_too: bool) -> Outcome:
    """Return the outcome of a test that the plugin reported."""
    name = test["name"].partition("[")[0]
    listed = COMPLEX.get(test["file"], {}).get(name)
    outcome = Outcome(test["file"], test["name"], "passed", "", test["checked"], test["complex"])
    if listed is not None and not complex_too:
        if test["checked"] or test["outcome"] != "passed" or not test["complex"]:
            raise BrokenRun(f"{test['file']}: {name} is listed as complex, but: {test}")
        outcome.status, outcome.reason = "complex", listed
    elif test["outcome"] != "passed":
        outcome.status, outcome.reason = "failed", test["reason"] or test["outcome"]
    elif test["complex"] and not test["checked"]:
        outcome.status, outcome.reason = "failed", "it passed without a check: all of its points are complex"
    return outcome


def score(outcomes: list[Outcome]) -> float:
    """Return the share of the real-number tests of SCORED that passed."""
    real = [o for o in outcomes if o.status != "complex" and o.file not in NOT_SCORED]
    return sum(o.status == "passed" for o in real) / len(real)


def table(outcomes: list[Outcome]) -> str:
    lines = ["                     tests:                                  points:"]
    lines += ["file                  total   real  passed  failed  complex    real  complex"]

    def line(name: str, own: list[Outcome]) -> str:
        passed, failed, left = (sum(o.status == status for o in own) for status in ("passed", "failed", "complex"))
        points = f"{sum(o.checked for o in own):>7} {sum(o.complex for o in own):>8}"
        return f"{name:<20} {len(own):>6} {passed + failed:>6} {passed:>7} {failed:>7} {left:>8} {points}"

    files = list(dict.fromkeys(o.file for o in outcomes))
    main = [file for file in files if file not in NOT_SCORED]
    lines += [line(file, [o for o in outcomes if o.file == file]) for file in main]
    lines += [line("together", [o for o in outcomes if o.file in main]), ""]
    lines += [line(file, [o for o in outcomes if o.file == file]) for file in files if file in NOT_SCORED]
    lines += ["", "failed:"]
    for o in outcomes:
        if o.status == "failed":
            note = EXPLAINED.get(o.name)
            lines.append(f"  {o.file} {o.name}: {o.reason}" + (f"\n    {note}" if note else ""))
    lines += ["", "skipped, because complex:"]
    reasons: dict[str, list[str]] = {}
    for o in outcomes:
        if o.status == "complex":
            reasons.setdefault(f"{o.file}, {o.reason}", []).append(o.name)
    lines += [f"  {reason}:\n    {', '.join(names)}" for reason, names in reasons.items()]
    lines += ["", f"{score(outcomes):.1%} of the real-number tests pass; wanted: {WANTED:.0%}"]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", type=Path, nargs="?", default=SDIST, help="the folder of autograd's tests")
    parser.add_argument("--with-complex", action="store_true", help="skip nothing; for information only")
    arguments = parser.parse_args()
    if not arguments.tests.is_dir():
        print(f"{arguments.tests} does not exist: `make autograd-sdist` downloads it", file=sys.stderr)
        return 2
    outcomes = run(arguments.tests.resolve(), SCORED + NOT_SCORED, arguments.with_complex)
    print(table(outcomes))
    return 0 if score(outcomes) >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
