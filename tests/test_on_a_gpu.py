"""The script for machines with a GPU: its commands' paths, modules and options exist, and no stage stops another."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import gpu, gpu_predictions, gpu_probe
from minigrad.backend import Backend
from minigrad_rnn import doctor
from minigrad_rnn.cuda import tune
from tests.support import cuda_on_gpu, cupy_cache

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "tests" / "on_a_gpu.sh"
PARSERS = {
    "benchmarks.gpu": gpu.parser,
    "benchmarks.gpu_probe": gpu_probe.parser,
    "benchmarks.gpu_predictions": gpu_predictions.parser,
    "minigrad_rnn.cuda.tune": tune.parser,
    "tests/support/cuda_on_gpu.py": cuda_on_gpu.parser,
    "tests/support/cupy_cache.py": cupy_cache.parser,
}
IN_FRONT = ("compute-sanitizer", "ncu")


def script(*arguments: str, out: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PY": sys.executable,
        "OUT": str(out),
        "CUPY_CACHE_DIR": str(out / "cache"),
        **variables,
    }
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.fixture(scope="module", params=[[], ["--dry-run"]], ids=["on a GPU", "dry run"])
def commands(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The words of each stage's command."""
    return {name: words for name, (_, _, words) in listed(*request.param, out=tmp_path_factory.mktemp("a")).items()}


def listed(*words: str, out: Path) -> dict[str, tuple[int, int, list[str]]]:
    """Return the expected seconds, the limit and the command of each stage; without groups of all."""
    groups = () if {"first", "second"} & set(words) else ("first", "narrow", "quiet", "second", "test", "bench")
    listing = script("--list", *words, *groups, out=out)
    assert listing.returncode == 0, listing.stderr
    split = (shlex.split(line) for line in listing.stdout.splitlines())
    return {name: (int(expected), int(limit), command) for name, expected, limit, *command in split}


def test_the_commands_exist_and_know_their_options(commands: dict[str, list[str]]) -> None:
    wanted = "facts smoke narrow kernels reruns probe tune racecheck predictions lstm ncu rest cache verify page-rnn"
    assert set(wanted.split()) <= set(commands)
    for words in commands.values():
        start = words.index(sys.executable)
        assert start == 0 or words[0] in IN_FRONT
        what, *options = words[start + 1 :]
        if what == "-m":
            module, *options = options
            assert importlib.util.find_spec(module) is not None
            if module in PARSERS:
                PARSERS[module]().parse_args(options)
                continue
            if module == "minigrad_rnn":
                assert options[:2] in (["doctor", "--backend"], ["verify", "--backend"])
                assert options[2] in doctor.BACKENDS
                continue
            assert module == "pytest"
            for path in (word for word in options if word.startswith("tests")):
                assert (ROOT / path).exists(), path
        else:
            assert (ROOT / what).exists()
            PARSERS[what]().parse_args(options)


