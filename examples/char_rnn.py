"""A character model: which open source project wrote this?

It reads a text one character at a time and says what comes next. By default the text is the CPython standard library's
own source; any text file or folder will do (UTF-8, any alphabet).

    python examples/char_rnn.py --demo      verify, train two minutes, compare
    python examples/char_rnn.py             one epoch of the standard library
    python examples/char_rnn.py --text FILE --epochs 20     a text of your own
    python examples/char_rnn.py --resume CHECKPOINT     go on where it stopped
    python examples/char_rnn.py --resume CHECKPOINT --sample-only --prime "def "

The text is cut into parallel streams, read `--steps` characters at a time. The recurrent state goes on from chunk to
chunk and gradients stop at the cut: truncated back-propagation through time. Read from `Run.train_chunk` onwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import char_rnn_settings as flags
import numpy as np
from char_rnn_report import Progress, compare, draw_picture, framed, recent, verify
from char_rnn_settings import Command, Settings

import minigrad as mg
from minigrad import losses, optim, serialize
from minigrad.backend import get_backend
from minigrad_rnn.networks.truncation import detached
from minigrad_rnn.seq2seq.sampling import sample
from minigrad_rnn.text.corpus import Vocabulary, read_corpus, split
from minigrad_rnn.text.model import CharacterModel, bits_per_character
from minigrad_rnn.text.streams import Streams

KIND = "char_rnn 1"
"""Written into each checkpoint, so that another file of minigrad's is not taken for one."""
DEMO = {"seconds": 120.0, "learning_rate": 8e-3, "vocabulary_size": 128, "sample_every": 10**9, "temperature": 0.8}
"""What `--demo` sets: the most that was found to be learnt in two minutes on two cores."""
WARM_UP = 50
"""Chunks over which the learning rate rises."""


class Text:
    """What is trained on and what is held out."""

    def __init__(self, settings: Settings) -> None:
        corpus = read_corpus(settings.text)
        self.description = corpus.description
        self.train, self.held_out = split(corpus, settings.held_out)
        both = f"{len(self.train)}\n{self.train}{self.held_out}"
        self.fingerprint = hashlib.sha256(both.encode(errors="surrogatepass")).hexdigest()


def require_finite(chunk: int, loss: float, norm: float) -> None:
    """Raises FloatingPointError, naming the chunk, where the loss or the gradients' norm is NaN or infinite."""
    if not math.isfinite(loss) or not math.isfinite(norm):
        raise FloatingPointError(
            f"chunk {chunk:,}: the loss is {loss:g} and the gradients' norm {norm:g}; a lower --learning-rate or "
            "--clip may help"
        )


