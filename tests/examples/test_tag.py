"""examples/tag.py on the standard library: a run of seconds, its page, its baselines, and wrong input."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import tag
from command_line import run
from datasets import CLASSES, LabelledSource
from tag_parts.baselines import majority_baseline, window_baseline
from tag_parts.page import write_page

pytestmark = pytest.mark.usefixtures("no_curves")
SMALL = ["--characters", "30000", "--hidden-size", "6", "--steps", "32", "--batch-size", "8", "--updates", "4"]


def test_a_short_run_on_real_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert run(tag.main, tag.parser, [*SMALL, *out]) == 0
    printed = capsys.readouterr().out
    for line in ("always the most frequent", "by 2 and 2", "\n  forward  ", "\n  bidirectional  "):
        assert line in printed
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"page.html", "forward", "bidirectional"}

    # A run that was stopped before the second net had begun is resumed, too.
    shutil.rmtree(tmp_path / "out" / "bidirectional")
    assert run(tag.main, tag.parser, [*SMALL, *out, "--resume"]) == 0
    assert capsys.readouterr().out.splitlines()[-9:-4] == printed.splitlines()[-9:-4]  # the same numbers
    assert run(tag.main, tag.parser, [*SMALL, *out, "--resume", "file.npz"]) == 2
    assert "--resume: got file.npz, want no file" in capsys.readouterr().err

    program = tmp_path / "program.py"
    program.write_text("def f(x):\n    return 'é'  # note\n", encoding="utf-8")
    assert run(tag.main, tag.parser, ["--tag", str(program), *out]) == 0
    assert "of 33 characters wrong" in capsys.readouterr().out
    assert "program.py" in (tmp_path / "out" / "tagged.html").read_text(encoding="utf-8")

    program.write_text("def f(:\n  '''", encoding="utf-8")
    assert run(tag.main, tag.parser, ["--tag", str(program), *out]) == 2
    assert "--tag: " in capsys.readouterr().err


def test_wrong_input_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "none")]
    assert run(tag.main, tag.parser, ["--tag", __file__, *out]) == 2
    assert "best.npz" in capsys.readouterr().err
    assert run(tag.main, tag.parser, [*SMALL, "--steps", "1000000", *out]) == 2
    assert "--steps: got 1000000, want at most the" in capsys.readouterr().err


def test_files_are_held_out_whole() -> None:
    sources = [LabelledSource(str(k), "x" * (1 + 7 * k % 5), np.zeros(1, np.uint8)) for k in range(40)]
    for count in (3, 4, 40):
        parts = tag.split_by_files(sources[:count], (0.1, 0.1))
        assert [source for part in parts for source in part] == sources[:count]
        assert all(parts)
    sizes = [sum(len(source.text) for source in part) for part in parts]
    assert sizes[0] == pytest.approx(sizes[1], abs=5)
    assert sizes[2] > 0.7 * sum(sizes)
    with pytest.raises(ValueError, match="2 files, want at least 3 files"):
        tag.split_by_files(sources[:2], (0.1, 0.1))


TEXTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12).map(np.array), min_size=1, max_size=3)


@settings(max_examples=30, deadline=None)
@given(TEXTS, TEXTS, st.integers(0, 2), st.integers(0, 2), st.integers(0, 99))
def test_the_window_baseline_counts_as_one_would_by_hand(
    train: list[np.ndarray], test: list[np.ndarray], before: int, after: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = [rng.integers(0, 3, len(text)) for text in train]
    found = window_baseline(train, labels, test, 3, before=before, after=after)
    assert [len(text) for text in found] == [len(text) for text in test]

    def window(text: np.ndarray, k: int, width: int) -> tuple[int, ...]:
        left, right = min(before, width), min(after, width)
        return tuple(int(text[j]) if 0 <= j < len(text) else -1 for j in range(k - left, k + right + 1))

    everything = Counter(int(label) for text in labels for label in text)
    for text, result in zip(test, found):
        for k in range(len(text)):
            for width in range(max(before, after), -2, -1):
                counts = Counter(
                    int(label[j])
                    for known, label in zip(train, labels)
                    for j in range(len(known))
                    if width >= 0 and window(known, j, width) == window(text, k, width)
                )
                counts = counts if width >= 0 else everything
                if counts:  # of equally frequent classes any will do
                    assert counts[int(result[k])] == max(counts.values())
                    break


def test_the_majority_baseline() -> None:
    found = majority_baseline([np.array([1, 2, 3])], [np.array([2, 2, 0])], [np.array([9, 9])], 3)
    assert [text.tolist() for text in found] == [[2, 2]]


def test_the_page_marks_each_mistake(tmp_path: Path) -> None:
    text = "a<b"
    truth, found = np.array([2, 5, 2]), np.array([2, 5, 1])
    write_page(tmp_path / "page.html", "<title>", text, truth, {"right": truth, "wrong": found}, CLASSES)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h1>&lt;title&gt;</h1>" in page
    assert page.count("&lt;</span>") == 2
    assert page.count('<mark title="') == 1
    assert '<mark title="keyword, want name">b</mark>' in page
    assert "right: 0.00% wrong" in page
    assert "wrong: 33.33% wrong" in page
