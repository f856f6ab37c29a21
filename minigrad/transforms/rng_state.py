"""States of random generators: taken before a function draws from them, and restored to draw the same again."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from ..nn.init import default_generator
from ..nn.module import Module


def generators_of(values: Iterable[Any]) -> list[np.random.Generator]:
    """Return the generators among `values`, and in the attributes of modules among them and of their submodules."""
    modules = [module for value in values if isinstance(value, Module) for module in value.modules()]
    attributes = [attribute for module in modules for attribute in vars(module).values()]
    return [value for value in (*values, *attributes) if isinstance(value, np.random.Generator)]


class RngSnapshot:
    """The states of the library's generator, of NumPy's global one and of further ones."""

    def __init__(self, generators: Iterable[np.random.Generator]) -> None:
        accessors: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []
        for bits in {id(g): g.bit_generator for g in (default_generator(), *generators)}.values():
            accessors.append((partial(getattr, bits, "state"), partial(setattr, bits, "state")))
        accessors.append((np.random.get_state, np.random.set_state))
        self._states = [(get, put, get()) for get, put in accessors]

    def prune(self) -> None:
        """Drop the generators that were not drawn from since."""
        self._states = [s for s in self._states if pickle.dumps(s[0]()) != pickle.dumps(s[2])]

    def is_current(self) -> bool:
        """Whether none of the generators was drawn from since."""
        return all(pickle.dumps(get()) == pickle.dumps(state) for get, _, state in self._states)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Restore these states inside the block; afterwards restore those from before it."""
        current = [get() for get, _, _ in self._states]
        for _, put, state in self._states:
            put(state)
        try:
            yield
        finally:
            for (_, put, _), state in zip(self._states, current):
                put(state)
