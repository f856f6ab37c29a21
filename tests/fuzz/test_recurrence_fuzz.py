"""Random recurrences with any options, every implementation beside the others; and that planted faults are caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn.cells import activations, fused_sequence, gru, lengths, lstm, rnn, unroll
from minigrad_rnn.cells.fused_sequence import FusedSequence
from minigrad_rnn.networks import recurrence, truncation
from tests.fuzz.recurrence_cases import draw
from tests.fuzz.recurrence_checks import WAYS, Mismatch, check

ALWAYS = ("by hand", "each alone")
IN_TURN = tuple(way for way in WAYS if way not in (*ALWAYS, "torch"))


def check_cases(seed: int, count: int) -> dict[str, int]:
    """Check `count` random cases, each in four ways; return how many allowed each way."""
    rng, done = np.random.default_rng(seed), dict.fromkeys((*ALWAYS, *IN_TURN), 0)
    for k in range(count):
        case = draw(rng)
        for way in (*ALWAYS, IN_TURN[k % len(IN_TURN)], IN_TURN[(k + 1) % len(IN_TURN)]):
            done[way] += check(case, way)
    return done


def check_with_torch(seed: int, count: int, torch: Any) -> int:
    rng = np.random.default_rng(seed)
    return sum(check(draw(rng), "torch", torch) for _ in range(count))


@pytest.mark.parametrize("seed", range(5))
def test_random_recurrences(seed: int) -> None:
    done = check_cases(seed, 60)
    assert all(done.values()), done


@pytest.mark.parametrize("seed", range(3))
def test_random_recurrences_against_torch(seed: int) -> None:
    assert check_with_torch(100 + seed, 150, pytest.importorskip("torch")) >= 15


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(400))
def test_many_more_random_recurrences(seed: int) -> None:
    check_cases(1000 + seed, 600)
    check_with_torch(1000 + seed, 600, pytest.importorskip("torch"))


# Planted faults

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def scaled(module: Any, name: str, part: int) -> Plant:
    """A fused rule with one of its results off by 1.001."""

    def plant(patch: Patch) -> None:
        right = getattr(module, name)

        def wrong(*args: Any, **options: Any) -> Any:
            results = list(right(*args, **options))
            results[part] = results[part] * 1.001
            return tuple(results)

        patch.setattr(module, name, wrong)

    return plant


def dropped_step(module: Any, name: str) -> Plant:
    """A fused rule that forgets the first step of each sequence."""

    def plant(patch: Patch) -> None:
        right = getattr(module, name)

        def wrong(*args: Any, **options: Any) -> Any:
            dz, *rest = right(*args, **options)
            dz[0] = 0
            return dz, *rest

        patch.setattr(module, name, wrong)

    return plant


def wrong_tanh(patch: Patch) -> None:
    @mg.primitive
    def tanh(xp: Any, x: Any) -> Any:
        y = xp.tanh(x)
        return y, (y,), lambda xp, g, y: 1.001 * g * (1 - y * y)

    patch.setitem(activations.ON_TAPE, "tanh", tanh)


def leaking_lengths(patch: Patch) -> None:
    """One step of padding is read."""
    right = recurrence.Lengths
    patch.setattr(recurrence, "Lengths", lambda n, T, *rest: right([min(T, k + 1) for k in n], T, *rest))


def leaking_values(patch: Patch) -> None:
    """Outputs at padding are right, but what is read there reaches the weights."""
    patch.setattr(lengths.Lengths, "without_padding", lambda self, xp, a: a)


def late_state(patch: Patch) -> None:
    """The last state is that of the last step of the batch."""
    patch.setattr(lengths.Lengths, "last_valid", lambda self, a: a[-1].copy())


def unmirrored(patch: Patch) -> None:
    """Read backward, a short sequence begins at the end of the batch."""
    patch.setattr(lengths.Lengths, "mirrored", lambda self, a: a[::-1])


def forward_only(patch: Patch) -> None:
    """The fused implementation reads every sequence forward."""
    right = FusedSequence.__init__
    patch.setattr(
        FusedSequence, "__init__", lambda self, xp, xs, backward, lengths: right(self, xp, xs, False, lengths)
    )


def graph_forward_only(patch: Patch) -> None:
    right = unroll.unroll
    for module in (recurrence, fused_sequence):
        patch.setattr(module, "unroll", lambda step, n, backward, *rest, **o: right(step, n, False, *rest, **o))


def mask_on_the_leak(patch: Patch) -> None:
    """The recurrent mask drops h(t−1) everywhere."""
    right = recurrence.unroll

    def wrong(step: Any, *args: Any, **options: Any) -> Any:
        return right(lambda x, state, h: step(x, (h, *state[1:]), h), *args, **options)

    patch.setattr(recurrence, "unroll", wrong)


def shared_zoneout(patch: Patch) -> None:
    """Every state array takes the first one's zoneout mask."""
    right = recurrence.unroll

    def wrong(*args: Any, masks: Any, **options: Any) -> Any:
        if masks.zoneout:
            masks = unroll.CellMasks(masks.input, masks.recurrent, masks.zoneout[:1] * len(masks.zoneout))
        return right(*args, masks=masks, **options)

    patch.setattr(recurrence, "unroll", wrong)


