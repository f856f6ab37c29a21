"""The folder of the cache: where it is, and folders that are not the user's own or cannot be written to."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from minigrad_rnn.native import cache, shared_library

from .conftest import Workplace, become_ordinary, stored


def test_the_folder_and_those_above_it_are_private(place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGRAD_CACHE", str(place.cache / "deep" / "down"))
    before = os.umask(0)
    try:
        assert shared_library.load_library("float32").answer() == 42
    finally:
        os.umask(before)
    folders = [place.cache, place.cache / "deep", place.cache / "deep" / "down"]
    (file,) = folders[-1].iterdir()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (*folders, file)] == [0o700] * 4


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o702, 0o1777])
def test_a_folder_that_others_may_write_to_is_refused(place: Workplace, cc: str, mode: int) -> None:
    stored(place)
    place.cache.chmod(mode)
    reason = shared_library.refusal("float32")
    assert f"others may write to the cache folder {place.cache} (mode {mode:04o}, want 0700)" in reason
    assert "MINIGRAD_CACHE can name another" in reason


def test_a_folder_that_others_may_rename_is_refused(
    place: Workplace, cc: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where, as in /tmp, they may rename only their own."""
    top = tmp_path / "top"
    top.mkdir()
    monkeypatch.setenv("MINIGRAD_CACHE", str(top / "cache"))
    top.chmod(0o1777)
    assert shared_library.load_library("float32").answer() == 42
    shared_library.forget()
    top.chmod(0o777)
    assert f"others may rename the cache folder {top / 'cache'}: {top} has mode 0777" in shared_library.refusal(
        "float32"
    )


def test_a_folder_of_another_user_is_refused(place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(place)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    reason = shared_library.refusal("float32")
    assert f"{place.cache} belongs to another user (user {user}, and this is user {user + 1})" in reason


def test_a_file_of_another_user_is_not_loaded(place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(place)
    assert cache.find(place.cache, path.name.partition(".")[0]) == path
    real = os.fstat

    def fstat(handle: int) -> os.stat_result:
        values = list(real(handle))
        values[stat.ST_UID] += 1
        return os.stat_result(values)

    monkeypatch.setattr(os, "fstat", fstat)
    assert cache.find(place.cache, path.name.partition(".")[0]) is None


def test_a_link_to_a_folder_of_the_users_own_is_fine(
    place: Workplace, cc: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(place.cache)
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "link"))
    place.cache.mkdir(0o700)
    assert shared_library.load_library("float32").answer() == 42
    assert len(place.files()) == 1


def test_a_home_that_can_only_be_read(ordinary: Workplace, cc: str) -> None:
    top = ordinary.cache.parent
    top.chmod(0o555)
    become_ordinary(ordinary)
    assert f"the cache folder {ordinary.cache} cannot be used: Permission denied" in shared_library.refusal("float32")


def test_a_full_cache_that_can_only_be_read_is_used(ordinary: Workplace, cc: str) -> None:
    stored(ordinary)
    ordinary.cache.chmod(0o500)
    become_ordinary(ordinary)
    assert shared_library.load_library("float32").answer() == 42
    assert "the cache folder" in shared_library.refusal("float64")


def test_a_folder_of_root_is_refused(ordinary: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    become_ordinary(ordinary)
    monkeypatch.setenv("MINIGRAD_CACHE", "/usr/lib")
    assert (
        "the cache folder /usr/lib belongs to another user (user 0, and this is user 65534)"
        in shared_library.refusal("float32")
    )


def test_a_file_where_the_folder_should_be(place: Workplace, cc: str) -> None:
    place.cache.touch(0o600)
    assert f"the cache {place.cache} is not a folder" in shared_library.refusal("float32")


def test_a_file_above_the_folder(place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "file" / "cache"))
    assert "cannot be used: " in shared_library.refusal("float32")


def test_no_space_is_left(place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in shared_library.refusal("float32")
    assert place.files() == []


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {}, "/home/ada/.cache/minigrad"),
        ("linux", {"XDG_CACHE_HOME": "/var/ada"}, "/var/ada/minigrad"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ada/.cache/minigrad"),
        ("linux", {"XDG_CACHE_HOME": "/var/ada", "MINIGRAD_CACHE": "/mine"}, "/mine"),
        ("linux", {"MINIGRAD_CACHE": "~/mine"}, "/home/ada/mine"),
        ("linux", {"MINIGRAD_CACHE": ""}, "/home/ada/.cache/minigrad"),
        ("darwin", {"XDG_CACHE_HOME": "/var/ada"}, "/home/ada/Library/Caches/minigrad"),
        ("win32", {"LOCALAPPDATA": "/profile/ada"}, "/profile/ada/minigrad"),
        ("win32", {}, "/home/ada/AppData/Local/minigrad"),
    ],
)
def test_where_the_folder_is(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], folder: str
) -> None:
    for name in ("XDG_CACHE_HOME", "MINIGRAD_CACHE", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/ada", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert str(cache.cache_folder()) == folder


def test_a_user_without_a_home(place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIGRAD_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert "no cache folder: there is no home folder; MINIGRAD_CACHE can name another" in shared_library.refusal(
        "float32"
    )


def test_where_there_are_no_owners_and_modes(place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.setattr(cache, "POSIX", False)
    monkeypatch.delattr(os, "geteuid")
    place.cache.mkdir(0o777)
    for _ in range(2):
        assert shared_library.load_library("float32").answer() == 42
        shared_library.forget()
    assert len(place.files()) == 1
