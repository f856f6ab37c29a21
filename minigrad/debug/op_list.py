"""List all operations and how each is differentiated, as `python -m minigrad ops` prints them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .. import ops
from ..engine.primitive import COMPOSED, NONDIFFERENTIABLE, REGISTRY

FOLDER = "minigrad/ops/"
ORDER_CHECKED = 2
"""The order to which the test suite checks every differentiable operation, value by value, in float64."""


@dataclass(frozen=True)
class Operation:
    """A public operation.

    Args:
        name: as in `minigrad.name`, with `linalg.` or `fft.` in front for what is in these namespaces.
        rule: "own" (a primitive), "through" (a primitive behind a function that prepares its arguments),
            "composed" (of other operations) or "constant" (no gradient flows).
        file: where it is defined, as `minigrad/ops/...`.
        aliases: further names of the same function.
    """

    name: str
    rule: str
    file: str
    aliases: tuple[str, ...] = ()

    @property
    def differentiable(self) -> bool:
        return self.rule != "constant"


def operations() -> list[Operation]:
    """Return every public operation once, sorted by name."""
    names: dict[Callable[..., Any], list[str]] = {}
    for prefix, namespace in (("", ops), ("linalg.", ops.linalg), ("fft.", ops.fft)):
        for name in namespace.__all__:
            function = getattr(namespace, name)
            if not isinstance(function, ModuleType):
                names.setdefault(function, []).append(prefix + name)
    own, composed = set(REGISTRY.values()), set(COMPOSED.values())
    result = []
    for function, all_names in names.items():
        first, *aliases = sorted(all_names, key=lambda name: (name.split(".")[-1] != function.__name__, len(name)))
        if function in NONDIFFERENTIABLE:
            rule = "constant"
        else:
            rule = "own" if function in own else "composed" if function in composed else "through"
        file = function.__module__.replace(".", "/") + ".py"
        result.append(Operation(first, rule, file, tuple(aliases)))
    return sorted(result, key=lambda operation: operation.name)


def table() -> str:
    """Return all operations as text, with the counts below."""
    listed = operations()
    width = max(len(operation.name) for operation in listed)
    rows = [f"{'operation':<{width}}  {'rule':<8}  order  file"]
    for operation in listed:
        order = str(ORDER_CHECKED) if operation.differentiable else "–"
        file = operation.file.removeprefix(FOLDER)
        rows.append(f"{operation.name:<{width}}  {operation.rule:<8}  {order:>5}  {file}")
        rows += [f"  = {alias}" for alias in operation.aliases]
    counts = {rule: sum(operation.rule == rule for operation in listed) for rule in ("own", "through", "composed")}
    differentiable = sum(counts.values())
    summary = [
        f"{differentiable} differentiable operations: {counts['own']} primitives with their own rule, "
        f"{counts['through']} functions that prepare a primitive's arguments, {counts['composed']} composed of others; "
        f"each is checked to order {ORDER_CHECKED} by the test suite.",
        f"{len(listed) - differentiable} operations through which no gradient flows.",
        f"All run on numpy and on cupy. Files are in {FOLDER}; = is another name of the same operation.",
    ]
    rows += ["", *(textwrap.fill(line, 79) for line in summary)]
    return "\n".join(rows)