def uncut(patch: Patch) -> None:
    patch.setattr(truncation, "detached", lambda state: state)


def lost_peephole(patch: Patch) -> None:
    right = lstm.peephole_gradient
    patch.setattr(lstm, "peephole_gradient", lambda run, dz, S: fused_sequence.map_sums(
        lambda a: a * 1.001, right(run, dz, S)
    ))  # fmt: skip


def clip_forgotten(patch: Patch) -> None:
    right = activations.on_tape
    patch.setattr(lstm, "on_tape", lambda activation, clip=None: right(activation))


def swapped_directions(patch: Patch) -> None:
    right = recurrence.Recurrence.merge_directions
    patch.setattr(recurrence.Recurrence, "merge_directions", lambda self, tops: right(self, tops[::-1]))


def late_labels(patch: Patch) -> None:
    """The ledger of the fused implementation shows the share of the next step."""
    right = lengths.ReadOrder.rows
    patch.setattr(lengths.ReadOrder, "rows", lambda self, label, a: right(self, (label + 1) % self.T, a))


def forgotten_hooks(patch: Patch) -> None:
    """A cell with hooks runs without them."""
    patch.setattr(recurrence.Cell, "one_hooked_step", lambda self, x, state, h: (*(s := self.step(x, state, h)), s[0]))


FAULTS: dict[str, Plant] = {
    "rnn: dz off by 1.001": scaled(rnn, "rnn_bptt", 0),
    "rnn: dh(−1) off by 1.001": scaled(rnn, "rnn_bptt", 1),
    "lstm: dz off by 1.001": scaled(lstm, "lstm_bptt", 0),
    "lstm: dc(−1) off by 1.001": scaled(lstm, "lstm_bptt", 2),
    "gru: dz off by 1.001": scaled(gru, "gru_bptt", 0),
    "the tape's tanh off by 1.001": wrong_tanh,
    "rnn: a dropped step": dropped_step(rnn, "rnn_bptt"),
    "lstm: a dropped step": dropped_step(lstm, "lstm_bptt"),
    "gru: a dropped step": dropped_step(gru, "gru_bptt"),
    "lengths that leak": leaking_lengths,
    "padding that reaches the weights": leaking_values,
    "a last state from padding": late_state,
    "padding that is read first": unmirrored,
    "the wrong direction": forward_only,
    "the wrong direction of the graph": graph_forward_only,
    "a recurrent mask on the leak": mask_on_the_leak,
    "one zoneout mask for all": shared_zoneout,
    "a truncation that does not cut": uncut,
    "peepholes off by 1.001": lost_peephole,
    "a clip that is forgotten": clip_forgotten,
    "directions merged in the wrong order": swapped_directions,
    "another step's share in the ledger": late_labels,
    "hooks that are not called": forgotten_hooks,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch, within the cases of the suite."""
    FAULTS[fault](monkeypatch)

    def check_all() -> None:
        for seed in range(8):
            check_cases(seed, 60)

    with pytest.raises(Mismatch):
        check_all()
