"""Hooks of tensors and of modules: what torch does, in first-order and recorded walks, and nothing left behind."""

from __future__ import annotations

import asyncio
import copy
import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine import hooks as engine_hooks


def leaf(*values: float) -> mg.Tensor:
    return mg.tensor(np.array(values), requires_grad=True)


def test_a_hook_sees_the_pooled_gradient(xp: Any) -> None:
    x = mg.tensor(xp.array([1.0, 2.0]), requires_grad=True)
    h = x * x
    seen: list[Any] = []
    h.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: seen.append(g.tolist()))
    (h * 3.0 + h).sum().backward()
    assert seen == [[4.0, 4.0], [8.0, 16.0]]
    assert x.grad.tolist() == [8.0, 16.0]


def test_what_it_returns_goes_on() -> None:
    x = leaf(1.0, 2.0)
    h = x * x
    h.register_hook(lambda g: g * 10.0)
    h.register_hook(lambda g: g + 1.0)  # after the first
    h.sum().backward()
    assert x.grad.tolist() == [22.0, 44.0]
    x.grad = None
    x.register_hook(lambda g: g * 0.0)
    (x * x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_gradients_calls_hooks_too() -> None:
    x = leaf(3.0)
    h = x * x
    h.register_hook(lambda g: g * 2.0)
    (g_h, g_x) = mg.gradients((h * h).sum(), [h, x])
    assert g_h.tolist() == [36.0]
    assert g_x.tolist() == [216.0]


def test_in_a_recorded_walk_the_replacement_is_on_the_tape() -> None:
    x = leaf(3.0)
    h = x * x
    handle = h.register_hook(lambda g: g * g)
    (g,) = mg.gradients((h * h * h).sum(), [x], create_graph=True)  # (3 x⁴)² · 2x = 18 x⁹
    assert g.tolist() == [18 * 3.0**9]
    handle.remove()  # the second walk comes through h too
    (second,) = mg.gradients(g.sum(), [x])
    assert second.tolist() == [162 * 3.0**8]


def test_hooks_of_one_of_several_outputs() -> None:
    x = leaf(1.0, 2.0, 3.0, 4.0)
    a, b = mg.split(x, 2)
    handle = a.register_hook(lambda g: g * g)
    (a * a).sum().backward(retain_graph=True)
    assert x.grad.tolist() == [4.0, 16.0, 0.0, 0.0]
    (g,) = mg.gradients((a * a + b).sum(), [x], create_graph=True)
    assert g.tolist() == [4.0, 16.0, 1.0, 1.0]
    handle.remove()  # the second walk comes through a too
    (second,) = mg.gradients(g.sum(), [x])  # (2 a)² has the derivative 8 a
    assert second.tolist() == [8.0, 16.0, 0.0, 0.0]


def test_a_transposed_weights_factors_arrive_as_one_gradient() -> None:
    w = mg.tensor(np.ones((3, 2)), requires_grad=True)
    wt = w.T
    seen = []
    wt.register_hook(lambda g: seen.append(g.shape))
    (mg.matmul(np.ones((4, 2)), wt) + mg.matmul(np.ones((4, 2)), wt)).sum().backward()
    assert seen == [(2, 3)]
    assert w.grad.tolist() == [[8.0, 8.0]] * 3


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (lambda g: g.sum(), ValueError, r"returned shape \(\), want \(2,\)"),
        (lambda g: g.astype("float32"), TypeError, "returned dtype float32, want float64"),
        (lambda g: 1.0, TypeError, "returned float, want None or a Tensor"),
    ],
)
def test_a_wrong_replacement_is_named(answer: Any, error: type[Exception], said: str) -> None:
    x = leaf(1.0, 2.0)
    h = x * x
    h.register_hook(answer)
    with pytest.raises(error, match=rf"register_hook: the hook .*lambda.* on 'multiply' \(2,\) {said}"):
        h.sum().backward()
    assert x.grad is None


def test_a_replacement_on_another_backend_is_named() -> None:
    x = leaf(1.0)
    x.register_hook(lambda g: g.to("strict"))
    with pytest.raises(mg.BackendError, match="returned a tensor on strict, want numpy"):
        (x * x).sum().backward()


