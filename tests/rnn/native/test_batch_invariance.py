"""A sequence's numbers are bitwise the same alone and in any batch, at any place, padded or not, with any threads.

So are the weights' gradients of a batch from run to run, with any number of threads.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

import minigrad as mg
from minigrad_rnn import Recurrence
from minigrad_rnn.native import sequence
from minigrad_rnn.native.errors import NativeError
from tests.support.native_cells import (
    DTYPES,
    KINDS,
    Batch,
    Results,
    different,
    drawn_batch,
    made_net,
    of_sequence,
    results as results_of,
)
from tests.support.native_library import num_threads, require_compiler, split_small_calls
from tests.support.native_variants import VARIANTS, Variants, changed_source

THREADS = (1, 2, 3, 5)
SIZES = st.sampled_from([1, 2, 3, 5, 7, 8, 9, 13, 16, 17, 24, 31, 33, 48, 65])


@pytest.fixture(autouse=True)
def _split(monkeypatch: pytest.MonkeyPatch) -> None:
    require_compiler()
    split_small_calls(monkeypatch)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """A net, a batch, and how it is read: some of its sequences in some order, more padding, and threads."""
    T, B = draw(st.integers(1, 7)), draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 40]))
    depth = draw(st.sampled_from([1, 1, 1, 2]))
    return {
        "kind": draw(st.sampled_from(list(KINDS))),
        "dtype": draw(st.sampled_from(DTYPES)),
        "sizes": (T, B, draw(SIZES), draw(SIZES)),
        "options": {"num_layers": depth, **draw(st.sampled_from([{}, {"reverse": True}, {"bidirectional": True}]))},
        "lengths": draw(st.none() | st.lists(st.integers(1, T), min_size=B, max_size=B)),
        "more_steps": draw(st.integers(0, 3)),
        "order": draw(st.lists(st.integers(0, B - 1), min_size=1, max_size=B, unique=True)),
        "threads": draw(st.sampled_from(THREADS)),
        "fresh": draw(st.booleans()),
    }


def check(case: dict[str, Any]) -> None:
    """Each sequence alone; the batch, which is the reference for the weights; some of it, in another order, padded.

    A `fresh` net has not run before: its weights are not yet packed, and few steps then read them as they are.
    """
    T, B, I, H = case["sizes"]
    net = made_net(case["kind"], I, H, case["dtype"], **case["options"])

    def results(net: Recurrence, batch: Batch) -> Results:
        return results_of(copy.deepcopy(net) if case["fresh"] else net, batch)

    batch = drawn_batch(net, T, B, case["lengths"])
    lengths = case["lengths"] or [T] * B
    with num_threads(1):
        whole = results(net, batch)
    with num_threads(case["threads"]):
        assert not different(results(net, batch), whole), "other threads"
        order = case["order"]
        some = padded(batch.columns(order), T + case["more_steps"])
        found = results(net, some)
        off_the_tape = outputs_off_the_tape(net, batch)
    for other in off_the_tape:
        assert other.tobytes() == whole["output"].tobytes(), "off the tape"
    for place, b in enumerate(order):
        own = of_sequence(whole, b, lengths[b])
        assert not different(of_sequence(found, place, lengths[b]), own), f"sequence {b} at place {place}"
    b = order[0]
    with num_threads(case["threads"]):
        alone = results(net, shortened(batch.columns([b]), lengths[b]))
    assert not different(of_sequence(alone, 0, lengths[b]), of_sequence(whole, b, lengths[b])), f"sequence {b} alone"


def outputs_off_the_tape(net: Recurrence, batch: Batch) -> list[Any]:
    """Of a call that keeps nothing for a backward pass; of one with every state, and of one like the last."""
    state = batch.state if len(batch.state) > 1 else batch.state[0]
    with mg.no_grad():
        every = net(batch.xs, state, lengths=batch.lengths, return_states=True)
        return [every[0].numpy(), *(net(batch.xs, state, lengths=batch.lengths)[0].numpy() for _ in range(3))]


def padded(batch: Batch, T: int) -> Batch:
    before = batch.xs.shape[0]
    lengths = batch.lengths or (before,) * batch.xs.shape[1]
    more = batch.steps(T)
    return Batch(more.xs, more.state, more.gradients, lengths)


def shortened(batch: Batch, T: int) -> Batch:
    """The first T steps, without lengths."""
    first = batch.steps(T)
    return Batch(first.xs, first.state, first.gradients)


def case_of(kind: str, dtype: str, H: int, B: int, threads: int) -> dict[str, Any]:
    lengths = [1 + (3 * b) % 4 for b in range(B)]
    return {
        "kind": kind, "dtype": dtype, "sizes": (4, B, 5, H), "options": {"bidirectional": True}, "lengths": lengths,
        "more_steps": 2, "order": list(range(B))[::-1], "threads": threads, "fresh": B % 2 == 0,
    }  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_size_of_a_batch(kind: str, dtype: str) -> None:
    for B, H, threads in ((1, 7, 2), (2, 33, 2), (3, 16, 3), (5, 17, 5), (9, 33, 3), (24, 9, 5), (40, 8, 2)):
        check(case_of(kind, dtype, H, B, threads))


@given(case=cases())
@settings(max_examples=80)
@example(case_of("lstm", "float32", 128, 12, 5))
@example(case_of("gru", "float64", 65, 19, 3))
def test_any_batch(case: dict[str, Any]) -> None:
    check(case)


@pytest.mark.soak
@given(case=cases())
@settings(max_examples=3000)
def test_many_batches(case: dict[str, Any]) -> None:
    check(case)


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_vectors_and_compilers_flags(variant: str, variants: Variants, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is invariant in itself, with a fused multiply-add and without."""
    variants.use(monkeypatch, variant)
    for kind in KINDS:
        for dtype in DTYPES:
            check(case_of(kind, dtype, 17, 7, 3))
            check(case_of(kind, dtype, 33, 2, 2))


