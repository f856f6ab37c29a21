"""`reference_pages` writes the API reference's pages: every public name of both packages, in groups as NumPy has them.

Names are found, not listed: a new public name appears by itself, in the group of the file that defines it. A name whose
file belongs to no group is an error, which stops the build and a test.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from docstring_text import inline

NAMESPACES = (
    "minigrad",
    "minigrad.linalg",
    "minigrad.fft",
    "minigrad.nn",
    "minigrad.nn.init",
    "minigrad.optim",
    "minigrad.losses",
    "minigrad.serialize",
    "minigrad.distributed",
    "minigrad.array_api",
    "minigrad_rnn",
    "minigrad_rnn.ctc",
    "minigrad_rnn.data",
    "minigrad_rnn.flow",
    "minigrad_rnn.text",
    "minigrad_rnn.training",
)
"""Where users find names. Of a name that stands in several, the first is its own and the others are aliases."""
HOMES = {"minigrad.nn.init": "minigrad.nn.init."}
"""Namespaces without an `__all__`: what their files define."""


class Page(NamedTuple):
    """A group of names: a page of the reference."""

    file: str
    title: str
    about: str
    homes: tuple[str, ...]
    """The files that define the group's names, or the folders."""


ENGINE = (
    Page("tensors", "Tensors and backends", "Arrays that can be on the tape, and where they live.",
         ("minigrad.engine.tensor", "minigrad.numpy_protocol", "minigrad.backend", "minigrad.engine.modes",
          "minigrad.engine.tape")),
    Page("gradients", "Gradients and transformations", "Back-propagation, and derivatives of functions.",
         ("minigrad.differentiate", "minigrad.transforms")),
    Page("primitives", "New operations", "Operations with a rule of their own.", ("minigrad.engine.primitive",)),
    Page("debug", "Look inside", "The ledger, the tape as a table and a drawing, the profiler, where a NaN comes from.",
         ("minigrad.debug",)),
    Page("nn", "Modules and layers", "Layers without recurrence, as in `torch.nn`.", ("minigrad.nn",)),
    Page("init", "Initial values", "Where weights start.", ("minigrad.nn.init",)),
    Page("losses", "Losses", "What is minimised.", ("minigrad.losses", "minigrad.nn.losses")),
    Page("optim", "Optimizers", "How weights move.", ("minigrad.optim",)),
    Page("serialize", "Files", "Arrays and metadata in files that are whole or not there.", ("minigrad.serialize",)),
    Page("distributed", "Several ranks",
         "`minigrad.distributed`: one model, a share of each batch for every rank, gradients pooled.",
         ("minigrad.distributed",)),
    Page("pytree", "Trees", "Lists, dicts, dataclasses and modules, taken apart and built again.",
         ("minigrad.pytree",)),
    Page("array_api", "The array API standard",
         "`minigrad.array_api` is the standard's namespace: the operations, and what the standard has besides.",
         ("minigrad.array_api",)),
)  # fmt: skip
OPERATIONS = (
    Page("creation", "Array creation", "New arrays from numbers, and copies.", ("minigrad.ops.arrays.creation",)),
    Page("shape", "Shape", "Arrays in another shape or order.", ("minigrad.ops.arrays.shape",)),
    Page("joining", "Joining and splitting", "Arrays put together and taken apart.", ("minigrad.ops.arrays.joining",)),
    Page("manipulation", "Tiling, padding, inserting, diagonals", "Arrays with more or fewer elements.",
         ("minigrad.ops.manipulation",)),
    Page("indexing", "Indexing", "Elements picked, placed and searched for.", ("minigrad.ops.indexing",)),
    Page("arithmetic", "Arithmetic", "Element by element, broadcast.",
         ("minigrad.ops.elementwise.arithmetic", "minigrad.ops.elementwise.complex")),
    Page("exponents", "Exponents and logarithms", "Element by element.", ("minigrad.ops.elementwise.exp_log",)),
    Page("trigonometric", "Trigonometric and hyperbolic functions", "Element by element.",
         ("minigrad.ops.elementwise.trigonometric",)),
    Page("special", "Special functions", "Element by element.",
         ("minigrad.ops.elementwise.special", "minigrad.ops.elementwise.error_function")),
    Page("floating_point", "Remainders and floating point", "Element by element.",
         ("minigrad.ops.elementwise.floating_point",)),
    Page("nondifferentiable", "Comparison, logic, rounding, bits", "Operations through which no gradient flows.",
         ("minigrad.ops.elementwise.nondifferentiable",)),
    Page("reductions", "Sums, means, extrema", "Along axes.",
         ("minigrad.ops.reductions.reductions", "minigrad.ops.reductions.cumulative",
          "minigrad.ops.reductions.differences")),
    Page("statistics", "Statistics", "Along axes.",
         ("minigrad.ops.reductions.statistics", "minigrad.ops.reductions.quantiles")),
    Page("sorting", "Sorting and searching", "Order, and places in it.", ("minigrad.ops.reductions.sorting",)),
    Page("products", "Products", "Matrix products and their relatives.", ("minigrad.ops.products",)),
    Page("linalg", "Linear algebra", "`minigrad.linalg`, as `numpy.linalg`.", ("minigrad.ops.linalg",)),
    Page("fft", "Fourier transforms", "`minigrad.fft`, as `numpy.fft`.", ("minigrad.ops.fft",)),
    Page("interpolation", "Interpolation and polynomials", "Values between points.", ("minigrad.ops.interpolation",)),
    Page("functional", "Functional programming", "Functions applied along axes.",
         ("minigrad.ops.functional_programming",)),
    Page("activations", "Activations and softmax", "As in `torch.nn.functional`.",
         ("minigrad.ops.nn.activations", "minigrad.ops.nn.softmax", "minigrad.ops.elementwise.logistic")),
    Page("convolution", "Convolution, pooling, embedding", "As in `torch.nn.functional` and NumPy.",
         ("minigrad.ops.nn",)),
)  # fmt: skip
NETWORKS = (
    Page("recurrent", "Recurrent networks", "A cell unrolled over time, in layers and directions.",
         ("minigrad_rnn.networks", "minigrad_rnn.native")),
    Page("cells", "Cells", "One step of a recurrence.", ("minigrad_rnn.cells",)),
    Page("classics", "The lecture's classics", "TDNN, NARX, Jordan, Elman, state space, any connections.",
         ("minigrad_rnn.classics",)),
    Page("seq2seq", "Sequences to sequences", "Shapes of input and output, attention, decoding.",
         ("minigrad_rnn.seq2seq",)),
    Page("divergence", "Divergences and CTC", "The loss of a whole sequence.",
         ("minigrad_rnn.divergence", "minigrad_rnn.ctc")),
    Page("text", "Text", "`minigrad_rnn.text`: corpora, streams and a character model.", ("minigrad_rnn.text",)),
    Page("data", "Data sets", "`minigrad_rnn.data`: padding, batches that resume, parts to hold out.",
         ("minigrad_rnn.data",)),
    Page("training", "Training", "`minigrad_rnn.training`: runs that are evaluated, saved and resumed.",
         ("minigrad_rnn.training",)),
    Page("inside", "Look inside networks", "What flows back through time, as numbers, figures and a page to explore.",
         ("minigrad_rnn.explorer", "minigrad_rnn.flow")),
    Page("verification", "Verification", "Every implementation against the others.", ("minigrad_rnn.verification",)),
    Page("interop", "Exchange with other libraries", "Weights of torch, Keras and ONNX.", ("minigrad_rnn.interop",)),
)  # fmt: skip
SECTIONS = {"Engine": ENGINE, "Operations": OPERATIONS, "Networks": NETWORKS}
NUMPY = "https://numpy.org/doc/stable/reference/generated/"


