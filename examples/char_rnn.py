"""Train a character model on a text, compare it with simple baselines, and sample from it.

The model reads a text one character at a time and predicts the next one. By default the text is the CPython standard
library's own source; any text file or folder will do (UTF-8, any alphabet).

    python examples/char_rnn.py --demo      verify, train two minutes, compare
    python examples/char_rnn.py             one epoch of the standard library
    python examples/char_rnn.py --text FILE --epochs 20     a text of your own
    python examples/char_rnn.py --resume CHECKPOINT     continue where it stopped
    python examples/char_rnn.py --resume CHECKPOINT --sample-only --prime "def "

The text is cut into parallel streams, read `--steps` characters at a time. The recurrent state is carried from chunk to
chunk and gradients stop at the cut: truncated back-propagation through time. The training step is
`char_rnn_parts/run.py`, `Run.train_chunk`; this file is the training loop and the command.
"""

from __future__ import annotations

import sys

try:
    import contextlib
    import io
    import os
    import signal
    import threading
    import time
    from collections.abc import Sequence
    from typing import Any

    import numpy as np
    from char_rnn_parts.checkpoint import alone_beside, content_errors, open_checkpoint, previous
    from char_rnn_parts.memory import require_memory
    from char_rnn_parts.report import Progress, compare, draw_loss_curve, framed, overflows_in_words, recent, verify
    from char_rnn_parts.run import Run, Text, encode_prime, make_model, sample_text
    from char_rnn_parts.settings import Command, Settings, contradictions, parse

    import minigrad as mg
    from minigrad import serialize
    from minigrad.backend import get_backend
    from minigrad_rnn.text.corpus import Vocabulary
    from minigrad_rnn.training.arithmetic import arithmetic_of, differences
except KeyboardInterrupt:
    sys.exit(130)

DEMO = {"seconds": 120.0, "learning_rate": 8e-3, "vocabulary_size": 128, "sample_every": 10**9, "temperature": 0.8}
"""What `--demo` sets: the settings that learnt most in two minutes on two cores."""


class Stop:
    """Ctrl-C and SIGTERM request a stop after the current chunk. A second one stops at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.handlers: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self.handlers = {n: signal.signal(n, self.request) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def request(self, number: int, frame: Any) -> None:
        self.signal = number
        self.__exit__()

    def __exit__(self, *error: object) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)


def train(run: Run, path: str) -> int | None:
    """Train until the budget is used or a signal arrives, then save. Return the signal's number, or None."""
    s, progress = run.settings, Progress(run)
    start = time.perf_counter() - run.seconds
    try:
        with Stop() as stop:
            while run.fraction_done() < 1 and stop.signal is None:
                run.train_chunk()
                run.seconds = time.perf_counter() - start
                if run.chunks % s.report_every == 0:
                    progress.update(run, run.report())
                if run.chunks % s.evaluate_every == 0:
                    progress.write(
                        f"  chunk {run.chunks:>6,}  {run.characters / 1e6:6.2f} M characters  {run.seconds:6.0f} s   "
                        f"training {recent(run):.3f}  held out {run.evaluate(s.evaluate_characters):.3f}"
                    )
                if s.sample_length and run.chunks % s.sample_every == 0:
                    progress.write(framed(run.sample()))
                if run.chunks % s.save_every == 0:
                    run.save(path)
            run.save(path)
    finally:
        progress.close()
    return stop.signal


def merge_settings(command: Command, saved: dict[str, Any], ignore: Sequence[str] = ()) -> Settings:
    """Return a checkpoint's settings updated by the command line's. Raises ValueError for a contradiction."""
    if wrong := contradictions(command.overrides, saved, ignore):
        raise ValueError("; ".join(wrong))
    return Settings.of(command.overrides, saved)


def sample_only(command: Command, checkpoint: str) -> None:
    """Print a sample from a checkpoint; the training text is not needed."""
    arrays, metadata, saved = open_checkpoint(checkpoint)
    settings = merge_settings(command, saved, ignore=["seed"])
    if settings.sample_length < 1:
        raise ValueError(f"--sample-length: got {settings.sample_length}, want at least 1 with --sample-only")
    with content_errors(checkpoint):
        vocabulary = Vocabulary(**metadata["vocabulary"])
        require_memory(settings, len(vocabulary), 1)
        model = make_model(settings, vocabulary, np.random.default_rng(0)).to(command.backend)
        model.load_state_dict(serialize.unflatten(arrays, metadata["tree"]["model"]))
    print(sample_text(settings, model, vocabulary, np.random.default_rng([settings.seed, 1])))


