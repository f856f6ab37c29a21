"""ParameterList and ParameterDict: parameters in a list, named by their positions, and parameters by name."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from ..backend import is_array
from ..engine.tensor import Parameter, Tensor
from ..foreign_arrays import import_array
from ..validation import check_array, shown
from .module import Module
from .module_dict import check_name, named_pairs


class ParameterList(Module):
    """A list of parameters, named by their positions: `"0"`, `"1"`, …

    Args:
        values: Parameters, which are taken as they are, or floating-point arrays and tensors, of which Parameters are
            made.
    """

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        self.extend(values)

    def append(self, value: Any) -> ParameterList:
        """Add a Parameter, or one made of a value, at the end; return the list."""
        setattr(self, str(len(self)), _parameter("ParameterList", value))
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add several values at the end; return the list. If one is refused none is added."""
        if isinstance(values, (str, bytes, Mapping)) or is_array(values) or not isinstance(values, Iterable):
            raise TypeError(f"ParameterList: values: got {shown(values)}, want a list of Parameters or arrays")
        for parameter in [_parameter("ParameterList", value) for value in values]:
            self.append(parameter)
        return self

    def __len__(self) -> int:
        return len(self._own_parameters())

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._own_parameters().values())

    def __getitem__(self, index: int) -> Parameter:
        return list(self)[index]

    def __setitem__(self, index: int, value: Any) -> None:
        name = list(self._own_parameters())[index]
        setattr(self, name, _parameter("ParameterList", value))

    def extra_repr(self) -> str:
        return ", ".join(str(p.shape) for p in self)


class ParameterDict(Module):
    """A dict of parameters, which are attributes of these names.

    Args:
        parameters: by name, or (name, value) pairs: Parameters, which are taken as they are, or floating-point arrays
            and tensors, of which Parameters are made; None for none.

    Raises:
        TypeError: a value that is none of these, or a name that is no text.
        ValueError: a name that is empty, has a dot, or is that of a method, such as "keys".
    """

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        if parameters is not None:
            self.update(parameters)

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add parameters, by name or as (name, value) pairs. If one is refused none is added."""
        pairs = named_pairs("ParameterDict", "parameters", parameters)
        for name, _ in pairs:
            check_name(self, name, self._own_parameters())
        for name, parameter in [(name, _parameter("ParameterDict", value)) for name, value in pairs]:
            setattr(self, name, parameter)

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __getitem__(self, name: str) -> Parameter:
        return self._own_parameters()[name]

    def __delitem__(self, name: str) -> None:
        del self._own_parameters()[name]  # raises KeyError
        delattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self._own_parameters()

    def __len__(self) -> int:
        return len(self._own_parameters())

    def __iter__(self) -> Iterator[str]:
        return iter(self._own_parameters())

    def keys(self) -> KeysView[str]:
        """Return the names, in the order in which they were added."""
        return self._own_parameters().keys()

    def values(self) -> ValuesView[Parameter]:
        """Return the parameters."""
        return self._own_parameters().values()

    def items(self) -> ItemsView[str, Parameter]:
        """Return the pairs of name and parameter."""
        return self._own_parameters().items()

    def extra_repr(self) -> str:
        return ", ".join(f"{name}: {p.shape}" for name, p in self.items())


def _parameter(caller: str, value: Any) -> Parameter:
    """The Parameter itself, or one made of an array or a constant tensor."""
    if isinstance(value, Parameter):
        return value
    check_array(caller, "value", value)
    value = value if isinstance(value, Tensor) else import_array(caller, "value", value)
    if value.dtype.kind != "f":
        raise TypeError(f"{caller}: value: got dtype {value.dtype}, want floating point")
    return Parameter(value)