class Entry(NamedTuple):
    """A public object under its own name, and the other names that it has."""

    name: str
    value: Any
    home: str
    aliases: tuple[str, ...]


def public_names() -> Iterator[tuple[str, Any]]:
    """Yield every public name, qualified, and what it names; namespaces are none."""
    for namespace in NAMESPACES:
        module = importlib.import_module(namespace) if namespace not in ("minigrad.linalg", "minigrad.fft") else None
        if module is None:
            module = getattr(importlib.import_module("minigrad"), namespace.rpartition(".")[2])
        if namespace == "minigrad.array_api":
            names = [n for n in dir(module) if _home(getattr(module, n)).startswith("minigrad.array_api")]
        elif namespace in HOMES:
            names = [n for n in dir(module) if _home(getattr(module, n)) == namespace]
        elif namespace == "minigrad":  # also abs, max, sum, …, which `import *` leaves alone
            names = sorted({*module.__all__, *module.ops.__all__})
        else:
            names = list(module.__all__)
        for name in names:
            value = getattr(module, name)
            if not name.startswith("_") and not isinstance(value, ModuleType):
                yield f"{namespace}.{name}", value


def _home(value: Any) -> str:
    """The module that defines a function or class; "" for anything else."""
    if isinstance(value, ModuleType) or not (callable(value) or hasattr(value, "__getitem__")):
        return ""
    return str(getattr(value, "__module__", None) or type(value).__module__)


def entries() -> list[Entry]:
    """Return every public object once, by name."""
    names: dict[int, list[str]] = {}
    values: dict[int, Any] = {}
    for name, value in public_names():
        names.setdefault(id(value), []).append(name)
        values[id(value)] = value
    result = []
    for key, found in names.items():
        value = values[key]
        own = getattr(value, "__name__", "")
        first = next((name for name in found if name.rpartition(".")[2] == own), found[0])
        result.append(Entry(first, value, _home(value), tuple(name for name in found if name != first)))
    return sorted(result, key=lambda entry: (entry.name.rpartition(".")[2].lower(), entry.name))


def page_of(home: str) -> Page:
    """Return the page of what a module defines. Raises LookupError if there is none."""
    pages = [page for group in SECTIONS.values() for page in group]
    fitting = [(len(start), page) for page in pages for start in page.homes if f"{home}.".startswith(f"{start}.")]
    if not fitting:
        raise LookupError(f"reference_pages: {home} defines a public name and belongs to no page of the reference")
    return max(fitting, key=lambda pair: pair[0])[1]


