"""examples/translate.py: a split without leaks, baselines, scores, pictures, and a short run on real dates."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad_rnn.text import Vocabulary
from tests.conftest import TestedBackend
from tests.support import char_rnn_runs  # noqa: F401  puts examples on the path

from datasets_parts.download import DataError  # isort: skip
from translate_parts.attention_picture import Read, draw_attention  # isort: skip
from translate_parts.baselines import Dictionary, NearestNeighbour, copy  # isort: skip
from translate_parts.lexicon import LexicalModel, lexicon_of  # isort: skip
from translate_parts.pairs import batch_of, groups_of, normalised, references_of  # isort: skip

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "translate.py"
PAIRS = [
    ("Delete the event", "Supprimer l'événement"),
    ("delete the events.", "Supprimer les événements"),
    ("Remove the event", "supprimer l'Événement !"),
    ("Remove the room", "Supprimer la salle"),
    ("The room", "La salle"),
]


def test_near_duplicates_share_a_group_also_by_way_of_others() -> None:
    groups = groups_of(PAIRS)
    assert groups[0] == groups[1] == groups[2]  # the English of 0 and 1, the French of 0 and 2
    assert len(set(groups)) == 3
    assert normalised("Delete the  Events…") == "delete the event"
    assert normalised("3/4/21") != normalised("3/4/22")


def test_parts_share_no_text_in_either_language() -> None:
    from minigrad_rnn.data import hold_out

    rng = np.random.default_rng(0)
    words = ["one", "two", "three", "four", "five"]
    pairs = [(" ".join(rng.choice(words, 3)), " ".join(rng.choice(words, 3)).title()) for _ in range(150)]
    parts = hold_out(pairs, (0.1, 0.1), groups=groups_of(pairs), seed=0)
    for side in (0, 1):
        seen = [{normalised(pair[side]) for pair in part} for part in parts]
        assert sum(map(len, seen)) == len(set.union(*seen))


def test_a_split_that_looks_at_single_pairs_only_leaks() -> None:
    """What the groups are for: without them the French of held-out pairs is trained on."""
    from minigrad_rnn.data import hold_out

    rng = np.random.default_rng(0)
    pairs = [(f"text {k}", f"texte {rng.integers(0, 20)}") for k in range(100)]
    train, held_out = hold_out(pairs, 0.2, seed=0)
    assert {normalised(french) for _, french in train} & {normalised(french) for _, french in held_out}


def test_baselines() -> None:
    assert copy("Room") == "Room"
    memory = NearestNeighbour(PAIRS)
    assert memory("Remove that room") == "Supprimer la salle"
    pairs = [("red house", "maison rouge"), ("red book", "livre rouge"), ("blue house", "maison bleue")] * 2
    dictionary = Dictionary(pairs)
    assert dictionary("Blue book, new") == "Bleue livre, new"


def test_the_lexicon_is_expectation_maximisation_written_out() -> None:
    rng = np.random.default_rng(0)
    examples = [(rng.integers(1, 6, rng.integers(1, 5)), rng.integers(1, 6, rng.integers(1, 5))) for _ in range(20)]
    t = {(f, e): 1.0 for f in range(6) for e in range(6)}
    for _ in range(3):
        joint: dict[tuple[int, int], float] = {}
        for source, target in examples:
            read = [0, *source.tolist()]
            for f in target.tolist():
                for e in read:
                    joint[f, e] = joint.get((f, e), 0.0) + t[f, e] / sum(t[f, other] for other in read)
        t = {(f, e): n / sum(m for (_, other), m in joint.items() if other == e) for (f, e), n in joint.items()}
    e, f, p = lexicon_of(examples, 6, nothing=0, rounds=3)
    assert len(e) == len(t)
    np.testing.assert_allclose(p, [t[key] for key in zip(f.tolist(), e.tolist())], rtol=1e-12)


def test_a_net_that_knows_nothing_yet_translates_what_it_attends_to_by_the_lexicon() -> None:
    V = 6
    encoder = mr.Encoder(V, 3, 4, network=mr.GRU, rng=0)
    attention = mr.DotAttention(4)
    decoder = mr.Decoder(V, 3, 4, network=mr.GRU, attention=attention, attend="after", rng=1)
    with mg.no_grad():
        for p in decoder.readout.parameters():
            p *= 0.0
    model = LexicalModel(mr.EncoderDecoder(encoder, decoder, rng=2), (np.array([1, 2]), np.array([3, 4]), np.ones(2)))
    source, fed = np.array([[1, 2]]), np.array([[5, 5], [3, 4]])
    logits, _ = model(source, fed)
    assert logits.numpy().argmax(-1).tolist() == [[3, 4], [3, 4]]
    tokens, state = fed[0], model.start(source)
    for t in range(2):  # step by step the same
        log_probs, state = model.step(tokens, state)
        np.testing.assert_allclose(log_probs.numpy(), mg.log_softmax(logits[t]).numpy(), atol=1e-5)
        tokens = fed[1]
    assert mr.beam_search(model, model.start(source), 2, 5, None, 2, 3)[1][0].tokens == [4, 4]


def test_it_computes_on_the_models_backend(xp: TestedBackend) -> None:
    script = runpy.run_path(str(EXAMPLE))
    settings = script["TASKS"]["software"]._replace(hidden_size=4, embedding_size=3)
    pairs = [("ab", "ba"), ("a", "b"), ("bb", "aab")]
    translator = script["Translator"](Vocabulary.from_text("ab"), settings, pairs, 0, xp.name)
    loss = script["divergence"](0.1)(translator.model, batch_of(translator.examples, translator.end))
    loss.backward()
    assert all(p.grad is not None for p in translator.model.parameters())
    assert len(translator.translate(["ab", "b"], beam=3)) == 2
    assert translator.read("ab", "ba").weights.shape == (2, 2)


def test_a_batch_begins_and_ends_with_the_same_token() -> None:
    batch = batch_of([(np.array([1, 2]), np.array([3])), (np.array([4]), np.array([5, 6]))], end=9)
    assert batch.source.T.tolist() == [[1, 2], [4, 0]]
    assert batch.fed.T.tolist() == [[9, 3, 0], [9, 5, 6]]
    assert batch.target.T.tolist() == [[3, 9, 0], [5, 6, 9]]
    assert (batch.source_lengths.tolist(), batch.target_lengths.tolist()) == ([2, 1], [2, 3])
    assert references_of([("a", "b"), ("a", "c")]) == {"a": ["b", "c"]}


def test_a_picture_of_attention(tmp_path: Path) -> None:
    reads = [
        Read(list("abc"), list("de"), np.full((2, 3), 1 / 3)),
        Read([" Delete"], ["Supp", "rimer"], np.ones((2, 1))),
    ]
    draw_attention(reads, str(tmp_path / "attention.png"))
    assert (tmp_path / "attention.png").stat().st_size > 3000


def test_without_sacrebleu_it_says_so_before_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = runpy.run_path(str(EXAMPLE))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert script["run"](script["main"], script["parser"], []) == 2
    assert "scores need sacrebleu: pip install sacrebleu" in capsys.readouterr().err


def test_the_encoder_drops_nothing_out_while_a_model_in_training_translates() -> None:
    script: dict[str, Any] = runpy.run_path(str(EXAMPLE))
    settings = script["TASKS"]["software"]._replace(embedding_size=8, hidden_size=8, dropout=0.9)
    vocabulary = script["learn_vocabulary"](PAIRS, "characters", 0)
    translator = script["Translator"](vocabulary, settings, PAIRS, 0, "numpy")
    with mg.no_grad():
        translator.model.model.decoder.readout.weight *= 9.0
    sources = [source for source, _ in PAIRS]

    def results() -> list[Any]:
        return [*translator.translate(sources, beam=2), translator.read(*PAIRS[0]).weights.tobytes()]

    translator.model.eval()
    want = results()
    translator.model.train()
    assert results() == want
    assert translator.model.model.encoder.training
    _, weights = translator.model(np.array([[1], [2]]), np.array([[3]]))
    assert translator.model(np.array([[1], [2]]), np.array([[3]]))[1].tolist() != weights.tolist()


def test_a_short_run_on_real_dates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sacrebleu")
    monkeypatch.setattr(sys, "argv", ["translate.py"])
    script: dict[str, Any] = runpy.run_path(str(EXAMPLE))
    try:
        script["dates"](1)
    except DataError as error:
        pytest.skip(f"the dates cannot be downloaded: {error}")
    options = ["--limit", "200", "--hidden-size", "8", "--units", "pieces", "--lexicon", "--out", str(tmp_path)]
    run, main, parser = script["run"], script["main"], script["parser"]
    assert run(main, parser, [*options, "--updates", "2"]) == 0
    assert run(main, parser, [*options, "--updates", "3", "--beam", "2", "--resume"]) == 0
    out = capsys.readouterr().out
    for line in ("nearest neighbour", "dictionary", "net, greedy", "net, beam of 2"):
        assert line in out
    assert len((tmp_path / "translations.tsv").read_text(encoding="utf-8").splitlines()) == 14
    assert (tmp_path / "attention.png").exists()
