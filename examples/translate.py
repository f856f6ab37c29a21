"""Translate English to French with an encoder-decoder that attends to the source, and search with a beam.

    python examples/translate.py                    dates: "Saturday, 5 March 2022" -> "samedi 5 mars 2022"
    python examples/translate.py --task software    what programs say: "Delete the event" -> "Supprimer l'événement"
    python examples/translate.py --task software --units characters --beam 8

The pairs of the first task are made, as many as are wanted; those of the second are the translations that nine real
programs ship. What is held out shares no text with what is trained on, in either language, not even up to capitals,
punctuation and plurals. Scores stand beside what copying, a translation memory and a dictionary reach. Pictures of what
the decoder reads while it writes are saved, and ten translations printed.

A bidirectional recurrence reads the source (Bahdanau, Cho & Bengio 2015), another one writes the target; after each of
its steps it attends to the source (Luong, Pham & Manning 2015). Texts are characters, or byte-pair pieces. Ten thousand
pairs are few to learn words from: in the second task what the net attends to is also looked up in a lexicon, which is
learned from the same pairs (Arthur, Neubig & Nakamura 2016).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from command_line import example_parser, fit, number, run, whole
from datasets import dates, english_french
from translate_parts.attention_picture import Read, draw_attention
from translate_parts.baselines import Dictionary, NearestNeighbour, copy
from translate_parts.lexicon import LexicalModel, lexicon_of
from translate_parts.pairs import Batch, Pair, batch_of, groups_of, references_of

import minigrad as mg
import minigrad_rnn as mr
from minigrad import losses, optim
from minigrad.nn.inference import inference
from minigrad_rnn.data import BucketedBatches, hold_out
from minigrad_rnn.text import SubwordVocabulary, Vocabulary
from minigrad_rnn.training import Trainer


class Settings(NamedTuple):
    """What a task is trained with."""

    units: str
    vocabulary_size: int
    embedding_size: int
    hidden_size: int
    dropout: float
    smoothing: float
    lr: float
    batch_size: int
    epochs: float
    lexicon: bool


TASKS = {
    "dates": Settings("characters", 200, 32, 128, 0.0, 0.0, 5e-3, 32, 3, False),
    "software": Settings("pieces", 2000, 96, 192, 0.2, 0.1, 4e-3, 32, 12, True),
}


class Translator:
    """An encoder-decoder with its vocabulary; the token after the vocabulary's own begins and ends a target."""

    def __init__(self, vocabulary: Any, s: Settings, pairs: Sequence[Pair], seed: int, backend: str) -> None:
        self.vocabulary, self.end, rng = vocabulary, len(vocabulary), np.random.default_rng(seed)
        V, E, H = len(vocabulary) + 1, s.embedding_size, s.hidden_size
        shared: dict[str, Any] = {"rng": rng, "embedding_dropout": s.dropout, "output_dropout": s.dropout}
        encoder = mr.Encoder(V, E, H // 2, bidirectional=True, network=mr.GRU, **shared)
        attention = mr.GeneralAttention(H, encoder.output_size, rng=rng)
        decoder = mr.Decoder(V, E, H, network=mr.GRU, attention=attention, attend="after", **shared)
        model = mr.EncoderDecoder(encoder, decoder, rng=rng).to(backend)
        self.examples = [self.encode(pair) for pair in pairs]
        self.model: Any = LexicalModel(model, lexicon_of(self.examples, V, self.end)) if s.lexicon else model

    def encode(self, pair: Pair) -> tuple[Any, Any]:
        return self.vocabulary.encode(pair[0]), self.vocabulary.encode(pair[1])

    def translate(self, sources: Sequence[str], beam: int, batch_size: int = 100) -> list[str]:
        """Return the best translation that a beam search finds, of each text."""
        encoded = [self.vocabulary.encode(source) for source in sources]
        results = [""] * len(sources)
        order = sorted(range(len(sources)), key=lambda k: len(encoded[k]))
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            batch = batch_of([(encoded[k], encoded[k][:0]) for k in rows], self.end)
            with inference(self.model):
                state = self.model.start(batch.source, batch.source_lengths)
            longest = 10 + 2 * batch.source.shape[0]
            found = mr.beam_search(self.model, state, len(rows), self.end, self.end, longest, beam, alpha=1.0)
            for k, hypotheses in zip(rows, found):
                results[k] = self.text_of(hypotheses[0].tokens)
        return results

    def text_of(self, tokens: Sequence[int]) -> str:
        return str(self.vocabulary.decode(np.array([t for t in tokens if t != self.end], np.int64)))

    def read(self, source: str, target: str) -> Read:
        """Return what is read of the source while the target is written."""
        batch = batch_of([self.encode((source, target))], self.end)
        with inference(self.model):
            _, weights = self.model(batch.source, batch.fed)
        assert weights is not None
        pieces = [[self.vocabulary.decode([k]) for k in ids] for ids in self.encode((source, target))]
        return Read(pieces[0], pieces[1], weights.numpy()[: len(pieces[1]), 0])


def divergence(smoothing: float) -> Callable[[Any, Batch], mg.Tensor]:
    """Cross-entropy over all tokens of a batch, with smoothed labels (Szegedy et al. 2016)."""

    def of_each(logits: mg.Tensor, targets: Any) -> mg.Tensor:
        return losses.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)

    def of_batch(model: Any, batch: Batch) -> mg.Tensor:
        logits, _ = model(batch.source, batch.fed, batch.source_lengths, batch.target_lengths)
        return mr.local_divergence(of_each, logits, batch.target, batch.target_lengths)

    return of_batch