def test_the_hook_may_keep_the_gradient_and_not_write_into_it() -> None:
    x = leaf(1.0, 2.0)
    kept: list[mg.Tensor] = []
    x.register_hook(kept.append)
    for _ in range(3):
        (x * x + x).sum().backward()
    assert [g.tolist() for g in kept] == [[3.0, 5.0]] * 3
    with pytest.raises(ValueError, match="read-only"):
        kept[0].data[0] = 7.0


def test_constants_have_no_hooks() -> None:
    with pytest.raises(mg.GraphError, match="not on the tape"):
        mg.tensor([1.0]).register_hook(print)


def test_removing() -> None:
    gc.collect()
    before = len(engine_hooks.hooked)
    x = leaf(1.0)
    calls: list[int] = []
    first = x.register_hook(lambda g: calls.append(1))
    with x.register_hook(lambda g: calls.append(2)):
        (x * x).sum().backward()
    (x * x).sum().backward()
    first.remove()
    first.remove()
    (x * x).sum().backward()
    assert calls == [1, 2, 1]
    assert len(engine_hooks.hooked) == before


def test_a_dead_graph_is_not_kept_by_its_hooks() -> None:
    gc.collect()
    before = len(engine_hooks.hooked)
    x = leaf(1.0)
    h = x * x
    h.register_hook(lambda g, h=h: None)  # the hook knows its own tensor
    assert len(engine_hooks.hooked) == before + 1
    gone = weakref.ref(h)
    del h
    gc.collect()
    assert gone() is None
    assert len(engine_hooks.hooked) == before


