"""The ledger's norms against its contributions, and the ledger of an ordinary backward pass."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn
from minigrad.engine.tape import GraphError
from minigrad_rnn.cells import fused_sequence
from tests.engine.leaves import leaf, noise, recurrence

B, H = 3, 5


def assert_norms(make: Any, inputs: Any) -> None:
    """The norms of `make()`'s ledger are those of its contributions in full, as are those noted on the way."""
    full, norms = mg.ledger(make(), inputs), mg.ledger(make(), inputs, keep="norms")
    for x in inputs:
        x.grad = None
    with mg.record_ledger(inputs, keep="norms") as book:
        make().backward()
    for x in inputs:
        wanted = {t: np.linalg.norm(g.numpy().ravel()) for t, g in full.by_time_step(x).items()}
        assert list(full.norms(x)) == list(norms.norms(x)) == list(book.norms(x)) == list(wanted)
        for found in (full, norms, book):
            np.testing.assert_allclose(list(found.norms(x).values()), list(wanted.values()), rtol=1e-10)
            np.testing.assert_allclose(found.gradient_norm(x), np.linalg.norm(x.grad.numpy().ravel()), rtol=1e-10)


def test_norms_of_a_recurrence_op_by_op(xp: Any) -> None:
    w, b = leaf(noise(3, 3)), leaf(noise(3, seed=1))
    assert_norms(lambda: recurrence(w, b, 4), [w, b])


def test_norms_where_a_step_uses_a_tensor_in_several_ways(xp: Any) -> None:
    """As a factor twice, broadcast, indexed, transposed, elementwise, and without a time step."""
    W, x = leaf(noise(3, 3)), xp.array(noise(4, 3))

    def loss() -> Any:
        h: Any = x
        for t in range(3):
            with mg.time_step(t):
                h = mg.tanh(mg.linear(h, W) + h @ W + W[t])
                h = h * W[0] if t == 1 else h
        return (h**2).sum() + (W * W).sum() + (W.T @ W).sum()

    assert_norms(loss, [W])


def test_norms_of_half_precision_and_complex_numbers(xp: Any) -> None:
    half = mg.tensor(xp.array(noise(4, 4).astype(np.float16)), requires_grad=True)
    with mg.time_step(0):
        loss = (mg.linear(xp.array(noise(2, 4).astype(np.float16)), half) * 1e-4).sum() * 100.0
    g = mg.ledger(loss, half, retain_graph=True).by_time_step(half)[0].numpy().astype(float)
    np.testing.assert_allclose(mg.ledger(loss, half, keep="norms").norms(half)[0], np.linalg.norm(g), rtol=2e-3)
    real = leaf(noise(3, seed=2))
    assert_norms(lambda: mg.sum(mg.real(mg.fft.fft(real) * (1 + 2j) * real)), [real])
    z = real * (1 + 2j)
    loss = mg.sum(mg.real(z * z))
    full = mg.ledger(loss, z, retain_graph=True).norms(z)
    np.testing.assert_allclose(mg.ledger(loss, z, keep="norms").norms(z)[None], full[None], rtol=1e-12)


@pytest.mark.parametrize("impl", ["fused", "native"])
@pytest.mark.parametrize("network", [mr.RNN, mr.LSTM, mr.GRU])
def test_a_weight_of_several_sequences_has_the_norm_of_the_sum(network: Any, impl: Any) -> None:
    """Two calls of one net: their parts of a step are added before the norm is taken. 37 units are several panels."""
    net = network(2, 37, impl=impl, rng=0, dtype="float64", two_biases=True)
    xs = noise(4, B, 2)

    def loss() -> Any:
        return (net(xs)[0] ** 2).sum() + (net(xs[:2] + 1)[0] ** 2).sum()

    assert_norms(loss, list(net.parameters()))
    assert_norms(lambda: (net(xs)[0] ** 2).sum(), list(net.parameters()))


