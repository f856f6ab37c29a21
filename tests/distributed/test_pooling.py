"""`DataParallel.pool_gradients`: the ranks' shares give what one rank with the whole batch computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import minigrad as mg
from minigrad.distributed import DataParallel, run_in_threads
from minigrad.distributed.gradient_bucket import GradientBucket
from tests.conftest import TestedBackend
from tests.distributed.tagger import Tagger, batch, gradients

SIZES = (1, 2, 3)
SHARES = {1: [5], 2: [4, 1], 3: [1, 3, 1]}
"""Five examples, in shares of different sizes."""


def part_of(rank: int, size: int) -> slice:
    shares = SHARES[size]
    return slice(sum(shares[:rank]), sum(shares[: rank + 1]))


@pytest.mark.parametrize("size", SIZES)
def test_pooling_over_ranks_is_pooling_over_the_whole_batch(size: int) -> None:
    inputs, targets = batch()
    whole = Tagger(0)
    loss = mg.cross_entropy(whole(inputs), targets)
    loss.backward()

    def program(communicator: Any) -> tuple[Any, Any]:
        model = Tagger(communicator.rank)  # of other weights, which rank 0's replace
        parallel = DataParallel(model, communicator)
        mine = part_of(parallel.rank, size)
        share = mg.cross_entropy(model(inputs[:, mine]), targets[:, mine])
        share.backward()
        return parallel.pool_gradients(targets[:, mine].size, share), gradients(model)

    for pooled_loss, pooled in run_in_threads(program, size):
        assert pooled_loss == pytest.approx(loss.item(), abs=1e-12)
        assert pooled.keys() == gradients(whole).keys()
        for name, expected in gradients(whole).items():
            if expected is None:
                assert pooled[name] is None
            else:
                np.testing.assert_allclose(pooled[name], expected, rtol=0, atol=1e-12)


def test_ten_updates_of_adam_are_those_of_one_rank() -> None:
    inputs, targets = batch()

    def program(communicator: Any) -> dict[str, Any]:
        model = Tagger(1)
        parallel = DataParallel(model, communicator, check_every=3)
        optimizer = mg.optim.Adam(model.parameters(), lr=0.01)
        mine = part_of(parallel.rank, parallel.size)
        for _ in range(10):
            optimizer.zero_grad()
            loss = mg.cross_entropy(model(inputs[:, mine]), targets[:, mine])
            loss.backward()
            parallel.pool_gradients(targets[:, mine].size, loss)
            mg.optim.clip_grad_norm(model.parameters(), 0.1)
            optimizer.step()
        return model.state_dict()

    (alone,) = run_in_threads(program, 1)
    first, second = run_in_threads(program, 2)
    again, _ = run_in_threads(program, 2)
    for name in alone:
        assert first[name].tobytes() == second[name].tobytes() == again[name].tobytes()
        np.testing.assert_allclose(first[name], alone[name], rtol=0, atol=1e-9)


def test_one_rank_changes_no_bit() -> None:
    inputs, targets = batch()
    model = Tagger(0)
    mg.cross_entropy(model(inputs), targets).backward()
    before = gradients(model)
    run_in_threads(lambda communicator: DataParallel(model, communicator).pool_gradients(30), 1)
    for name, after in gradients(model).items():
        assert (before[name] is None and after is None) or before[name].tobytes() == after.tobytes()


def test_a_gradient_that_one_rank_lacks_counts_as_zero() -> None:
    inputs, targets = batch()

    def program(communicator: Any) -> tuple[Any, Any]:
        model = Tagger(0)
        parallel = DataParallel(model, communicator)
        mg.cross_entropy(model(inputs, use_alone=parallel.rank == 1), targets).backward()
        own = gradients(model)["alone"]
        parallel.pool_gradients(3.0 if parallel.rank == 1 else 1.0)
        return own, gradients(model)["alone"]

    (nothing, first), (own, second) = run_in_threads(program, 2)
    assert nothing is None
    np.testing.assert_allclose(first, 0.75 * own, rtol=1e-14)
    assert first.tobytes() == second.tobytes()


def test_a_rank_of_weight_0_only_receives() -> None:
    def program(communicator: Any) -> Any:
        model = mg.nn.Linear(2, 1, rng=0)
        parallel = DataParallel(model, communicator)
        scale = math.nan if parallel.rank else 2.0
        (model(np.ones((1, 2), np.float32)) * scale).sum().backward()
        loss = parallel.pool_gradients(0.0 if parallel.rank else 5.0, loss=math.nan if parallel.rank else 7.0)
        assert model.weight.grad is not None
        return loss, model.weight.grad.tolist()

    assert run_in_threads(program, 2) == [(7.0, [[2.0, 2.0]])] * 2


def pooled(
    make: Callable[[int], mg.Tensor], set_gradient: Callable[[Any, int], None], weights: list[float]
) -> list[Any]:
    """The gradients of a model of one parameter after pooling, on every rank."""

    class Model(mg.nn.Module):
        def __init__(self, rank: int) -> None:
            self.weight = mg.Parameter(make(rank))

    def program(communicator: Any) -> Any:
        model = Model(communicator.rank)
        parallel = DataParallel(model, communicator)
        set_gradient(model.weight, parallel.rank)
        parallel.pool_gradients(weights[parallel.rank])
        return model.weight.grad

    return run_in_threads(program, len(weights))


def test_a_transposed_weight_and_gradient_keep_their_places() -> None:
    values = np.arange(6.0).reshape(2, 3)

    def make(rank: int) -> mg.Tensor:
        return mg.tensor(np.asfortranarray(values) if rank else values.copy())

    def set_gradient(p: Any, rank: int) -> None:
        p.grad = mg.Tensor(np.asfortranarray(values * 3) if rank else values.copy())
        assert p.grad._array.flags.c_contiguous is (rank == 0)

    for grad in pooled(make, set_gradient, [1, 1]):
        assert grad.tolist() == (2 * values).tolist()


def test_a_transposed_weight_arrives_as_it_is() -> None:
    values = np.arange(6.0, dtype=np.float32).reshape(2, 3)

    def program(communicator: Any) -> Any:
        model = mg.nn.Linear(3, 2, rng=0)
        model.weight.data = np.asfortranarray(values) if communicator.rank == 0 else np.zeros((2, 3), np.float32)
        DataParallel(model, communicator)
        return model.weight.tolist()

    assert run_in_threads(program, 2) == [values.tolist()] * 2


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), min_size=1, max_size=4),
    st.sampled_from(["float16", "float32", "float64"]),
    st.integers(0, 2**16),
)
def test_a_bucket_gives_back_what_was_laid_into_it(shapes: list[tuple[int, ...]], dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parameters, expected = [], []
    for k, shape in enumerate(shapes):
        p = mg.Parameter(np.zeros(shape, dtype))
        value = np.array(rng.standard_normal(shape), dtype)
        p.grad = None if k == 1 else mg.Tensor(np.array(value, order="FC"[k % 2]))
        parameters.append(p)
        expected.append(value)
    bucket = GradientBucket(parameters)
    bucket.fill()
    assert bucket.array.flags.c_contiguous
    assert bucket.dtype == ("float32" if dtype == "float16" else dtype)
    for p in parameters:
        if p.grad is not None:
            p.grad = mg.Tensor(np.zeros(p.shape, dtype))
    bucket.scale(2.0)
    bucket.take_out()
    for k, (p, value) in enumerate(zip(parameters, expected)):
        if k == 1:
            assert p.grad is None
        else:
            assert p.grad is not None
            np.testing.assert_array_equal(p.grad.numpy(), 2 * value)


def test_on_every_backend_and_in_several_dtypes(xp: TestedBackend) -> None:
    class Model(mg.nn.Module):
        def __init__(self) -> None:
            self.half = mg.Parameter(xp.array(np.ones((2, 3), np.float16)))
            self.single = mg.Parameter(xp.array(np.ones(3, np.float32)))
            self.double = mg.Parameter(xp.array(np.ones(2)))
            self.frozen = mg.nn.Linear(1, 1, bias=False).requires_grad_(False)

    def program(communicator: Any) -> Any:
        model = Model()
        parallel = DataParallel(model, communicator)
        for p in (model.half, model.single, model.double):
            value = np.full(p.shape, 1.0 + communicator.rank, p.dtype)
            p.grad = mg.Tensor(xp.array(value if p.ndim < 2 else np.asfortranarray(value)))
        parallel.pool_gradients(1)
        assert all(
            p.grad.backend == xp.name and p.grad.dtype == p.dtype for p in model.parameters() if p.grad is not None
        )
        return [None if p.grad is None else p.grad.numpy().ravel().tolist() for p in model.parameters()]

    assert run_in_threads(program, 2) == [[[1.5] * 6, [1.5] * 3, [1.5] * 2, None]] * 2


def test_a_gradient_on_the_tape_is_replaced_and_not_written_into() -> None:
    def program(communicator: Any) -> Any:
        model = mg.nn.Linear(1, 1, bias=False, rng=0)
        parallel = DataParallel(model, communicator)
        x = np.full((1, 1), 1.0 + parallel.rank, np.float32)
        (model(x) ** 2).sum().backward(create_graph=True)
        recorded = model.weight.grad
        assert recorded is not None
        assert recorded.node is not None
        before = recorded.tolist()
        parallel.pool_gradients(1)
        assert model.weight.grad is not recorded
        return before, recorded.tolist()

    for before, after in run_in_threads(program, 2):
        assert before == after


def test_a_weight_frozen_between_updates_is_left_out() -> None:
    def program(communicator: Any) -> Any:
        model = mg.nn.Linear(2, 2, rng=0)
        parallel = DataParallel(model, communicator)
        for frozen in (False, True):
            model.zero_grad()
            assert model.bias is not None
            model.requires_grad_(True)
            if frozen:
                model.bias.node = None
            model(np.full((1, 2), 1.0 + parallel.rank, np.float32)).sum().backward()
            parallel.pool_gradients(1)
        assert model.weight.grad is not None
        return model.weight.grad.tolist(), model.bias.grad

    assert run_in_threads(program, 2) == [([[1.5, 1.5], [1.5, 1.5]], None)] * 2


def test_running_statistics_are_averaged_with_the_gradients() -> None:
    class Model(mg.nn.Module):
        def __init__(self) -> None:
            self.weight = mg.Parameter(np.ones(2, np.float32))
            self.register_buffer("mean", np.zeros(2, np.float32))
            self.register_buffer("steps", np.array(3))

    def program(communicator: Any) -> Any:
        model = Model()
        parallel = DataParallel(model, communicator)
        model.weight.grad = mg.tensor(np.zeros(2, np.float32))
        model.mean = mg.tensor(np.array([1.0 + parallel.rank, 4.0], np.float32))
        parallel.pool_gradients(1 + parallel.rank)
        parallel.check_identical()
        return model.mean.tolist(), model.steps.tolist()

    for mean, steps in run_in_threads(program, 2):
        assert mean == pytest.approx([1 / 3 + 4 / 3, 4.0])
        assert steps == 3


def test_batch_norm_of_two_ranks_has_the_mean_of_both_shares() -> None:
    xs = np.random.default_rng(0).standard_normal((6, 2))

    def program(communicator: Any) -> Any:
        model = mg.nn.BatchNorm1d(2, dtype="float64")
        parallel = DataParallel(model, communicator)
        share = xs[:4] if parallel.rank == 0 else xs[4:]
        (model(share) ** 2).sum().backward()
        parallel.pool_gradients(len(share))
        parallel.check_identical()
        return model.state_dict()

    for state in run_in_threads(program, 2):
        np.testing.assert_allclose(state["running_mean"], 0.1 * xs.mean(0), rtol=1e-12)
        assert state["num_batches_tracked"] == 1