class Run:
    """A model in training, with all that decides how it goes on."""

    def __init__(self, settings: Settings, text: Text, backend: str) -> None:
        self.settings, self.fingerprint = settings, text.fingerprint
        self.vocabulary = Vocabulary.from_text(text.train, max_size=settings.vocabulary_size)
        self.held_out = self.vocabulary.encode(text.held_out)
        self.rng = np.random.default_rng(settings.seed)  # weights and dropout
        self.sampling = np.random.default_rng([settings.seed, 1])
        self.model = make_model(settings, self.vocabulary, self.rng).to(backend)
        self.optimizer = optim.Adam(self.model.parameters(), lr=settings.learning_rate)
        ids = self.vocabulary.encode(text.train)
        self.streams = Streams(ids, settings.batch_size, settings.steps, rotate=True, seed=settings.seed)
        if self.held_out.size < 2:
            raise ValueError(f"--held-out: leaves {self.held_out.size} characters to measure on, want at least 2")
        self.state: Any = None
        self.saved: str | None = None  # where this run's checkpoint is
        self.chunks, self.characters, self.seconds = 0, 0, 0.0
        self.curves: dict[str, list[list[float]]] = {"training": [], "held out": []}  # [characters read, bits]
        self.baselines: dict[str, float] = {}
        self.waiting: list[Any] = []  # losses and norms that are still on the device
        self.losses: list[float] = []  # those fetched since the last point of the training curve

    def train_chunk(self) -> None:
        """Read one chunk, walk back through it, and take one step."""
        inputs, targets, fresh = self.streams.next_chunk()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        logits, state = self.model(inputs, None if fresh else self.state)
        loss = losses.cross_entropy(logits, targets)
        self.optimizer.zero_grad()
        loss.backward()
        norm = optim.clip_grad_norm(self.model.parameters(), self.settings.clip)
        if loss.backend == "numpy":  # where nothing has to be waited for, look before the step spoils the weights
            require_finite(self.chunks + 1, float(loss), float(norm))
        self.optimizer.step()
        self.state = detached(state)  # the next chunk goes on from here; gradients do not come back
        self.waiting.append(mg.stack([loss.detach(), norm]))
        self.chunks += 1
        self.characters += targets.size

    def done(self) -> float:
        """How much of the budget is used, from 0 to 1."""
        s = self.settings
        if s.seconds is not None:
            return min(1.0, self.seconds / s.seconds)
        return min(1.0, self.chunks / (s.chunks or math.ceil((s.epochs or 1) * len(self.streams))))

    def learning_rate(self) -> float:
        """A linear warm-up; then half a cosine over the budget, down to 2 %, or no change."""
        full = self.settings.learning_rate * min(1.0, (self.chunks + 1) / WARM_UP)
        if self.settings.schedule == "constant":
            return full
        return full * (0.02 + 0.98 * (1 + math.cos(math.pi * self.done())) / 2)

    def fetch(self) -> None:
        """Bring the losses to the host: the one place where training waits for a device.

        Raises:
            FloatingPointError: a loss or a gradient's norm is NaN or infinite.
        """
        values = mg.stack(self.waiting).numpy().tolist() if self.waiting else []
        first = self.chunks - len(values) + 1
        for chunk, (loss, norm) in enumerate(values, first):
            require_finite(chunk, loss, norm)
        self.losses += [loss for loss, _ in values]
        self.waiting.clear()

    def report(self) -> float:
        """A point of the training curve: bits per character, mean over the chunks since the last one."""
        self.fetch()
        bits = sum(self.losses) / len(self.losses) / math.log(2)
        self.curves["training"].append([self.characters, bits])
        self.losses.clear()
        return bits

    def evaluate(self, limit: int | None) -> float:
        bits = bits_per_character(self.model, self.held_out, limit=limit)
        self.curves["held out"].append([self.characters, bits])
        return bits

    def sample(self) -> str:
        self.fetch()  # a model that has blown up is found here, rather than asked for text
        s = self.settings
        prime, ids = primed(s, self.vocabulary)
        said, _ = sample(self.model, ids, s.sample_length, temperature=s.temperature, rng=self.sampling)
        return (prime + self.vocabulary.decode(said)).strip("\n")

    # On disk

    def save(self, path: str) -> None:
        """All that decides how training goes on, in one file that is written whole or not at all."""
        self.fetch()
        if not self.owns(path):
            os.replace(path, previous(path))
        parts = self.state if isinstance(self.state, tuple) else [] if self.state is None else [self.state]
        tree = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "state": list(parts)}
        arrays, plain = serialize.flatten(tree)
        kept = ("fingerprint", "chunks", "characters", "seconds", "curves", "baselines", "losses")
        metadata = {
            "kind": KIND,
            "settings": asdict(self.settings),
            "vocabulary": self.vocabulary.state_dict(),
            "tree": plain,
            "streams": self.streams.state_dict(),
            "generators": [rng.bit_generator.state for rng in (self.rng, self.sampling)],
            **{name: getattr(self, name) for name in kept},
        }
        serialize.save(path, arrays, metadata)
        self.saved = os.path.realpath(path)

    def owns(self, path: str) -> bool:
        """Whether no other run's checkpoint has this name."""
        return self.saved == os.path.realpath(path) or not os.path.exists(path)

    def restore(self, arrays: dict[str, Any], metadata: dict[str, Any], backend: str) -> None:
        """Take over what `save` wrote."""
        tree = serialize.unflatten(arrays, metadata["tree"])
        self.model.load_state_dict(tree["model"])
        self.optimizer.load_state_dict(tree["optimizer"])
        parts = tuple(mg.tensor(part, backend=backend) for part in tree["state"])
        self.state = parts if len(parts) > 1 else parts[0] if parts else None
        self.streams.load_state_dict(metadata["streams"])
        self.rng.bit_generator.state, self.sampling.bit_generator.state = metadata["generators"]
        for name in ("chunks", "characters", "seconds", "curves", "baselines", "losses"):
            setattr(self, name, metadata[name])


