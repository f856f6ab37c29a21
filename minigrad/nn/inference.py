"""Context manager for inference: evaluation mode and no_grad."""

from __future__ import annotations

from typing import Any

from ..engine.modes import no_grad
from .module import Module


class inference(no_grad):
    """Run a block with no_grad and `model`, if it is a Module, in evaluation mode; then restore each module's mode."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model
        self._training: list[list[tuple[Module, bool]]] = []

    def _recreate_cm(self) -> inference:
        return inference(self._model)

    def opening(self) -> None:
        modules = self._model.modules() if isinstance(self._model, Module) else ()
        self._training.append([(module, module.training) for module in modules])
        for module, _ in self._training[-1]:
            module.training = False

    def closed(self) -> None:
        for module, training in self._training.pop():
            module.training = training