def prepare(command: Command) -> tuple[Run, Text, str]:
    """Return the run, new or resumed, its text, and the path of its checkpoint."""
    if command.resume is None:
        settings = Settings.of(command.overrides, DEMO if command.demo else {})
        text = Text(settings)
        run = Run(settings, text, command.backend)
    else:
        arrays, metadata, saved = open_checkpoint(command.resume)
        settings = merge_settings(command, saved)
        text = Text(settings)
        if text.fingerprint != metadata.get("fingerprint"):
            raise ValueError(f"--text: got {text.description}, want the text that {command.resume} was trained on")
        with content_errors(command.resume):
            run = Run(settings, text, command.backend, Vocabulary(**metadata["vocabulary"]))
            run.restore(arrays, metadata, command.backend)
        run.saved = os.path.realpath(command.resume)
        if warning := differences(metadata.get("arithmetic"), arithmetic_of(run.model)):
            print(f"char_rnn.py: {warning}", file=sys.stderr)
    encode_prime(settings, run.vocabulary)  # an unknown character is an error now, not at the first sample
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
    """Return the exit code: 0; 2 for a wrong flag or input; 1 if training failed; 128 + the signal that stopped it."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(overflows_in_words())
            command = parse(argv, __doc__ or "")
            get_backend(command.backend)
            if command.resume and command.sample_only:
                sample_only(command, command.resume)
                return 0
            run, text, path = prepare(command)
            stack.enter_context(alone_beside(path))
        except (MemoryError, OverflowError) as error:
            print(f"char_rnn.py: {out_of_memory(error)}", file=sys.stderr)
            return 2
        except (ValueError, OSError, ImportError, FloatingPointError, mg.BackendError, mg.CheckpointError) as error:
            print(f"char_rnn.py: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\nchar_rnn.py: stopped", file=sys.stderr)
            return 130
        try:
            return train_and_report(run, text, path, command.demo)
        except (FloatingPointError, OSError) as error:
            print(f"char_rnn.py: {error}; {what_is_saved(run, path)}", file=sys.stderr)
            return 1
        except (MemoryError, OverflowError) as error:
            print(f"char_rnn.py: {out_of_memory(error)}; {what_is_saved(run, path)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"\nchar_rnn.py: stopped at once; {what_is_saved(run, path)}", file=sys.stderr)
            return 130


def out_of_memory(error: Exception) -> str:
    """One sentence about a size that does not fit into the memory, or into a machine's numbers."""
    why = f" ({error})" if str(error) else ""
    smaller = "a smaller --hidden-size, --layers, --batch-size, --steps or --vocabulary-size may help"
    return f"the text or the model does not fit into the memory{why}; {smaller}"


def what_is_saved(run: Run, path: str) -> str:
    """Say which checkpoint there is after a run that ended early."""
    if run.saved is not None and os.path.exists(run.saved):
        return f"the last checkpoint of this run is untouched: {run.saved}"
    if os.path.exists(path):
        return f"nothing of this run was saved; {path} is an earlier run's, and untouched"
    return "nothing was saved"


def train_and_report(run: Run, text: Text, path: str, demo: bool) -> int:
    """Train, then print the comparison and a sample; the demo verifies the gradients first. Return the exit code."""
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
    if len(run.vocabulary) < (distinct := len(set(text.train))):
        print(f"  of the text's {distinct:,} characters the most frequent ones; one symbol stands for all others")
    if run.fraction_done() == 1:
        print("  nothing left to train: the budget is used; a larger --epochs, --chunks or --seconds continues")
    elif number := train(run, path):
        print(f"stopped by {signal.Signals(number).name} after chunk {run.chunks:,}; everything is saved. To continue:")
        print(f"  python {sys.argv[0]} --resume {path}")
        return 128 + number
    compare(run, text)
    run.save(path)
    if s.sample_length:
        print(f"\nA sample at temperature {s.temperature:g}:\n{framed(run.sample())}")
    print(f"\ncheckpoint    {path}\nloss curve    {draw_loss_curve(run, path)}")
    print(f"more samples  python {sys.argv[0]} --resume {path} --sample-only --temperature 1.0")
    return 0


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows a question mark
    sys.exit(main())
