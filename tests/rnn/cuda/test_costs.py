"""The planner's costs: a table that is read changes plans, damaged ones are refused by name, each cost has a unit."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.backend import Backend
from minigrad_rnn import doctor
from minigrad_rnn.cuda import costs as costs_module
from minigrad_rnn.cuda.costs import DEFAULT, INTEGERS, NUMBERS, POSITIVE, Costs, costs_for, read_costs, write_costs
from minigrad_rnn.cuda.planner import PERSISTENT, TWO_LAUNCHES, Shape, plan
from tests.support.cuda_on_cpu.devices import A100, H100

SHAPE = Shape("lstm", 16, 256, np.dtype("float32"), 1)
CHEAP_LAUNCHES = replace(DEFAULT, launch=1.0, source="test")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path that MINIGRAD_GPU_COSTS names; nothing is there yet."""
    path = tmp_path / "table.json"
    monkeypatch.setenv(costs_module.VARIABLE, str(path))
    costs_module._costs_for.cache_clear()
    return path


def content(device: str = "H100", **changes: Any) -> dict[str, Any]:
    numbers = {name: asdict(DEFAULT)[name] for name in NUMBERS}
    return {"version": costs_module.VERSION, "devices": {device: numbers | changes}}


def test_a_table_that_was_written_is_read_and_changes_a_plan(table: Path) -> None:
    write_costs(table, A100.name, replace(DEFAULT, exchange=1500.0))
    write_costs(table, H100.name, CHEAP_LAUNCHES)
    assert costs_for(H100.name) == replace(CHEAP_LAUNCHES, source=str(table))
    assert costs_for(A100.name) == replace(DEFAULT, exchange=1500.0, source=str(table))
    assert costs_for("another") == DEFAULT
    made = plan(H100, SHAPE)
    assert (made.forward.name, made.backward.name) == (TWO_LAUNCHES, TWO_LAUNCHES)
    assert str(made).endswith(f", costs of {table}")
    other = plan(replace(H100, name="another"), SHAPE)
    assert other.forward.name == PERSISTENT
    assert str(other).endswith(", default costs")


def test_plans_by_several_tables_are_apart() -> None:
    """The same device and shape, in turn: no plan of one table is handed out for another."""
    for _ in range(2):
        assert plan(H100, SHAPE, DEFAULT).forward.name == PERSISTENT
        assert plan(H100, SHAPE, CHEAP_LAUNCHES).forward.name == TWO_LAUNCHES
    named = plan(H100, SHAPE, replace(DEFAULT, source="a file"))
    assert named.forward == plan(H100, SHAPE, DEFAULT).forward
    assert str(named) == str(plan(H100, SHAPE, DEFAULT)).replace("default costs", "costs of a file")


def test_what_no_cost_decided_names_none() -> None:
    made = plan(H100, replace(SHAPE, B=129), CHEAP_LAUNCHES)
    assert made.costs is None
    assert str(made) == "two launches a step (B = 129: one launch takes at most 128 examples)"


def test_a_table_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(costs_module.VARIABLE, raising=False)
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path))
    costs_module._costs_for.cache_clear()
    assert costs_for(H100.name) == DEFAULT
    write_costs(tmp_path / costs_module.FILE, H100.name, CHEAP_LAUNCHES)
    assert costs_for(H100.name) == DEFAULT  # read once: a plan stays as it is while a program runs
    costs_module._costs_for.cache_clear()
    assert costs_for(H100.name).launch == 1.0