def test_clang(variants: Variants, monkeypatch: pytest.MonkeyPatch) -> None:
    variants.use_compiler(monkeypatch, "clang")
    for kind in KINDS:
        for dtype in DTYPES:
            check(case_of(kind, dtype, 17, 7, 3))
            check(case_of(kind, dtype, 33, 10, 2))


def long_batch() -> tuple[Any, Batch]:
    """More rows than a block of the weights' products and than a chunk of inputs."""
    net = made_net("lstm_both", 5, 20, "float32", bidirectional=True)
    lengths = [90 - (7 * b) % 60 for b in range(13)]
    return net, drawn_batch(net, 90, 13, lengths)


def test_long_sequences() -> None:
    net, batch = long_batch()
    found: list[Results] = []
    for threads in (*THREADS, 1, 2):
        with num_threads(threads):
            found.append(results_of(net, batch))
    assert not any(different(other, found[0]) for other in found[1:])
    for b in (0, 5, 12):
        length = (batch.lengths or ())[b]
        alone = results_of(net, shortened(batch.columns([b]), length))
        assert not different(of_sequence(alone, 0, length), of_sequence(found[0], b, length))


@pytest.mark.parametrize("kind", KINDS)
def test_negative_zeros(kind: str) -> None:
    """−0 everywhere: where a sum of them begins with +0 must not depend on how the weights lie in memory."""
    for H in (1, 2, 5):
        for T in (1, 2, 5):
            net = made_net(kind, 2, H, "float32")
            for p in net.parameters():
                p.data[...] = np.abs(p.data)
            batch = drawn_batch(net, T, 3)
            batch = replace(batch, gradients=tuple(np.full_like(g, -0.0) for g in batch.gradients))
            whole = results_of(copy.deepcopy(net), batch)
            for b in range(3):
                for steps in {1, T}:
                    first = of_sequence(results_of(copy.deepcopy(net), batch.steps(steps)), b, steps)
                    alone = results_of(copy.deepcopy(net), batch.columns([b]).steps(steps))
                    assert not different(of_sequence(alone, 0, steps), first)
            results_of(net, drawn_batch(net, 4, 3))  # and with packed weights
            assert not different(results_of(net, batch), whole)


def test_a_product_that_depends_on_the_columns_is_found(
    tmp_path: Path, variants: Variants, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted fault, which the library's own check sees too: one column alone is multiplied differently."""
    product = "sum[c][m] += w[m] * at[c][k];"
    fault = product.replace("w[m]", "(C == 1 && k == 3 ? SCALAR(1.00001) : SCALAR(1.0)) * w[m]")
    source = changed_source(tmp_path, "tile.h", product, fault)
    with pytest.raises(NativeError, match="self_check: 1"):
        variants.compiled(("-O1",), "float32", source)
    monkeypatch.setattr(
        sequence, "load_library", lambda dtype: variants.compiled(("-O1",), dtype, source, checked=False)
    )
    with pytest.raises(AssertionError, match=r"sequence \d+"):
        check(case_of("lstm", "float32", 17, 7, 1))
