"""Corpus and split: real text, files that are no text, and errors that say what to do."""

import builtins
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from minigrad_rnn.text.corpus import Corpus, Document, read_corpus, split
from minigrad_rnn.text.vocabulary import Vocabulary

from .alphabets import CHINESE, EMOJI, FRENCH, GREEK


def test_standard_library_is_the_default_corpus() -> None:
    corpus = read_corpus()
    names = [document.name for document in corpus.documents]
    assert {"os.py", "json/decoder.py"} <= set(names)
    assert not [name for name in names if {"test", "tests", "idle_test", "site-packages"} & set(name.split("/"))]
    assert len(corpus.text) > 5_000_000
    assert "standard library: " in corpus.description
    assert " million characters" in corpus.description

    train, held_out = split(corpus)
    assert len(held_out) / len(corpus.text) == pytest.approx(0.05, rel=0.1)
    assert len(train) + len(held_out) == len(corpus.text) - 1  # one join fewer
    vocabulary = Vocabulary.from_text(train, max_size=90)
    assert len(vocabulary) == 90
    full = Vocabulary.from_text(corpus.text)
    assert full.decode(full.encode(held_out)) == held_out


def test_standard_library_is_read_in_the_same_order_each_time() -> None:
    first, second = read_corpus(limit=100_000), read_corpus(limit=100_000)
    assert first == second
    assert sum(len(document.text) for document in first.documents) == 100_000


