"""`write_text`: the whole text or nothing, and an error that says which."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigrad.serialize.atomic_files import write_text


def test_a_text_is_written(tmp_path: Path) -> None:
    write_text("draw", "format", tmp_path / "a.txt", "∂\ud800\n")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "∂?\n"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"draw: format: nothing was written: No such file .*missing.a\.txt"):
        write_text("draw", "format", tmp_path / "missing" / "a.txt", "text")
    with pytest.raises(IsADirectoryError, match="draw: format: nothing was written: Is a directory"):
        write_text("draw", "format", tmp_path, "text")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: the disk is full when the draft gets its name."""
    (tmp_path / "a.txt").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="nothing was written: No space left"):
        write_text("draw", "format", tmp_path / "a.txt", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"
