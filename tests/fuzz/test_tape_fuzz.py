"""Random programs on the tape, run backward in every way; and that planted faults are caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine import backward_pass, gradient_pool, primitive
from tests.fuzz import tape_operations
from tests.fuzz.tape_checks import WAYS, Mismatch, check
from tests.fuzz.tape_programs import draw


def check_programs(seed: int, count: int, size: int, torch: Any = None) -> None:
    """Check `count` random programs of less than `size` steps each."""
    rng = np.random.default_rng(seed)
    for k in range(count):
        program = draw(rng, int(rng.integers(1, size)))
        if torch is not None or program.double:  # differences need float64
            check(program, WAYS[k % len(WAYS)], rng, torch)


@pytest.mark.parametrize("seed", range(4))
def test_random_programs_against_torch(seed: int) -> None:
    check_programs(seed, 300, 20, pytest.importorskip("torch"))


@pytest.mark.parametrize("seed", range(5))
def test_random_programs_against_differences(seed: int) -> None:
    check_programs(100 + seed, 120, 10)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(400))
def test_many_more_random_programs(seed: int) -> None:
    torch = pytest.importorskip("torch")
    for size in (10, 20, 60):
        check_programs(1000 + seed, 300, size, torch)
    check_programs(1000 + seed, 300, 10)


def wrong_tanh(rule: Callable[..., Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """Plant a rule in place of tanh's."""

    def tanh(xp: Any, x: Any) -> Any:
        y = xp.tanh(x)
        return y, (y,), rule

    return lambda patch: patch.setattr(mg, "tanh", primitive.primitive(tanh))  # only then, since it is registered


def drop_second_contributions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gradient_pool.Pool, "result", lambda self, keep_factors=False: (self.total, False))
    patch.setattr(
        gradient_pool.Pool, "add", lambda self, g: setattr(self, "total", g if self.total is None else self.total)
    )


def leave_scalars(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(backward_pass, "HOST_SCALARS", frozenset())


def check_no_shape(patch: pytest.MonkeyPatch) -> None:
    wrong_tanh(lambda xp, g, y: xp.sum(g * (1 - y * y)))(patch)
    patch.setattr(backward_pass, "_check_broadcast", lambda *args: None)
    patch.setattr(backward_pass, "unbroadcast", lambda xp, g, *args: g)


def forget_hooks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(backward_pass, "hooked", {})


def mistake_sources(patch: pytest.MonkeyPatch) -> None:
    def reversed_positions(saved: Any, arrays: Any) -> tuple[int | None, ...]:
        return tuple(len(saved) - 1 - k for k in range(len(saved)))

    patch.setattr(primitive, "source_positions", reversed_positions)


def follow_detached_inputs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mg.Tensor, "detach", lambda self: self)


def keep_consumed_graphs(patch: pytest.MonkeyPatch) -> None:
    run = backward_pass.run
    patch.setattr(backward_pass, "run", lambda *args, **options: run(*args, **(options | {"retain": True})))


def add_into_borrowed_memory(patch: pytest.MonkeyPatch) -> None:
    add = gradient_pool.Pool.add

    def add_in_place(self: Any, contribution: Any) -> None:
        self.owned = isinstance(self.total, np.ndarray)
        if self.owned and isinstance(contribution, np.ndarray):
            self.total += contribution
        else:
            add(self, contribution)

    patch.setattr(gradient_pool.Pool, "add", add_in_place)


def lose_a_custom_rules_first_argument(patch: pytest.MonkeyPatch) -> None:
    @mg.custom_rule
    def custom(a: Any, b: Any) -> Any:
        return a * b + a * a

    @custom.rule
    def _(g: Any, y: Any, a: Any, b: Any) -> Any:
        return None, tape_operations._summed_to(g * a, b.shape)

    patch.setattr(tape_operations, "custom", custom)


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a rule off by 1.001": wrong_tanh(lambda xp, g, y: g * (1 - y * y) * 1.001),
    "a rule right to first order only": wrong_tanh(
        lambda xp, g, y: g * (1 - (y.detach() if isinstance(y, mg.Tensor) else y) ** 2)
    ),
    "a rule of a wrong shape": wrong_tanh(lambda xp, g, y: xp.sum(g * (1 - y * y))),
    "a wrong shape that nobody checks": check_no_shape,
    "a dropped contribution": drop_second_contributions,
    "a scalar in place of an array": leave_scalars,
    "hooks that are not called": forget_hooks,
    "saved arrays tied to the wrong inputs": mistake_sources,
    "detach that does not": follow_detached_inputs,
    "a graph that is not consumed": keep_consumed_graphs,
    "a sum in memory that another node holds": add_into_borrowed_memory,
    "a custom rule's gradient that is lost": lose_a_custom_rules_first_argument,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By differences alone, within the programs of the suite."""
    FAULTS[fault](monkeypatch)

    def check_all() -> None:
        for seed in range(8):
            check_programs(100 + seed, 120, 10)

    with pytest.raises(Mismatch):
        check_all()
