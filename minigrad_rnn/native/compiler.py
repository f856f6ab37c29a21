"""Find this machine's C compiler and compile a library with it, without the flags that it does not know."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .child_process import Deadline, run
from .errors import NativeError

NAMES = ("cc", "gcc", "clang")
FLAGS = ("-O2", "-std=gnu11", "-shared")
"""Every compiler must know these; -O3 makes nothing faster here and takes half as long again. CFLAGS is not read:
`-ffast-math` there would break what the sequences promise."""
OPTIONAL_FLAGS = (
    ("--param=avoid-fma-max-bits=0",),  # GCC avoids chains of fused multiply-adds on AMD; sums would round in two ways
    ("-fno-trapping-math",),
    ("-fno-math-errno",),
    ("-ffp-contract=fast",),
    ("-fPIC",),  # a matter of course on Windows, and refused there
    ("-march=native", "-mcpu=native"),  # the second is how some compilers for AArch64 and POWER say it
)
"""In the order in which they are given up if the compiler refuses them, each for the next of its line."""
LIBRARIES = ("-lm",)
REFUSAL = re.compile(r"unrecogni[sz]ed|unknown|unsupported|not support|invalid|illegal|bad value", re.IGNORECASE)
IN_SOURCE = re.compile(r"\.[ch]:\d+:")
ENVIRONMENT = ("CPATH", "C_INCLUDE_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX", "LIBRARY_PATH", "SDKROOT")
"""Variables that a compiler reads beside its arguments."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler: how it is called, and all that tells it from another or from a later version of itself."""

    command: tuple[str, ...]
    identity: tuple[str, ...]
    version: str = ""

    def with_version(self, deadline: Deadline) -> Compiler:
        """Ask it for its version, which becomes part of its identity: its file may only start the compiler proper.

        Raises:
            NativeError: it cannot be started.
            TimeLimitError: it does not answer in time.
        """
        if sys.platform == "darwin" and os.path.dirname(self.command[0]) == "/usr/bin":
            # Apple's stand-ins open a dialogue where the developer tools are missing.
            if run(("/usr/bin/xcode-select", "-p"), "xcode-select", deadline).status:
                raise NativeError(f"no C compiler: {self} needs Apple's command line tools (xcode-select --install)")
        version = run((*self.command, "--version"), str(self), deadline).words
        return replace(self, identity=(*self.identity, version), version=version.partition("\n")[0])

    def __str__(self) -> str:
        return " ".join(self.command) + (f" ({self.version})" if self.version else "")


def find_compiler() -> Compiler:
    """Return the compiler that CC names, which may have arguments, or the first of cc, gcc and clang.

    Raises:
        NativeError: there is none.
    """
    # Not through symbolic links: a program such as ccache sees by its name which compiler it stands for.
    program, *arguments = _words(os.environ.get("CC", ""))
    file = os.stat(program)
    variables = (f"{name}={os.environ.get(name, '')}" for name in ENVIRONMENT)
    identity = (*arguments, program, os.path.realpath(program), str(file.st_size), str(file.st_mtime_ns), *variables)
    return Compiler((program, *arguments), identity)


def _words(cc: str) -> list[str]:
    """Return the path of the compiler and its first arguments."""
    if not cc.strip():
        for name in NAMES:
            if path := shutil.which(name):
                return [os.path.abspath(path)]
        raise NativeError("no C compiler: CC is not set, and none of cc, gcc and clang is on the PATH")
    import shlex

    try:
        words = [cc] if os.path.isfile(cc) else shlex.split(cc, posix=os.name == "posix")
    except ValueError as error:
        raise NativeError(f"no C compiler: CC={cc!r} cannot be read: {error}") from None
    if (path := shutil.which(words[0])) is None:
        raise NativeError(f"no C compiler: CC={cc!r}, and {words[0]} is not a program on the PATH")
    return [os.path.abspath(path), *words[1:]]


def compile_library(
    compiler: Compiler, source: Path, output: Path, definitions: Sequence[str], deadline: Deadline
) -> tuple[str, ...]:
    """Compile `source` into the library `output`, which may not be there yet, and return the flags that were used.

    Raises:
        NativeError: the compiler fails, with its words, or writes no file.
        TimeLimitError: the deadline passed.
    """
    choices = [list(choice) for choice in OPTIONAL_FLAGS if _sensible(choice[0])]
    while True:
        flags = (*FLAGS, *(choice[0] for choice in choices if choice), *definitions)
        command = (*compiler.command, *flags, "-o", str(output), str(source), *LIBRARIES)
        outcome = run(command, str(compiler), deadline, output.parent)
        if outcome.status == 0:
            break
        refused = next((choice for choice in choices if choice and _is_refused(choice[0], outcome.words)), None)
        if refused is None:
            said = _first_error(outcome.words)
            raise NativeError(f"{compiler} failed ({outcome.ending()}){said}\n{outcome.words}".strip())
        del refused[0]
    if not output.is_file() or not output.stat().st_size:
        raise NativeError(f"{compiler} ended with exit status 0 but wrote no library\n{outcome.words}".strip())
    return flags


def _sensible(flag: str) -> bool:
    """Whether a flag can mean anything here: this parameter of GCC is one for x86-64."""
    import platform

    return not flag.startswith("--param") or platform.machine().lower() in ("x86_64", "amd64")


def _is_refused(flag: str, words: str) -> bool:
    """Whether a compiler's words complain of the flag, not of something in the source."""
    name, _, value = flag.lstrip("-").removeprefix("param=").partition("=")
    named = re.compile(rf"\b{re.escape(name)}\b" + (f"|'{value}'" if value == "native" else ""))
    lines = (line for line in words.splitlines() if REFUSAL.search(line) and not IN_SOURCE.search(line))
    return any(named.search(line) for line in lines)


def _first_error(words: str) -> str:
    lines = [line.strip() for line in words.splitlines()]
    first = next((line for line in lines if "error: " in line.lower()), next(iter(lines), ""))
    return f": {first[:300]}" if first else ""
