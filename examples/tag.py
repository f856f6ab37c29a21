"""Tag each character of Python source with the class of its token, and see what the future is worth.

A recurrent net reads a program character by character and says at each step whether it is in a name, a string, a
comment ... (many to many, synchronous). One net reads forward only, and one, of as many weights, in both directions.
The truth comes from Python's own tokenizer, and the programs are the standard library: nothing is downloaded.

    python examples/tag.py                       train both, compare, write runs/tag/page.html and errors.png
    python examples/tag.py --epochs 6            longer
    python examples/tag.py --resume              continue where the runs of both nets stopped
    python examples/tag.py --tag FILE            tag a program of your own with the nets of an earlier run

Whole files are held out. What is said of a file, too, is measured over the whole of it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tokenize
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from command_line import example_parser, fit, generator, number, run, whole
from datasets import CLASSES, LabelledSource, python_tokens
from datasets_parts.python_tokens import token_classes
from tag_parts.baselines import majority_baseline, window_baseline
from tag_parts.page import write_page

import minigrad as mg
from minigrad import losses, nn, optim
from minigrad.nn.inference import inference
from minigrad_rnn import LSTM
from minigrad_rnn.data import Batches
from minigrad_rnn.text import Vocabulary, load_vocabulary
from minigrad_rnn.training import Trainer, load_weights

Ints = npt.NDArray[np.int64]
EMBEDDING = 32
DIRECTIONS = {"forward": False, "bidirectional": True}


class Tagger(nn.Module):
    """Embedding → LSTM → Linear: at each step the logits of the classes, (T, B, 8), for ids (T, B)."""

    def __init__(self, characters: int, hidden_size: int, bidirectional: bool, rng: np.random.Generator) -> None:
        super().__init__()
        # Forward only, one and a half times as wide: as many weights as two directions have.
        width = hidden_size if bidirectional else round(1.5 * hidden_size)
        self.embedding = nn.Embedding(characters, EMBEDDING, rng=rng)
        self.recurrence = LSTM(EMBEDDING, width, bidirectional=bidirectional, rng=rng)
        self.readout = nn.Linear(width * (2 if bidirectional else 1), len(CLASSES), rng=rng)

    def forward(self, ids: Any) -> mg.Tensor:
        hidden, _ = self.recurrence(self.embedding(ids))
        return self.readout(hidden)


def windows(texts: Sequence[Ints], labels: Sequence[Ints], steps: int) -> tuple[Ints, Ints]:
    """Cut the texts, one after the other, into pieces of equal length: ids and classes, (N, steps) each."""
    ids, classes = (np.concatenate(parts).astype(np.int64) for parts in (texts, labels))
    count = len(ids) // steps
    if count == 0:
        raise ValueError(f"--steps: got {steps}, want at most the {len(ids):,} characters to train on")
    return ids[: count * steps].reshape(count, steps), classes[: count * steps].reshape(count, steps)


def tag(model: Tagger, text: Ints) -> Ints:
    """Return the most likely class of each character of a text, read as a whole."""
    with inference(model):
        classes: Ints = np.argmax(model(text[:, None]).numpy()[:, 0], -1)
    return classes


def error(found: Sequence[Ints], truth: Sequence[Ints]) -> float:
    """Return the share of characters with a wrong class."""
    return float(np.mean(np.concatenate(found) != np.concatenate(truth)))


def divergence(model: nn.Module, batch: tuple[Ints, Ints]) -> mg.Tensor:
    ids, classes = batch
    return losses.cross_entropy(model(ids.T), classes.T)


def train(
    name: str, vocabulary: Vocabulary, train_set: Any, valid_set: Any, arguments: argparse.Namespace
) -> tuple[Tagger, Trainer]:
    """Train one tagger; the weights that were best on the validation files are returned."""
    rng = generator(arguments, 1)
    model = Tagger(len(vocabulary), arguments.hidden_size, DIRECTIONS[name], rng)
    model.to(arguments.backend)
    optimizer = optim.Adam(model.parameters(), lr=arguments.learning_rate)
    pieces = windows(train_set[0], train_set[1], arguments.steps)
    batches = Batches(pieces, arguments.batch_size, drop_last=len(pieces[0]) >= arguments.batch_size)
    print(f"\n{name}: {model.num_parameters():,} weights, {len(batches):,} updates in an epoch", flush=True)
    trainer = Trainer(
        model, optimizer, batches, divergence,
        schedule=lambda trainer: arguments.learning_rate * (1 - 0.95 * trainer.fraction_done),
        clip_norm=1.0,
        evaluate=lambda model: error([tag(model, text) for text in valid_set[0]], valid_set[1]),
        tokens=lambda batch: batch[0].size,
        folder=os.path.join(arguments.out, name),
        metadata={"vocabulary": vocabulary.state_dict(), "hidden_size": arguments.hidden_size, "name": name},
    )  # fmt: skip
    started = os.path.exists(trainer.path_of("checkpoint.npz"))
    fit(trainer, arguments if started else argparse.Namespace(**{**vars(arguments), "resume": None}))
    return load(name, arguments)[0], trainer


def load(name: str, arguments: argparse.Namespace) -> tuple[Tagger, Vocabulary]:
    """Return the best tagger of a run, and its vocabulary."""
    weights, metadata = load_weights(os.path.join(arguments.out, name, "best.npz"))
    vocabulary = load_vocabulary(metadata["vocabulary"])
    assert isinstance(vocabulary, Vocabulary)
    model = Tagger(len(vocabulary), metadata["hidden_size"], DIRECTIONS[name], np.random.default_rng(0))
    model.load_state_dict(weights)
    model.to(arguments.backend)
    return model, vocabulary


def split_by_files(sources: Sequence[LabelledSource], shares: Sequence[float]) -> list[list[LabelledSource]]:
    """Return whole files, at least one, for each share of all characters, and last the rest."""
    total = sum(len(source.text) for source in sources)
    if len(sources) <= len(shares):
        raise ValueError(f"--characters: got {total:,} in {len(sources)} files, want at least {len(shares) + 1} files")
    parts: list[list[LabelledSource]] = [[]]
    for k, source in enumerate(sources):
        enough = len(parts) <= len(shares) and sum(len(s.text) for s in parts[-1]) >= shares[len(parts) - 1] * total
        last_chance = len(sources) - k <= len(shares) + 1 - len(parts)
        if parts[-1] and (enough or last_chance):
            parts.append([])
        parts[-1].append(source)
    return parts


def plot_errors(path: str, errors: dict[str, dict[str, float]]) -> None:
    """Draw the share of wrong characters in each class, for each tagger."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no picture of the errors: it needs matplotlib (pip install matplotlib)", file=sys.stderr)
        return
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for k, (name, by_class) in enumerate(errors.items()):
        places = np.arange(len(by_class)) + (k - (len(errors) - 1) / 2) * 0.8 / len(errors)
        axes.bar(places, [100 * share for share in by_class.values()], 0.8 / len(errors), label=name)
    axes.set_xticks(range(len(CLASSES)), CLASSES)
    axes.set(ylabel="wrong characters in %", title="Held-out files: how often a character's class is missed")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main(arguments: argparse.Namespace) -> None:
    """Train and compare the taggers; with --tag, tag a file."""
    if isinstance(arguments.resume, str):
        raise ValueError(f"--resume: got {arguments.resume}, want no file: the two nets of --out are continued")
    if arguments.tag is not None:
        tag_file(arguments.tag, arguments)
        return
    sources = python_tokens(arguments.characters, arguments.seed)
    test, valid, rest = split_by_files(sources, (0.08, 0.04))
    vocabulary = Vocabulary.from_text("".join(source.text for source in rest), max_size=128)
    train_set, valid_set, test_set = (
        ([vocabulary.encode(s.text).astype(np.int64) for s in part], [s.labels.astype(np.int64) for s in part])
        for part in (rest, valid, test)
    )
    print(f"{len(rest)} files of the standard library to train on, {len(valid)} to validate, {len(test)} to test")
    found: dict[str, list[Ints]] = {
        "always the most frequent": majority_baseline(*train_set, test_set[0], len(CLASSES))
    }
    for title, before, after in (("by the character", 0, 0), ("by 4 characters before", 4, 0), ("by 2 and 2", 2, 2)):
        found[title] = window_baseline(*train_set, test_set[0], len(CLASSES), before=before, after=after)
    for name in DIRECTIONS:
        model, _ = train(name, vocabulary, train_set, valid_set, arguments)
        found[name] = [tag(model, text) for text in test_set[0]]
    print("\nwrong characters in the test files, %")
    for title, labels in found.items():
        print(f"  {title:26} {100 * error(labels, test_set[1]):6.2f}")
    report(found, test, test_set[1], arguments.out)


