"""Where contributions meet: factors give what dense sums give, in bounded memory, and nothing borrowed is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine import gradient_pool as pool
from minigrad.engine.gradient_pool import IndexedSlice, OuterProduct, PerStepSum, Pool, RowSum, unbroadcast
from minigrad.engine.primitive import primitive

RNG = np.random.default_rng(0)


def factors(xp: Any, n: int, p: int, q: int) -> tuple[OuterProduct, np.ndarray]:
    left, right = RNG.standard_normal((n, p)), RNG.standard_normal((n, q))
    return OuterProduct(xp.array(left), xp.array(right)), left.T @ right


def rows(xp: Any, n: int, p: int) -> tuple[RowSum, np.ndarray]:
    host = RNG.standard_normal((n, p))
    return RowSum(xp.array(host)), host.sum(0)


def dense(xp: Any, *shape: int) -> tuple[Any, np.ndarray]:
    host = RNG.standard_normal(shape)
    return xp.array(host), host


def host(array: Any) -> np.ndarray:
    return mg.Tensor(np.asarray(array) if np.isscalar(array) else array).numpy()


@pytest.mark.parametrize("uses", [1, 2, 3, 500])
@pytest.mark.parametrize(
    "kinds", ["outer", "rows", "dense matrix", "dense vector", "outer and dense", "rows and dense"]
)
def test_a_pool_is_the_sum_of_its_contributions(xp: Any, kinds: str, uses: int) -> None:
    made = []
    for k in range(uses):
        if "outer" in kinds and ("dense" not in kinds or k % 3):
            made.append(factors(xp, 2 + k % 2, 5, 40))
        elif "rows" in kinds and ("dense" not in kinds or k % 3):
            made.append(rows(xp, 2 + k % 2, 7))
        else:
            made.append(dense(xp, *((5, 40) if "matrix" in kinds or "outer" in kinds else (7,))))
    summed = Pool(xp.xp)
    with xp.no_sync():
        for contribution, _ in made:
            summed.add(contribution)
        total, _ = summed.result()
    np.testing.assert_allclose(host(total), sum(expected for _, expected in made), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("index", [1, slice(None, None, -2), (slice(1, None), 0), (..., None, 1), -1])
def test_values_at_places_are_added_there(xp: Any, index: Any) -> None:
    """Alone, among themselves, before and after dense contributions and factors."""
    rng = np.random.default_rng(2)
    whole = rng.standard_normal((4, 3))
    values = [rng.standard_normal(whole[index].shape) for _ in range(3)]
    spread = np.zeros((4, 3))
    for g in values:
        spread[index] += g
    placed = [IndexedSlice(xp.xp, xp.array(g), index, (4, 3)) for g in values]
    np.testing.assert_allclose(host(placed[0].dense())[index], values[0])
    assert placed[0].astype(np.float32).dtype == np.float32
    rows = rng.standard_normal((5, 4)), rng.standard_normal((5, 3))
    for others in ([], [xp.array(whole)], [OuterProduct(*map(xp.array, rows))]):
        for order in (placed + others, others + placed, placed[:1] + others + placed[1:]):
            summed = Pool(xp.xp)
            for contribution in order:
                summed.add(contribution)
            total, owned = summed.result()
            expected = spread + sum(whole if type(o) is not OuterProduct else rows[0].T @ rows[1] for o in others)
            np.testing.assert_allclose(host(total), expected, atol=1e-14)
            assert owned
    np.testing.assert_array_equal(host(placed[0].g), values[0])


@pytest.mark.parametrize("rows", [3, 300])
def test_the_first_contribution_is_only_borrowed(xp: Any, rows: int) -> None:
    (first, host_first), (second, host_second), (third, host_third) = (dense(xp, rows, 2) for _ in range(3))
    summed = Pool(xp.xp)
    summed.add(first)
    assert summed.result()[0] is first
    assert not summed.result()[1]
    summed.add(second)
    total, owned = summed.result()
    assert owned
    assert total is not first
    assert total is not second
    summed.add(third)
    if rows > 3:
        assert summed.result()[0] is total, "from the second on the pool adds in place"
    total, _ = summed.result()
    np.testing.assert_array_equal(host(total), host_first + host_second + host_third)
    np.testing.assert_array_equal(host(first), host_first)
    np.testing.assert_array_equal(host(second), host_second)


@pytest.mark.parametrize("order", ["dense first", "factors first"])
def test_a_borrowed_array_meets_factors_unharmed(xp: Any, order: str) -> None:
    (borrowed, host_borrowed), (outer, host_outer) = dense(xp, 5, 4), factors(xp, 3, 5, 4)
    summed = Pool(xp.xp)
    for contribution in (borrowed, outer) if order == "dense first" else (outer, borrowed):
        summed.add(contribution)
    owned = summed.result()[1]
    summed.add(outer)
    np.testing.assert_allclose(host(summed.result()[0]), host_borrowed + 2 * host_outer)
    assert owned
    np.testing.assert_array_equal(host(borrowed), host_borrowed)


@pytest.mark.parametrize("kind", ["outer", "rows"])
def test_what_waits_stays_bounded(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(pool, "BLOCK", 1000)
    contribution = OuterProduct(np.ones((1, 8)), np.ones((1, 8))) if kind == "outer" else RowSum(np.ones((1, 8)))
    summed, most = Pool(np), 0
    for _ in range(2000):
        summed.add(contribution)
        most = max(most, sum(a.size for a in (*summed.left, *summed.right, *summed.rows)))
    assert most <= 1000 + 16
    np.testing.assert_array_equal(summed.result()[0], 2000.0)


@pytest.mark.parametrize(
    ("contribution", "most"),
    [
        (OuterProduct(np.ones((1, 8)), np.ones((1, 8))), 960),
        (RowSum(np.ones((1, 8))), 960),
        (OuterProduct(np.ones((1, 30)), np.ones((1, 20))), 4 * 30 * 20),
    ],
    ids=["outer", "rows", "outer of a large weight"],
)
def test_as_much_waits_as_a_block_or_four_weights_hold(
    monkeypatch: pytest.MonkeyPatch, contribution: Any, most: int
) -> None:
    monkeypatch.setattr(pool, "BLOCK", 960)
    summed, waited = Pool(np), []
    for _ in range(200):
        summed.add(contribution)
        waited.append(sum(a.size for a in (*summed.left, *summed.right, *summed.rows)))
    assert max(waited) == most
    assert 0 in waited


@pytest.mark.parametrize("kind", ["outer", "rows"])
def test_what_the_pool_itself_computed_is_its_own(xp: Any, kind: str) -> None:
    contribution, expected = factors(xp, 3, 5, 4) if kind == "outer" else rows(xp, 3, 5)
    assert contribution.count == 3
    summed = Pool(xp.xp)
    assert summed.result() == (None, False)
    summed.add(contribution)
    total, owned = summed.result()
    assert owned, "or it would be copied for the leaf"
    np.testing.assert_allclose(host(total), expected)
    if kind == "outer":
        twice = Pool(xp.xp)
        twice.add(contribution)
        twice.add(contribution)
        kept, owned = twice.result(keep_factors=True)
        assert owned
        np.testing.assert_allclose(host(kept.dense()), 2 * expected)


def test_factors_stay_factors_only_where_asked(xp: Any) -> None:
    (a, host_a), (b, host_b) = factors(xp, 3, 5, 4), factors(xp, 2, 5, 4)
    summed = Pool(xp.xp)
    summed.add(a)
    summed.add(b)
    kept, _ = summed.result(keep_factors=True)
    assert type(kept) is OuterProduct
    assert kept.shape == (5, 4)
    np.testing.assert_allclose(host(kept.dense()), host_a + host_b)
    np.testing.assert_allclose(host(kept.T.dense()), (host_a + host_b).T)
    assert kept.astype(np.float32).dense().dtype == np.float32
    summed.add(dense(xp, 5, 4)[0])
    assert type(summed.result(keep_factors=True)[0]) is not OuterProduct


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((3, 4), (4,)),
        ((2, 3, 4), (4,)),
        ((2, 3, 4), (3, 4)),
        ((2, 3, 4), (3, 1)),
        ((2, 3, 4), (1, 1)),
        ((2, 3), ()),
        ((3,), (1,)),
        ((0, 3), (3,)),
        ((0, 0, 0), (0,)),
        ((2, 0), (1, 0)),
        ((2, 0), (2, 1)),
    ],
)
@pytest.mark.parametrize("defer", [False, True])
def test_unbroadcast_undoes_broadcasting(xp: Any, shape: Any, target: Any, defer: bool) -> None:
    array, expected = dense(xp, *shape)
    for axis, n in enumerate((1,) * (len(shape) - len(target)) + target):
        if n == 1:
            expected = expected.sum(axis=axis, keepdims=True)
    found = unbroadcast(xp.xp, array, target, defer)
    assert found.shape == target
    assert (type(found) is RowSum) == (defer and len(target) == 1 and len(shape) > 1)
    found = found.dense() if type(found) is RowSum else found
    np.testing.assert_allclose(host(found), expected.reshape(target), atol=1e-14)


@pytest.mark.parametrize(("n", "waits"), [(255, True), (256, False)])
def test_many_rows_do_not_wait(n: int, waits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a weight and of a bias: a product or a sum of so many rows is at full speed alone."""
    assert (type(unbroadcast(np, np.ones((n, 2)), (2,), defer=True)) is RowSum) == waits
    W = mg.tensor(RNG.standard_normal((4, 3)), requires_grad=True)
    x = mg.tensor(RNG.standard_normal((n, 4)))
    loss = (x @ W).sum() + (x @ W).sum()
    seen = products_kept(monkeypatch)
    loss.backward()
    assert [max(shape) for shape in seen] == ([2 * n] if waits else [n, n])


