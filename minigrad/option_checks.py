"""Checks arguments that are no arrays, such as flags, numbers and dtypes: what was got, and what is wanted."""

from __future__ import annotations

import difflib
import math
import os
import sys
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np


def shown(value: Any) -> str:
    """A value as an error shows it: text, numbers and short lists themselves, of anything else the type."""
    if value is None or isinstance(value, (bool, int, float, complex, str, np.generic)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, (list, tuple)) and all(map(is_number, value)) and len(text := repr(value)) <= 60:
        return text
    return type_shown(value)


def type_shown(value: Any) -> str:
    """The type of a value as an error shows it, or which class it is."""
    if value is None:
        return "None"
    kind = value if isinstance(value, type) else type(value)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    return f"the class {name}" if kind is value else name


def is_integer(value: Any) -> bool:
    """Whether `value` is a Python or NumPy integer, and not a bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether `value` is a real Python or NumPy number, and not a bool."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def check_integer(caller: str, least: int | None = 1, most: float = sys.maxsize, **arguments: Any) -> None:
    """Raise ValueError unless an argument is an integer from `least`, None for any, to `most`."""
    low = -sys.maxsize if least is None else least
    for name, value in arguments.items():
        if type(value) is int and low <= value <= most:
            continue
        if not is_integer(value) or not low <= value <= most:
            too_large = is_integer(value) and value > most
            limit = f" of at most {most}" if too_large else "" if least is None else f" of at least {least}"
            raise ValueError(f"{caller}: {name}: got {shown(value)}, want a whole number{limit}")


def check_number(caller: str, least: float = -math.inf, **arguments: Any) -> None:
    """Raise ValueError unless an argument is a finite number of at least `least`."""
    for name, value in arguments.items():
        if not is_number(value) or not (least <= value < math.inf and value > -math.inf):
            limit = "" if least == -math.inf else f" of at least {least:g}"
            raise ValueError(f"{caller}: {name}: got {shown(value)}, want a finite number{limit}")


def check_probability(caller: str, one: bool = False, **arguments: Any) -> None:
    """Raise ValueError unless an argument is a number in [0, 1), or in [0, 1] where `one` is allowed."""
    for name, value in arguments.items():
        if not is_number(value) or not (0 <= value < 1 or (one and value == 1)):
            raise ValueError(f"{caller}: {name}: got {shown(value)}, want a number in [0, 1{']' if one else ')'}")


def check_flag(caller: str, **arguments: Any) -> None:
    """Raise TypeError unless an argument is True or False: the text "False" would count as true."""
    for name, value in arguments.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{caller}: {name}: got {shown(value)}, want True or False")


def check_text(caller: str, **arguments: Any) -> None:
    """Raise TypeError unless an argument is a str."""
    check_type(caller, str, "text", **arguments)


def check_path(caller: str, **arguments: Any) -> None:
    """Raise TypeError unless an argument is a str or a path object."""
    check_type(caller, (str, os.PathLike), "a path", **arguments)


def check_choice(caller: str, choices: Collection[str | None], **arguments: Any) -> None:
    """Raise ValueError unless an argument is one of `choices`, which are strings or None."""
    for name, value in arguments.items():
        if not (value is None or isinstance(value, str)) or value not in choices:
            raise ValueError(
                f"{caller}: {name}: got {shown(value)}, want one of {list(choices)}{closest(value, choices)}"
            )


def check_type(caller: str, kind: type | tuple[type, ...], wanted: str, **arguments: Any) -> None:
    """Raise TypeError unless an argument is an instance of `kind`, which the error calls `wanted`."""
    for name, value in arguments.items():
        if not isinstance(value, kind):
            raise TypeError(f"{caller}: {name}: got {type_shown(value)}, want {wanted}")


def check_function(caller: str, **arguments: Any) -> None:
    """Raise TypeError unless an argument can be called."""
    for name, value in arguments.items():
        if not callable(value):
            raise TypeError(f"{caller}: {name}: got {type_shown(value)}, want a function")


def check_dtype(caller: str, dtype: Any, kinds: str = "f", argument: str = "dtype") -> np.dtype[Any]:
    """The NumPy dtype that the argument names.

    Raises:
        TypeError: it names none, one in another byte order than the machine's, or one that is not among `kinds`,
            NumPy's letters ("f" is floating point).
    """
    wanted = "a floating-point dtype such as 'float32'" if kinds == "f" else "a dtype such as 'float32'"
    try:
        found: np.dtype[Any] | None = None if dtype is None else np.dtype(dtype)
    except (TypeError, ValueError):  # NumPy: "Cannot interpret … as a data type"
        found = None
    if found is None or found.kind not in kinds or not found.isnative:
        raise TypeError(f"{caller}: {argument}: got {shown(dtype) if found is None else found}, want {wanted}")
    return found


def closest(name: Any, known: Iterable[Any]) -> str:
    """Words for the end of an error: which of the known names the wrong one is likely to stand for, or ""."""
    names = [n for n in known if isinstance(n, str)]
    similar = difflib.get_close_matches(name, names, 1) if isinstance(name, str) else []
    return f"; did you mean {similar[0]!r}?" if similar else ""
