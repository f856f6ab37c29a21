"""What `make mutants` runs for each mutant: the few, fast tests that concern its file. mutmut reads this by its name.

The core is mutated whole; of the many operations a random sample is drawn, the same in every run of the same sources.
"""

from __future__ import annotations

import ast
import functools
import random
import re
import shlex
import sys
from pathlib import Path

import mutmut

SEED = 4
TWENTY = ("arithmetic", "exp_log", "gather", "matrix_products", "reductions", "shape", "trigonometric")
"""The files of which so many mutants are drawn; of any other file of operations, five."""

CORE = "tests/engine tests/nn/test_module.py"
MORE = {
    "fast_path": "tests/test_numpy_protocol.py",
    "primitive": "tests/debug/test_op_list.py tests/test_numpy_protocol.py",
}
LONG = "hundred_thousand or import_is_light"
"""What others look at too, in less time."""
FAMILIES = {
    "elementwise": "activations elementwise",
    "indexing": "indexing",
    "linalg": "linalg",
    "products": "products",
    "reductions": "reductions",
    "shape": "arrays manipulation functional_programming",
    "signal": "convolution differences fft interpolation embedding pooling sliding_windows",
}
"""Of folders and files of operations: the end of the name of the test file that goes beyond the catalogue."""


def runner(tests: str, which: str) -> str:
    """mutmut takes every exit status but 1 for a success, and pytest's is 4 where a mutant cannot even be imported."""
    command = f"{shlex.quote(sys.executable)} -m pytest {tests} -x -q -p no:cacheprovider -k {shlex.quote(which)}"
    return f"sh -c {shlex.quote(command + ' || exit 1')}"


@functools.cache
def sample(filename: str) -> frozenset[tuple[int, int]]:
    """The mutants of a file of operations that are run, as (line number, number on that line)."""
    source = Path(filename).read_text(encoding="utf-8")
    found = mutmut.list_mutations(mutmut.Context(source=source, filename=filename))
    mutants = [m for m in found if not re.fullmatch(r'\s*"\w+",', m.line)]  # not the names that the file offers
    many = min(20 if Path(filename).stem in TWENTY else 5, len(mutants))
    return frozenset((m.line_number, m.index) for m in random.Random(f"{SEED} {filename}").sample(mutants, many))


@functools.cache
def names(filename: str) -> str:
    """The operations that a file offers, as pytest's -k has them."""
    for statement in ast.parse(Path(filename).read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return " or ".join(ast.literal_eval(statement.value))
    return "_"


def pre_mutation(context: mutmut.Context) -> None:
    file, mutant = Path(context.filename), context.mutation_id
    if "ops" not in file.parts:
        tests = f"{CORE} {MORE.get(file.stem, '')}"
        context.config.test_command = runner(tests, f"not ({LONG} or cupy)")
        return
    context.skip = (mutant.line_number, mutant.index) not in sample(context.filename)
    places = {file.stem, file.parent.name}
    family = next((f"tests/ops/test_{family}.py" for family, of in FAMILIES.items() if places & {*of.split()}), "")
    left_out = "cupy or against or strict"
    which = f"({names(context.filename)} or off_the_tape or every_primitive) and not ({left_out})"
    context.config.test_command = runner(f"tests/ops/test_catalogue.py {family}", which)
