"""`python -m minigrad_rnn doctor`, and what it says where something is missing or wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend as seam
from minigrad_rnn import doctor
from minigrad_rnn.__main__ import main


def test_it_tells_about_every_backend(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "BACKENDS", ("numpy", "strict"))
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert f"numpy {np.__version__}" in said
    assert "numpy: usable" in said
    assert "strict: usable" in said
    assert said.count("right: ") == 12
    assert "road fused" in said
    assert "everything that is here works" in said


def test_a_missing_backend_is_told_and_fails_only_if_it_was_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> Any:
        raise mg.BackendError("backend 'cupy': no GPU at all")

    monkeypatch.setitem(seam._loaders, "cupy", absent)
    monkeypatch.delitem(seam._by_name, "cupy", raising=False)
    monkeypatch.setattr(doctor, "SECONDS", -1.0)
    assert main(["doctor"]) == 0
    assert "cupy: not usable\n  backend 'cupy': no GPU at all" in capsys.readouterr().out
    assert main(["doctor", "--backend", "cupy"]) == 1
    assert "not well: cupy" in capsys.readouterr().out


def test_a_wrong_gradient_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad.ops import trigonometric

    right = trigonometric.tanh
    wrong = mg.primitive(lambda xp, x: (xp.tanh(x), (x,), lambda xp, g, x: g * 1.001 / xp.cosh(x) ** 2))
    monkeypatch.setattr(mg, "tanh", wrong)
    assert mg.tanh is not right
    assert main(["doctor", "--backend", "numpy"]) == 1
    said = capsys.readouterr().out
    assert "WRONG: " in said
    assert "not well: numpy" in said


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
        (
            1,
            "90",
            ["cupy-cuda12x", "cupy-cuda13x"],
            "cupy-cuda12x and cupy-cuda13x are installed .*pip uninstall",
        ),
    ],
)
def test_what_is_wrong_with_cupy_is_said_in_one_error(
    monkeypatch: pytest.MonkeyPatch, devices: Any, capability: str, packages: list[str], words: str
) -> None:
    cupy = pytest.importorskip("cupy")
    monkeypatch.setattr(cupy.cuda, "runtime", Runtime(devices))
    monkeypatch.setattr(cupy.cuda, "Device", lambda: type("Device", (), {"compute_capability": capability})())
    monkeypatch.setattr(seam, "_cupy_packages", lambda: packages)
    with pytest.raises(mg.BackendError, match=words):
        seam._load_cupy()


def test_one_package_of_cupy_at_most_is_found_here() -> None:
    assert len(seam._cupy_packages()) <= 1