def contents() -> dict[str, str]:
    """Return the text of each page by its file's name."""
    by_page: dict[str, list[Entry]] = {}
    for entry in entries():
        by_page.setdefault(page_of(entry.home).file, []).append(entry)
    texts = {"index.rst": _index(by_page)}
    for group in SECTIONS.values():
        for page in group:
            own_pages = [entry for entry in by_page[page.file] if has_page(entry)]
            texts[f"{page.file}.rst"] = _group(page, by_page[page.file], own_pages)
            for entry in own_pages:
                texts[f"{entry.name}.rst"] = _heading(_short(entry.name)) + "\n".join(_directive(entry))
    return texts


def has_page(entry: Entry) -> bool:
    """Whether an object has a page of its own: a class that is no error and holds more than a few fields."""
    if not inspect.isclass(entry.value) or issubclass(entry.value, (BaseException, tuple)):
        return False
    return not entry.home.startswith("minigrad.array_api")


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _heading(title: str, line: str = "=") -> str:
    return f"{title}\n{line * len(title)}\n\n"


def _index(by_page: dict[str, list[Entry]]) -> str:
    count = sum(len(entry.aliases) + 1 for found in by_page.values() for entry in found)
    text = _heading("API reference")
    text += (
        f"Every public name of ``minigrad`` and ``minigrad_rnn``, {count} in all, grouped as NumPy groups its own.\n\n"
    )
    for section, group in SECTIONS.items():
        text += _heading(section, "-") + ".. toctree::\n   :maxdepth: 1\n\n"
        text += "".join(f"   {page.file}\n" for page in group) + "\n"
    return text


def _group(page: Page, found: list[Entry], own_pages: list[Entry]) -> str:
    """A group's page: a table of its names, and below it what has no page of its own."""
    text = _heading(page.title) + page.about + "\n\n"
    text += ".. list-table::\n   :class: names\n   :widths: 30 70\n\n"
    for entry in found:
        also = "".join(
            f", ``{_short(alias)}``" for alias in dict.fromkeys(entry.aliases) if _short(alias) != _short(entry.name)
        )
        text += f"   * - :py:obj:`{_short(entry.name)} <{entry.name}>`{also}\n     - {inline(summary(entry.value))}\n"
    if own_pages:
        text += "\n.. toctree::\n   :hidden:\n\n" + "".join(f"   {entry.name}\n" for entry in own_pages)
    for entry in found:
        if entry not in own_pages:
            text += "\n" + "\n".join(_directive(entry)) + "\n"
    return text


def summary(value: Any) -> str:
    """The first sentence of a docstring, on one line."""
    paragraph = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
    for end in (". ", ": "):
        head, mark, _ = paragraph.partition(end)
        if mark and head.count("`") % 2 == 0 and head.count("(") == head.count(")"):
            return f"{head}."
    return paragraph


def _directive(entry: Entry) -> Iterator[str]:
    """The lines that document an object under each of its names."""
    value = entry.value
    if inspect.isclass(value):
        kind, options = ("autoexception" if issubclass(value, BaseException) else "autoclass"), _options_of(value)
    elif callable(value):
        kind, options = "autofunction", []
    else:
        kind, options = "autodata", [":no-value:"]
    yield f".. {kind}:: {entry.name}"
    yield from (f"   {option}" for option in options)
    if link := numpys(entry):
        yield f"\n   NumPy's: `{link} <{NUMPY}{link}.html>`__.\n"
    for alias in entry.aliases:
        yield f"\n.. py:{'class' if inspect.isclass(value) else 'function'}:: {alias}\n"
        yield f"   Another name of :py:obj:`{entry.name}`."


def _options_of(kind: type) -> list[str]:
    """What autodoc shows of a class: its own members, and those of its bases below Module."""
    if issubclass(kind, BaseException):
        return []
    bases = "Module, tuple, object, Tensor" if kind.__name__ not in ("Module", "Tensor") else "object"
    return [":members:", f":inherited-members: {bases}", ":show-inheritance:"]


def numpys(entry: Entry) -> str:
    """The name of NumPy's function for an operation, such as "numpy.linalg.norm", or ""."""
    if not entry.home.startswith("minigrad.ops"):
        return ""
    path = entry.name.removeprefix("minigrad.")
    theirs: Any = np
    for part in path.split("."):
        theirs = getattr(theirs, part, None)
    if theirs is None or isinstance(theirs, ModuleType):
        return ""
    own = getattr(theirs, "__name__", path)
    folder = path.rpartition(".")[0]
    return ".".join(["numpy", *([folder] if folder else []), own if own.isidentifier() else path])


def write(folder: Path) -> None:
    """Write the pages into a folder, unless they are there, and remove others."""
    folder.mkdir(exist_ok=True)
    texts = contents()
    for old in folder.glob("*.rst"):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        file = folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
