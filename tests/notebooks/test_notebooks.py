"""The notebooks are stored as they should be, run to their end, and their checks know right answers from wrong ones."""

from __future__ import annotations

import importlib
import json
import re
from functools import cache
from pathlib import Path

import pytest

from tests.notebooks.answer import Answer
from tests.notebooks.notebook import FOLDER, PATHS, Notebook
from tests.test_pages import FILE, ROOT, broken_links, slides_in

pytest.importorskip("matplotlib")
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def answers(path: Path) -> dict[str, Answer]:
    module = importlib.import_module(f"tests.notebooks.answers.{path.stem.partition('_')[2]}")
    found: dict[str, Answer] = module.ANSWERS
    return found


FAULTS = [
    pytest.param(path, exercise, source, words, id=f"{exercise}-{number}")
    for path in PATHS
    for exercise, answer in answers(path).items()
    for number, (source, words) in enumerate(answer.wrong())
]


@cache
def as_it_is(path: Path) -> Notebook:
    """The notebook after one run from top to bottom, with its gaps."""
    notebook = Notebook.read(path)
    notebook.run(notebook.code())
    return notebook


@cache
def solved(path: Path) -> Notebook:
    """The same after a run with the answers filled in, without pictures and what takes long."""
    before = as_it_is(path)
    notebook = Notebook(path, before.cells, dict(before.namespace))
    cells = [cell for cell in notebook.code() if "long" not in cell.tags and not cell.id.startswith("draw-")]
    notebook.run(cells, {exercise: answer.right for exercise, answer in answers(path).items()})
    return notebook


def verdicts(notebook: Notebook) -> dict[str, str]:
    """What the checks printed, by the number of the exercise."""
    return {
        found[1]: found[2]
        for text in notebook.printed.values()
        for found in re.finditer(r"^Exercise ([^:]*): (.*)$", text, re.MULTILINE)
    }


@each_notebook
def test_it_is_stored_without_outputs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    stored = json.loads(text)
    assert (stored["nbformat"], stored["nbformat_minor"]) == (4, 5)
    assert stored["metadata"]["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert set(stored["metadata"]) == {"kernelspec", "language_info"}
    ids = [cell["id"] for cell in stored["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", id) for id in ids)
    for cell in stored["cells"]:
        want = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None), cell["id"]
            want |= {"outputs", "execution_count"}
        assert set(cell) == want
        assert set(cell["metadata"]) <= {"tags", "jupyter", "mystnb"}
    assert not re.search(r"/(?:home|tmp|Users|work|root)/|[A-Z]:\\\\", text)
    assert text == json.dumps(stored, indent=1, ensure_ascii=False) + "\n"


@each_notebook
def test_it_has_one_title_and_says_which_slides(path: Path) -> None:
    markdown = [cell.source for cell in Notebook.read(path).cells if cell.kind == "markdown"]
    assert markdown[0].startswith(f"# {path.stem[0]} · ")
    assert re.search(r"^Slides \d", markdown[0], re.MULTILINE)
    assert not any(re.match("# ", text) for text in markdown[1:])
    assert "**What to remember**" in markdown[-1]


@each_notebook
def test_files_and_slides_that_it_names_are_there(path: Path) -> None:
    text = "\n".join(cell.source for cell in Notebook.read(path).cells if cell.kind == "markdown")
    assert [name for name in FILE.findall(text) if not (ROOT / name).exists()] == []
    assert broken_links(path, text) == []
    table = (ROOT / "docs" / "lecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| *(\d[^|]*?) *\|", table, re.MULTILINE)
    assert slides_in(text)
    assert slides_in(text) <= slides_in(" ".join(f"slides {row} ." for row in rows))


def test_the_readme_lists_every_notebook_and_exercise() -> None:
    page = FOLDER / "README.md"
    text = page.read_text(encoding="utf-8")
    assert broken_links(page, text) == []
    assert [path.name for path in PATHS if f"({path.name})" not in text] == []
    numbers = [cell.id[9:].replace("-", ".") for path in PATHS for cell in Notebook.read(path).code("exercise")]
    assert [number for number in numbers if f"| {number} |" not in text] == []


@each_notebook
def test_every_exercise_has_its_text_check_and_answers(path: Path) -> None:
    notebook = Notebook.read(path)
    exercises = [cell.id for cell in notebook.code("exercise")]
    assert exercises == list(answers(path))
    assert len(exercises) >= 3
    text = "\n".join(cell.source for cell in notebook.cells if cell.kind == "markdown")
    for exercise in exercises:
        number = exercise.removeprefix("exercise-").replace("-", ".")
        assert f"### Exercise {number}" in text
        assert f'check("{number}"' in notebook.between(exercise)[-1].source
        assert len(answers(path)[exercise].faults) >= 2


@each_notebook
def test_it_runs_to_its_end_with_its_gaps(path: Path) -> None:
    notebook = as_it_is(path)
    said = verdicts(notebook)
    assert len(said) >= len(answers(path))
    assert set(said.values()) == {"no answer yet."}


@each_notebook
def test_every_figure_is_drawn(path: Path) -> None:
    notebook = as_it_is(path)
    drawing = [cell.id for cell in notebook.code() if "plt." in cell.source]
    assert len(drawing) >= 3
    assert {id: notebook.figures[id] for id in drawing} == {id: [""] for id in drawing}
    stored = {cell["id"]: cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]}
    texts = [stored[id]["metadata"]["mystnb"]["image"]["alt"] for id in drawing]  # for who does not see the picture
    assert all(len(text) > 40 for text in texts)
    assert len(set(texts)) == len(texts)


@each_notebook
def test_with_the_answers_every_check_says_right(path: Path) -> None:
    said = verdicts(solved(path))
    assert len(said) >= len(answers(path))
    assert set(said.values()) == {"right."}


@pytest.mark.parametrize(("path", "exercise", "source", "words"), FAULTS)
def test_a_wrong_answer_is_caught_in_words(path: Path, exercise: str, source: str, words: str) -> None:
    notebook = solved(path)
    cells = [notebook.cell(exercise), *notebook.between(exercise)]
    notebook.run(cells, {exercise: source})
    said = notebook.printed[cells[-1].id]
    notebook.run(cells, {exercise: answers(path)[exercise].right})
    assert ": not yet: " in said
    assert words in said