def test_without_hooks_the_walk_does_not_look(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad.engine import backward_pass as walk

    monkeypatch.setattr(walk, "hooked", ())
    monkeypatch.setattr(walk, "apply_hooks", lambda *_: pytest.fail("looked for hooks"))
    x = leaf(1.0)
    (x * x).sum().backward()


def test_in_threads_and_tasks_every_graph_has_its_own_hooks() -> None:
    def train(factor: float) -> Any:
        x = leaf(1.0, 2.0)
        h = x * x
        h.register_hook(lambda g: g * factor)
        for _ in range(20):
            h.sum().backward(retain_graph=True)
        return x.grad.tolist()

    result: dict[int, Any] = {}
    threads = [threading.Thread(target=lambda k=k: result.__setitem__(k, train(float(k)))) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert result == {k: [40.0 * k, 80.0 * k] for k in range(4)}

    async def in_task(k: int) -> Any:
        await asyncio.sleep(0)
        return train(float(k))

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(in_task(k) for k in range(4)))

    assert asyncio.run(all_of_them()) == [result[k] for k in range(4)]


def test_module_to_hands_the_parameters_hooks_on() -> None:
    layer = mg.nn.Linear(2, 1)
    layer.weight.register_hook(lambda g: g * 0)
    layer.to(dtype="float64")
    layer(np.ones((1, 2))).sum().backward()
    assert layer.weight.grad.tolist() == [[0.0, 0.0]]
    assert layer.bias.grad.tolist() == [1.0]


# Modules


class Twice(mg.nn.Module):
    def __init__(self) -> None:
        self.factor = mg.Parameter([2.0], dtype="float64")

    def forward(self, x: Any, y: Any = None, more: float = 0.0) -> Any:
        return x * self.factor + more, None if y is None else y * 3.0


def test_forward_hooks_see_and_replace() -> None:
    module, said = Twice(), []
    module.register_forward_pre_hook(lambda m, args: (args[0] + 1.0, *args[1:]))
    module.register_forward_pre_hook(lambda m, args: said.append(("pre", len(args))))
    module.register_forward_pre_hook(lambda m, args, kw: (args, {**kw, "more": 10.0}), with_kwargs=True)
    module.register_forward_hook(lambda m, args, out: said.append(("post", out[0].tolist())))
    module.register_forward_hook(lambda m, args, kw, out: out[0] * kw["more"], with_kwargs=True)
    module.register_forward_pre_hook(lambda m, args: said.append("first"), prepend=True)
    assert module(leaf(1.0)).tolist() == [140.0]
    assert said == ["first", ("pre", 1), ("post", [14.0])]
    module.register_forward_pre_hook(lambda m, args, kw: 7, with_kwargs=True)
    with pytest.raises(TypeError, match=r"Twice: the forward pre-hook .* returned int, want None or \(args, kwargs\)"):
        module(leaf(1.0))


def test_backward_hooks_see_and_replace() -> None:
    module, seen = Twice(), []

    def hook(m: Any, grad_input: Any, grad_output: Any) -> Any:
        assert m is module
        seen.append([None if g is None else g.tolist() for g in (*grad_input, *grad_output)])
        return grad_input[0] * 100.0, grad_input[1]

    handle = module.register_full_backward_hook(hook)
    x, y = leaf(1.0, 2.0), mg.tensor(np.ones(2))
    a, _ = module(x * 1.0, y)
    (a * 5.0).sum().backward()
    assert seen == [[[10.0, 10.0], None, [5.0, 5.0], None]]
    assert x.grad.tolist() == [1000.0, 1000.0]
    assert module.factor.grad.tolist() == [15.0]
    handle.remove()
    module(x)[0].sum().backward()
    assert len(seen) == 1


def test_a_backward_hook_without_a_live_argument() -> None:
    module, seen = Twice(), []
    module.register_full_backward_hook(lambda m, into, out: seen.append((into, out[0].tolist())))
    module(mg.tensor(np.ones(2)))[0].sum().backward()
    assert seen == [((None,), [1.0, 1.0])]
    with mg.no_grad():
        module(leaf(1.0))
    assert len(seen) == 1


def test_a_write_into_an_argument_is_noticed_behind_a_backward_hook(xp: Any) -> None:
    class Square(mg.nn.Module):
        def forward(self, x: Any) -> Any:
            return x * x

    module = Square()
    module.register_full_backward_hook(lambda m, into, out: None)
    x = mg.tensor(xp.array([1.0, 2.0]), requires_grad=True)
    loss = module(x).sum()
    with mg.no_grad():
        x._array[...] = 7.0
        x.written()
    with pytest.raises(mg.GraphError, match="was written into since"):
        loss.backward()


def test_a_backward_hook_of_nested_outputs_and_a_recorded_walk() -> None:
    from minigrad_rnn import LSTM

    rnn, seen = LSTM(2, 3, dtype="float64"), []
    rnn.register_full_backward_hook(lambda m, into, out: seen.append([g.shape for g in (*into, *out)]))
    xs = mg.tensor(np.ones((4, 1, 2)), requires_grad=True)
    hs, (_, c) = rnn(xs)
    (g,) = mg.gradients((hs * hs).sum() + (c**3).sum(), [xs], create_graph=True)
    assert seen == [[(4, 1, 2), (4, 1, 3), (1, 1, 3), (1, 1, 3)]]
    hs, (_, c) = rnn.forward(xs)  # without the hook
    (want,) = mg.gradients((hs * hs).sum() + (c**3).sum(), [xs], create_graph=True)
    np.testing.assert_allclose(g.numpy(), want.numpy(), rtol=1e-12)
    result, second = (mg.gradients((part * part).sum(), [xs, *rnn.parameters()]) for part in (g, want))
    for a, b in zip(result, second):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


def test_what_a_backward_hook_answers_in_a_recorded_walk_is_on_the_tape() -> None:
    class Cube(mg.nn.Module):
        def forward(self, x: Any) -> Any:
            return x * x * x

    module, x = Cube(), leaf(2.0)
    handle = module.register_full_backward_hook(lambda m, into, out: (into[0] * into[0] * out[0],))
    y = module(x)
    (g,) = mg.gradients((y * y).sum(), [x], create_graph=True)  # out = 2 x³, into = 6 x⁵: 72 x¹³
    assert g.tolist() == [72 * 2.0**13]
    handle.remove()


def test_a_graph_with_a_backward_hook_is_freed_by_reference_count() -> None:
    module = Twice()
    module.register_full_backward_hook(lambda m, into, out: None)
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0)
        y, _ = module(x * 1.0)
        gone = weakref.ref(y)
        loss = (y * y).sum()
        loss.backward()
        del y, loss
        assert gone() is None
    finally:
        gc.enable()


