"""The tables of docs/coming_from.md: every name exists, here and there, and calls side by side give equal numbers."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn
from minigrad import losses, nn, optim
from minigrad_rnn import data

PAGE = Path(__file__).resolve().parents[1] / "docs" / "coming_from.md"
LIBRARIES = ("torch", "jax", "autograd", "keras")
rng = np.random.default_rng(0)
ARRAYS = {
    "x": rng.standard_normal((3, 4)),
    "y": rng.standard_normal((3, 4)),
    "yes": (rng.random((3, 4)) > 0.5).astype(float),
    "A": rng.standard_normal((3, 3)),
    "v": rng.standard_normal(3),
    "W": rng.standard_normal((5, 4)),
    "c": rng.standard_normal(5),
    "ids": np.array([0, 3, 1]),
    "index": np.array([[0, 3], [1, 1], [2, 0]]),
    "signal": rng.standard_normal((2, 3, 8)),
    "taps": rng.standard_normal((4, 3, 3)),
}
NUMPYS = {"X": ARRAYS["x"], "V": ARRAYS["v"], "U": rng.standard_normal(3)}
OURS = {
    **vars(minigrad_rnn),
    **{name: mg.tensor(array) for name, array in ARRAYS.items()},
    **NUMPYS,
    "mg": mg, "nn": nn, "optim": optim, "losses": losses, "data": data,
    "f": lambda x: mg.sum(mg.tanh(x) ** 2),
    "g": lambda x: mg.tanh(x) ** 2,
}  # fmt: skip


class Row(NamedTuple):
    """A row of a table: the other library, its name or call, and ours."""

    other: str
    theirs: str
    ours: str


def rows() -> Iterator[Row]:
    """The rows of the tables that compare names, with the name of the section."""
    library = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            library = line[3:].lower()
        if (found := re.match(r"\| `([^`]+)` \| `([^`]+)` \|.*\|$", line)) and line.count("|") == 4:
            yield Row(library, *found.groups())


ROWS = list(rows())
CALLS = [row for row in ROWS if "(" in row.theirs or row.theirs.endswith(".values")]
IDS = [f"{row.other}: {row.theirs}" for row in ROWS]


def installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def resolved(path: str) -> Any:
    """What a dotted name stands for, its modules imported."""
    first, *rest = path.split(".")
    value = importlib.import_module(first)
    for k, part in enumerate(rest):
        if not hasattr(value, part):
            importlib.import_module(".".join([first, *rest[: k + 1]]))
        value = getattr(value, part)
    return value


def theirs(library: str) -> dict[str, Any]:
    """The page's names as a library has them."""
    module = importlib.import_module(library)
    if library == "torch":
        return {**{name: module.tensor(array) for name, array in ARRAYS.items()}, "torch": module}
    if library == "jax":
        module.config.update("jax_enable_x64", True)
        array_functions = importlib.import_module("jax.numpy")
        names = {name: array_functions.asarray(array) for name, array in ARRAYS.items()}
    else:
        array_functions = importlib.import_module("autograd.numpy")
        names = dict(NUMPYS)
    functions = {
        "f": lambda x: array_functions.sum(array_functions.tanh(x) ** 2),
        "g": lambda x: array_functions.tanh(x) ** 2,
    }
    return {**names, **functions, library: module}


def arrays_in(value: Any) -> list[Any]:
    """The arrays of a result, a tree of tuples, as NumPy's."""
    if isinstance(value, (tuple, list)):
        return [array for part in value for array in arrays_in(part)]
    return [value.numpy() if isinstance(value, mg.Tensor) else np.asarray(value)]


def test_the_page_has_rows_of_every_library() -> None:
    counts = {library: sum(row.other == library for row in ROWS) for library in LIBRARIES}
    assert counts["torch"] > 70
    assert min(counts.values()) >= 12
    assert len(CALLS) > 55


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_name_of_ours_exists(row: Row) -> None:
    value: Any = OURS
    path = re.match(r"[\w.]+", row.ours)
    assert path is not None
    first, *rest = path[0].split(".")
    value = OURS[first]
    for part in rest:
        value = getattr(value, part)
    assert value is not None


@pytest.mark.parametrize("row", [row for row in ROWS if row not in CALLS and installed(row.other)], ids=str)
def test_a_name_of_theirs_exists(row: Row) -> None:
    assert resolved(row.theirs) is not None


@pytest.mark.parametrize("row", [row for row in CALLS if installed(row.other)], ids=str)
def test_two_calls_side_by_side_give_equal_numbers(row: Row) -> None:
    want = arrays_in(eval(row.theirs, theirs(row.other)))
    got = arrays_in(eval(row.ours, dict(OURS)))
    assert len(got) == len(want)
    for ours, reference in zip(got, want):
        assert ours.shape == reference.shape
        np.testing.assert_allclose(ours, reference, rtol=1e-12, atol=1e-13)


def test_a_wrong_row_is_noticed() -> None:
    pytest.importorskip("torch")
    wrong = Row("torch", "torch.std(x)", "mg.std(x)")  # by n − 1, and by n
    with pytest.raises(AssertionError):
        test_two_calls_side_by_side_give_equal_numbers(wrong)


@pytest.mark.parametrize("option", ["activation", "gate_activation", "bias", "forget_bias", "reset_after", "reverse"])
def test_an_option_of_ours_exists(option: str) -> None:
    assert f"`{option}" in PAGE.read_text(encoding="utf-8")
    kinds = (minigrad_rnn.LSTM, minigrad_rnn.GRU)
    assert any(f"    {option}" in (kind.__doc__ or "") for kind in kinds)
