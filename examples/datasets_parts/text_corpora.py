"""Corpora for character models: `code`, `headers`, `topics`, `encyclopaedia`, `latex` and `shakespeare`."""

from __future__ import annotations

import ast
import bz2
import inspect
import io
import os
import re
import sysconfig
import warnings
import xml.etree.ElementTree as ElementTree

from minigrad_rnn.text.corpus import Corpus, Document, read_corpus

from .download import DataError
from .members import read_member, read_members


def code() -> Corpus:
    """Return the CPython standard library's own sources, without its tests: no download."""
    return read_corpus()


def headers() -> Corpus:
    """Return the C headers of the running Python: no download.

    Raises:
        DataError: this Python was installed without them.
    """
    folder = sysconfig.get_paths()["include"]
    if not os.path.isdir(folder):
        raise DataError(f"datasets: headers: this Python has no {folder}; Debian has it in python3-dev")
    return Corpus("C headers of Python", read_corpus(folder, suffixes=".h").documents)


def topics() -> Corpus:
    """Return the language reference as `help()` shows it, one document for each topic: no download."""
    from pydoc_data.topics import topics as texts

    return Corpus("topics of Python's help()", tuple(Document(name, texts[name]) for name in sorted(texts)))


def encyclopaedia() -> Corpus:
    """Return pages of the English Wikipedia as they are written, in wiki markup, one document for each."""
    packed = read_member("gensim", "gensim/test/test_data/enwiki-*-shortened.bz2")
    documents = []
    for _, element in ElementTree.iterparse(io.BytesIO(bz2.decompress(packed))):
        space, _, tag = element.tag.rpartition("}")
        if tag == "page":
            space += "}"
            text = element.findtext(f"{space}revision/{space}text") or ""
            if element.find(f"{space}redirect") is None and text.strip():
                documents.append(Document(element.findtext(f"{space}title") or "", text))
            element.clear()
    return Corpus("pages of the English Wikipedia", tuple(documents))


_DIRECTIVE = re.compile(
    r"""^([ \t]*)\.\.\ math\ ?::[ \t]*(.*)\n   # some write a space before the colons
    ((?:[ \t]*\n|\1[ \t]+.*(?:\n|\Z))*)        # what is indented deeper""",
    re.MULTILINE | re.VERBOSE,
)
_OPTION = re.compile(r"\s*:\w+:.*")


def latex() -> Corpus:
    """Return the formulas in the docstrings of four scientific libraries, each once; one document for each module."""
    documents, known = [], set[str]()
    for package in ("mpmath", "scipy", "statsmodels", "sympy"):
        for path, content in read_members(package, "*.py"):
            formulas = [formula for formula in _formulas(content.decode("utf-8")) if formula not in known]
            known.update(formulas)
            if unique := list(dict.fromkeys(formulas)):
                documents.append(Document(path, "\n\n".join(unique) + "\n"))
    return Corpus("formulas in docstrings of mpmath, scipy, statsmodels and sympy", tuple(documents))


def _formulas(source: str) -> list[str]:
    if ".. math" not in source:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes are those libraries' own affair
        tree = ast.parse(source)
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    formulas = []
    for text in texts:
        for _, argument, block in _DIRECTIVE.findall(text):
            lines = [line for line in block.splitlines() if not _OPTION.fullmatch(line)]
            formula = "\n".join([argument.strip(), inspect.cleandoc("\n" + "\n".join(lines))]).strip()
            if formula:
                formulas.append(formula)
    return formulas


def shakespeare() -> Corpus:
    """Return Shakespeare's plays and poems in modern spelling, one document for each."""
    documents = []
    for path, content in read_members("shakespeare", "*/shksprdata/texts/*_gut.txt"):
        text = re.sub("[\f\x1a]", "\n", content.decode("utf-8-sig").replace("\r\n", "\n")).strip()  # control characters
        name = path.rpartition("/")[2].removesuffix("_gut.txt")
        documents.append(Document(name, re.sub("\n{4,}", "\n\n\n", text) + "\n"))
    return Corpus("Shakespeare", tuple(documents))
