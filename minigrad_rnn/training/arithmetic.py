"""What the bits of a run's numbers depend on besides its settings, and how that differs from a checkpoint's."""

from __future__ import annotations

from typing import Any

from minigrad import nn
from minigrad.backend import get_backend
from minigrad.debug.blas import describe_arithmetic

WORDS = {"backend": "backend", "device": "device", "numpy": "NumPy", "simd": "vector units", "blas": "BLAS"}
WORDS |= {"kernel": "BLAS kernel", "threads": "BLAS threads"}


def arithmetic_of(model: nn.Module) -> dict[str, Any]:
    """Return the backend and device of a model, and NumPy's version and BLAS, for a checkpoint."""
    backend = get_backend(next(iter(model.parameters())).backend)
    device = None if backend.kernels is None else backend.kernels().device.name
    return {"backend": backend.name, "device": device, **describe_arithmetic()}


def differences(saved: Any, here: dict[str, Any]) -> str:
    """Return one sentence if a checkpoint tells of another arithmetic than that here, else ""."""
    if not isinstance(saved, dict):
        return ""
    names = [name for name in WORDS if name in saved and saved[name] != here[name]]
    if "numpy" in names and "simd" in names:  # each version has its own names for vector units
        names.remove("simd")
    changed = [f"{WORDS[name]} {str(saved[name])[:40]}, here {here[name]}" for name in names]
    if not changed:
        return ""
    return (
        f"the checkpoint was computed with {'; '.join(changed)}: the run goes on, but not bit for bit as it would have"
    )
