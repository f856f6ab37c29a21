"""Downloads of the examples' data: pip's own and planted ones, damaged and foreign files, and what is said offline."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import datasets
from datasets_parts import distributions, download, members
from datasets_parts.distributions import Distribution
from datasets_parts.download import DataError, distribution_file

TEXT = b"To be, or not to be\n"
FILE = "planted-1.0-py3-none-any.whl"


def wheel(text: bytes = TEXT) -> bytes:
    """A wheel with one text in it, complete enough for pip."""
    files = {
        "planted/text.txt": text,
        "planted-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n",
        "planted-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')},\n"
        for name, content in files.items()
    )
    files["planted-1.0.dist-info/RECORD"] = record.encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


WHEEL = wheel()
PLANTED = Distribution("planted", "1.0", FILE, len(WHEEL), hashlib.sha256(WHEEL).hexdigest(), "MIT")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; the only distribution is the planted one."""
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "cache"))
    monkeypatch.setitem(distributions.DISTRIBUTIONS, "planted", PLANTED)
    download._check_hash.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a program in pip's place: Python lines that may write to `target`, what pip would download."""

    def install(lines: str) -> None:
        program = tmp_path / "pip.py"
        target = f"target = os.path.join(sys.argv[sys.argv.index('-d') + 1], {FILE!r})"
        program.write_text(f"import sys, os, time\n{target}\n{lines}\n")
        monkeypatch.setattr(download, "_pips", lambda: iter([[sys.executable, "-S", str(program)]]))

    return install


def write(content: bytes) -> str:
    return f"open(target, 'wb').write({content!r})"


def test_pip_itself_downloads_from_an_index_and_the_second_time_nothing_is_asked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With pip's own checks of hashes; another text under the same name is refused by pip."""
    index = tmp_path / "index"
    index.mkdir()
    for variable, value in {"NO_INDEX": "1", "FIND_LINKS": str(index), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{variable}", value)
    (index / FILE).write_bytes(wheel(b"To be or, perhaps, not\n"))
    with pytest.raises(DataError, match="DO NOT MATCH THE HASHES"):
        distribution_file(PLANTED)
    assert not list(folder.iterdir())
    (index / FILE).write_bytes(WHEEL)
    assert distribution_file(PLANTED) == folder / FILE
    assert [path.name for path in folder.iterdir()] == [FILE]
    assert "downloading planted==1.0" in capsys.readouterr().err

    monkeypatch.setattr(download, "_download", None)  # nothing is downloaded any more
    download._check_hash.cache_clear()
    assert members.read_member("planted", "*/text.txt") == TEXT
    assert capsys.readouterr().err == ""


def test_a_file_that_was_brought_is_used(folder: Path) -> None:
    folder.mkdir()
    (folder / FILE).write_bytes(WHEEL)
    assert members.read_member("planted", "planted/*.txt") == TEXT
    with pytest.raises(DataError, match=r"planted-1.0-py3-none-any.whl has no file \*.csv"):
        members.read_member("planted", "*.csv")


@pytest.mark.parametrize("content", [WHEEL[:-30], wheel(b"Alas, poor Yorick\n"), b""])
def test_a_damaged_or_foreign_file_in_the_cache_is_refused_and_kept(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / FILE).write_bytes(content)
    want = f"got {len(content):,} bytes with sha256 .*, want the {len(WHEEL):,} bytes of planted==1.0 .*; remove it"
    with pytest.raises(DataError, match=want):
        distribution_file(PLANTED)
    assert (folder / FILE).read_bytes() == content


@pytest.mark.parametrize("content", [WHEEL[:-30], wheel(b"Alas, poor Yorick\n")])
def test_what_pip_brings_is_checked_before_it_enters_the_cache(folder: Path, pip: Callable, content: bytes) -> None:
    pip(write(content))
    with pytest.raises(DataError, match=f"got {len(content):,} bytes with sha256"):
        distribution_file(PLANTED)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("print('ERROR: no route to the index'); sys.exit(1)", "no route to the index"),
        (write(WHEEL[:100]) + "; sys.exit(1)", "it failed without a word"),
        ("open(target + '.zip', 'w')", "it brought another file"),
    ],
)
def test_offline_one_line_names_the_file_and_where_to_put_it(folder: Path, pip: Callable, lines: str, why: str) -> None:
    pip(lines)
    with pytest.raises(DataError) as caught:
        distribution_file(PLANTED)
    message = str(caught.value)
    assert "\n" not in message
    for part in (why, "planted==1.0", FILE, PLANTED.sha256, f"put it into {folder}"):
        assert part in message
    assert not list(folder.iterdir())
    pip(write(WHEEL))  # and later it works
    assert distribution_file(PLANTED).read_bytes() == WHEEL


