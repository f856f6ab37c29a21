"""mutmut's hooks for `make mutants`: run only the fast tests that concern the mutant's file.

The engine is mutated completely; of the operations, a random sample is mutated that depends only on the sources.
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
LARGE_SAMPLE = ("arithmetic", "exp_log", "gather", "matrix_products", "reductions", "shape", "trigonometric")
"""Files of operations with a sample of 20 mutants; the others have 5."""

ENGINE = "tests/engine tests/nn/test_module.py"
MORE = {
    "fast_path": "tests/test_numpy_protocol.py",
    "primitive": "tests/debug/test_op_list.py tests/test_numpy_protocol.py",
}
SLOW = "hundred_thousand or import_is_light"
"""Slow tests whose subjects faster tests cover too."""
CATALOGUE = " ".join(
    f"tests/ops/test_{end}.py" for end in ("catalogue", "broadcasting", "operators", "nondifferentiable")
)
FAMILIES = {
    "activations": "activations",
    "error_function": "error_function",
    "special_functions": "special",
    "elementwise": "elementwise",
    "indexing": "indexing",
    "linalg": "linalg",
    "products": "products",
    "reductions": "reductions",
    "shape": "arrays manipulation functional_programming",
    "signal": "convolution differences fft interpolation embedding pooling sliding_windows",
}
"""Test files beyond the catalogue, tests/ops/test_*.py, with the folders and files of operations that they test."""


def runner(tests: str, which: str) -> str:
    """Return the command for a mutant, with exit status 1 for any failure.

    mutmut takes all others for a success, and pytest exits with 4 where a mutant cannot be imported.
    """
    command = f"{shlex.quote(sys.executable)} -m pytest {tests} -x -q -p no:cacheprovider -k {shlex.quote(which)}"
    return f"sh -c {shlex.quote(command + ' || exit 1')}"


@functools.cache
def sample(filename: str) -> frozenset[tuple[int, int]]:
    """Return the mutants to run of a file of operations, as (line number, number on that line)."""
    source = Path(filename).read_text(encoding="utf-8")
    mutations = mutmut.list_mutations(mutmut.Context(source=source, filename=filename))
    mutants = [m for m in mutations if not re.fullmatch(r'\s*"\w+",|__all__ .*', m.line)]  # not the names in __all__
    count = min(20 if Path(filename).stem in LARGE_SAMPLE else 5, len(mutants))
    return frozenset((m.line_number, m.index) for m in random.Random(f"{SEED} {filename}").sample(mutants, count))


@functools.cache
def names(filename: str) -> str:
    """Return the names in a file's `__all__` as an expression for pytest's -k."""
    body = ast.parse(Path(filename).read_text(encoding="utf-8")).body
    lists = [s.value for s in body if isinstance(s, (ast.Assign, ast.AugAssign)) and "__all__" in ast.unparse(s)]
    return " or ".join(name for value in lists for name in ast.literal_eval(value)) or "_"


def pre_mutation(context: mutmut.Context) -> None:
    file, mutant = Path(context.filename), context.mutation_id
    if "ops" not in file.parts:
        tests = f"{ENGINE} {MORE.get(file.stem, '')}"
        context.config.test_command = runner(tests, f"not ({SLOW} or cupy)")
        return
    context.skip = (mutant.line_number, mutant.index) not in sample(context.filename)
    groups = {file.stem, file.parent.name}
    family = next((f"tests/ops/test_{family}.py" for family, of in FAMILIES.items() if groups & {*of.split()}), "")
    excluded = "cupy or against or strict"
    which = f"({names(context.filename)} or off_the_tape or every_primitive) and not ({excluded})"
    context.config.test_command = runner(f"{CATALOGUE} {family}", which)
