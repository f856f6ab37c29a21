"""The generators that training draws from, and their states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minigrad import nn

Generator = np.random.Generator


def generators_of(model: nn.Module, further: Iterable[Generator] = ()) -> list[Generator]:
    """Return the library's own generator, those that belong to a model, and further ones, each once.

    A model's are the attributes of its modules, also within lists, dictionaries and objects that are no modules, such
    as a `TeacherForcing`.
    """
    found = [nn.default_generator()]
    for module in model.modules():
        found += _within(vars(module).values(), depth=3)
    return list({id(generator): generator for generator in (*found, *further)}.values())


def _within(values: Iterable[Any], depth: int) -> Iterator[Generator]:
    for value in values:
        if isinstance(value, Generator):
            yield value
        elif depth and isinstance(value, (list, tuple)):
            yield from _within(value, depth - 1)
        elif depth and isinstance(value, dict):
            yield from _within(value.values(), depth - 1)
        elif depth and hasattr(value, "__dict__") and not isinstance(value, (nn.Module, type)) and not callable(value):
            yield from _within(vars(value).values(), depth - 1)


def states_of(generators: Iterable[Generator]) -> list[dict[str, Any]]:
    """Return the generators' states: numbers, and arrays for some kinds of generator."""
    return [dict(generator.bit_generator.state) for generator in generators]


def load_states(generators: Iterable[Generator], states: Any) -> None:
    """Put generators into saved states; after an error nothing has changed.

    Raises:
        ValueError: another number of generators, another kind of one, or what is no state.
    """
    generators = list(generators)
    if not isinstance(states, list) or len(states) != len(generators):
        got = len(states) if isinstance(states, list) else "something else"
        raise ValueError(f"generators: got the states of {got}, want those of {len(generators)}")
    for generator, state in zip(generators, states):
        kind = type(generator.bit_generator)
        if not isinstance(state, dict) or state.get("bit_generator") != kind.__name__:
            raise ValueError(f"generators: got a state that is none of a {kind.__name__}, the generator here")
        try:
            kind(0).state = state  # a trial, in a generator of its own
        except (TypeError, ValueError, LookupError, OverflowError) as error:
            raise ValueError(f"generators: got a state that a {kind.__name__} does not take: {error}") from error
    for generator, state in zip(generators, states):
        generator.bit_generator.state = state
