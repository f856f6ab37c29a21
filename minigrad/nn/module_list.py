"""ModuleList: modules in a list, named by their positions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar, overload

import numpy as np

from ..validation import shown, type_shown
from .module import Module

M = TypeVar("M", bound="ModuleList")


class ModuleList(Module):
    """A list of modules, named by their positions: `"0"`, `"1"`, …"""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        if isinstance(modules, (str, np.ndarray)) or not isinstance(modules, Iterable):
            raise TypeError(f"{type(self).__name__}: modules: got {shown(modules)}, want a list of Modules")
        for module in modules:
            self.append(module)

    def append(self: M, module: Module) -> M:
        """Add a module at the end; return the list.

        Raises:
            TypeError: it is not a Module.
        """
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: module: got {type_shown(module)}, want a Module")
        setattr(self, str(len(_listed(self))), module)
        return self

    def __len__(self) -> int:
        return len(_listed(self))

    def __iter__(self) -> Iterator[Module]:
        return iter(_listed(self))

    @overload
    def __getitem__(self: M, index: slice) -> M: ...
    @overload
    def __getitem__(self, index: int) -> Module: ...
    def __getitem__(self, index: int | slice) -> Module:
        selected = _listed(self)[index]
        if isinstance(selected, Module):
            return selected
        part = type(self).__new__(type(self))
        vars(part).update((str(k), module) for k, module in enumerate(selected))
        return part


def _listed(module: Module) -> list[Module]:
    return [value for name, value in vars(module).items() if name.isdecimal() and isinstance(value, Module)]
