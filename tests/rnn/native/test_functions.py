"""The vector functions of the gates: their errors in units in the last place, limits, and that no lane differs."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad_rnn.native

SOURCE = Path(minigrad_rnn.native.__file__).parent / "source"
PROGRAM = Path(__file__).parents[2] / "support" / "gate_functions.c"
COMPILER = next(
    (c for c in (os.environ.get("CC", "").split(), ["cc"], ["gcc"], ["clang"]) if c and shutil.which(c[0])), None
)
FLAGS = ["-O2", "-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared"]
NATIVE = "-march=native" if platform.machine() in ("x86_64", "AMD64") else "-mcpu=native"
WIDTHS = [16, 32, 64]
MACHINES = {"native": [NATIVE], "baseline": []}
TOLERANCES = {np.float32: (2.0, 4.0), np.float64: (4.0, 8.0)}
"""Units in the last place of the right number: for values, for slopes."""
INF, NAN = float("inf"), float("nan")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler: none of $CC, cc, gcc, clang")
Array = np.ndarray[Any, Any]


class Functions:
    """The functions of one compilation, on arrays of its dtype."""

    def __init__(self, folder: Path, machine: str, width: int, dtype: Any, source: Path = SOURCE) -> None:
        library = folder / f"{machine}_{width}_{np.dtype(dtype).name}.so"
        macros = [f"-DVECTOR_BYTES={width}", f"-DREAL_IS_DOUBLE={int(dtype is np.float64)}", f"-I{source}"]
        command = [*(COMPILER or ()), *FLAGS, *MACHINES[machine], *macros, "-Wall", "-Wextra", "-Werror", str(PROGRAM)]
        built = subprocess.run([*command, "-o", str(library)], capture_output=True, text=True, timeout=120)
        assert built.returncode == 0, built.stderr
        self.compiled, self.dtype = ctypes.CDLL(str(library)), dtype

    def __call__(self, name: str, *arrays: Any, results: int = 1) -> Any:
        inputs = [np.ascontiguousarray(array, self.dtype) for array in arrays]
        outputs = [np.full_like(inputs[0], 7) for _ in range(results)]
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*inputs, *outputs)]
        self.compiled[f"{name}_array"](*pointers, ctypes.c_long(inputs[0].size))
        return outputs[0] if results == 1 else outputs


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Functions]:
    folder = tmp_path_factory.mktemp("functions")
    return cache(lambda machine, width, dtype: Functions(folder, machine, width, dtype))


each_machine = pytest.mark.parametrize("machine", MACHINES)
each_width = pytest.mark.parametrize("width", WIDTHS)
each_dtype = pytest.mark.parametrize("dtype", TOLERANCES, ids=["float32", "float64"])


def bit_patterns(dtype: Any, count: int) -> Array:
    """Return `count` numbers spread over all bit patterns, and as many between −30 and 30; no NaN."""
    unsigned: Any = np.uint32 if dtype is np.float32 else np.uint64
    step = 2 ** (8 * np.dtype(unsigned).itemsize) // count
    spread = (np.arange(count, dtype=unsigned) * unsigned(step) + unsigned(12345 % step)).view(dtype)
    spread = spread[~np.isnan(spread)]
    return np.concatenate([spread, np.random.default_rng(0).uniform(-30, 30, count)], dtype=dtype)


def exact(z: float) -> dict[str, Decimal]:
    """σ, tanh and their slopes at a finite z, to 40 digits."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 60, -999999, 999999
        x = Decimal(z)
        q = (-abs(x)).exp()
        small, large, q = q / (1 + q), 1 / (1 + q), q * q
        tanh = x - x**3 / 3 if abs(z) < 1e-10 else ((1 - q) / (1 + q)).copy_sign(x)
        return {
            "sigmoid_kept": small.copy_sign(x),
            "sigmoid_value": small if z < 0 else large,
            "sigmoid_value_of_minus": large if z < 0 else small,
            "sigmoid_slope": small * large,
            "tanh_value": tanh,
            "tanh_slope": 4 * q / (1 + q) ** 2,
        }


