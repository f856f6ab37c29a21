"""Context manager for inference: evaluation mode and no_grad."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..engine.tape import no_grad
from .module import Module


@contextmanager
def inference(model: Any) -> Iterator[None]:
    """Run a block with no_grad and `model`, if it is a Module, in evaluation mode; then restore each module's mode."""
    modes = [(module, module.training) for module in model.modules()] if isinstance(model, Module) else []
    for module, _ in modes:
        module.training = False
    try:
        with no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
