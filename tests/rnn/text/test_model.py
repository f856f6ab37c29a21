"""The character model: evaluation mode, bits per character, detached states."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad_rnn.networks.truncation import detached
from minigrad_rnn.seq2seq.sampling import sample
from minigrad_rnn.text import model as text_model
from minigrad_rnn.text.model import CharacterModel, bits_per_character


@pytest.mark.parametrize("ask", ["sample", "bits_per_character", "sample and fail"])
def test_what_was_in_evaluation_stays_there(ask: str) -> None:
    model = CharacterModel(11, "rnn", 6, 9, dropout=0.5)
    model.embedding.eval()
    model.recurrence.eval()
    before = [part.training for part in model.modules()]
    assert len(set(before)) == 2
    if ask == "bits_per_character":
        bits_per_character(model, np.arange(100) % 11)
    elif ask == "sample":
        sample(model, [1], 3)
    else:
        with pytest.raises(ValueError, match="temperature"):
            sample(model, [1], 3, temperature=-1.0)
    assert [part.training for part in model.modules()] == before


def test_bits_per_character_do_not_depend_on_how_the_text_is_cut() -> None:
    model = CharacterModel(11, "lstm", 6, 9, dropout=0.5, rng=np.random.default_rng(3))
    ids = np.random.default_rng(0).integers(0, 11, 1025)
    values = [bits_per_character(model, ids, batch_size=2, steps=steps) for steps in (7, 128, 2000)]
    np.testing.assert_allclose(values, values[0], rtol=1e-5)
    assert values[0] > np.log2(11) - 0.5
    assert bits_per_character(model, ids, batch_size=2, steps=16, limit=100) != values[0]
    assert model.training


def test_the_logits_of_a_large_vocabulary_are_computed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = CharacterModel(500, "gru", 3, 4, rng=0)
    ids = np.random.default_rng(0).integers(0, 500, 1025)
    want = bits_per_character(model, ids)
    lengths: list[int] = []
    model.register_forward_pre_hook(lambda module, args: lengths.append(len(args[0])))
    monkeypatch.setattr(text_model, "LARGEST_BLOCK", 500 * 2 * 10)
    np.testing.assert_allclose(bits_per_character(model, ids), want, rtol=1e-6)
    assert max(lengths) == 10
    monkeypatch.setattr(text_model, "LARGEST_BLOCK", 1)
    bits_per_character(model, ids, limit=20)
    assert lengths[-1] == 1


def test_the_detached_state_ends_the_tape() -> None:
    model = CharacterModel(5, "lstm", 3, 4)
    _, state = model(np.array([[1], [2]]))
    assert all(part.requires_grad for part in state)
    assert not any(part.requires_grad for part in detached(state))


def test_an_unknown_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="cell: got 'qru', want one of"):
        CharacterModel(5, "qru")
