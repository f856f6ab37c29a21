"""What the bits of a run's numbers depend on besides its settings, and how that differs from a checkpoint's."""

from __future__ import annotations

from typing import Any

from minigrad import nn
from minigrad.backend import get_backend
from minigrad.debug.blas import describe_arithmetic

from ..cuda import source
from ..native import cache, shared_library
from ..networks.implementations import native_refusal
from ..networks.recurrence import Recurrence

WORDS = {"backend": "backend", "device": "device", "sequences": "compiled sequences", "numpy": "NumPy"}
WORDS |= {"simd": "vector units", "blas": "BLAS", "kernel": "BLAS kernel", "threads": "BLAS threads"}


def arithmetic_of(model: nn.Module) -> dict[str, Any]:
    """Return the backend and device of a model, its compiled sequences, and NumPy's version and BLAS."""
    backend = get_backend(next(iter(model.parameters())).backend)
    device = None if backend.kernels is None else backend.kernels().device.name
    return {"backend": backend.name, "device": device, "sequences": sequences_of(model), **describe_arithmetic()}


def sequences_of(model: nn.Module) -> str | None:
    """Return a digest of the source of what is compiled to run a model's recurrences; None where nothing is."""
    recurrences = [module for module in model.modules() if isinstance(module, Recurrence)]
    if get_backend(next(iter(model.parameters())).backend).kernels is not None:
        compiled = any(module.impl != "graph" and not module.fused_refusal() for module in recurrences)
        files = source.sources()
    else:
        compiled = any(module.impl in ("auto", "native") and not native_refusal(module) for module in recurrences)
        files = shared_library.sources()
    return cache.key(files)[:8] if compiled else None


def differences(saved: Any, here: dict[str, Any]) -> str:
    """Return one sentence if a checkpoint tells of another arithmetic than that here, else ""."""
    if not isinstance(saved, dict):
        return ""
    if saved and here["sequences"] is not None:  # what is compiled was not in the files of earlier versions
        saved = {"sequences": "of an earlier version", **saved}
    names = [name for name in WORDS if name in saved and saved[name] != here[name]]
    if "numpy" in names and "simd" in names:  # each version has its own names for vector units
        names.remove("simd")
    changed = [f"{WORDS[name]} {str(saved[name])[:40]}, here {here[name]}" for name in names]
    if not changed:
        return ""
    return (
        f"the checkpoint was computed with {'; '.join(changed)}: the run goes on, but not bit for bit as it would have"
    )