def in_float64(z: Array) -> dict[str, Array]:
    """The same for an array of float32, in float64."""
    z = z.astype(np.float64)
    q, q2 = np.exp(-np.abs(z)), np.exp(-2 * np.abs(z))
    small, large = q / (1 + q), 1 / (1 + q)
    return {
        "sigmoid_kept": np.copysign(small, z),
        "sigmoid_value": np.where(z < 0, small, large),
        "sigmoid_value_of_minus": np.where(z < 0, large, small),
        "sigmoid_slope": small * large,
        "tanh_value": np.tanh(z),
        "tanh_slope": 4 * q2 / (1 + q2) ** 2,
    }


def largest_errors(functions: Functions, count: int) -> dict[str, float]:
    """Return the largest error of each function in units in the last place of the right result."""
    z = bit_patterns(functions.dtype, count)
    if functions.dtype is np.float32:
        wanted = in_float64(z)
        return {
            name: float(np.max(np.abs(functions(name, z) - right) / np.spacing(np.abs(right).astype(np.float32))))
            for name, right in wanted.items()
        }
    z = z[np.isfinite(z)]
    # Beyond ±1500 everything is as at ±1500, and the powers of ten would have no end.
    rights = [exact(float(number)) for number in np.clip(z, -1500, 1500)]
    errors = {}
    for name in rights[0]:
        got = functions(name, z)
        units = np.spacing(np.abs([float(right[name]) for right in rights]))
        errors[name] = max(
            float(abs(Decimal(float(g)) - right[name]) / Decimal(float(unit)))
            for g, right, unit in zip(got, rights, units)
        )
    return errors


def check_errors(functions: Functions, count: int) -> None:
    values, slopes = TOLERANCES[functions.dtype]
    for name, error in largest_errors(functions, count).items():
        assert error <= (slopes if "slope" in name else values), f"{name}: {error} units in the last place"


@each_dtype
@each_machine
@each_width
def test_errors_in_units_in_the_last_place(compiled: Any, width: int, machine: str, dtype: Any) -> None:
    check_errors(compiled(machine, width, dtype), 1_000_003 if dtype is np.float32 else 1009)


@each_dtype
def test_a_wrong_digit_is_caught(tmp_path: Path, dtype: Any) -> None:
    for header in SOURCE.glob("*.h"):
        text = header.read_text(encoding="utf-8")
        if header.name == "functions.h":
            changed = text.replace("0.166665478223f", "0.166667478223f")
            changed = changed.replace("0.16666666666666591044", "0.16666666666696591044")
            assert changed != text
            text = changed
        (tmp_path / header.name).write_text(text, encoding="utf-8")
    with pytest.raises(AssertionError, match="units in the last place"):
        check_errors(Functions(tmp_path, "baseline", 16, dtype, tmp_path), 1009)


@each_dtype
@each_machine
@each_width
def test_zeros_infinities_and_nan(compiled: Any, width: int, machine: str, dtype: Any) -> None:
    f = compiled(machine, width, dtype)
    z = np.array([0.0, -0.0, INF, -INF, NAN, 1e30, -1e30], dtype)
    wanted = {
        "sigmoid_kept": [0.5, -0.5, 0.0, -0.0, NAN, 0.0, -0.0],
        "sigmoid_value": [0.5, 0.5, 1.0, 0.0, NAN, 1.0, 0.0],
        "sigmoid_value_of_minus": [0.5, 0.5, 0.0, 1.0, NAN, 0.0, 1.0],
        "sigmoid_slope": [0.25, 0.25, 0.0, 0.0, NAN, 0.0, 0.0],
        "tanh_value": [0.0, -0.0, 1.0, -1.0, NAN, 1.0, -1.0],
        "tanh_slope": [1.0, 1.0, 0.0, 0.0, NAN, 0.0, 0.0],
        "relu": [0.0, -0.0, INF, 0.0, NAN, 1e30, 0.0],
    }
    for name, right in wanted.items():
        got = f(name, z)
        np.testing.assert_array_equal(got, np.array(right, dtype), err_msg=name)
        np.testing.assert_array_equal(np.signbit(got[:4]), np.signbit(right[:4]), err_msg=name)