def test_a_bias_of_another_dtype_is_pooled_in_its_own(xp: Any) -> None:
    b = mg.tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    x = mg.tensor(RNG.standard_normal((3, 2)))
    loss = ((x + b) * x).sum() + (b * x).sum()
    loss.backward()
    assert b.grad.dtype == np.float32
    np.testing.assert_allclose(b.grad.numpy(), 2 * x.numpy().sum(0), rtol=1e-6)


def products_kept(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the factors of every contraction, in order."""
    seen: list[tuple[int, ...]] = []
    contract = OuterProduct.dense

    def seen_contract(self: OuterProduct) -> Any:
        seen.append((*self.left.shape, self.right.shape[1]))
        return contract(self)

    monkeypatch.setattr(OuterProduct, "dense", seen_contract)
    return seen


@pytest.mark.parametrize(
    "weight",
    [
        lambda W: W,
        lambda W: W.T.T,
        lambda W: W.transpose(1, 0).T,
        lambda W: W.transpose((1, 0)).transpose(-1, -2),
        lambda W: W.transpose(0, 1),
    ],
    ids=["itself", "T.T", "axes then T", "axes twice", "no change"],
)
def test_factors_pass_through_transposes_and_are_contracted_once(
    xp: Any, weight: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    W = mg.tensor(RNG.standard_normal((4, 3)), requires_grad=True)
    xs = [mg.tensor(RNG.standard_normal((2, 4))) for _ in range(5)]
    used = weight(W)
    loss = sum((x @ used).sum() for x in xs)
    seen = products_kept(monkeypatch)
    loss.backward()
    assert len(seen) == 1
    assert sorted(seen[0]) == [3, 4, 10]
    expected = sum(x.numpy() for x in xs).sum(0)
    np.testing.assert_allclose(W.grad.numpy(), np.repeat(expected[:, None], 3, 1))


def test_weights_share_factors_with_their_transpose(xp: Any) -> None:
    """W used as W and as W.T, and a bias by broadcasting: what a dense sum gives."""
    W = mg.tensor(RNG.standard_normal((3, 3)), requires_grad=True)
    b = mg.tensor(RNG.standard_normal(3), requires_grad=True)
    x = mg.tensor(RNG.standard_normal((4, 3)), requires_grad=True)
    assert mg.gradcheck(lambda W, b, x: mg.tanh(mg.linear(x, W, b) @ W + b) @ W.T + W.sum(axis=0), [W, b, x])


def test_a_whole_sequence_gives_its_total_and_its_lines(xp: Any) -> None:
    @primitive
    def scaled_over_time(xp: Any, w: Any, steps: Any) -> Any:
        shares = [k * 1.0 for k in range(steps)]
        at = lambda g: lambda t: g * shares[t]  # noqa: E731
        return w * sum(shares), (), (lambda xp, g: PerStepSum(g * sum(shares), range(steps - 1, -1, -1), at(g)), None)

    w = mg.tensor([1.0, 2.0], requires_grad=True)
    scaled_over_time(w, 4).sum().backward()
    assert w.grad.tolist() == [6.0, 6.0]
    book = mg.ledger(scaled_over_time(w, 4).sum(), [w])
    assert [(t, g.tolist()) for t, g in book[w]] == [(t, [float(t)] * 2) for t in (3, 2, 1, 0)]


def test_factors_of_no_rows_pool_to_zeros(xp: Any) -> None:
    W = mg.tensor(np.ones((2, 3)), requires_grad=True)
    b = mg.tensor(np.ones(2), requires_grad=True)
    x = mg.tensor(np.zeros((0, 3)))
    (mg.linear(x, W, b).sum() + mg.linear(x, W, b).sum()).backward()
    np.testing.assert_array_equal(W.grad.numpy(), np.zeros((2, 3)))
    np.testing.assert_array_equal(b.grad.numpy(), np.zeros(2))
