"""ModuleDict: modules by name."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from ..validation import check_text, shown, type_shown
from .module import Module

Modules = Mapping[str, Module] | Iterable[tuple[str, Module]]


class ModuleDict(Module):
    """A dict of modules, which are attributes of these names: `layers["conv"]` and `layers.conv` are the same.

    Args:
        modules: modules by name, or (name, module) pairs; None for none.

    Raises:
        TypeError: something that is not a Module, or a name that is no text.
        ValueError: a name that is empty, has a dot, or is that of a method, such as "keys".
    """

    def __init__(self, modules: Modules | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def update(self, modules: Modules) -> None:
        """Add modules, by name or as (name, module) pairs. If one is refused none is added."""
        for name, module in (pairs := named_pairs(type(self).__name__, "modules", modules)):
            _check(self, name, module)
        for name, module in pairs:
            setattr(self, name, module)

    def __setitem__(self, name: str, module: Module) -> None:
        _check(self, name, module)
        setattr(self, name, module)

    def __getitem__(self, name: str) -> Module:
        return _named(self)[name]

    def __delitem__(self, name: str) -> None:
        del _named(self)[name]  # raises KeyError
        delattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in _named(self)

    def __len__(self) -> int:
        return len(_named(self))

    def __iter__(self) -> Iterator[str]:
        return iter(_named(self))

    def keys(self) -> KeysView[str]:
        """Return the names, in the order in which they were added."""
        return _named(self).keys()

    def values(self) -> ValuesView[Module]:
        """Return the modules."""
        return _named(self).values()

    def items(self) -> ItemsView[str, Module]:
        """Return the pairs of name and module."""
        return _named(self).items()

    def pop(self, name: str) -> Module:
        """Remove the module of this name, and return it. Raises KeyError where there is none."""
        module = _named(self)[name]
        delattr(self, name)
        return module

    def clear(self) -> None:
        """Remove all modules."""
        for name in _named(self):
            delattr(self, name)


def named_pairs(caller: str, argument: str, values: Any) -> list[tuple[str, Any]]:
    """A mapping's items, or (name, value) pairs, as a list. Raises TypeError for anything else."""
    pairs = list(values.items() if isinstance(values, Mapping) else values) if _is_iterable(values) else None
    if pairs is None or not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise TypeError(f"{caller}: {argument}: got {shown(values)}, want a dict by name, or (name, value) pairs")
    return [(name, value) for name, value in pairs]


def check_name(owner: Module, name: Any, values: Mapping[str, Any]) -> None:
    """Raise unless `name` can be that of a value in a container: one of `values`, or a new attribute."""
    caller = type(owner).__name__
    check_text(caller, name=name)
    if not name or "." in name or (hasattr(owner, name) and name not in values):
        raise ValueError(f"{caller}: name: got {name!r}, want a name without a dot that is no attribute's or method's")


def _check(owner: Module, name: Any, module: Any) -> None:
    if not isinstance(module, Module):
        raise TypeError(f"{type(owner).__name__}: module: got {type_shown(module)}, want a Module")
    check_name(owner, name, _named(owner))


def _is_iterable(values: Any) -> bool:
    return (
        isinstance(values, Iterable) and not isinstance(values, (str, bytes, Module)) and not hasattr(values, "dtype")
    )


def _named(module: Module) -> dict[str, Module]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Module)}
