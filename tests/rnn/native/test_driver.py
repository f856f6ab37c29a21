"""A program in C that runs every kind of sequence: under sanitizers, on another processor, compiled in other ways."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from minigrad_rnn.native import shared_library
from tests.support.native_variants import NATIVE, changed_source

DRIVER = Path(__file__).parents[2] / "support" / "native_driver.c"
SANITIZERS = "-fsanitize=address,undefined"
FLAGS = ("-std=gnu11", "-g1", "-w", "-ffp-contract=fast", "-fno-sanitize-recover=all")
WAYS: dict[str, tuple[str, ...]] = {
    "float32": ("-O0", NATIVE, SANITIZERS, "-DREAL_IS_DOUBLE=0"),
    "float64": ("-O0", NATIVE, SANITIZERS, "-DREAL_IS_DOUBLE=1"),
    "float32, 16 bytes, optimised": ("-O1", "-DVECTOR_BYTES=16", "-fsanitize=address", "-DREAL_IS_DOUBLE=0"),
}
KINDS = ["rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_first"]
TOLERANCE = 1e-6
"""Between the sums of everything that was computed, relative: float32 beside float64."""


def program(folder: Path, command: tuple[str, ...], source: Path | None = None) -> Path:
    """Compile the driver with the sequences, or a changed source of them."""
    path = folder / "driver"
    include = f"-I{(source or shared_library.SOURCE).parent}"
    built = subprocess.run(
        [*command, *FLAGS, include, str(DRIVER), "-o", str(path), "-lm"], capture_output=True, text=True, check=False
    )
    if built.returncode and ("cannot find" in built.stderr or "not found" in built.stderr):
        pytest.skip(f"compiled sequences: the compiler has no {command[-1]} or a library for it")
    assert not built.returncode, built.stderr
    return path


def outcome(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ASAN_OPTIONS": "redzone=128"}  # wider than a vector, of which it checks both ends
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)


def sums(done: subprocess.CompletedProcess[str]) -> dict[str, float]:
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return {kind: float(value) for kind, value in (line.split() for line in done.stdout.splitlines())}


@pytest.fixture(scope="module")
def exact(cc: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """The sums in float64."""
    path = program(tmp_path_factory.mktemp("exact"), (cc, "-O1", NATIVE, "-DREAL_IS_DOUBLE=1"))
    found = sums(outcome([str(path)]))
    assert list(found) == KINDS
    return found


@pytest.mark.parametrize("way", WAYS)
def test_nothing_else_is_touched(way: str, cc: str, tmp_path: Path, exact: dict[str, float]) -> None:
    found = sums(outcome([str(program(tmp_path, (cc, *WAYS[way])))]))
    assert found == pytest.approx(exact, rel=TOLERANCE)


THREADS = ("-O1", NATIVE, "-DTEAM", "-DSOME", "-pthread", "-fsanitize=thread", "-DREAL_IS_DOUBLE=0")
IMPATIENT = ("-DSPINS=20", "-DPATIENCE=0")
"""The leader of a team dismisses it as soon as it has waited for anybody."""


@pytest.fixture(scope="module")
def exact_of_some(cc: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """The sums in float64 of what the driver with -DSOME runs."""
    command = (cc, "-O1", NATIVE, "-DSOME", "-DREAL_IS_DOUBLE=1")
    return sums(outcome([str(program(tmp_path_factory.mktemp("some"), command))]))


@pytest.mark.parametrize("patience", [(), IMPATIENT], ids=["patient", "impatient"])
def test_a_teams_threads_are_in_order(
    patience: tuple[str, ...], cc: str, tmp_path: Path, exact_of_some: dict[str, float]
) -> None:
    found = sums(outcome([str(program(tmp_path, (cc, *THREADS, *patience)))]))
    assert found == pytest.approx(exact_of_some, rel=TOLERANCE)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("backward.h", "    meet(me);\n", ""),
        ("team.h", "= meet(me)", "= -1"),
        ("backward.h", "keep_dh(s, &carried, k, now.from, me)", "keep_dh(s, &carried, k, now.from, &ALONE)"),
    ],
    ids=["between the gates and the product", "after a step", "others' units are read"],
)
def test_threads_out_of_order_are_caught(file: str, old: str, new: str, cc: str, tmp_path: Path) -> None:
    source = changed_source(tmp_path, file, old, new)
    done = outcome([str(program(tmp_path, (cc, *THREADS), source))])
    assert done.returncode, done.stdout
    assert "data race" in done.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (  # a whole vector of h(t−1), past the last unit of the last example
            "gates_forward.h", "h_before = load_up_to(columns->h_before[j], lanes);",
            "h_before = load(columns->h_before[j]);", "heap-buffer-overflow",
        ),
        (
            "gates_forward.h", "store_up_to(columns->h[j], h, lanes);", "store(columns->h[j], h);",
            "heap-buffer-overflow",
        ),
        ("sequence.h", "return s->backward ? length_of", "return s->backward ? 1 + length_of", "heap-buffer-overflow"),
        ("tile.h", "at[c] += in.step;", "at[c] += in.step << 62;", "shift"),
    ],
    ids=["read", "write", "step", "undefined"],
)  # fmt: skip
def test_a_fault_is_caught(file: str, old: str, new: str, message: str, cc: str, tmp_path: Path) -> None:
    """Planted, in float32, with the sanitizer whose matter it is: with both, compiling takes three times as long."""
    source = changed_source(tmp_path, file, old, new)
    sanitizer = "-fsanitize=undefined" if message == "shift" else "-fsanitize=address"
    done = outcome([str(program(tmp_path, (cc, "-O0", NATIVE, "-DREAL_IS_DOUBLE=0", sanitizer), source))])
    assert done.returncode
    assert message in done.stderr


def test_an_example_that_depends_on_the_others_is_caught(cc: str, tmp_path: Path) -> None:
    """Planted: a tile of several columns multiplies one weight differently."""
    product = "sum[c][m] += w[m] * at[c][k];"
    source = changed_source(
        tmp_path, "tile.h", product, product.replace("w[m]", "(C > 1 && k == 9 ? SCALAR(1.00001) : 1) * w[m]")
    )
    done = outcome([str(program(tmp_path, (cc, "-O1", NATIVE, "-DREAL_IS_DOUBLE=0"), source))])
    assert done.returncode == 9
    assert "of an example alone" in done.stdout


@pytest.mark.parametrize("double", [0, 1])
def test_aarch64(double: int, tmp_path: Path, exact: dict[str, float]) -> None:
    """A cross compiler and an emulator, where they are installed."""
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    if not emulator or not compiler:
        pytest.skip("compiled sequences: no cross compiler and emulator for AArch64")
    path = program(tmp_path, (compiler, "-O2", "-static", f"-DREAL_IS_DOUBLE={double}"))
    assert sums(outcome([emulator, str(path)])) == pytest.approx(exact, rel=TOLERANCE)
