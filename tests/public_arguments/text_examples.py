"""A valid call of every public function, constructor and method of minigrad_rnn.text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigrad_rnn import text

from .example import IDS, MODEL, Example, H, I, K, call, function, method


def character_model() -> text.CharacterModel:
    return text.CharacterModel(K, "gru", I, H, rng=0)


def subwords() -> text.SubwordVocabulary:
    return text.SubwordVocabulary("abc", [["a", "b"]])


TEXT_EXAMPLES: dict[str, Callable[[], Example]] = {
    # text
    "Vocabulary": function(text.Vocabulary, characters="abc", unknown=None),
    "Vocabulary.from_text": function(text.Vocabulary.from_text, text="abcabc", max_size=None, unknown="?"),
    "ByteVocabulary": function(text.ByteVocabulary, values=[97, 98], unknown=None),
    "ByteVocabulary.from_text": function(text.ByteVocabulary.from_text, text="abcabc", max_size=None, unknown=63),
    "ByteVocabulary.encode": method(lambda: text.ByteVocabulary(), "encode", text="ab"),
    "ByteVocabulary.decode": method(lambda: text.ByteVocabulary(), "decode", ids=np.array([0, 1])),
    "WordVocabulary": function(text.WordVocabulary, words=["a", "b"], unknown=None),
    "WordVocabulary.from_text": function(text.WordVocabulary.from_text, text="a b", max_size=None, unknown="?"),
    "WordVocabulary.encode": method(lambda: text.WordVocabulary(["a", "b"]), "encode", text="a"),
    "WordVocabulary.decode": method(lambda: text.WordVocabulary(["a", "b"]), "decode", ids=np.array([0, 1])),
    "tokenize": function(text.tokenize, text="a b"),
    "load_vocabulary": function(text.load_vocabulary, state={"characters": "ab", "unknown": None}),
    "Vocabulary.encode": method(lambda: text.Vocabulary("abc"), "encode", text="ab"),
    "Vocabulary.decode": method(lambda: text.Vocabulary("abc"), "decode", ids=np.array([0, 1])),
    "SubwordVocabulary": function(text.SubwordVocabulary, characters="abc", merges=[], unknown=None),
    "SubwordVocabulary.from_text": function(
        text.SubwordVocabulary.from_text, text="abcabc", max_size=9, unknown="?", min_count=2),
    "SubwordVocabulary.encode": method(subwords, "encode", text="ab", dropout=0.5, rng=0),
    "SubwordVocabulary.decode": method(subwords, "decode", ids=np.array([0, 1])),
    "read_corpus": function(text.read_corpus, path="/nonexistent", suffixes=None, limit=None),
    "split": lambda: (
        text.split,
        {
            "corpus": text.Corpus("c", (text.Document("a", "abcdefgh" * 9), text.Document("b", "abcdefgh" * 9))),
            "held_out": 0.5,
            "seed": 0,
        },
    ),
    "CharacterModel": function(
        text.CharacterModel, vocab_size=K, cell="gru", embedding_size=I, hidden_size=H, num_layers=1, dropout=0.0,
        **MODEL,
    ),
    "CharacterModel()": call(character_model, ids=IDS, state=None),
    "Streams": function(
        text.Streams, ids=np.arange(20) % K, batch_size=2, steps=3, drop_last=False, rotate=False, seed=0
    ),
    "Streams.load_state_dict": lambda: (
        (s := text.Streams(np.arange(20) % K, 2, 3)).load_state_dict, {"state": s.state_dict()}
    ),
    "bits_per_character": lambda: (
        text.bits_per_character,
        {"model": character_model(), "ids": np.arange(9) % K, "batch_size": 2, "steps": 3, "limit": None},
    ),
}  # fmt: skip
