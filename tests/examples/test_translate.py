"""examples/translate.py: a split without leaks, baselines, scores, pictures, and a short run on real dates."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import char_rnn_runs  # noqa: F401  puts examples on the path

from datasets_parts.download import DataError  # isort: skip
from translate_parts.attention_picture import Read, draw_attention  # isort: skip
from translate_parts.baselines import Dictionary, NearestNeighbour, copy  # isort: skip
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
    options = ["--limit", "200", "--hidden-size", "8", "--units", "pieces", "--out", str(tmp_path)]
    run, main, parser = script["run"], script["main"], script["parser"]
    assert run(main, parser, [*options, "--updates", "2"]) == 0
    assert run(main, parser, [*options, "--updates", "3", "--beam", "2", "--resume"]) == 0
    out = capsys.readouterr().out
    for line in ("nearest neighbour", "dictionary", "net, greedy", "net, beam of 2"):
        assert line in out
    assert len((tmp_path / "translations.tsv").read_text(encoding="utf-8").splitlines()) == 14
    assert (tmp_path / "attention.png").exists()
