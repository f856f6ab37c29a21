"""`read_corpus` reads the text of files, `split` holds out a part of it; a `Corpus` is a list of `Document`s."""

import fnmatch
import math
import os
import platform
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minigrad.validation import check_integer, check_path, check_text, check_type, is_number, shown

# Excluded: tests, lib2to3 (not in newer Pythons), installed packages, files that the build wrote about its machine.
_NOT_LIBRARY = ("test", "tests", "idle_test", "lib2to3", "*-packages", "config-*", "_sysconfigdata*")


class Document(NamedTuple):
    """One file of a corpus: its `text`, and as its `name` its path below the corpus's folder."""

    name: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """A text: its `name`, its `documents` in a fixed order, and how many files were `skipped` as they are not text."""

    name: str
    documents: tuple[Document, ...]
    skipped: int = 0

    @property
    def text(self) -> str:
        """All documents in order, joined by line breaks."""
        return "\n".join(document.text for document in self.documents)

    @property
    def description(self) -> str:
        """One line, such as `CPython 3.11 standard library: 661 files, 11.8 million characters`."""
        count, files = sum(len(document.text) for document in self.documents), len(self.documents)
        size = f"{count / 1e6:.1f} million" if count >= 1e6 else f"{count:,}"
        skipped = f" ({self.skipped} more skipped: not UTF-8 text)" if self.skipped else ""
        return f"{self.name}: {files:,} {'file' if files == 1 else 'files'}{skipped}, {size} characters"


def read_corpus(
    path: str | os.PathLike[str] | None = None, *, suffixes: str | Sequence[str] | None = None, limit: int | None = None
) -> Corpus:
    """Read the standard library, one file, or a folder with its subfolders in sorted order.

    Texts are UTF-8; a byte order mark is dropped and line ends become line feeds. In a folder hidden and empty files
    are ignored, and files that are not UTF-8 text or cannot be read are counted in `Corpus.skipped`.

    Args:
        path: a file or a folder; None for the `*.py` files of the running Python's standard library without tests.
        suffixes: in a folder, the file name suffixes to read, such as `(".py", ".txt")`; None for every text file.
        limit: stop after this many characters, possibly within a document.

    Raises:
        FileNotFoundError, PermissionError: the path does not exist or cannot be read.
        ValueError: the path is empty, the file is not UTF-8 text or is empty, the folder has no text file, or limit is
            below 1.
    """
    if limit is not None:
        check_integer("read_corpus", most=math.inf, limit=limit)
    if path is not None:
        check_path("read_corpus", path=path)
    if suffixes is not None and not isinstance(suffixes, str):
        check_type("read_corpus", (list, tuple), "text or a list of texts", suffixes=suffixes)
        check_text("read_corpus", **{f"suffixes[{k}]": suffix for k, suffix in enumerate(suffixes)})
    if path is not None and not os.fspath(path):
        raise ValueError(
            "read_corpus: path: got an empty path, want a file, a folder, or None for the standard library"
        )
    excluded = _NOT_LIBRARY if path is None else ()
    if path is None:
        path = sysconfig.get_paths()["stdlib"]
        name = f"{platform.python_implementation()} {sysconfig.get_python_version()} standard library"
        suffixes = suffixes or ".py"
    else:
        path = os.path.abspath(path)
        name = os.path.basename(path) or path
    if not os.path.exists(path):
        raise FileNotFoundError(f"read_corpus: path: {path} does not exist, want a text file or a folder of text files")
    if os.path.isdir(path):
        endings = (suffixes,) if isinstance(suffixes, str) else tuple(suffixes or ("",))
        return _read_folder(name, path, endings, excluded, limit)
    if not os.path.isfile(path):
        raise ValueError(f"read_corpus: path: {path} is neither a file nor a folder, want a text file or a folder")
    text = _read_file(path)[:limit]
    if not text:
        raise ValueError(f"read_corpus: path: {path} is empty, want a file with text in it")
    return Corpus(name, (Document(name, text),))


