"""Notebook reads a stored notebook and runs its code cells in one namespace, without Jupyter."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))


@dataclass
class Cell:
    """One cell: its id, kind ("code" or "markdown"), tags and source."""

    id: str
    kind: str
    tags: tuple[str, ...]
    source: str


@dataclass
class Notebook:
    """The cells of a stored notebook and, once `run` was called, what they left behind."""

    path: Path
    cells: list[Cell]
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    printed: dict[str, str] = field(default_factory=dict)
    """What each code cell printed, by its id."""
    figures: dict[str, list[str]] = field(default_factory=dict)
    """What each figure that a cell showed lacks, by the cell's id: "" for a whole one."""

    @classmethod
    def read(cls, path: Path) -> Notebook:
        stored = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return cls(
            path,
            [Cell(c["id"], c["cell_type"], tuple(c["metadata"].get("tags", ())), "".join(c["source"])) for c in stored],
        )

    def code(self, tag: str = "") -> list[Cell]:
        """Return the code cells, or those with a tag."""
        return [cell for cell in self.cells if cell.kind == "code" and (not tag or tag in cell.tags)]

    def cell(self, id: str) -> Cell:
        return next(cell for cell in self.cells if cell.id == id)

    def between(self, exercise: str) -> list[Cell]:
        """Return the code cells after an exercise up to its check, which has its number."""
        ids = [cell.id for cell in self.code()]
        begin, end = ids.index(exercise), ids.index(exercise.replace("exercise", "check"))
        return self.code()[begin + 1 : end + 1]

    def run(self, cells: list[Cell], instead: dict[str, str] | None = None) -> None:
        """Run code cells in the notebook's namespace; `instead` has other sources by a cell's id."""
        with surroundings() as pyplot:
            for cell in cells:
                shown: list[str] = []
                source = (instead or {}).get(cell.id, cell.source)
                with (
                    contextlib.redirect_stdout(io.StringIO()) as out,
                    mock.patch.object(pyplot, "show", lambda shown=shown: shown.extend(lacks(pyplot))),
                ):
                    exec(compile(source, f"{self.path.name}: {cell.id}", "exec"), self.namespace)
                self.printed[cell.id], self.figures[cell.id] = out.getvalue(), shown
                assert not pyplot.get_fignums(), f"{cell.id} draws a figure and does not show it"


def lacks(pyplot: Any) -> list[str]:
    """Lay the open figures out and close them; return what each lacks, "" if nothing."""
    found = []
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        figure.draw_without_rendering()
        drawn = [a for axes in figure.axes for a in (*axes.lines, *axes.patches, *axes.images, *axes.texts)]
        lines = [line for axes in figure.axes for line in axes.lines]
        lost = [line for line in lines if not np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any()]
        named = [axes for axes in figure.axes if axes.axison and not axes.images and axes.get_label() != "<colorbar>"]
        unnamed = [axes for axes in named if not axes.get_shared_x_axes().get_siblings(axes)]
        found.append("" if drawn and not lost and not unnamed else f"{len(drawn)} things drawn, {len(lost)} not finite")
    pyplot.close("all")
    return found


@contextlib.contextmanager
def surroundings() -> Iterator[Any]:
    """Give a notebook its own folder on the path, Agg, and its own figure settings; yields pyplot."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with mock.patch.object(sys, "path", [str(FOLDER), *sys.path]), matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield pyplot
