"""`python -m minigrad_rnn doctor`, and its report where something is missing or wrong."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend
from minigrad.backend import cupy_backend
from minigrad_rnn import doctor
from minigrad_rnn.__main__ import main
from minigrad_rnn.cells import activations
from minigrad_rnn.native import shared_library


@pytest.fixture(autouse=True)
def _small_sizes_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing is tested in tests/rnn/native."""
    monkeypatch.setattr(doctor, "SIZES", ((3, 1, 4),))


def test_it_reports_every_backend(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "BACKENDS", ("numpy", "strict"))
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert f"numpy {np.__version__}" in out
    assert "numpy: usable" in out
    assert "strict: usable" in out
    sections = out.split("\n\n")
    assert [section.splitlines()[0] for section in sections[2:4]] == ["numpy: usable", "strict: usable"]
    assert [section.count("right: ") for section in sections[2:4]] == [6, 6]
    assert (
        sections[2].count("implementation fused" if shared_library.refusal("float32") else "implementation native") == 6
    )
    assert sections[3].count("implementation fused") == 6
    assert "all available backends passed" in out
    assert all(len(line) < 80 for line in out.splitlines()[3:])


def test_a_missing_backend_is_reported_and_fails_only_if_requested(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> Any:
        raise mg.BackendError("backend 'cupy': no GPU at all")

    monkeypatch.setitem(backend._loaders, "cupy", absent)
    monkeypatch.delitem(backend._by_name, "cupy", raising=False)
    monkeypatch.setattr(doctor, "SECONDS", -1.0)
    assert main(["doctor"]) == 0
    assert "cupy: not usable\n  backend 'cupy': no GPU at all" in capsys.readouterr().out
    assert main(["doctor", "--backend", "cupy"]) == 1
    assert "failed: cupy" in capsys.readouterr().out


def test_a_wrong_gradient_is_reported(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad.ops.elementwise import trigonometric

    right = trigonometric.tanh
    wrong = mg.primitive(lambda xp, x: (xp.tanh(x), (x,), lambda xp, g, x: g * 1.001 / xp.cosh(x) ** 2))
    monkeypatch.setitem(activations.ON_TAPE, "tanh", wrong)
    monkeypatch.setattr(doctor, "native_models", lambda: iter([doctor.RNN(5, 8, impl="native")]))
    assert wrong is not right
    assert main(["doctor", "--backend", "numpy"]) == 1
    out = capsys.readouterr().out
    assert "WRONG: " in out
    assert re.search("failed: (native, )?numpy$", out)


def test_wrong_outputs_in_float32_are_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only on the device: the first call of a model is the host's."""
    forward, calls = doctor.RNN.forward, []

    def wrong(self: Any, xs: Any, *rest: Any, **options: Any) -> Any:
        output, state = forward(self, xs, *rest, **options)
        if xs.dtype == np.float32:
            calls.append(xs)
        return output + (1e-3 if xs.dtype == np.float32 and len(calls) % 2 == 0 else 0.0), state

    monkeypatch.setattr(doctor.RNN, "forward", wrong)
    assert main(["doctor", "--backend", "numpy"]) == 1
    assert "float32 outputs 1.0e-03" in capsys.readouterr().out


def test_an_error_is_reported_and_the_other_models_are_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Any, *rest: Any, **options: Any) -> Any:
        raise RuntimeError("failed to load libnvrtc")

    monkeypatch.setattr(doctor.LSTM, "forward", failing)
    assert main(["doctor", "--backend", "numpy"]) == 1
    out = capsys.readouterr().out
    numpy = out.split("\n\n")[2]
    assert numpy.count("WRONG: LSTM: RuntimeError: failed to load libnvrtc") == 2
    assert numpy.count("right: ") == 4


def test_models_left_out_for_lack_of_time_are_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "SECONDS", -1.0)
    assert main(["doctor", "--backend", "numpy"]) == 0
    assert "no time was left for 6 more" in capsys.readouterr().out


