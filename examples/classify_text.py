"""Classify texts with a recurrent net: which language a name is from, or whether a review of a film is positive.

Many to one: a GRU reads the characters of a name, or an LSTM the words of a review, in both directions; the mean and
the largest of its outputs over time are classified. Batches hold texts of similar lengths (BucketedBatches). Beside it
stands the yardstick for such tasks, logistic regression on which n-grams a text has, on the same split.

    python examples/classify_text.py                             names, 16 languages
    python examples/classify_text.py --task reviews              33,432 reviews of films
    python examples/classify_text.py --resume                    continue where it stopped
    python examples/classify_text.py --classify "Gemüsesuppe"    ask the net of an earlier run

Results go to runs/classify_text/TASK: checkpoint.npz, best.npz, metrics.jsonl, curves.png, confusions.png.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from classify_text_parts.bag_of_ngrams import BagOfNgrams, NgramFeatures
from classify_text_parts.confusion_matrix import confusion_matrix, plot_confusion_matrix
from classify_text_parts.tasks import TASKS, Task, Texts
from command_line import example_parser, fit, generator, number, run, whole

import minigrad as mg
from minigrad import losses, nn, optim
from minigrad.nn.inference import inference
from minigrad_rnn import GRU, LSTM
from minigrad_rnn.data import BucketedBatches, hold_out, pad_sequence
from minigrad_rnn.text import load_vocabulary
from minigrad_rnn.training import Trainer, load_weights

Ints = npt.NDArray[np.int64]
Example = tuple[Ints, int]
CELLS = {"gru": GRU, "lstm": LSTM}
SETTINGS = ("task", "cell", "embedding_size", "hidden_size", "dropout", "longest")
"""The flags that a trained model keeps."""


class Classifier(nn.Module):
    """Embedding → bidirectional GRU or LSTM → mean and maximum over time → Linear: logits (B, classes)."""

    def __init__(self, tokens: int, classes: int, settings: dict[str, Any], rng: np.random.Generator) -> None:
        super().__init__()
        width = settings["hidden_size"]
        self.embedding = nn.Embedding(tokens, settings["embedding_size"], rng=rng)
        self.recurrence = CELLS[settings["cell"]](settings["embedding_size"], width, bidirectional=True, rng=rng)
        self.dropout = nn.Dropout(settings["dropout"], rng=rng)
        self.readout = nn.Linear(4 * width, classes, rng=rng)

    def forward(self, ids: Any, lengths: Any) -> mg.Tensor:
        hidden, _ = self.recurrence(self.dropout(self.embedding(ids)), lengths=lengths)
        # Beyond a text's end outputs are 0. Inside they are above -1, so -2 never is the largest.
        inside = np.arange(len(ids))[:, None, None] < lengths[:, None]
        below = mg.tensor(np.where(inside, 0, -2), dtype="float32", backend=hidden.backend)
        scale = mg.tensor(1 / lengths[:, None], dtype="float32", backend=hidden.backend)
        pooled = mg.concatenate([mg.sum(hidden, axis=0) * scale, mg.max(hidden + below, axis=0)], axis=1)
        return self.readout(self.dropout(pooled))


def divergence(model: nn.Module, batch: Any) -> mg.Tensor:
    ids, lengths, labels = batch
    return losses.cross_entropy(model(ids, lengths), labels)


def batches_of(examples: Sequence[Example], batch_size: int, padding_id: int, **options: Any) -> BucketedBatches:
    """Return batches of texts of similar lengths: ids (T, B), lengths (B,) and labels (B,)."""

    def collate(items: list[Example]) -> tuple[Any, Any, Ints]:
        ids, lengths = pad_sequence([ids for ids, _ in items], padding_value=padding_id, return_lengths=True)
        return ids, lengths, np.array([label for _, label in items])

    return BucketedBatches(
        list(examples), batch_size, length=lambda example: len(example[0]), collate=collate, **options
    )


def classify(model: nn.Module, examples: Sequence[Example], padding_id: int = 0) -> Ints:
    """Return the most likely class of each text, in the order of the examples."""
    batches = batches_of(examples, 128, padding_id, shuffle=False)
    found = np.zeros(len(examples), dtype=np.int64)
    with inference(model):
        for indices, (ids, lengths, _) in zip(batches.order, batches):
            found[indices] = model(ids, lengths).numpy().argmax(-1)
    return found


def accuracy(found: Ints, examples: Sequence[Example]) -> float:
    return float(np.mean(found == [label for _, label in examples]))


def trainer_of(
    model: nn.Module, train: Sequence[Example], valid: Sequence[Example], padding_id: int, rate: float, **options: Any
) -> Trainer:
    """Return a trainer whose learning rate falls to 5 %, and which keeps the model that is best on `valid`."""
    batches = batches_of(train, options.pop("batch_size"), padding_id)
    print(f"{len(batches):,} updates in an epoch; {batches.padding:.1%} of their steps are padding", flush=True)
    return Trainer(
        model, optim.AdamW(model.parameters(), lr=rate, weight_decay=options.pop("weight_decay")), batches, divergence,
        schedule=lambda trainer: rate * (1 - 0.95 * trainer.fraction_done),
        evaluate=lambda model: {"accuracy": accuracy(classify(model, valid, padding_id), valid)},
        lower_is_better=False,
        tokens=lambda batch: len(batch[2]),
        **options,
    )  # fmt: skip


def baseline(task: Task, texts: Texts, parts: Sequence[list[int]]) -> Ints:
    """Train logistic regression on n-grams, and return what it takes the test texts for.

    Its weight decay is the one that is best on the validation texts.
    """
    features = NgramFeatures([texts.texts[k] for k in parts[0]], task.units, task.longest_ngram, task.ngrams)
    train, valid, test = ([(features.encode(texts.texts[k]), texts.labels[k]) for k in part] for part in parts)
    results = []
    print(f"\nlogistic regression on {len(features):,} n-grams", flush=True)
    for decay in (0.01, 0.1, 0.3):
        model = BagOfNgrams(len(features), len(texts.classes))
        options: dict[str, Any] = {"batch_size": 128, "weight_decay": decay, "progress": False}
        trainer_of(model, train, valid, len(features), 0.1, **options).fit(epochs=5)
        right = accuracy(classify(model, valid, len(features)), valid)
        print(f"  weight decay {decay:g}: {right:.2%} of the validation texts are right", flush=True)
        results.append((right, model))
    return classify(max(results, key=lambda result: result[0])[1], test, len(features))


def load(arguments: argparse.Namespace) -> tuple[Classifier, Any, dict[str, Any]]:
    """Return the best model of a run, its vocabulary, and its settings."""
    weights, settings = load_weights(os.path.join(arguments.out, arguments.task, "best.npz"))
    vocabulary = load_vocabulary(settings["vocabulary"])
    model = Classifier(len(vocabulary), len(settings["classes"]), settings, np.random.default_rng(0))
    model.load_state_dict(weights)
    model.to(arguments.backend)
    return model, vocabulary, settings


def ids_of(text: str, vocabulary: Any, longest: int) -> Ints:
    """Return the ids of a text, of a long one those of its end, where reviews come to their point."""
    ids: Ints = vocabulary.encode(text)[-longest:].astype(np.int64)
    if not len(ids):
        raise ValueError("a text to classify: got an empty one, want at least one character")
    return ids


def train(texts: Texts, parts: Sequence[list[int]], arguments: argparse.Namespace) -> Ints:
    """Train the recurrent net, and return what its best version takes the test texts for."""
    task = TASKS[arguments.task]
    vocabulary = task.vocabulary.from_text("\n".join(texts.texts[k] for k in parts[0]), max_size=task.vocabulary_size)
    train_set, valid, test = (
        [(ids_of(texts.texts[k], vocabulary, arguments.longest), texts.labels[k]) for k in part] for part in parts
    )
    settings = {name: getattr(arguments, name) for name in SETTINGS}
    model = Classifier(len(vocabulary), len(texts.classes), settings, generator(arguments, 1))
    model.to(arguments.backend)
    print(f"\n{arguments.cell.upper()}, {model.num_parameters():,} weights, {len(vocabulary):,} tokens", flush=True)
    trainer = trainer_of(
        model, train_set, valid, 0, arguments.learning_rate, batch_size=arguments.batch_size, weight_decay=1e-2,
        clip_norm=1.0, folder=os.path.join(arguments.out, arguments.task),
        metadata={**settings, "vocabulary": vocabulary.state_dict(), "classes": list(texts.classes)},
    )  # fmt: skip
    fit(trainer, arguments)
    return classify(load(arguments)[0], test)


def main(arguments: argparse.Namespace) -> None:
    """Train, compare with the baseline, and draw what is taken for what; or classify one text."""
    for name, value in TASKS[arguments.task].defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    arguments.default_budget = {"epochs": TASKS[arguments.task].epochs}
    if arguments.classify is not None:
        classify_one(arguments)
        return
    texts = TASKS[arguments.task].load()
    chosen = list(range(len(texts.texts)))
    if arguments.texts is not None:
        chosen = sorted(generator(arguments, 2).permutation(chosen)[: arguments.texts].tolist())
    parts = hold_out(chosen, (0.1, 0.1), seed=arguments.seed)
    sizes = ", ".join(f"{len(part):,} to {use}" for part, use in zip(parts, ("train on", "validate", "test")))
    print(f"{len(chosen):,} texts of {len(texts.classes)} classes: {sizes}")
    truth = np.array([texts.labels[k] for k in parts[2]])
    most = np.bincount([texts.labels[k] for k in parts[0]]).argmax()
    found = {"the most frequent class": np.full(len(truth), most)}
    found["logistic regression"] = baseline(TASKS[arguments.task], texts, parts)
    found[f"bidirectional {arguments.cell.upper()}"] = train(texts, parts, arguments)
    report(
        found, truth, [texts.groups[k] for k in parts[2]], texts.classes, os.path.join(arguments.out, arguments.task)
    )


def report(found: dict[str, Ints], truth: Ints, groups: Sequence[str], classes: Sequence[str], folder: str) -> None:
    """Print the accuracies, of each group of texts too, and draw what the last of the models takes for what."""
    print("\nright on the test texts (± 1.96 standard errors)")
    everywhere = {"all": np.ones(len(truth), dtype=bool)}
    everywhere |= {name: np.array([group == name for group in groups]) for name in sorted({*groups} - {""})}
    for title, taken in found.items():
        columns = []
        for name, rows in everywhere.items():
            share = float(np.mean(taken[rows] == truth[rows]))
            columns.append(f"{name} {share:7.2%} ± {1.96 * (share * (1 - share) / rows.sum()) ** 0.5:.2%}")
        print(f"  {title:24} {'   '.join(columns)}")
    path = os.path.join(folder, "confusions.png")
    counts = confusion_matrix(truth, taken, len(classes))
    if plot_confusion_matrix(path, counts, classes, f"{title}: {np.mean(taken == truth):.1%} right"):
        print(f"\nwhat is taken for what   {path}")


def classify_one(arguments: argparse.Namespace) -> None:
    """Print the most likely classes of the text of --classify."""
    model, vocabulary, settings = load(arguments)
    text = arguments.classify.lower() if arguments.task == "reviews" else arguments.classify
    ids = ids_of(text, vocabulary, settings["longest"])
    with inference(model):
        logits = model(ids[:, None], np.array([len(ids)])).numpy()[0].astype(float)
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    for k in np.argsort(-shares)[:5]:
        print(f"{shares[k]:7.1%}  {settings['classes'][k]}")


parser = example_parser(__doc__, "classify_text", epochs=TASKS["names"].epochs)
parser.add_argument("--task", choices=TASKS, default="names", help="names (%(default)s), or reviews: 10 epochs")
parser.add_argument("--classify", metavar="TEXT", help="print the classes of this text by a trained net, and end")
parser.add_argument(
    "--texts", type=whole(10), metavar="N", help="only so many texts, drawn at random, for a quick look"
)
parser.add_argument("--cell", choices=CELLS, help="gru for names, lstm for reviews")
parser.add_argument("--embedding-size", type=whole(1), help="numbers that stand for a token (32; 64)")
parser.add_argument("--hidden-size", type=whole(1), help="units of each direction (128; 64)")
parser.add_argument("--dropout", type=number(0, below=1), help="in front of the net and of the readout (0.3; 0.5)")
parser.add_argument("--longest", type=whole(1), help="tokens of a text, of longer ones the last (80; 200)")
parser.add_argument("--batch-size", type=whole(1), help="texts of an update (64; 64)")
parser.add_argument("--learning-rate", type=number(above=0), default=3e-3, help="AdamW's, falls to 5 %% (%(default)s)")

if __name__ == "__main__":
    sys.exit(run(main, parser))
