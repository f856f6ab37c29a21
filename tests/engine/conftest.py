"""Fixtures of the tests of the engine."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture
def no_gc() -> Iterator[None]:
    """What is freed in the test is freed by reference count alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