def previous(path: str) -> str:
    """Where an earlier run's checkpoint is moved to."""
    return os.path.join(os.path.dirname(path), "previous.npz")


def make_model(settings: Settings, vocabulary: Vocabulary, rng: np.random.Generator) -> CharacterModel:
    s = settings
    return CharacterModel(len(vocabulary), s.cell, s.embedding_size, s.hidden_size, s.layers, s.dropout, rng=rng)


def primed(settings: Settings, vocabulary: Vocabulary) -> tuple[str, Any]:
    """What a sample begins with, and its ids."""
    known = vocabulary.characters
    prime = settings.prime or ("\n" if "\n" in known else known[0])
    if unknown := sorted(set(prime) - set(known)):
        raise ValueError(f"--prime: got {', '.join(map(repr, unknown))}, want characters that the training text has")
    return prime, vocabulary.encode(prime)


# Training, with everything that a person wants to see meanwhile


class Stop:
    """Ctrl-C and SIGTERM ask for an end after the current chunk. A second one ends at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self.before = {n: signal.signal(n, self.asked) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def asked(self, number: int, frame: Any) -> None:
        self.signal = number
        self.__exit__()

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


def train(run: Run, path: str) -> int | None:
    """Train until the budget is used, or a signal asks for an end: then its number. The checkpoint is saved either way.

    Overflows are not warned of: `Run.fetch` finds what comes of them.
    """
    s, progress = run.settings, Progress(run)
    started = time.perf_counter() - run.seconds
    try:
        with Stop() as stop, np.errstate(over="ignore", invalid="ignore"):
            while run.done() < 1 and stop.signal is None:
                run.train_chunk()
                run.seconds = time.perf_counter() - started
                if run.chunks % s.report_every == 0:
                    progress.update(run, run.report())
                if run.chunks % s.evaluate_every == 0:
                    progress.say(
                        f"  chunk {run.chunks:>6,}  {run.characters / 1e6:6.2f} M characters  {run.seconds:6.0f} s   "
                        f"training {recent(run):.3f}  held out {run.evaluate(s.evaluate_characters):.3f}"
                    )
                if s.sample_length and run.chunks % s.sample_every == 0:
                    progress.say(framed(run.sample()))
                if run.chunks % s.save_every == 0:
                    run.save(path)
            run.save(path)
    finally:
        progress.close()
    return stop.signal


# The command


def open_checkpoint(path: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """(arrays, metadata, settings) of a checkpoint of this script."""
    arrays, metadata = serialize.load(path)
    if metadata.get("kind") != KIND:
        raise serialize.CheckpointError(f"{path}: is a checkpoint of something else, want one that char_rnn.py wrote")
    with complaining_about(path):
        return arrays, metadata, asdict(Settings(**metadata["settings"]))


@contextlib.contextmanager
def complaining_about(path: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise serialize.CheckpointError(f"{path}: its content does not fit together: {error!r}") from error


def agreed(command: Command, saved: dict[str, Any], but: Sequence[str] = ()) -> Settings:
    if wrong := flags.contradictions(command.given, saved, but):
        raise ValueError("; ".join(wrong))
    return Settings.of(command.given, saved)


def sample_only(command: Command, checkpoint: str) -> None:
    """Sample from a checkpoint; the training text is not needed."""
    arrays, metadata, saved = open_checkpoint(checkpoint)
    settings = agreed(command, saved, but=["seed"])
    if settings.sample_length < 1:
        raise ValueError(f"--sample-length: got {settings.sample_length}, want at least 1 with --sample-only")
    with complaining_about(checkpoint):
        vocabulary = Vocabulary(**metadata["vocabulary"])
        model = make_model(settings, vocabulary, np.random.default_rng(0)).to(command.backend)
        model.load_state_dict(serialize.unflatten(arrays, metadata["tree"]["model"]))
    prime, ids = primed(settings, vocabulary)
    rng = np.random.default_rng([settings.seed, 1])
    said, _ = sample(model, ids, settings.sample_length, temperature=settings.temperature, rng=rng)
    print(prime + vocabulary.decode(said))


def prepare(command: Command) -> tuple[Run, Text, str]:
    """The run, new or resumed, its text, and where its checkpoint goes."""
    if command.resume is None:
        settings = Settings.of(command.given, DEMO if command.demo else {})
        text = Text(settings)
        run = Run(settings, text, command.backend)
    else:
        arrays, metadata, saved = open_checkpoint(command.resume)
        settings = agreed(command, saved)
        text = Text(settings)
        if text.fingerprint != metadata.get("fingerprint"):
            raise ValueError(f"--text: got {text.description}, want the text that {command.resume} was trained on")
        run = Run(settings, text, command.backend)
        with complaining_about(command.resume):
            run.restore(arrays, metadata, command.backend)
        run.saved = os.path.realpath(command.resume)
    primed(settings, run.vocabulary)
    path = command.resume or "runs/char_rnn/checkpoint.npz"
    if command.out is not None:
        path = os.path.join(command.out, "checkpoint.npz")
    folder = os.path.dirname(path) or "."
    with contextlib.suppress(FileExistsError):
        os.makedirs(folder, exist_ok=True)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise ValueError(f"--out: got {folder}, want a folder that can be written to")
    return run, text, path


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, 2 for a wrong flag or input, 1 for training that failed, 128 + the signal that stopped it."""
    path = None
    try:
        command = flags.parse(argv, __doc__ or "")
        get_backend(command.backend)
        if command.resume and command.sample_only:
            sample_only(command, command.resume)
            return 0
        run, text, path = prepare(command)
    except (ValueError, OSError, mg.BackendError, serialize.CheckpointError) as error:
        print(f"char_rnn.py: {error}", file=sys.stderr)
        return 2
    try:
        return go(run, text, path, command.demo)
    except (FloatingPointError, OSError) as error:
        print(f"char_rnn.py: {error}; the last checkpoint that was saved is untouched: {path}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nchar_rnn.py: stopped at once; what was saved last is in {path}", file=sys.stderr)
        return 130