def test_one_file(tmp_path: Path) -> None:
    path = tmp_path / "iliad.txt"
    path.write_bytes("\ufeff".encode() + GREEK.encode() + b"\r\nline\rend\n")
    corpus = read_corpus(path)
    assert corpus.documents == (Document("iliad.txt", GREEK + "\nline\nend\n"),)
    assert corpus.description == f"iliad.txt: 1 file, {len(GREEK) + 10} characters"
    assert read_corpus(str(path), limit=5).text == GREEK[:5]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    for name, data in {
        "b.txt": FRENCH.encode(),
        "a/z.md": CHINESE.encode(),
        "a/empty.txt": b"",
        ".hidden.txt": b"secret",
        ".git/config.txt": b"secret",
        "latin.txt": "é".encode("latin1"),
        "picture.png": b"\x89PNG\0\0",
        "c.txt": EMOJI.encode(),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_folder(folder: Path) -> None:
    corpus = read_corpus(folder)
    assert [document.name for document in corpus.documents] == ["b.txt", "c.txt", "a/z.md"]
    assert corpus.text == "\n".join([FRENCH, EMOJI, CHINESE])
    assert corpus.skipped == 2
    total = len(FRENCH + EMOJI + CHINESE)
    assert corpus.description == f"texts: 3 files (2 more skipped: not UTF-8 text), {total} characters"


def test_suffixes_choose_files_and_what_is_not_chosen_is_not_skipped(folder: Path) -> None:
    assert [d.name for d in read_corpus(folder, suffixes=".md").documents] == ["a/z.md"]
    corpus = read_corpus(folder, suffixes=(".md", ".png"))
    assert [d.name for d in corpus.documents] == ["a/z.md"]
    assert corpus.skipped == 1


def test_limit_ends_within_a_document(folder: Path) -> None:
    corpus = read_corpus(folder, limit=len(FRENCH) + 2)
    assert [d.text for d in corpus.documents] == [FRENCH, EMOJI[:2]]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_neither_blocks_nor_counts(folder: Path) -> None:
    os.mkfifo(folder / "pipe.txt")
    assert read_corpus(folder).skipped == 2
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        read_corpus(folder / "pipe.txt")


def test_an_empty_path_is_not_the_current_folder() -> None:
    with pytest.raises(ValueError, match="read_corpus: path: got an empty path"):
        read_corpus("")


def test_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt does not exist, want a text file or a folder"):
        read_corpus(tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"caf\xe9 au lait", r"text is not UTF-8: byte 0xe9 at offset 3; convert it first, as with iconv"),
        (b"\xef\xbb\xbfcaf\xe9 au lait", r"byte 0xe9 at offset 6"),
        ("zwölf".encode("utf-16"), r"byte 0xff at offset 0"),
        (b"ab\0c", r"zero byte at offset 2"),
        (b"", r"text is empty"),
        (b"\xef\xbb\xbf", r"text is empty"),
    ],
)
def test_file_that_is_no_text(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "text"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_corpus(path)


def test_unreadable_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Permission bits do not bind root, so the refusal is played.
    real = builtins.open

    def refuse(file: Any, *args: Any, **kwargs: Any) -> Any:
        if str(file).endswith("b.txt"):
            raise PermissionError(13, "Permission denied", str(file))
        return real(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(PermissionError, match=r"b\.txt cannot be read, want a file with read permission"):
        read_corpus(folder / "b.txt")
    assert read_corpus(folder).skipped == 3
    with pytest.raises(PermissionError, match=r"no text file \*b\.txt \(1 could not be read, the first: .*b\.txt"):
        read_corpus(folder, suffixes="b.txt")


def test_folder_that_may_not_be_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match=r"texts has no text file .*Permission denied"):
        read_corpus(folder)


def test_folder_without_text(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no text file \*\.png \(1 could not be read, .*picture\.png.*want at least"):
        read_corpus(folder, suffixes=".png")
    (tmp_path / "void").mkdir()
    with pytest.raises(ValueError, match=r"void has no text file \*, want at least one"):
        read_corpus(tmp_path / "void")


def test_limit_must_be_positive() -> None:
    with pytest.raises(ValueError, match="limit: got 0"):
        read_corpus(limit=0)


def corpus_of(*sizes: int) -> Corpus:
    """Documents of the given sizes, each of one letter of its own."""
    return Corpus("letters", tuple(Document(f"{i}", chr(ord("a") + i) * size) for i, size in enumerate(sizes)))


def test_split_keeps_documents_whole() -> None:
    corpus = corpus_of(*[10] * 20)
    train, held_out = split(corpus, held_out=0.1, seed=3)
    assert len(held_out.replace("\n", "")) == 20
    assert not set(train) & set(held_out) - {"\n"}
    assert split(corpus, held_out=0.1, seed=3) == (train, held_out)
    assert len({split(corpus, held_out=0.1, seed=seed)[1] for seed in range(10)}) > 3


def test_split_takes_the_end_where_no_document_is_small_enough() -> None:
    assert split(corpus_of(90), held_out=0.1) == ("a" * 81, "a" * 9)
    train, held_out = split(corpus_of(100, 100, 1), held_out=0.05)  # the one small document would measure nothing
    assert (train + held_out, len(held_out)) == (corpus_of(100, 100, 1).text, 10)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.floats(0.01, 0.99), st.integers(0, 5))
def test_split_leaves_neither_side_empty(sizes: list[int], held_out: float, seed: int) -> None:
    corpus = corpus_of(*sizes)
    if int(sum(sizes) * held_out) < 1:
        with pytest.raises(ValueError, match="want at least"):
            split(corpus, held_out, seed)
        return
    train, test = split(corpus, held_out, seed)
    assert train
    assert test
    assert len(test.replace("\n", "")) <= sum(sizes) * held_out
    assert sorted((train + test).replace("\n", "")) == sorted(corpus.text.replace("\n", ""))


@pytest.mark.parametrize("held_out", [0.0, 1.0, -0.1, float("nan")])
def test_split_fraction(held_out: float) -> None:
    with pytest.raises(ValueError, match=r"held_out: got .*, want a fraction between 0 and 1"):
        split(corpus_of(90), held_out)


def test_split_of_a_short_text_says_how_long_it_must_be() -> None:
    with pytest.raises(ValueError, match=r"letters has 7 characters, want at least 20 to hold out 0\.05"):
        split(corpus_of(7))
