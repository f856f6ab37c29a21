"""The reference BPTT with padding, windows and two depths: each sequence, window and net as if it were alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad_rnn.manual_bptt import reference_bptt
from tests.support.reference_cells import CELLS
from tests.support.stack_bench import Array, Case, H, assert_same, packed, parts


@pytest.mark.parametrize("name", CELLS)
def test_nothing_at_padding_matters(name: str) -> None:
    """NaN and infinity in the input, in masks and in what arrives at padding; each sequence is as if it were alone."""
    lengths = [4, 2, 1]
    case = Case(name, lengths=lengths, masked=True)
    padding = np.arange(case.T)[:, None] >= np.array(lengths)
    clean = case.run()
    spoiled_masks = {
        n: {k: np.where(padding[..., None], np.nan, a) if a.ndim == 3 else a for k, a in of_cell.items()}
        for n, of_cell in case.keywords["masks"].items()
    }

    def ask(output: Array, final: Any) -> Any:
        d, d_final = case.divergence_gradient(output, final)
        return np.where(padding[..., None], np.nan, d), d_final

    for bad in (np.nan, np.inf):
        xs = np.where(padding[..., None], bad, case.values["xs"])
        spoiled = case.run(ask=ask, xs=xs, masks=spoiled_masks)
        np.testing.assert_array_equal(spoiled.output, clean.output)
        for n, g in clean.gradients.items():
            np.testing.assert_array_equal(spoiled.gradients[n], g, err_msg=n)
    assert not clean.output[padding].any()
    assert not clean.gradients["xs"][padding].any()

    d_output, d_final = case.divergence_gradient(clean.output, clean.final_state)
    pooled = {n: np.zeros_like(a) for n, a in case.values.items() if "." in n}
    for b, n in enumerate(lengths):
        one, here = slice(b, b + 1), slice(0, n)
        masks = {
            cell: {k: a[here, one] if a.ndim == 3 else a[one] for k, a in of_cell.items()}
            for cell, of_cell in case.keywords["masks"].items()
        }
        d_alone = (d_output[here, one], packed([d[:, one] for d in parts(d_final)]))
        alone = case.run(
            ask=lambda *_, d=d_alone: d, xs=case.values["xs"][here, one], masks=masks, lengths=None,
            **{s: case.values[s][:, one] for s in case.state_names},
        )  # fmt: skip
        assert_same(alone.output, clean.output[here, one], "output")
        for end, whole in zip(parts(alone.final_state), parts(clean.final_state)):
            assert_same(end, whole[:, one], "final state")
        assert_same(alone.gradients["xs"], clean.gradients["xs"][here, one], "xs")
        for s in case.state_names:
            assert_same(alone.gradients[s], clean.gradients[s][:, one], s)
        for full in pooled:
            pooled[full] += alone.gradients[full]
    for full, g in pooled.items():
        assert_same(g, clean.gradients[full], full)


@pytest.mark.parametrize("cut_every", [1, 2, 3, 7])
@pytest.mark.parametrize("name", CELLS)
def test_cut_every_is_windows_with_detached_states(name: str, cut_every: int) -> None:
    """Each window run by itself from the last one's state, which is a constant to it; the gradients added."""
    T = 7
    case = Case(name, 2, False, T=T, cut_every=cut_every)
    cut = case.run()
    d_output, d_final = case.divergence_gradient(cut.output, cut.final_state)
    pooled = {n: np.zeros_like(a) for n, a in case.values.items()}
    state = [case.values[s] for s in case.state_names]
    for begin in range(0, T, cut_every):
        window = slice(begin, begin + cut_every)
        ends = [d if begin + cut_every >= T else np.zeros_like(d) for d in parts(d_final)]
        d_one = (d_output[window], packed(ends))
        one = case.run(
            ask=lambda *_, d=d_one: d, xs=case.values["xs"][window], cut_every=None,
            **dict(zip(case.state_names, state)),
        )  # fmt: skip
        assert_same(one.output, cut.output[window], "output")
        state = list(parts(one.final_state))
        for n, g in one.gradients.items():
            if n == "xs":
                pooled[n][window] = g
            elif begin == 0 or "." in n:
                pooled[n] += g
    for n, g in pooled.items():
        assert_same(cut.gradients[n], g, n)
    if cut_every < T:
        uncut = case.run(cut_every=None)
        assert not np.allclose(uncut.gradients["forward0.Wr"], cut.gradients["forward0.Wr"])


@pytest.mark.parametrize("name", CELLS)
def test_cut_every_with_lengths_is_each_sequence_alone(name: str) -> None:
    lengths = [7, 3, 4]
    case = Case(name, 2, False, T=7, lengths=lengths, cut_every=3)
    whole = case.run()
    d_output, d_final = case.divergence_gradient(whole.output, whole.final_state)
    pooled = {n: np.zeros_like(a) for n, a in case.values.items()}
    for b, n in enumerate(lengths):
        one, here = slice(b, b + 1), slice(0, n)
        d_alone = (d_output[here, one], packed([d[:, one] for d in parts(d_final)]))
        alone = case.run(
            ask=lambda *_, d=d_alone: d, xs=case.values["xs"][here, one], lengths=None,
            **{s: case.values[s][:, one] for s in case.state_names},
        )  # fmt: skip
        for full, g in alone.gradients.items():
            pooled[full][(here, one) if full == "xs" else (slice(None), one) if full in case.state_names else ...] += g
    for full, g in pooled.items():
        assert_same(whole.gradients[full], g, full)


@pytest.mark.parametrize("merge", ["concat", "sum", "mean"])
def test_two_depths_are_two_nets_merged_at_their_tops(merge: str) -> None:
    case = Case("gru", (1, 3), True, merge, lengths=[4, 2, 3])
    whole = case.run()
    d_output, d_final = case.divergence_gradient(whole.output, whole.final_state)
    halves = [d_output[..., :H], d_output[..., H:]] if merge == "concat" else [d_output * (0.5, 1)[merge == "sum"]] * 2
    outputs, dx = [], np.zeros_like(case.values["xs"])
    for direction, rows, half in zip(("forward", "backward"), (slice(0, 1), slice(1, 4)), halves):
        turned = direction == "backward"

        def flip(a: Array, turned: bool = turned) -> Array:
            """Each sequence mirrored within its own length."""
            mirrored = a.copy()
            for b, n in enumerate(case.keywords["lengths"]):
                mirrored[:n, b] = a[:n, b][::-1] if turned else a[:n, b]
            return mirrored

        parameters = {n.replace("backward", "forward"): a for n, a in case.values.items() if n.startswith(direction)}
        alone = reference_bptt(
            "gru", parameters, flip(case.values["xs"]), case.values["h_init"][rows],
            lambda *_, half=half, rows=rows, flip=flip: (flip(half), d_final[rows]),
            num_layers=rows.stop - rows.start, bidirectional=False, lengths=case.keywords["lengths"],
        )  # fmt: skip
        outputs.append(flip(alone.output))
        dx += flip(alone.gradients["xs"])
        assert_same(alone.final_state, whole.final_state[rows], "final state")
        for n in parameters:
            assert_same(alone.gradients[n], whole.gradients[n.replace("forward", direction)], n)
    together = {"concat": np.concatenate(outputs, -1), "sum": sum(outputs), "mean": sum(outputs) / 2}[merge]
    assert_same(whole.output, together, "output")
    assert_same(whole.gradients["xs"], dx, "xs")