class Runtime:
    """CuPy's runtime on a machine of our choice."""

    class CUDARuntimeError(RuntimeError):
        pass

    def __init__(self, devices: int | str) -> None:
        self.devices = devices

    def getDeviceCount(self) -> int:
        if isinstance(self.devices, str):
            raise self.CUDARuntimeError(self.devices)
        return self.devices


@pytest.mark.parametrize(
    ("devices", "capability", "packages", "words"),
    [
        (
            "cudaErrorInsufficientDriver",
            "90",
            ["cupy-cuda13x"],
            "no usable GPU; check the driver with nvidia-smi.*Insuff",
        ),
        (0, "90", ["cupy-cuda13x"], "no usable GPU; use the backend 'numpy'"),
        (1, "52", ["cupy-cuda12x"], r"compute capability 5\.2, want at least 6\.0"),
        (1, "90", ["cupy-cuda12x", "cupy-cuda13x"], "cupy-cuda12x and cupy-cuda13x are installed .*pip uninstall"),
    ],
)
def test_a_problem_with_cupy_is_one_error(
    monkeypatch: pytest.MonkeyPatch, devices: Any, capability: str, packages: list[str], words: str
) -> None:
    cupy = pytest.importorskip("cupy")
    monkeypatch.setattr(cupy.cuda, "runtime", Runtime(devices))
    monkeypatch.setattr(cupy.cuda, "Device", lambda: type("Device", (), {"compute_capability": capability})())
    monkeypatch.setattr(cupy_backend, "cupy_packages", lambda: packages)
    with pytest.raises(mg.BackendError, match=words):
        cupy_backend.load_cupy()


@pytest.mark.parametrize(("library", "error"), [("nvrtc", RuntimeError), ("cublas", ImportError)])
def test_missing_cuda_libraries_are_one_error(
    monkeypatch: pytest.MonkeyPatch, library: str, error: type[Exception]
) -> None:
    """They are loaded late: without this the first operation would fail, deep inside CuPy."""
    cupy = pytest.importorskip("cupy")

    class Cuda:
        runtime, cublas = Runtime(1), None
        nvrtc = type("Nvrtc", (), {"getVersion": staticmethod(lambda: (13, 0))})

        @staticmethod
        def Device() -> Any:
            return type("Device", (), {"compute_capability": "90"})()

    def missing(*_: Any) -> Any:
        raise error("no such file")

    if library == "nvrtc":
        monkeypatch.setattr(Cuda.nvrtc, "getVersion", missing)
    else:
        monkeypatch.setattr(Cuda, "cublas", property(missing))
    monkeypatch.setattr(cupy, "cuda", Cuda())
    monkeypatch.setattr(cupy_backend, "cupy_packages", lambda: ["cupy-cuda12x"])
    with pytest.raises(mg.BackendError, match=r"not the CUDA libraries .*'cupy-cuda12x\[ctk\]'.*no such file"):
        cupy_backend.load_cupy()


@pytest.mark.parametrize(
    ("installed", "hint"),
    [
        ([], ", or pip install 'cupy-cuda13x[ctk]'"),
        (["cupy-cuda12x"], ", or pip install 'cupy-cuda12x[ctk]'"),
        (["cupy"], ""),  # built from source, for the toolkit that is there
        (["cupy-cuda11x"], ""),
        (["cupy-rocm-7-0"], ""),
    ],
)
def test_libraries_are_offered_where_the_index_has_them(installed: list[str], hint: str) -> None:
    assert cupy_backend.toolkit_hint(installed) == hint


def test_two_packages_of_cupy_are_named_even_where_they_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # an import raises ImportError
    monkeypatch.setattr(cupy_backend, "cupy_packages", lambda: ["cupy-cuda12x", "cupy-cuda13x"])
    with pytest.raises(mg.BackendError, match="cupy-cuda12x and cupy-cuda13x are installed at once"):
        cupy_backend.load_cupy()


def test_one_package_of_cupy_at_most_is_found_here() -> None:
    assert len(cupy_backend.cupy_packages()) <= 1


def test_ctrl_c_leaves_no_trace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(**_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "run_checks", interrupt)
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "\nstopped\n"
