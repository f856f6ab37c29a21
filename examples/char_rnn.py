"""Train a character model on a text, compare it with simple baselines, and sample from it.

The model reads a text one character at a time and predicts the next one. By default the text is the CPython standard
library's own source; any text file or folder will do (UTF-8, any alphabet), and `--data` names some more.

    python examples/char_rnn.py --demo      verify, train two minutes, compare
    python examples/char_rnn.py             one epoch of the standard library
    python examples/char_rnn.py --data shakespeare --epochs 2
    python examples/char_rnn.py --text FILE --epochs 20     a text of your own
    python examples/char_rnn.py --resume CHECKPOINT     continue where it stopped
    python examples/sample.py CHECKPOINT --prime "def "     samples
    mpiexec -n 4 python examples/char_rnn.py --distributed     on four ranks

The text is cut into parallel streams, read `--steps` characters at a time. The recurrent state is carried from chunk to
chunk and gradients stop at the cut: truncated back-propagation through time. Model, divergence and trainer are in
`char_rnn_parts/run.py`; this file is the command.
"""

from __future__ import annotations

import sys

try:
    import contextlib
    import io
    import os
    import shlex
    from collections.abc import Sequence

    import numpy as np
    from char_rnn_parts.model import Saved, sample_text
    from char_rnn_parts.report import framed, overflows_in_words, verify
    from char_rnn_parts.run import Run
    from char_rnn_parts.settings import Command, Settings, contradictions, parse
    from char_rnn_parts.text import Text, prime_ids

    import minigrad as mg
    from minigrad.backend import get_backend
    from minigrad.distributed import DistributedError, MPICommunicator
    from minigrad_rnn.training.run_folder import CHECKPOINT, CURVES, PREVIOUS, make_folder
except KeyboardInterrupt:
    sys.exit(130)

DEMO = {"seconds": 120.0, "vocabulary_size": 128, "sample_every": 10**9, "temperature": 0.8}
"""What `--demo` sets: the settings that learnt most in two minutes on two cores."""


def prepare(command: Command) -> Run:
    """Return the run, new or resumed. Raises an error that tells what is wrong with the command, text or checkpoint."""
    communicator = MPICommunicator(backend=command.backend) if command.distributed else None
    saved = None if command.resume is None else Saved(command.resume)
    if saved and (wrong := contradictions(command.overrides, saved.settings)):
        raise ValueError("; ".join(wrong))
    settings = Settings.of(command.overrides, saved.settings if saved else DEMO if command.demo else {})
    text = Text(settings)
    if saved and text.fingerprint != saved.fingerprint:
        raise ValueError(f"--text: got {text.description}, want the text that {saved.path} was trained on")
    folder = command.out or (os.path.dirname(saved.path) or "." if saved else "runs/char_rnn")
    run = Run(settings, text, command, folder, saved, communicator)
    prime_ids(settings, run.vocabulary)  # an unknown character is an error now, not at the first sample
    if saved:
        run.resume(saved.path)
    try:
        make_folder(folder)
    except OSError:
        raise ValueError(f"--out: got {folder}, want a folder that can be written to") from None
    return run


def sample_only(command: Command, checkpoint: str) -> None:
    """Print a sample from a checkpoint; the training text is not needed."""
    saved = Saved(checkpoint)
    if wrong := contradictions(command.overrides, saved.settings, ignore=["seed"]):
        raise ValueError("; ".join(wrong))
    settings = Settings.of(command.overrides, saved.settings)
    if settings.sample_length < 1:
        raise ValueError(f"--sample-length: got {settings.sample_length}, want at least 1 with --sample-only")
    model = saved.model(settings, command.backend)
    print(sample_text(settings, model, saved.vocabulary, np.random.default_rng([settings.seed, 1])))


def train(run: Run, demo: bool) -> int:
    """Train, then print the comparison and a sample; the demo verifies the gradients first. Return the exit code."""
    s, text, path, first = run.settings, run.text, run.path_of(CHECKPOINT), run.parallel.rank == 0
    print(f"{text.description}; {len(text.held_out):,} of them held out\n")
    if os.path.exists(path) and os.path.realpath(path) not in run.owned:
        print(f"{path} is an earlier run's; it will be kept as {run.path_of(PREVIOUS[CHECKPOINT])}\n")
    if demo and not verify(text, s.cell):
        return 1
    print(
        f"{s.cell.upper()} with {s.layers} × {s.hidden_size} units, {run.model.num_parameters():,} weights, over "
        f"{len(run.vocabulary)} {s.vocabulary}; {s.batch_size} streams, {s.steps} steps:"
    )
    if run.unknown_share:
        print(f"  the most frequent ones; one symbol stands for all others, {run.unknown_share:.2%} of the text:")
        print("  what they are is in none of the numbers but lzma's")
    before = run.updates
    run.fit(**s.budget)
    if run.signal:
        return 128 + run.signal
    if run.updates == before:
        print("  nothing left to train: the budget is used; a larger --epochs, --chunks or --seconds continues")
    if first:
        run.report()
    run.save()  # once more, with the baselines
    if s.sample_length and first:
        print(f"\nA sample at temperature {s.temperature:g}:\n{framed(run.sample())}")
    curves = run.path_of(CURVES) if run.drawn else "none: matplotlib is missing; pip install matplotlib"
    print(f"\ncheckpoint    {path}\nloss curve    {curves}")
    command = ["python", os.path.join(os.path.dirname(sys.argv[0]), "sample.py"), path, "--temperature", "1.0"]
    print(f"more samples  {shlex.join(command)}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0; 2 for a wrong flag or input; 1 if training failed; 128 + the signal that stopped it."""
    run = None
    with overflows_in_words():
        try:
            command = parse(argv, __doc__ or "")
            get_backend(command.backend)
            if command.resume and command.sample_only:
                sample_only(command, command.resume)
                return 0
            run = prepare(command)
            with contextlib.redirect_stdout(None) if run.parallel.rank else contextlib.nullcontext():  # rank 0 tells
                return train(run, command.demo)
        except (MemoryError, OverflowError) as error:
            why = f" ({error})" if str(error) else ""
            smaller = "a smaller --hidden-size, --layers, --batch-size, --steps or --vocabulary-size may help"
            message = f"the text or the model does not fit into the memory{why}; {smaller}"
        except (FloatingPointError, OSError) as error:
            message = str(error).removeprefix("Trainer: ")
        except (ValueError, ImportError, mg.BackendError, mg.CheckpointError) as error:
            message, run = str(error), None
        except DistributedError as error:
            message = str(error)
        except KeyboardInterrupt:
            print(f"\nchar_rnn.py: {f'stopped at once; {what_is_saved(run)}' if run else 'stopped'}", file=sys.stderr)
            return 130
    kept = f"; {what_is_saved(run)}" if run and "untouched" not in message else ""
    print(f"char_rnn.py: {message}{kept}", file=sys.stderr)
    return 1 if run else 2


def what_is_saved(run: Run) -> str:
    """Say which checkpoint there is after a run that ended early."""
    if run.saved is not None and os.path.exists(run.saved):
        return f"the last checkpoint of this run is untouched: {run.saved}"
    if os.path.exists(path := run.path_of(CHECKPOINT)):
        return f"nothing of this run was saved; {path} is an earlier run's, and untouched"
    return "nothing was saved"


if __name__ == "__main__":
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="replace")  # a terminal that cannot show a character shows a question mark
    sys.exit(main())