def scores(translations: Sequence[str], references: Sequence[list[str]]) -> dict[str, float]:
    """Return "exact", the share that equals a reference, and "chrF" (Popović 2015), both in percent."""
    from sacrebleu.metrics.chrf import CHRF

    most = max(map(len, references))
    streams = [[every[min(k, len(every) - 1)] for every in references] for k in range(most)]
    exact = np.mean([t in every for t, every in zip(translations, references)])
    return {"chrF": CHRF().corpus_score(list(translations), streams).score, "exact": 100 * float(exact)}


def learn_vocabulary(pairs: Sequence[Pair], units: str, size: int) -> Any:
    """One vocabulary for both languages, so that names are cut alike."""
    text = "\n".join(side for pair in pairs for side in pair)
    if units == "characters":
        return Vocabulary.from_text(text)
    return SubwordVocabulary.from_text(text, max_size=size)


def held_out_parts(task: str, limit: int | None) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Return the pairs to train on, to choose the best weights by, and to test on; always the same ones."""
    pairs = dates(12_000) if task == "dates" else english_french()
    if limit is not None:
        pairs = [pairs[k] for k in np.random.default_rng(0).permutation(len(pairs))[:limit]]
    train, validation, test = hold_out(pairs, (0.03, 0.07), groups=groups_of(pairs), seed=0)
    return train, validation, test


def train(translator: Translator, parts: Sequence[list[Pair]], s: Settings, arguments: argparse.Namespace) -> None:
    """Train, and leave the best weights in the model."""
    stream = BucketedBatches(
        translator.examples,
        s.batch_size,
        length=lambda pair: max(map(len, pair)),
        collate=lambda pairs: batch_of(pairs, translator.end),
        max_padding=0.15,
        seed=arguments.seed,
    )
    shown = references_of(parts[1])

    def evaluate(model: Any) -> dict[str, float]:
        return scores(translator.translate(list(shown), beam=1), list(shown.values()))

    def rate(trainer: Trainer) -> float:
        return s.lr * min(1.0, (trainer.updates + 1) / 200) * max(0.02, 1 - trainer.fraction_done)

    trainer = Trainer(
        translator.model, optim.Adam(translator.model.parameters(), lr=s.lr), stream, divergence(s.smoothing),
        schedule=rate, clip_norm=1.0, evaluate=evaluate, lower_is_better=False, folder=arguments.out,
        tokens=lambda batch: float(batch.target_lengths.sum()),
        metadata={"task": arguments.task, **s._asdict(), "vocabulary": translator.vocabulary.state_dict()},
    )  # fmt: skip
    fit(trainer, arguments)
    trainer.load_best()


def report(translator: Translator, parts: Sequence[list[Pair]], arguments: argparse.Namespace) -> None:
    """Print scores and ten translations, write all of them, and draw what was read for some."""
    references = references_of(parts[2])
    sources = list(references)
    baselines: dict[str, Callable[[str], str]] = {
        "copy": copy, "nearest neighbour": NearestNeighbour(parts[0]), "dictionary": Dictionary(parts[0]),
    }  # fmt: skip
    results = {name: [translate(source) for source in sources] for name, translate in baselines.items()}
    results["net, greedy"] = translator.translate(sources, beam=1)
    results[f"net, beam of {arguments.beam}"] = best = translator.translate(sources, arguments.beam)
    print(f"\n{f'on {len(sources):,} held-out texts':24}{'chrF':>8}{'exact':>9}")
    for name, translations in results.items():
        score = scores(translations, list(references.values()))
        print(f"{name:24}{score['chrF']:>8.1f}{score['exact']:>7.1f} %")
    table, picture = (os.path.join(arguments.out, name) for name in ("translations.tsv", "attention.png"))
    with open(table, "w", encoding="utf-8") as file:
        for source, translation in zip(sources, best):
            file.write("\t".join([source, translation, *references[source]]) + "\n")
    print("\nten of them: English, the net's French, and what it should be if that is something else")
    chosen = np.random.default_rng(0).permutation(len(best))[:10]
    for k in chosen:
        right = best[k] in references[sources[k]]
        print(f"  {sources[k]}\n    {best[k]}" + ("" if right else f"\n    ({references[sources[k]][0]})"))
    draw_attention([translator.read(sources[k], best[k]) for k in chosen[:6] if best[k]], picture)
    print(f"\nattention: {picture}; all translations: {table}")


def main(arguments: argparse.Namespace) -> None:
    if importlib.util.find_spec("sacrebleu") is None:
        raise ImportError("scores need sacrebleu: pip install sacrebleu (the extra `examples` has it)")
    given = {name: value for name in Settings._fields if (value := getattr(arguments, name, None)) is not None}
    s = TASKS[arguments.task]._replace(**given)
    arguments.default_budget = {"epochs": s.epochs}
    arguments.out = arguments.out or f"runs/translate/{arguments.task}"
    parts = held_out_parts(arguments.task, arguments.limit)
    vocabulary = learn_vocabulary(parts[0], s.units, s.vocabulary_size)
    translator = Translator(vocabulary, s, parts[0], arguments.seed, arguments.backend)
    sizes = ", ".join(f"{len(part):,} {use}" for part, use in zip(parts, ("to train on", "to choose by", "to test on")))
    weights = translator.model.num_parameters()
    print(f"pairs: {sizes}; {len(vocabulary):,} {s.units}; {weights:,} weights", flush=True)
    train(translator, parts, s, arguments)
    report(translator, parts, arguments)


parser = example_parser(__doc__, "translate", epochs=TASKS["dates"].epochs)
parser.set_defaults(out=None)
parser.add_argument("--task", choices=list(TASKS), default="dates", help="what to translate (%(default)s)")
parser.add_argument("--units", choices=("characters", "pieces"), help="what texts are made of")
parser.add_argument("--vocabulary-size", type=whole(200), help="the most pieces")
parser.add_argument("--embedding-size", type=whole(1))
parser.add_argument("--hidden-size", type=whole(2), help="of the decoder; each direction of the encoder has half")
parser.add_argument("--dropout", type=number(0, below=1), help="of embeddings and of what the readout reads")
parser.add_argument("--batch-size", type=whole(1), help="pairs")
parser.add_argument("--lexicon", action=argparse.BooleanOptionalAction, help="whether the net looks up what it reads")
parser.add_argument("--beam", type=whole(1), default=5, help="hypotheses that the search keeps (%(default)s)")
parser.add_argument("--limit", type=whole(100), help="take so many pairs only, for a quick look")

if __name__ == "__main__":
    sys.exit(run(main, parser))
