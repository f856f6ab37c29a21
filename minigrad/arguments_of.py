"""`arguments_of` completes a docstring with what other docstrings say of the same arguments.

An LSTM takes the arguments of every recurrence and those of its cell. Each is described once, where it belongs, and
`help(LSTM)` shows all of them in one place.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

Documented = TypeVar("Documented", bound=Callable[..., Any])

HEADING = re.compile(r"(Equations|Args|Parameters|Buffers|State|Call|Returns|Yields|Raises)\b.*?:(?: |$)")
"""The first line of a section, at the left margin."""
ENTRY = re.compile(r" {4}(\*{0,2}\w+(?:, \*{0,2}\w+)*): ")
"""The first line of what an `Args` section says of one or several arguments."""
ORDER = ("", "Equations", "Args", "Parameters", "Buffers", "State", "Call", "Returns", "Yields", "Raises")
"""How sections follow each other; "" is the text before them."""
SHARED = ("Equations", "Call", "Returns", "Raises")
"""Sections that are taken over as a whole; errors are added to the target's own."""


class _Section(NamedTuple):
    name: str
    """"" for text between sections."""
    lines: list[str]


def arguments_of(
    *sources: Callable[..., Any], without: tuple[str, ...] = (), sections: tuple[str, ...] = SHARED
) -> Callable[[Documented], Documented]:
    """Return a decorator that completes a class's or function's docstring, and its signature, from `sources`.

    Its `Args` then describe every parameter, in the order of the signature: in its own words where it has any, else in
    those of the first source that has. In the place of `**options` stand the keyword arguments of the sources. Without
    docstrings (`python -OO`) only the signature is completed.

    Args:
        sources: classes and functions with docstrings in Google's style.
        without: arguments of the sources that the target does not take.
        sections: those that are taken over if the target has none; lines of `Raises` are added to the target's.

    Raises (from the decorator):
        TypeError: a parameter is described nowhere.
    """

    def complete(target: Documented) -> Documented:
        function: Any = vars(target).get("__init__") if inspect.isclass(target) else target
        if function is not None:
            function.__signature__ = _signature(function, sources, without)
        parameters = [name for name in _parameters(target) if name not in ("self", *without)]
        if target.__doc__ is not None:
            target.__doc__ = _docstring(target, parameters, sources, sections)
        return target

    return complete


def _parameters(target: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(target).parameters)


def _signature(function: Any, sources: tuple[Any, ...], without: tuple[str, ...]) -> inspect.Signature:
    """The function's signature with the sources' keyword arguments in the place of `**options`."""
    signature = inspect.signature(function)
    own = dict(signature.parameters)
    last = next((p for p in own.values() if p.kind is p.VAR_KEYWORD), None)
    if last is None:
        return signature
    del own[last.name]
    for source in sources:
        for name, p in _parameters(source).items():
            if name not in own and name not in without and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                own[name] = p.replace(kind=p.KEYWORD_ONLY)
    return signature.replace(parameters=list(own.values()))


def _docstring(target: Any, parameters: list[str], sources: tuple[Any, ...], shared: tuple[str, ...]) -> str:
    result = _sections(target.__doc__)
    others = [section for source in sources for section in _sections(source.__doc__ or "")]
    described = [*_entries(result), *_entries(others)]
    result = [section for section in result if section.name != "Args"]
    if parameters:
        _insert(result, _Section("Args", ["Args:", *_args(target.__name__, parameters, described)]))
    for name in shared:
        found = [section for section in others if section.name == name]
        mine = next((section for section in result if section.name == name), None)
        if found and mine is None:
            _insert(result, _Section(name, list(found[0].lines)))
            mine, found = next(section for section in result if section.name == name), found[1:]
        if name == "Raises" and mine is not None:
            mine.lines.extend(line for section in found for line in section.lines[1:])
    return "\n\n".join("\n".join(section.lines) for section in result) + "\n"


def _insert(sections: list[_Section], new: _Section) -> None:
    """Insert a section before the first that follows it in `ORDER`."""
    rank = ORDER.index(new.name)
    place = next((k for k, section in enumerate(sections) if ORDER.index(section.name) > rank), len(sections))
    sections.insert(place, new)


def _sections(docstring: str) -> list[_Section]:
    """A docstring's sections and the paragraphs between them, in order."""
    result: list[_Section] = []
    for line in inspect.cleandoc(docstring).split("\n"):
        indented = line.startswith(" ")
        if not indented and (heading := HEADING.match(line)):
            result.append(_Section(heading[1], [line]))
        elif result and (indented or not line or result[-1].lines[-1]):
            result[-1].lines.append(line)
        else:
            result.append(_Section("", [line]))
    for section in result:
        while section.lines and not section.lines[-1]:
            section.lines.pop()
    return result


def _entries(sections: list[_Section]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """The arguments that the `Args` sections describe: their names and their lines."""
    for section in sections:
        if section.name != "Args":
            continue
        names: tuple[str, ...] = ()
        lines: list[str] = []
        for line in section.lines[1:]:
            if entry := ENTRY.match(line):
                if names:
                    yield names, lines
                names, lines = tuple(name.strip("*") for name in entry[1].split(", ")), []
            lines.append(line)
        if names:
            yield names, lines


def _args(name: str, parameters: list[str], described: list[tuple[tuple[str, ...], list[str]]]) -> list[str]:
    """The lines of the `Args` section, in the order of the parameters."""
    result: list[str] = []
    done: set[str] = set()
    for parameter in parameters:
        if parameter in done:
            continue
        found = next((entry for entry in described if parameter in entry[0]), None)
        if found is None:
            raise TypeError(f"arguments_of: {name}: no docstring describes the argument {parameter}")
        done |= {*found[0]}
        result += found[1]
    return result