def go(run: Run, text: Text, path: str, demo: bool) -> int:
    """Train and show; for the demo, verify first."""
    s = run.settings
    print(f"{text.description}; {len(text.held_out):,} of them held out\n")
    if not run.owns(path):
        print(f"{path} is an earlier run's; it will be kept as {previous(path)}\n")
    if demo and not verify(text, s.cell):
        return 1
    print(
        f"{s.cell.upper()} with {s.layers} × {s.hidden_size} units, {run.model.num_parameters():,} weights, over "
        f"{len(run.vocabulary)} characters; {s.batch_size} streams, {s.steps} steps; bits per character:"
    )
    if run.done() == 1:
        print("  nothing left to train: the budget is used; a larger --epochs, --chunks or --seconds goes on")
    elif number := train(run, path):
        print(f"stopped by {signal.Signals(number).name} after chunk {run.chunks:,}; all of it is saved. To go on:")
        print(f"  python {sys.argv[0]} --resume {path}")
        return 128 + number
    compare(run, text)
    run.save(path)
    if s.sample_length:
        print(f"\nA sample at temperature {s.temperature:g}:\n{framed(run.sample())}")
    print(f"\ncheckpoint    {path}\nloss picture  {draw_picture(run, path)}")
    print(f"more samples  python {sys.argv[0]} --resume {path} --sample-only --temperature 1.0")
    return 0


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows a question mark
    sys.exit(main())