@pytest.mark.parametrize("fault", ["a thousandth", "the step before"])
def test_a_wrong_norm_is_caught(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    right = fused_sequence.norms_of_products

    def wrong(*factors: Any) -> Any:
        return right(*factors) * 1.001 if fault == "a thousandth" else np.roll(right(*factors), 1)

    monkeypatch.setattr(fused_sequence, "norms_of_products", wrong)
    net = mr.RNN(2, H, impl="fused", rng=0, dtype="float64")
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_norms(lambda: (net(noise(4, B, 2))[0] ** 2).sum(), list(net.parameters()))


def test_norms_inside_checkpoints_and_beside_a_penalty() -> None:
    net = mr.RNN(2, H, impl="fused", rng=0, dtype="float64")
    xs = noise(4, B, 2)
    segment = mg.checkpoint(lambda xs, state: net(xs, state))

    def loss() -> Any:
        h, total = mg.tensor(np.zeros((1, B, H))), 0.0
        for start in (0, 2):
            output, h = segment(xs[start : start + 2], h)
            total = total + (output**2).sum()
        return total + (net.forward0.Wr**2).sum()

    assert_norms(loss, list(net.parameters()))


def test_a_step_inside_a_sequence_and_outside_it_is_refused() -> None:
    """Its norm is that of a sum of which one part is gone."""
    net = mr.RNN(2, H, impl="fused", rng=0, dtype="float64")
    with mg.time_step(1):
        alone = (net.forward0.Wr**2).sum()
    loss = (net(noise(4, B, 2))[0] ** 2).sum() + alone
    with pytest.raises(ValueError, match=r"time step 1 both inside a sequence .* want keep='full'"):
        mg.ledger(loss, net, keep="norms", retain_graph=True)
    assert mg.ledger(loss, net).norms("forward0.Wr")[1] > 0


@pytest.mark.parametrize("impl", ["graph", "fused", "native"])
def test_norms_keep_no_array_for_each_step(impl: Any) -> None:
    """The contributions in full would take 50 times the weights."""
    net, xs = mr.RNN(4, 128, impl=impl, rng=0), noise(50, 2, 4).astype(np.float32)
    weights = list(net.parameters())

    def peak(work: Any) -> int:
        loss = (net(xs)[0] ** 2).sum()
        tracemalloc.start()
        work(loss)
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        net.zero_grad()
        return result

    peak(lambda loss: loss.backward())
    plain = peak(lambda loss: loss.backward())
    assert peak(lambda loss: mg.ledger(loss, weights, keep="norms")) <= plain + 128 * 128 * 4 * 3
    assert peak(lambda loss: mg.ledger(loss, weights)) > plain + 128 * 128 * 4 * 40


# During `backward()`


def test_grad_is_written_as_always(xp: Any) -> None:
    grads = []
    for keep in (None, "full", "norms"):
        w, b = leaf(noise(3, 3)), leaf(noise(3, seed=1))
        if keep is None:
            recurrence(w, b, 4).backward()
        else:
            with mg.record_ledger({"w": w, "b": b}, keep=keep) as book:  # type: ignore[arg-type]
                recurrence(w, b, 4).backward()
            assert book.names == ["w", "b"]
        grads.append((w.grad.numpy(), b.grad.numpy()))
    for other in grads[1:]:
        for g, wanted in zip(other, grads[0]):
            np.testing.assert_array_equal(g, wanted)


def test_several_passes_add_up_in_full_and_are_refused_as_norms() -> None:
    w, b = leaf(noise(3, 3)), leaf(noise(3, seed=1))
    with mg.record_ledger([w, b]) as book:
        recurrence(w, b, 4).backward()
        mg.gradients(recurrence(w, b, 4), [w])  # nobody's `.grad`: not noted
        recurrence(w, b, 3).backward()
    recurrence(w, b, 4).backward(mg.tensor(1e6))  # after the block
    total = sum(g.numpy() for g in book.by_time_step(w).values())
    expected, other = leaf(w.numpy()), leaf(b.numpy())
    for steps in (4, 3):
        recurrence(expected, other, steps).backward()
    np.testing.assert_allclose(total, expected.grad.numpy(), rtol=1e-12)
    with mg.record_ledger([w, b], keep="norms") as book:
        recurrence(w, b, 4).backward()
        before, loss = w.grad.numpy(), recurrence(w, b, 4)
        with pytest.raises(ValueError, match="'norms' and a second backward"):
            loss.backward()
        np.testing.assert_array_equal(w.grad.numpy(), before)
    loss.backward()  # it has not been consumed


def test_a_recorder_that_is_used_again_has_a_new_ledger() -> None:
    w, b = leaf(noise(3, 3)), leaf(noise(3, seed=1))
    recorder, books = mg.record_ledger([w, b], keep="norms"), []
    for steps in (2, 3):
        with recorder as book:
            recurrence(w, b, steps).backward()
        books.append(book)
    assert [list(book.norms(w)) for book in books] == [[0, 1], [0, 1, 2]]


def test_blocks_nest_and_each_has_its_own_tensors() -> None:
    w, b = leaf(noise(3, 3)), leaf(noise(3, seed=1))
    with mg.record_ledger(w) as outer, mg.time_step(7), mg.record_ledger([w, b], keep="norms") as inner, mg.profile():
        recurrence(w, b, 2).backward()
    assert list(outer.norms(w)) == list(inner.norms(w)) == list(inner.norms(b)) == [0, 1]
    np.testing.assert_allclose(list(outer.norms(w).values()), list(inner.norms(w).values()), rtol=1e-12)
    with pytest.raises(KeyError, match="not among the inputs"):
        outer[b]


def test_a_backward_pass_that_fails_leaves_the_ledger_as_it_was() -> None:
    w, b = leaf(noise(3, 3)), leaf(noise(3, seed=1))

    def fail(g: Any) -> Any:
        raise RuntimeError("on the way")

    with mg.record_ledger([w, b], keep="norms") as book:
        loss = recurrence(w, b, 3)
        handle = w.register_hook(fail)
        with pytest.raises(RuntimeError, match="on the way"):
            loss.backward()
        assert book.norms(w) == book.norms(b) == {}
        assert (w.grad, book.gradient_norm(w)) == (None, 0.0)
        handle.remove()
        recurrence(w, b, 3).backward()
    assert list(book.norms(w)) == [0, 1, 2]


@pytest.mark.parametrize("keep", ["full", "norms"])
def test_a_recorded_pass_is_noted_too(keep: Any) -> None:
    w, b = leaf(noise(3, 3)), leaf(noise(3, seed=1))
    with mg.record_ledger([w, b], keep=keep) as book:
        recurrence(w, b, 3).backward(create_graph=True)
    plain = mg.ledger(recurrence(w, b, 3), [w, b])
    np.testing.assert_allclose(list(book.norms(w).values()), list(plain.norms(w).values()), rtol=1e-12)


def test_of_a_module_the_trainable_parameters_are_meant() -> None:
    net = mr.RNN(2, H, rng=0)
    model = nn.Sequential(nn.Linear(2, 2), net)
    model[0].requires_grad_(False)
    xs = noise(4, B, 2).astype(np.float32)
    assert mg.ledger((model[0](xs)[0] + net.forward0.b.sum()).sum(), model).names == [
        "1.forward0.Wc",
        "1.forward0.Wr",
        "1.forward0.b",
    ]
    book = mg.ledger((net(xs)[0] ** 2).sum(), net, keep="norms")
    assert book.norms("forward0.Wr")[3] > 0
    with pytest.raises(KeyError, match=r"got 'Wr', want a tensor, or one of \['forward0"):
        book.norms("Wr")
    with pytest.raises(ValueError, match="got 'norms', want 'full' where the contributions themselves"):
        book["forward0.Wr"]
    with pytest.raises(GraphError, match="record_ledger: inputs of shape"):
        mg.record_ledger(mg.tensor([1.0]))