def report(found: dict[str, list[Ints]], test: Sequence[LabelledSource], truth: Sequence[Ints], out: str) -> None:
    """Print the errors by class, and write the picture and the page."""
    true = np.concatenate(truth)
    errors: dict[str, dict[str, float]] = {}
    for name in DIRECTIONS:
        wrong = np.concatenate(found[name]) != true
        errors[name] = {kind: float(wrong[true == k].mean()) for k, kind in enumerate(CLASSES)}
    print(f"\n{'of them, %':16}" + "".join(f"{kind:>10}" for kind in CLASSES))
    for name, by_class in errors.items():
        print(f"  {name:14}" + "".join(f"{100 * share:10.2f}" for share in by_class.values()))
    plot_errors(os.path.join(out, "errors.png"), errors)
    shown = min(range(len(test)), key=lambda k: abs(len(test[k].text) - 8000))  # a file of some length
    tagged = {name: found[name][shown] for name in DIRECTIONS}
    page = os.path.join(out, "page.html")
    write_page(page, test[shown].name, test[shown].text, truth[shown], tagged, CLASSES)
    print(f"\na held-out file in colours   {page}\nerrors by class              {os.path.join(out, 'errors.png')}")


def tag_file(path: str, arguments: argparse.Namespace) -> None:
    """Tag a program with the nets of an earlier run, and write the page."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        truth = token_classes(text).astype(np.int64)
    except (SyntaxError, tokenize.TokenError) as wrong:
        raise ValueError(f"--tag: {path} is no Python, of which the truth could be told: {wrong}") from wrong
    tagged = {}
    for name in DIRECTIONS:
        model, vocabulary = load(name, arguments)
        tagged[name] = tag(model, vocabulary.encode(text).astype(np.int64))
        print(f"{name:14} {np.mean(tagged[name] != truth):7.2%} of {len(text):,} characters wrong")
    page = os.path.join(arguments.out, "tagged.html")
    write_page(page, os.path.basename(path), text, truth, tagged, CLASSES)
    print(f"in colours     {page}")


parser = example_parser(__doc__, "tag", epochs=2)
parser.add_argument("--tag", metavar="FILE", help="tag this program with the nets that were trained, and end")
parser.add_argument("--characters", type=whole(10_000), default=2_000_000, help="of source to use (%(default)s)")
parser.add_argument("--hidden-size", type=whole(1), default=96, help="units of each direction (%(default)s)")
parser.add_argument("--steps", type=whole(2), default=192, help="characters of a training example (%(default)s)")
parser.add_argument("--batch-size", type=whole(1), default=32, help="examples of an update (%(default)s)")
parser.add_argument("--learning-rate", type=number(above=0), default=5e-3, help="Adam's, falls to 5 %% (%(default)s)")

if __name__ == "__main__":
    sys.exit(run(main, parser))
