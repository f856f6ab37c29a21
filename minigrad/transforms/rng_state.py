"""Drawing again what was drawn: the states of the random generators that a function may draw from."""

from __future__ import annotations

import functools
import pickle
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..nn.init import default_generator
from ..nn.module import Module

Source = tuple[Callable[[], Any], Callable[[Any], None]]
"""How the state of a generator is read, and set."""


def generators_of(values: Sequence[Any]) -> list[np.random.Generator]:
    """The library's own generator, and those that functions and modules among `values` refer to.

    Of a function: what it closes over, its defaults, the generators, modules and functions of its own file that it
    names, and the attributes of the object that it is a method of; of a module the attributes of all its modules; of
    lists, tuples and dicts what is in them.
    """
    found: dict[int, np.random.Generator] = {id(default_generator()): default_generator()}
    seen: set[int] = set()
    stack = list(values)
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.random.Generator):
            found[id(value)] = value
        elif isinstance(value, Module):
            stack += vars(value).values()
        elif isinstance(value, types.FunctionType):
            stack += _referred_to(value)
        elif isinstance(value, types.MethodType):
            stack += (value.__func__, value.__self__)
            stack += getattr(value.__self__, "__dict__", {}).values()
        elif isinstance(value, functools.partial):
            stack += (value.func, *value.args, *value.keywords.values())
        elif type(value) in (list, tuple):
            stack += value
        elif type(value) is dict:
            stack += value.values()
    return list(found.values())


def _referred_to(function: types.FunctionType) -> list[Any]:
    values = list(function.__defaults__ or ()) + list((function.__kwdefaults__ or {}).values())
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    named = [function.__globals__.get(name) for name in function.__code__.co_names]
    helpers = [v for v in named if isinstance(v, types.FunctionType) and v.__module__ == function.__module__]
    wrapped = getattr(function, "__wrapped__", None)
    return [*values, wrapped, *helpers, *(v for v in named if isinstance(v, (np.random.Generator, Module)))]


def _source(generator: np.random.Generator) -> Source:
    bits = generator.bit_generator

    def put(state: Any) -> None:
        bits.state = state

    return lambda: bits.state, put


class Draws:
    """What a run drew: made before it, settled after it, and drawn again inside `again()`."""

    def __init__(self, values: Sequence[Any]) -> None:
        sources = [_source(generator) for generator in generators_of(values)]
        legacy: Source = (np.random.get_state, np.random.set_state)
        self._states = [(source, source[0]()) for source in (*sources, legacy)]

    def settle(self) -> None:
        """Forget the generators that were not drawn from."""
        self._states = [(s, state) for s, state in self._states if pickle.dumps(s[0]()) != pickle.dumps(state)]

    @contextmanager
    def again(self) -> Iterator[None]:
        """The generators as they were before the run; afterwards as they are now."""
        now = [source[0]() for source, _ in self._states]
        for (_, put), state in self._states:
            put(state)
        try:
            yield
        finally:
            for ((_, put), _), state in zip(self._states, now):
                put(state)