@pytest.mark.parametrize("error", [errno.EACCES, errno.ENAMETOOLONG, errno.EIO])
def test_a_cache_folder_that_cannot_be_reached_has_no_table(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(costs_module.VARIABLE, raising=False)
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path))
    costs_module._costs_for.cache_clear()
    stat, asked = os.stat, []

    def refused(path: Any, **options: Any) -> os.stat_result:
        if os.fspath(path).endswith(costs_module.FILE):
            asked.append(path)
            raise OSError(error, os.strerror(error), path)
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", refused)
    assert costs_for(H100.name) == DEFAULT
    assert asked


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=r"^cuda.costs: ") as error:
        read_costs(path)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda t: {**t, "version": 2}, "version: got 2, want 1"),
        (lambda t: {**t, "version": True}, "version: got True, want 1"),
        (lambda t: {**t, "version": 1.0}, "version: got 1.0, want 1"),
        (lambda t: {**t, "more": 1}, "the table: got 'more', want the keys version, devices"),
        (lambda t: {"version": 1}, "the table: got 'no devices', want"),
        (lambda t: [t], "the table: got [{"),
        (lambda t: {**t, "devices": []}, "devices: got [], want an object"),
        (lambda t: {**t, "devices": {"H100": 3}}, "devices['H100']: got 3, want an object"),
        (lambda t: content(speed=1), "devices['H100']: got 'speed', want the keys exchange, "),
        (lambda t: {**t, "devices": {"H100": {"tile": 1}}}, "devices['H100']: got 'no exchange', want the keys"),
        (lambda t: content(source="me"), "got 'source', want the keys"),
    ],
)
def test_a_damaged_table_is_refused(table: Path, damage: Callable[[Any], Any], expected: str) -> None:
    table.write_text(json.dumps(damage(content())), encoding="utf-8")
    assert expected in refusal(table)
    with pytest.raises(ValueError, match=r"^cuda.costs: "):
        plan(H100, SHAPE)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["1", None, True, [], -1, float("nan"), float("inf"), -float("inf"), 10**400])
def test_a_number_that_is_none_is_refused(table: Path, name: str, value: Any) -> None:
    table.write_text(json.dumps(content(**{name: value})), encoding="utf-8")
    assert f"devices['H100']['{name}']: got {str(value)[:5] if isinstance(value, int) else repr(value)}" in refusal(
        table
    )


@pytest.mark.parametrize("name", NUMBERS)
def test_zero_is_refused_where_it_divides(table: Path, name: str) -> None:
    table.write_text(json.dumps(content(**{name: 0})), encoding="utf-8")
    if name in POSITIVE:
        assert f"['{name}']: got 0, want" in refusal(table)
        assert "> 0" in refusal(table)
    else:
        assert getattr(read_costs(table)["H100"], name) == 0


def test_loads_at_once_are_whole(table: Path) -> None:
    assert INTEGERS == ("at_once",)
    table.write_text(json.dumps(content(at_once=1.5)), encoding="utf-8")
    assert "['at_once']: got 1.5, want an integer > 0" in refusal(table)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\xfe", b'{"version": 1', b"[" * 100_000, b"1" * 10_000, b" " * (1 << 21)], ids=len
)
def test_what_is_no_table_is_refused(table: Path, text: bytes) -> None:
    table.write_bytes(text)
    assert "got" in refusal(table)


def test_a_file_that_cannot_be_read_is_refused(table: Path) -> None:
    assert "cannot be read: No such file" in refusal(table)
    with pytest.raises(ValueError, match="cannot be read"):  # the variable names it, so it is wanted
        costs_for(H100.name)
    table.mkdir()
    assert "cannot be read" in refusal(table)


def test_a_damaged_table_is_not_written_over(table: Path) -> None:
    table.write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="the table: got 'no version'"):
        write_costs(table, H100.name, DEFAULT)
    assert table.read_text(encoding="utf-8") == "{}"


def test_the_doctor_says_which_costs_count(table: Path, kernels_on_cpu: Backend) -> None:
    device = kernels_on_cpu.kernels().device
    write_costs(table, "another", DEFAULT)
    assert doctor._device(kernels_on_cpu).endswith(", default costs")
    write_costs(table, device.name, DEFAULT)
    costs_module._costs_for.cache_clear()
    assert doctor._device(kernels_on_cpu).endswith(f", costs of {table}")
    table.write_text("{}", encoding="utf-8")
    costs_module._costs_for.cache_clear()
    assert f"cuda.costs: {table}: the table: got 'no version'" in doctor._device(kernels_on_cpu)


def test_each_cost_has_a_meaning_and_a_unit() -> None:
    text = Path(costs_module.__file__).read_text(encoding="utf-8")
    for name in NUMBERS:
        meaning = text.partition(f"\n    {name}: ")[2].partition('"""')[2].partition('"""')[0]
        assert any(unit in meaning for unit in ("Clocks", "Bytes per clock", "Loads")), name
    assert isinstance(DEFAULT, Costs)
    assert set(POSITIVE) < set(NUMBERS)