@each_dtype
@each_machine
def test_relu_gradient_is_dh_or_0_times_dh(compiled: Any, machine: str, dtype: Any) -> None:
    h, dh = (a.ravel() for a in np.meshgrid([0.0, -0.0, 2.0, -2.0, INF, NAN], [3.0, -3.0, 0.0, -0.0, INF, -INF, NAN]))
    with np.errstate(invalid="ignore"):
        wanted = np.where(h > 0, dh, 0 * dh)
    for width in WIDTHS:
        got = compiled(machine, width, dtype)("relu_gradient", h, dh)
        np.testing.assert_array_equal(got, wanted)
        numbers = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(wanted[numbers]))


@each_dtype
@each_machine
@each_width
def test_subnormal_arguments_and_odd_tanh(compiled: Any, width: int, machine: str, dtype: Any) -> None:
    f = compiled(machine, width, dtype)
    smallest = np.finfo(dtype).smallest_subnormal
    subnormal = smallest * np.array([1, 2, 3, 1000, 12345], dtype)
    np.testing.assert_array_equal(f("tanh_value", subnormal), subnormal)
    np.testing.assert_array_equal(f("sigmoid_value", subnormal), dtype(0.5))
    z = bit_patterns(dtype, 10_007)
    np.testing.assert_array_equal(f("tanh_value", -z), -f("tanh_value", z))
    np.testing.assert_array_equal(f("tanh_slope", -z), f("tanh_slope", z))
    np.testing.assert_array_equal(f("sigmoid_value", -z), f("sigmoid_value_of_minus", z))


@each_dtype
@each_machine
def test_no_width_and_no_lane_differs(compiled: Any, machine: str, dtype: Any) -> None:
    z = np.append(bit_patterns(dtype, 10_007), [NAN, INF, -INF]).astype(dtype)
    for name in exact(0.0):
        narrow = compiled(machine, 16, dtype)(name, z)
        for width in WIDTHS:
            f = compiled(machine, width, dtype)
            for shift in range(width // z.itemsize):
                np.testing.assert_array_equal(f(name, z[shift:]), narrow[shift:], err_msg=f"{name}, {width} bytes")


@each_dtype
@each_machine
@each_width
def test_value_and_slope_are_the_same_beside_each_other(compiled: Any, width: int, machine: str, dtype: Any) -> None:
    f, z = compiled(machine, width, dtype), bit_patterns(dtype, 10_007)
    value, slope = f("tanh_value_and_slope", z, results=2)
    np.testing.assert_array_equal(value, f("tanh_value", z))
    np.testing.assert_array_equal(slope, f("tanh_slope", z))


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is a function of POSIX")
@each_dtype
@each_machine
@each_width
def test_a_part_of_a_vector_touches_nothing_else(compiled: Any, width: int, machine: str, dtype: Any) -> None:
    f = compiled(machine, width, dtype)
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None)
    assert libc.mprotect(ctypes.c_void_p(start + page), ctypes.c_size_t(page), 0) == 0
    try:
        z = np.frombuffer(memory, dtype, page // np.dtype(dtype).itemsize)
        for n in range(2 * width // z.itemsize + 1):  # the last n numbers before a page that nobody may read
            z[:] = np.arange(1, z.size + 1)
            end = ctypes.c_void_p(start + page - n * z.itemsize)
            out = np.full(n + 20, -1.0, dtype)
            f.compiled.copy_array(end, ctypes.c_void_p(out.ctypes.data), ctypes.c_long(n))
            np.testing.assert_array_equal(out, [*z[z.size - n :], *[-1.0] * 20])
            f.compiled.relu_array(ctypes.c_void_p(out.ctypes.data), end, ctypes.c_long(n))
            np.testing.assert_array_equal(z, np.arange(1, z.size + 1))
    finally:
        libc.mprotect(ctypes.c_void_p(start + page), ctypes.c_size_t(page), mmap.PROT_READ | mmap.PROT_WRITE)