def test_a_backward_hook_may_take_a_gradient_away() -> None:
    module = Twice()
    module.register_full_backward_hook(lambda m, into, out: (None, into[1]))
    module.register_full_backward_hook(lambda m, into, out: None if into[0] is None else pytest.fail("still there"))
    x, y = leaf(1.0), leaf(2.0)
    a, b = module(x, y)
    (a + b).sum().backward()
    assert x.grad is None
    assert y.grad.tolist() == [3.0]


def test_copies_have_hooks_of_their_own() -> None:
    module, calls = Twice(), []
    handle = module.register_forward_hook(lambda m, a, y: calls.append(m))
    twin = copy.deepcopy(module)
    handle.remove()
    twin(leaf(1.0))
    module(leaf(1.0))
    assert calls == [twin]


def test_wrong_answers_of_a_backward_hook() -> None:
    module = Twice()
    with module.register_full_backward_hook(lambda m, into, out: (into[0], into[0])):
        loss = module(leaf(1.0))[0].sum()
    with pytest.raises(ValueError, match=r"Twice: the backward hook .* returned 2 gradients, want 1, one per argument"):
        loss.backward()
    with module.register_full_backward_hook(lambda m, into, out: into[0].sum()):
        loss = module(leaf(1.0))[0].sum()
    with pytest.raises(ValueError, match=r"gradient 0: returned shape \(\), want \(1,\)"):
        loss.backward()


def test_hooks_as_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    w, b, x = rng.standard_normal((3, 4)), rng.standard_normal(3), rng.standard_normal((5, 4))
    ours, theirs = mg.nn.Linear(4, 3, dtype="float64"), torch.nn.Linear(4, 3, dtype=torch.float64)
    ours.load_state_dict({"weight": w, "bias": b})
    theirs.load_state_dict({"weight": torch.tensor(w), "bias": torch.tensor(b)})
    books: list[list[Any]] = [[], []]
    results = []
    for module, book, point, tanh in (
        (ours, books[0], mg.tensor(x, requires_grad=True), mg.tanh),
        (theirs, books[1], torch.tensor(x, requires_grad=True), torch.tanh),
    ):
        note = lambda kind, *gs, book=book: book.append((kind, [np.array(g.tolist()) for g in gs]))  # noqa: E731
        module.register_forward_pre_hook(lambda m, a, note=note: note("pre", *a))
        module.register_forward_hook(lambda m, a, y, note=note: note("post", *a, y))
        module.register_forward_hook(lambda m, a, y: y * 2)
        module.register_full_backward_hook(lambda m, i, o, note=note: note("back", *i, *o))
        module.register_full_backward_hook(lambda m, i, o: (i[0] * 3,))
        module.register_full_backward_hook(lambda m, i, o, note=note: note("back again", *i, *o))
        module.weight.register_hook(lambda g, note=note: note("weight", g))
        module.weight.register_hook(lambda g: g * 0.5)
        h = tanh(point)
        h.register_hook(lambda g, note=note: note("h", g))
        y = module(h)
        y.register_hook(lambda g, note=note: note("y", g))
        y.register_hook(lambda g: g + 1)
        ((y * y).sum() + (y * 3).sum()).backward()
        results.append([np.array(g.tolist()) for g in (point.grad, module.weight.grad, module.bias.grad)])
    for mine, yours in zip(*results):
        np.testing.assert_allclose(mine, yours, rtol=1e-12)
    order = sorted(range(len(books[0])), key=lambda k: books[0][k][0])
    theirs_order = sorted(range(len(books[1])), key=lambda k: books[1][k][0])
    for mine, yours in zip([books[0][k] for k in order], [books[1][k] for k in theirs_order]):
        assert mine[0] == yours[0]
        for g, other in zip(mine[1], yours[1]):
            np.testing.assert_allclose(g, other, rtol=1e-12)
