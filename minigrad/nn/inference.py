"""A model that is only asked: in evaluation, unrecorded, and afterwards as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..engine.tape import no_grad
from .module import Module


@contextmanager
def inference(model: Any) -> Iterator[None]:
    """Nothing is recorded inside, and a Module is in evaluation mode; afterwards each part of it is as it was."""
    before = [(part, part.training) for part in model.modules()] if isinstance(model, Module) else []
    for part, _ in before:
        part.training = False
    try:
        with no_grad():
            yield
    finally:
        for part, training in before:
            part.training = training