@pytest.mark.parametrize("name", ["kernels", "rest"])
def test_the_tests_are_there_that_are_chosen(commands: dict[str, list[str]], name: str) -> None:
    """pytest takes the options, and the words after -k name tests: on a machine without a GPU those are counted."""
    words = [word for word in commands[name] if not word.startswith("--junitxml")]
    if "--junitxml" in commands[name]:
        at = commands[name].index("--junitxml")
        words = commands[name][:at] + commands[name][at + 2 :]
    if words[-1] == "tests":  # a part of them: collecting all takes ten times as long
        words[-1] = "tests/rnn/cells"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    collected = subprocess.run(
        [*words, "--collect-only"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    said = collected.stdout
    left_out = sum(int(n) for n in re.findall(r"^cupy: (\d+) tests? skipped", said, re.MULTILINE))
    chosen = len(re.findall(r"^tests/.*::", said, re.MULTILINE))
    assert collected.returncode in ((0, 5) if left_out else (0,)), said[-2000:] + collected.stderr[-2000:]
    assert chosen + (left_out if "cupy" in words else 0) > {"kernels": 5, "rest": 20}[name]


def test_the_expected_seconds_fit_where_a_command_has_ten_minutes(tmp_path: Path) -> None:
    """A machine is lent for a quarter of an hour, of which it needs some to start, and a command is cut at ten."""
    total = 0
    for group in ("first", "second"):
        stages = listed(group, out=tmp_path)
        assert all(0 < expected <= limit for expected, limit, _ in stages.values())
        seconds = sum(expected for expected, _, _ in stages.values())
        assert seconds <= 420
        total += seconds
    assert total <= 720


def test_what_the_probe_is_asked_for_exists(commands: dict[str, list[str]]) -> None:
    for words in (words for words in commands.values() if "benchmarks.gpu_probe" in words):
        options = words[words.index("benchmarks.gpu_probe") + 1 :]
        asked = gpu_probe.parser().parse_args(options).what
        assert asked
        assert set(asked) <= set(gpu_probe.ROWS)


def python_that(does: str, folder: Path) -> str:
    """Return a program that stands in for Python: it does `does` with its arguments."""
    program = folder / "python"
    program.write_text(f"#!/bin/bash\n{does}\n", encoding="utf-8")
    program.chmod(0o755)
    return str(program)


def summary(text: str) -> dict[str, str]:
    """Return the line of each stage."""
    return {line.split()[0]: line for line in text.splitlines() if not line.startswith("logs")}


def test_every_stage_runs_and_shows_how_it_ended(tmp_path: Path) -> None:
    does = 'case "$*" in *doctor*) echo all bad; exit 3;; *verify*) exit 124;; *) echo fine;; esac'
    python = python_that(does, tmp_path)
    done = script("doctor", "verify", "facts", out=tmp_path / "out", PY=python)
    lines = summary(done.stdout)
    assert done.returncode == 1
    assert re.search(r"rc 3 .* all bad$", lines["doctor"])
    assert "cut after 600 s" in lines["verify"]
    assert re.search(r"rc 0 .* fine$", lines["facts"])
    assert "(10 expected)" in lines["doctor"]
    assert (tmp_path / "out/summary").read_text(encoding="utf-8").splitlines() == done.stdout.splitlines()[:-1]
    log = (tmp_path / "out/log").read_text(encoding="utf-8")
    assert " ".join(log.split()) == "== doctor all bad == verify == facts fine"


def test_the_time_is_limited(tmp_path: Path) -> None:
    python = python_that('case "$*" in *doctor*) sleep 100;; esac', tmp_path)
    done = script("doctor", "facts", out=tmp_path / "out", PY=python, BUDGET="1")
    lines = summary(done.stdout)
    assert done.returncode == 1
    assert (
        "cut after 1 s" in lines["doctor"] or "not run" in lines["doctor"]
    )  # a busy machine may take a second to begin
    assert "not run: 1 s are over" in lines["facts"]


def test_a_wrong_case_is_narrowed_and_nothing_else_runs(tmp_path: Path) -> None:
    """Its name goes to the narrowing and to memcheck."""
    does = f"""echo "$@" >> {tmp_path}/calls
case "$*" in *--narrow*|*--only*) echo narrowed;; *cuda_on_gpu*)
echo right: lstm, T = 5; echo "WRONG: gru, T = 5, float32: xs by 1.0e+00; 0 h: 2"; echo WRONG: rnn: y; exit 1;; esac"""
    python = python_that(does, tmp_path)
    done = script("--dry-run", "facts", "smoke", "probe", "lstm", "rest", out=tmp_path / "out", PY=python)
    lines = summary(done.stdout)
    assert done.returncode == 1
    assert [name for name in lines if name != "not"] == ["facts", "smoke", "narrow", "memcheck"]
    assert "not run, since the smoke test failed: probe lstm rest" in done.stdout
    calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    given = [call for call in calls if "--only" in call]
    assert [call.endswith("--narrow") for call in given] == [True, False]
    assert all("--only gru, T = 5, float32" in call for call in given)


def test_a_memcheck_that_fails_is_run_again_without_the_drivers_calls(tmp_path: Path) -> None:
    mark = tmp_path / "called"
    does = f'[ -e {mark} ] || case "$*" in *cuda_on_gpu*) touch {mark}; exit 1;; esac'
    python = python_that(does, tmp_path)
    done = script("--dry-run", "memcheck", "facts", out=tmp_path / "out", PY=python)
    assert list(summary(done.stdout)) == ["memcheck", "quiet", "facts"]
    assert done.returncode == 1
    (command,) = (words for name, (_, _, words) in listed("quiet", out=tmp_path).items() if name == "quiet")
    at = command.index("--report-api-errors")
    assert command[at + 1] == "no"


def test_a_cache_that_was_carried_is_unpacked_first(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old/kernel.cubin").write_bytes(b"compiled")
    cupy_cache.pack(tmp_path / "old", tmp_path / "cache.tar.gz", 10**6)
    done = script("predictions", "cache", out=tmp_path / "out", CACHE=str(tmp_path / "cache.tar.gz"))
    assert done.returncode == 0, done.stdout
    assert summary(done.stdout)["cache"].endswith("1 of 1 compiled kernels in " + done.stdout.split()[-4] + " bytes")
    assert done.stdout.startswith("cache       1 compiled kernels unpacked\n")
    assert (tmp_path / "out/cache/kernel.cubin").read_bytes() == b"compiled"


@pytest.mark.parametrize("word", ["--quick", "no-such-stage", ""])
def test_an_unknown_word_is_refused(tmp_path: Path, word: str) -> None:
    done = script(word, out=tmp_path / "out")
    assert done.returncode == 2
    assert f"got {word or 'an empty word'}" in done.stderr or f"got the stage {word}" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["summary", "log"])
def test_nothing_is_run_where_nothing_can_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    done = script("--dry-run", "predictions", out=tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path / name}: Is a directory" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("text", ["100", "100,1", "1,2,3,4,5", "0,1,2", "a,b,c"])
def test_a_size_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.parser().parse_args(["--sizes", text])
    assert f"got {text!r}, want T,B,H" in capsys.readouterr().err


def test_sizes() -> None:
    assert gpu.parser().parse_args(["--sizes", "9,2,4", "9,2,3,4"]).sizes == [
        {"T": 9, "B": 2, "I": 4, "H": 4},
        {"T": 9, "B": 2, "I": 3, "H": 4},
    ]


def test_the_benchmarks_page_is_written_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Part by part, and what was there before stays; the repository's own page is left alone by a dry run."""
    monkeypatch.setattr(gpu, "part", lambda name, *rest: f"times of {name}, op by op {rest[-1]}")
    before, page = gpu.PAGE.read_bytes(), tmp_path / "page.md"
    for part in ("RNN", "step"):
        assert gpu.main(["--dry-run", "--only", part, "--without-graph", "--write", str(page)]) == 0
    assert gpu.main(["--dry-run", "--only", "GRU", "--write"]) == 0
    text = page.read_text(encoding="utf-8")
    assert "times of RNN, op by op False" in text
    assert "times of step" in text
    assert "times of GRU" not in text
    assert gpu.PAGE.read_bytes() == before


def test_the_probe_times_launches(kernels_on_cpu: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_probe, "CELLS", ("lstm",))
    probe = gpu_probe.Probe(kernels_on_cpu, gpu.wall_clock, rounds=1)
    rows = list(itertools.islice(gpu_probe.steps(probe, [(2, 12)], [3]), 2))
    rows.append(next(gpu_probe.tiles(probe, [(2, 12)], [3])))
    assert [row["pass"] for row in rows] == ["forward", "backward", "forward"]
    assert all(row["launch_us"] > 0 and row["pass_us"] > 0 for row in rows)
    assert rows[0]["implementation"].startswith("persistent")
    assert rows[2]["tile"] == rows[0]["tile"]
    assert rows[2]["rank"] == 0
    assert rows[2]["predicted_clocks"] > 0
    device, driver, *listed = itertools.islice(gpu_probe.facts(probe, [(2, 12)], [3]), 4)
    assert device["device"]["multiprocessors"] == 6
    assert driver["nvidia-smi"]
    assert [row["pass"] for row in listed] == ["forward", "backward"]
    assert json.loads(json.dumps(rows)) == rows


def test_the_probes_last_line() -> None:
    rows = [{"device": {"name": "H200"}}, {"cluster_size": 1, "shared_memory": 9, "active_clusters": 132}]
    rows += [{"cluster_size": n, "shared_memory": s, "active_clusters": 90 // n - s} for n in (8, 16) for s in (0, 1)]
    rows += [{"spilled_bytes": 0}, {"spilled_bytes": 8}, {"failed": "ValueError: x"}]
    line = gpu_probe.in_short(rows, 9.6)
    assert (
        line
        == "9 rows in 10 s; failed: ValueError: x; H200; clusters of 8: 10; clusters of 16: 4; 1 of 2 kernels spill"
    )
    assert gpu_probe.in_short([{"pass": "forward"}], 1.0) == "1 rows in 1 s"


@pytest.mark.soak
def test_a_dry_run_of_all_stages(tmp_path: Path) -> None:
    done = script("--dry-run", out=tmp_path / "out", BUDGET="3600", PATIENCE="20", WORKERS="2")
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) <= 48  # one screen
    files = [path for path in (tmp_path / "out").iterdir() if path.is_file()]
    assert len(files) <= 8  # as many come back from a machine that is lent
    assert all(path.stat().st_size < 16 << 20 for path in files)
    kinds = {json.loads(row)["kind"] for row in (tmp_path / "out/probe.jsonl").read_text(encoding="utf-8").splitlines()}
    assert kinds == {"steps", "tiles"}