def split(corpus: Corpus, held_out: float = 0.05, seed: int = 0) -> tuple[str, str]:
    """Return `(train, held_out)`, two texts, neither empty; the second is for measuring on text unseen in training.

    Whole documents are held out, drawn at random while they fit into the fraction `held_out` of all characters, so no
    file is in both texts. If they are too large for that, or there is only one, the end of the text is held out.
    `corpus` is what to split, and `seed` that of the draw.

    Raises:
        ValueError: `held_out` not between 0 and 1, or a text so short that this is less than one character.
    """
    check_type("split", Corpus, "a Corpus", corpus=corpus)
    check_integer("split", 0, seed=seed)
    if not is_number(held_out) or not 0 < held_out < 1:
        raise ValueError(f"split: held_out: got {shown(held_out)}, want a fraction between 0 and 1")
    sizes = [len(document.text) for document in corpus.documents]
    target = int(sum(sizes) * held_out)
    if target < 1:
        want = f"want at least {math.ceil(1 / held_out)} to hold out {held_out} of it"
        raise ValueError(f"split: corpus: {corpus.name} has {sum(sizes)} characters, {want}")
    chosen, room = set(), target
    for i in np.random.default_rng(seed).permutation(len(sizes)).tolist():
        if sizes[i] <= room:
            chosen.add(i)
            room -= sizes[i]
    if room > target / 2:
        return corpus.text[:-target], corpus.text[-target:]
    train = tuple(document for i, document in enumerate(corpus.documents) if i not in chosen)
    rest = tuple(document for i, document in enumerate(corpus.documents) if i in chosen)
    return Corpus("train", train).text, Corpus("held out", rest).text


def _read_file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read()
        text = data.decode("utf-8-sig")
    except PermissionError as error:
        raise PermissionError(f"read_corpus: path: {path} cannot be read, want a file with read permission") from error
    except UnicodeDecodeError as error:
        offset = error.start + len(data) - len(error.object)  # the decoder did not see the byte order mark
        reason = f"byte 0x{data[offset]:02x} at offset {offset}; convert it first, as with iconv -f latin1 -t utf-8"
        raise ValueError(f"read_corpus: path: {path} is not UTF-8: {reason}") from error
    if "\0" in text:
        offset = data.index(0)
        raise ValueError(f"read_corpus: path: {path} has a zero byte at offset {offset}: it is binary, want text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_folder(
    name: str, folder: str, endings: tuple[str, ...], excluded: Sequence[str], limit: int | None
) -> Corpus:
    def included(names: list[str]) -> list[str]:
        return sorted(name for name in names if not any(fnmatch.fnmatchcase(name, x) for x in (".*", *excluded)))

    documents: list[Document] = []
    errors: list[Exception] = []
    for here, folders, files in os.walk(folder, onerror=errors.append):
        folders[:] = included(folders)  # in place: os.walk visits what is left, in this order
        paths = [os.path.join(here, file) for file in included(files) if file.endswith(endings)]
        for path in filter(os.path.isfile, paths):  # a pipe or a device would block
            if limit == 0:
                return Corpus(name, tuple(documents), len(errors))
            try:
                text = _read_file(path)[:limit]
            except (OSError, ValueError) as error:
                errors.append(error)
                continue
            if text:
                documents.append(Document(os.path.relpath(path, folder).replace(os.sep, "/"), text))
            limit = None if limit is None else limit - len(text)
    if not documents:
        kind = PermissionError if any(isinstance(error, PermissionError) for error in errors) else ValueError
        patterns = " or ".join(f"*{ending}" for ending in endings)
        reason = f" ({len(errors)} could not be read, the first: {errors[0]})" if errors else ""
        raise kind(f"read_corpus: path: {folder} has no text file {patterns}{reason}, want at least one")
    return Corpus(name, tuple(documents), len(errors))