def test_without_any_pip_the_message_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.subprocess, "run", raise_missing)
    with pytest.raises(DataError, match="there is no pip: neither this Python has it nor is it on the PATH"):
        distribution_file(PLANTED)


def raise_missing(*arguments: object, **options: object) -> None:
    raise FileNotFoundError


def test_a_python_without_pip_takes_the_one_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip3").write_text("#!/bin/sh\necho pip 25\n")
    (tmp_path / "pip3").chmod(0o755)
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(download.sys, "executable", str(tmp_path / "python"))
    assert list(download._pips()) == [[str(tmp_path / "pip3")]]


def test_ctrl_c_ends_pip_and_leaves_nothing(folder: Path, pip: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    pip("time.sleep(60)")
    ended: list[object] = []

    def interrupt(process: object, *rest: object) -> None:
        ended.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_show_progress", interrupt)
    with pytest.raises(KeyboardInterrupt):
        distribution_file(PLANTED)
    assert ended[0].poll() is not None  # type: ignore[attr-defined]
    assert not list(folder.iterdir())


def test_a_killed_downloads_leftovers_are_removed_after_a_day(folder: Path, pip: Callable) -> None:
    for name, age in (("old", 2 * download.DAY), ("new", 0)):
        (folder / f"{download.DRAFT}{name}").mkdir(parents=True)
        os.utime(folder / f"{download.DRAFT}{name}", (time.time() - age,) * 2)
    pip(write(WHEEL))
    distribution_file(PLANTED)
    assert sorted(path.name for path in folder.iterdir()) == [f"{download.DRAFT}new", FILE]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "file" / "below"))
    with pytest.raises(DataError, match=r"cannot be written to: .*; MINIGRAD_DATA can name another folder"):
        distribution_file(PLANTED)


def test_wheels_of_one_platform_are_the_same_file_everywhere() -> None:
    row = distributions.DISTRIBUTIONS["gensim"]
    arguments = download._arguments(row, Path("list"), Path("folder"))
    assert "--platform=manylinux_2_24_x86_64" in arguments
    assert arguments[arguments.index("--python-version") + 1] == "311"
    source = download._arguments(distributions.DISTRIBUTIONS["shakespeare"], Path("list"), Path("folder"))
    assert source[-2:] == ["--no-binary", "shakespeare"]


def test_a_source_distribution_is_read_without_extracting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("b/two.txt", "a/one.txt"):
            member = tarfile.TarInfo(name)
            member.size = len(TEXT)
            archive.addfile(member, io.BytesIO(TEXT))
    content = packed.getvalue()
    row = Distribution("sources", "1.0", "sources.tar.gz", len(content), hashlib.sha256(content).hexdigest(), "MIT")
    monkeypatch.setitem(distributions.DISTRIBUTIONS, "sources", row)
    (folder / row.file).write_bytes(content)
    assert list(members.read_members("sources", "*.txt")) == [("a/one.txt", TEXT), ("b/two.txt", TEXT)]


def test_every_distribution_is_pinned_and_every_data_set_knows_its_own() -> None:
    for name, row in distributions.DISTRIBUTIONS.items():
        assert name == row.name
        assert len(row.sha256) == 64
        assert row.size > 100_000
        assert row.licence
        assert row.version in row.file
    used = {source for dataset in datasets.DATASETS.values() for source in dataset.distributions}
    assert used == set(distributions.DISTRIBUTIONS)


def test_the_table_lists_every_file_and_a_wrong_name_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert datasets.main([]) == 0
    printed = capsys.readouterr().out
    for row in distributions.DISTRIBUTIONS.values():
        assert row.file[:66] in printed
    assert datasets.main(["hamlet"]) == 2
    assert "got hamlet, want names among code, headers" in capsys.readouterr().err
    assert datasets.main(["topics"]) == 0
    assert "topics: " in capsys.readouterr().out
