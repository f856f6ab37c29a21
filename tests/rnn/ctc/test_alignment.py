"""forced_align beside all paths, beside best_path, beside the loss."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad_rnn import best_path, ctc_loss, forced_align
from tests.rnn.ctc.test_loss import X, collapsed, drawn


@given(st.integers(0, 5), st.integers(2, 4), st.lists(st.integers(1, 3), max_size=3), st.integers(0, 99))
def test_it_is_the_best_of_all_paths_of_the_target(T: int, C: int, labels: list[int], seed: int) -> None:
    blank = seed % C
    target = [k for k in labels if k < C and k != blank]
    log_probs = drawn(max(T, 1), C, seed=seed)
    if seed % 3 == 0:
        log_probs[seed % len(log_probs), seed % C] = -np.inf
    paths = [path for path in itertools.product(range(C), repeat=T) if collapsed(path, blank) == tuple(target)]
    scores = [log_probs[range(T), path].sum() for path in paths]
    if not scores or max(scores) == -np.inf:
        with pytest.raises(ValueError, match=rf"forced_align: targets: got {len(target)} labels at batch entry 0"):
            forced_align(log_probs, target, T, len(target), blank)
        return
    found = forced_align(log_probs, target, T, len(target), blank)
    assert found.path in paths
    np.testing.assert_allclose(found.log_prob, max(scores), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.log_prob, log_probs[range(T), found.path].sum(), rtol=1e-12, atol=1e-12)
    # The spans are the target, in order, and the rest is blank.
    assert [{*found.path[start:stop]} for start, stop in found.spans] == [{k} for k in target]
    inside = {t for start, stop in found.spans for t in range(start, stop)}
    assert all((found.path[t] != blank) == (t in inside) for t in range(T))
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(found.spans))


def test_a_batch_is_its_sequences_on_every_backend(xp: Any) -> None:
    log_probs = drawn(7, 3, 4)
    log_probs[5:, 1] = np.nan  # beyond its end
    targets, lengths, counts = [[1, 2, 2], [2, 9, 9], [0, 0, 0]], [7, 5, 0], [3, 1, 0]
    many = forced_align(mg.tensor(xp.array(log_probs)), np.array(targets), lengths, counts)
    assert many == forced_align(xp.array(log_probs), np.array([1, 2, 2, 2]), lengths, counts)
    assert many == [forced_align(log_probs[:, b], targets[b][:n], lengths[b]) for b, n in enumerate(counts)]
    assert many[2] == ((), (), 0.0)
    two = drawn(7, 2, 3)
    assert forced_align(two, [[1, 2], [2, 1]]) == forced_align(two, [1, 2, 2, 1], [7, 7], [2, 2])


def test_what_a_net_hears_is_aligned_as_it_hears_it() -> None:
    log_probs = drawn(30, 5, seed=3)
    heard = best_path(log_probs)
    alignment = forced_align(log_probs, heard.labels)
    assert alignment.path == tuple(log_probs.argmax(1).tolist())
    np.testing.assert_allclose(alignment.log_prob, heard.log_prob, rtol=1e-12)


def test_its_probability_is_a_part_of_the_losss() -> None:
    log_probs = drawn(200, 6, seed=1)
    target = np.random.default_rng(0).integers(1, 6, 40)
    loss = ctc_loss(log_probs, target, 200, 40, reduction="sum").item()
    assert forced_align(log_probs, target).log_prob < -loss
    sure = np.where(np.arange(6) == np.array(forced_align(log_probs, target).path)[:, None], 0.0, -np.inf)
    assert forced_align(sure, target).log_prob == ctc_loss(sure, target, 200, 40, reduction="sum").item() == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: forced_align(X.tolist(), [[1], [2]]), TypeError, "forced_align: log_probs: got list"),
        (lambda: forced_align(X, [[1], [0]]), ValueError, "targets: got 0 at batch entry 1, label 0"),
        (lambda: forced_align(X, [[1.5], [2]]), TypeError, "forced_align: targets: got dtype float64, want integers"),
        (lambda: forced_align(X, [[1], [2]], None, [1, 2]), ValueError, "target_lengths: got 2 at batch entry 1"),
        (lambda: forced_align(X, [1, 2, 1]), ValueError, "targets: got 3 labels in one row, want the sum"),
        (lambda: forced_align(X, [[1, 1, 1], [1, 2, 1]]), ValueError, r"entry 0 .* takes at least 5 frames"),
    ],
)
def test_bad_arguments_are_named(call: Any, error: type[Exception], message: str) -> None:
    assert X.shape[0] == 4  # frames
    with pytest.raises(error, match=message):
        call()
