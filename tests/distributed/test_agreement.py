"""Ranks that differ, fail or end: every rank is told, with names, and none waits for ever."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.distributed import Communicator, DataParallel, DistributedError, run_in_threads
from minigrad_rnn import LSTM


def errors_of(program: Callable[[Communicator], Any], size: int = 2) -> list[str]:
    """The error of every rank, as text."""
    errors = [""] * size

    def noting(communicator: Communicator) -> None:
        try:
            program(communicator)
        except Exception as error:
            errors[communicator.rank] = f"{type(error).__name__}: {error}"
            raise

    with contextlib.suppress(Exception):
        run_in_threads(noting, size)
    assert any(errors)
    return errors


def model_of(rank: int = 0) -> mg.nn.Module:
    return mg.nn.Linear(2, 2, rng=0)


def parallel_of(communicator: Communicator) -> DataParallel:
    return DataParallel(mg.nn.Linear(2, 2, rng=0), communicator)


def test_different_models_are_refused_by_name() -> None:
    errors = errors_of(lambda c: DataParallel(mg.nn.Linear(2, 2 + c.rank), c))
    assert errors[0] == errors[1]
    assert "ValueError: DataParallel: model: the ranks differ: weight" in errors[0]
    assert "(2, 2)' on rank 0, 'float32 (3, 2)' on rank 1" in errors[0]
    without = errors_of(lambda c: DataParallel(mg.nn.Linear(2, 2, bias=c.rank != 1), c), 3)
    assert all("bias: 'float32 (2,)' on rank 0, missing on rank 1" in error for error in without)
    frozen = errors_of(lambda c: DataParallel(mg.nn.Linear(2, 2).requires_grad_(c.rank == 0), c))
    assert "'float32 (2, 2) frozen' on rank 1" in frozen[0]


def test_different_options_are_refused_by_name() -> None:
    def program(communicator: Communicator) -> None:
        parallel = parallel_of(communicator)
        parallel.check_same("Trainer", {"clip_norm": 1.0, "seed": 7})
        parallel.check_same("Trainer", {"clip_norm": 1.0 + parallel.rank, "seed": 7})

    errors = errors_of(program)
    assert errors == ["ValueError: Trainer: the ranks differ: clip_norm: 1.0 on rank 0, 2.0 on rank 1"] * 2


def test_weights_that_drift_apart_are_noticed() -> None:
    def program(communicator: Communicator) -> None:
        model = mg.nn.Linear(2, 2, rng=0)
        parallel = DataParallel(model, communicator, check_every=2)
        for update in range(3):
            model(np.ones((1, 2), np.float32)).sum().backward()
            parallel.pool_gradients(1)
            assert model.bias is not None
            if parallel.rank and update == 1:
                model.bias.data[1] = np.nextafter(model.bias.data[1], np.float32(9))  # the last bit

    for error in errors_of(program):
        assert error.startswith(
            "DistributedError: DataParallel.check_identical: hashes of weights: the ranks differ: bias"
        )


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_nan_on_one_rank_stops_all_and_leaves_the_gradients(where: str) -> None:
    def program(communicator: Communicator) -> None:
        model = mg.nn.Linear(2, 2, rng=0)
        parallel = DataParallel(model, communicator)
        bad = parallel.rank == 1
        factor = math.nan if bad and where == "gradient" else 1.0 + parallel.rank
        (model(np.ones((1, 2), np.float32)) * factor).sum().backward()
        before = repr(model.weight.grad)
        try:
            parallel.pool_gradients(1, loss=math.nan if bad and where == "loss" else 0.5)
        finally:
            assert repr(model.weight.grad) == before

    want = "the loss or a gradient is not finite on rank 1; every rank stops"
    assert errors_of(program) == [f"FloatingPointError: DataParallel.pool_gradients: update 0: {want}"] * 2


def test_a_sum_beyond_the_dtypes_range_is_no_nan() -> None:
    def program(communicator: Communicator) -> Any:
        model = mg.nn.Linear(2, 1, bias=False, rng=0)
        parallel = DataParallel(model, communicator)
        model.weight.grad = mg.tensor(np.full((1, 2), 3e38, np.float32))
        parallel.pool_gradients(1)
        return model.weight.grad.tolist()

    (first, second) = run_in_threads(program, 2)
    assert first == second == np.full((1, 2), 3e38, np.float32).tolist()


def test_a_rank_that_raises_ends_the_others_with_its_words() -> None:
    def program(communicator: Communicator) -> None:
        parallel = parallel_of(communicator)
        if parallel.rank == 1:
            raise OSError("no space left on the disk")
        parallel.any(False)

    errors = errors_of(program, 3)
    assert errors[1] == "OSError: no space left on the disk"
    for rank in (0, 2):
        assert "DistributedError: rank 1 has ended (OSError: no space left on the disk)" in errors[rank]
        assert f"so rank {rank} ends too" in errors[rank]


def test_a_rank_that_ends_early_ends_the_others() -> None:
    def program(communicator: Communicator) -> None:
        for _ in range(2 + communicator.rank):
            communicator.broadcast("next")

    errors = errors_of(program)
    assert errors[0] == ""
    assert "DistributedError: rank 0 has ended, see what it printed; so rank 1 ends too" in errors[1]


def test_different_calls_are_told_and_nothing_works_after() -> None:
    def program(communicator: Communicator) -> None:
        parallel = parallel_of(communicator)
        for _ in range(2):
            with pytest.raises(DistributedError, match=r"different calls.* rank 0: any, rank 1: broadcast") as told:
                parallel.any(False) if parallel.rank == 0 else parallel.broadcast(1)
        raise told.value

    assert all("different calls" in error for error in errors_of(program))


def test_gradients_laid_out_otherwise_are_refused() -> None:
    def program(communicator: Communicator) -> None:
        model = mg.nn.Linear(2, 2, rng=0)
        parallel = DataParallel(model, communicator)
        model.requires_grad_(parallel.rank == 0)
        parallel.pool_gradients(1)

    for error in errors_of(program):
        assert "ValueError: DataParallel: model: the ranks differ: weight" in error


def test_an_error_within_an_exchange_ends_the_others_too() -> None:
    def program(communicator: Communicator) -> None:
        model = mg.nn.Linear(2, 2, rng=0)
        parallel = DataParallel(model, communicator)
        model(np.ones((1, 2), np.float32)).sum().backward()
        if parallel.rank == 1:

            def full(array: Any) -> None:
                raise MemoryError("no room for the sum")

            communicator._all_reduce = full  # type: ignore[method-assign]
        parallel.pool_gradients(1)

    errors = errors_of(program, 3)
    assert errors[1] == "MemoryError: no room for the sum"
    for rank in (0, 2):
        assert "DistributedError: an error ended an exchange halfway on another rank" in errors[rank]


def test_weights_of_a_mean() -> None:
    def program(communicator: Communicator) -> tuple[float, bool, bool]:
        parallel = parallel_of(communicator)
        value = [1.0, 4.0, math.nan][parallel.rank]
        mean = parallel.mean(value, [3.0, 1.0, 0.0][parallel.rank])
        return mean, parallel.any(parallel.rank == 2), parallel.any(False)

    assert run_in_threads(program, 3) == [(1.75, True, False)] * 3
    assert "0 on every rank" in errors_of(lambda c: parallel_of(c).mean(1.0, 0))[1]
    assert "0 on every rank" in errors_of(lambda c: parallel_of(c).pool_gradients(0))[0]


def test_trees_travel_in_c_order_and_without_pickle() -> None:
    def tree(rank: int) -> dict[str, Any]:
        arrays = [np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(4)[::2], np.array(3, np.int8), np.zeros(0)]
        return {"rank": rank, "big": 2**100, "list": [None, 0.1, "é", *arrays], "tensor": mg.tensor([1.5 + rank])}

    def program(communicator: Communicator) -> Any:
        return communicator.broadcast(tree(communicator.rank)), communicator.gather(tree(communicator.rank))

    (first, gathered), (second, nothing) = run_in_threads(program, 2)
    assert nothing is None
    for rank, got in enumerate([first, second, *gathered]):
        assert (got["rank"], got["big"], got["list"][:3]) == (int(rank == 3), 2**100, [None, 0.1, "é"])
        transposed, strided, scalar, empty = got["list"][3:]
        assert transposed.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert transposed.flags.c_contiguous
        assert (strided.tolist(), scalar.shape, scalar.dtype, empty.shape) == ([0, 2], (), np.int8, (0,))
        assert got["tensor"].tolist() == [1.5 + int(rank == 3)]


def test_a_tree_that_cannot_be_sent_is_refused_on_every_rank() -> None:
    errors = errors_of(lambda c: c.broadcast(object() if c.rank == 0 else 1))
    assert "TypeError: Communicator: tree: want arrays and what JSON can hold" in errors[0]
    assert errors[1] == "TypeError: Communicator.broadcast: tree: the one of rank 0 cannot be sent, see its error"
    assert errors_of(lambda c: c.gather(np.array(["text"])))[1].startswith("TypeError: Communicator: tree")


def test_each_rank_draws_masks_of_its_own_from_one_seed() -> None:
    def program(communicator: Communicator) -> list[list[float]]:
        model = mg.nn.Sequential(mg.nn.Dropout(0.5, rng=3), LSTM(2, 2, num_layers=2, dropout=0.5, rng=3))
        extra = np.random.Generator(np.random.MT19937(5))
        parallel = DataParallel(model, communicator)
        parallel.spread_generators([extra, extra])
        return [model[0].rng.random(2).tolist(), model[1].rng.random(2).tolist(), extra.random(2).tolist()]

    (alone,) = run_in_threads(program, 1)
    first, second, third = run_in_threads(program, 3)
    assert first == alone  # rank 0's go on as they were
    assert run_in_threads(program, 3) == [first, second, third]
    draws = [draw for rank in (first, second, third) for draw in rank]
    assert len({tuple(draw) for draw in draws}) == len(draws)


def test_what_is_refused_before_anything_is_sent() -> None:
    def program(communicator: Communicator) -> None:
        parallel = parallel_of(communicator)
        for wrong in (-1, math.nan, math.inf, "1", True):
            with pytest.raises(ValueError, match=r"weight: got .* want a number of at least 0"):
                parallel.pool_gradients(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="Communicator"):
            DataParallel(model_of(), 3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="Module"):
            DataParallel(3, communicator)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="check_every"):
            DataParallel(model_of(), communicator, check_every=0)
        with pytest.raises(TypeError, match="shard: stream: got list, want one with shard"):
            parallel.shard([1])  # type: ignore[type-var]

    run_in_threads(program, 1)
