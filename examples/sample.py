"""Sample from a character model that `char_rnn.py` trained; each character is printed as soon as it is drawn.

    python examples/sample.py                                   from runs/char_rnn/checkpoint.npz
    python examples/sample.py CHECKPOINT --prime "def " --temperature 0.7
    python examples/sample.py CHECKPOINT --top-k 20             only from the 20 most likely characters of each step
    python examples/sample.py CHECKPOINT --top-p 0.95           only from the likely ones that make up 95 % (nucleus)
    python examples/sample.py CHECKPOINT --prime-file FILE      continue a text
    python examples/sample.py CHECKPOINT --samples 8            eight of them, drawn side by side
    python examples/sample.py CHECKPOINT --length 0             until Ctrl-C

What is not on the command line is as it was in the training: temperature, length, top-k, top-p, prime and seed.
"""

from __future__ import annotations

import argparse
import codecs
import io
import itertools
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from char_rnn_parts.model import Saved, sampling_options
from char_rnn_parts.settings import Settings
from char_rnn_parts.text import prime_ids
from command_line import number, whole

from minigrad import nn
from minigrad.backend import BackendError, get_backend
from minigrad.serialize import CheckpointError
from minigrad_rnn.seq2seq.sampling import sample_stream
from minigrad_rnn.text import ByteVocabulary


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )  # fmt: skip
    parser.add_argument(
        "checkpoint", nargs="?", metavar="CHECKPOINT", default="runs/char_rnn/checkpoint.npz",
        help="checkpoint.npz or best.npz of a run (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--temperature", type=number(0), help="below 1 favours likely characters, 0 takes the likeliest"
    )
    parser.add_argument("--top-k", metavar="K", type=whole(1), help="draw from the K most likely characters only")
    parser.add_argument(
        "--top-p", metavar="P", type=number(above=0, below=1.0000001),
        help="draw from the fewest characters that have the probability P together",
    )  # fmt: skip
    parser.add_argument("--prime", metavar="TEXT", help="what the sample begins with")
    parser.add_argument("--prime-file", metavar="FILE", help="the same, from a UTF-8 file")
    parser.add_argument("--length", dest="sample_length", metavar="N", type=whole(), help="characters; 0: until Ctrl-C")
    parser.add_argument("--samples", metavar="N", type=whole(1), default=1, help="how many (%(default)s)")
    parser.add_argument("--seed", type=whole(), help="of what is drawn")
    parser.add_argument("--backend", choices=("numpy", "cupy"), default="numpy", help="where to compute (%(default)s)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0; 2 for a wrong flag or checkpoint; 130 after Ctrl-C."""
    arguments = vars(command_line().parse_args(argv))
    try:
        backend, path, count = (arguments.pop(name) for name in ("backend", "checkpoint", "samples"))
        if "prime_file" in arguments:
            arguments["prime"] = _file(arguments.pop("prime_file"), "prime" in arguments)
        get_backend(backend)
        saved = Saved(path)
        settings = Settings(**{**saved.settings, **arguments})
        stream(saved.model(settings, backend), saved.vocabulary, settings, count)
        return 0
    except BrokenPipeError:  # the reader has seen enough, as head has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError, BackendError, CheckpointError) as error:
        print(f"sample.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130


def stream(model: nn.Module, vocabulary: Any, s: Settings, count: int = 1) -> None:
    """Print samples: the first one as it is drawn, then the others, which were drawn beside it."""
    prime, ids = prime_ids(s, vocabulary)
    start, decode = time.perf_counter(), decoder(vocabulary)
    write(prime.removeprefix("\n"))
    drawn: list[Any] = []
    steps = sample_stream(
        model, np.repeat(ids[:, None], count, axis=1), rng=np.random.default_rng([s.seed, 1]),
        **sampling_options(s, vocabulary),
    )  # fmt: skip
    for step in itertools.islice(steps, s.sample_length or None):
        write(decode(step[:1]))
        if count > 1:
            drawn.append(step)
    write("\n")
    took = time.perf_counter() - start
    for k, others in enumerate(np.array(drawn).T[1:], 2):
        write(f"\n{f' {k} of {count} ':-^80}\n{prime}{vocabulary.decode(others)}\n")
    if s.sample_length:
        made = s.sample_length * count
        print(f"{made:,} {s.vocabulary} in {took:.2f} s: {made / took:,.0f} per second", file=sys.stderr)


def write(text: str) -> None:
    """Write to the terminal at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def decoder(vocabulary: Any) -> Callable[[Any], str]:
    """Return a function that decodes ids as they come; bytes wait until a character is complete."""
    if not isinstance(vocabulary, ByteVocabulary):
        return lambda ids: str(vocabulary.decode(ids))
    incremental = codecs.getincrementaldecoder("utf-8")("replace")
    return lambda ids: incremental.decode(bytes(vocabulary.values[k] for k in ids))


def _file(path: str, also_text: bool) -> str:
    if also_text:
        raise ValueError("got --prime and --prime-file, want one of them")
    try:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x} at offset {error.start}"
        raise ValueError(f"--prime-file: {path} is not UTF-8: {byte}") from None
    if not text:
        raise ValueError(f"--prime-file: {path} is empty, want at least one character")
    return text


if __name__ == "__main__":
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="replace")  # a terminal that cannot show a character shows a question mark
    sys.exit(main())
