"""Runs that are killed at random moments or meet a full disk, and are resumed; a process of its own, which forks.

    python -m tests.support.killed_runs FOLDER KILLS FULL_DISKS SEED

prints one line for what went wrong, and at the end the numbers of kills and full disks. It trains a tiny model without
checkpoints' help first; then every run must end in the same bits.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad_rnn.training import Trainer, load_weights
from tests.support.small_runs import content, small_run

UPDATES = 8
FILES = ("checkpoint.npz", "best.npz", "metrics.jsonl", "previous.npz")
Files = dict[str, bytes]


def evaluate(model: Any) -> float:
    return float(mg.nn.default_generator().random()) + float(np.abs(model.readout.bias.numpy()).sum())


def run_in(folder: Path | None, **options: Any) -> Trainer:
    """A trainer that writes often, resumed if there is something to resume."""
    if folder is not None:
        options["save_every"] = 1
    trainer = small_run(folder, cell="rnn", evaluate=evaluate, evaluate_every=2, accumulate=2, **options)
    if folder is not None and (folder / "checkpoint.npz").exists():
        trainer.resume()
    return trainer


def forked(action: Callable[[], Any]) -> int:
    """Start the action in a forked process; return its id. It exits with 0, or with 1 after a traceback."""
    pid = os.fork()
    if pid:
        return pid
    try:
        action()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended(pid: int) -> int:
    """Wait for a process; return its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def whole(folder: Path) -> str:
    """What is wrong with a run's files, which must be whole at every moment; "" if nothing."""
    for name in ("checkpoint.npz", "best.npz"):
        if (folder / name).exists():
            load_weights(folder / name)
    if (folder / "metrics.jsonl").exists():
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        if not all("update" in json.loads(line) for line in lines):
            return "a line of metrics.jsonl is not whole"
    return ""


def result(folder: Path | None) -> str:
    """Train to the end; return the run's content as text."""
    trainer = run_in(folder)
    trainer.fit(updates=UPDATES)
    if folder is not None:
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert lines == trainer.history, "metrics.jsonl is not the history"
        assert not [name for name in os.listdir(folder) if name.endswith(".tmp")], "drafts are left"
    return repr(content(trainer))


def kill_at_random_moments(folder: Path, kills: int, rng: np.random.Generator, want: str, seconds: float) -> int:
    """Kill a run again and again until it is through; return how often. A new one begins until there were enough."""
    done = 0
    while done < kills:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for _ in range(int(rng.integers(3, 7))):
            pid = forked(lambda: run_in(folder).fit(updates=UPDATES))
            time.sleep(float(rng.uniform(0, seconds)))
            os.kill(pid, signal.SIGKILL)
            done += ended(pid) == -signal.SIGKILL
            if problem := whole(folder):
                print("killed:", problem)
        if result_in_child(folder) != want:
            print("killed: other bits than those of a run that was never stopped")
    return done


def result_in_child(folder: Path) -> str:
    """`result`, computed in a process of its own: this one never trains, so that its children start alike."""
    path = folder.parent / "result"
    path.unlink(missing_ok=True)
    code = ended(forked(lambda: path.write_text(result(folder))))
    return path.read_text() if code == 0 else f"exit code {code}"


def contents(folder: Path) -> Files:
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}


def full_disk(folder: Path, rng: np.random.Generator, want: str) -> None:
    """Train until no file may grow beyond a random size; then there is room again, and the same run goes on."""
    trainer = run_in(folder)
    start = int(rng.integers(0, 6))
    if start:
        trainer.after_update = lambda t: os.kill(os.getpid(), signal.SIGTERM) if t.updates == start else None
        trainer.fit(updates=UPDATES)
    largest = max((path.stat().st_size for path in folder.iterdir()), default=4096)
    limit = int(rng.integers(0, largest))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before: Files = {}
    trainer.after_update = lambda _: before.update(contents(folder))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        trainer.fit(updates=UPDATES)
    except OSError as error:
        if "was written" not in str(error):
            raise
    else:
        raise AssertionError("a full disk was not noticed")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    problem = whole(folder)
    assert not problem, problem
    for name, content_before in before.items():
        if name.endswith(".npz") and name != "best.npz":
            assert (folder / name).read_bytes() == content_before, f"{name} is no longer what it was"
    if rng.random() < 0.5:  # another process would resume; the same one goes on as it is
        trainer = run_in(folder)
    trainer.after_update = None
    trainer.fit(updates=UPDATES)
    if repr(content(trainer)) != want:
        raise AssertionError("other bits than those of a run that was never stopped")


def main(folder: Path, kills: int, full_disks: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    want_file = folder / "want"
    assert ended(forked(lambda: want_file.write_text(result(None)))) == 0
    want = want_file.read_text()
    begun = time.perf_counter()
    assert result_in_child(folder / "undisturbed") == want, "without a kill"
    seconds = time.perf_counter() - begun
    killed = kill_at_random_moments(folder / "killed", kills, rng, want, seconds)
    for k in range(full_disks):
        runs = folder / f"full {k}"
        runs.mkdir()
        rng = np.random.default_rng([seed, k])
        if code := ended(forked(lambda runs=runs, rng=rng: full_disk(runs, rng, want))):  # type: ignore[misc]
            print("full disk: exit code", code)
        shutil.rmtree(runs)
    print(f"{killed} kills, {full_disks} full disks")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
