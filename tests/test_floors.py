"""The house: every file stands on a floor, and imports only from floors below its own, or what is allowed here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOORS = {
    "minigrad": [
        ["backend", "pool"],
        ["tape"],
        ["observer", "saved"],
        ["walk"],
        ["tensor"],
        ["fast_lane"],
        ["primitive"],
        ["ops.complex_parts", "ops.constant", "ops.elementwise", "ops.shape"],
        ["ops.error_function", "ops.exponential", "ops.remainders", "ops.trigonometric"],
        ["ops.activations", "ops.special"],
        ["ops.joining"],
        ["ops.applying", "ops.creation", "ops.places", "ops.indexing", "ops.products", "ops.reduce", "ops.windows"],
        ["ops.brackets", "ops.editing", "ops.repeating", "ops.selection", "ops.updating"],
        ["ops.diagonals"],
        [
            "ops.cumulative",
            "ops.sorting",
            "ops.statistics",
            "ops.fft",
            "ops.lookup",
            "ops.interpolation",
            "ops.differences",
            "ops.pooling",
            "ops.convolution",
            "ops.einsum",
            "ops.linalg.solving",
            "ops.loss",
        ],
        ["ops.linalg.decompositions", "ops.linalg.functions"],
        ["ops.linalg.norms"],
        ["ops.linalg.determinants"],
        ["ops.linalg"],
        ["ops.covariance", "ops.quantiles"],
        ["ops.padding"],
        ["ops"],
        ["anomaly", "entries", "functional", "hooks", "numpy_protocol", "registry"],
        ["operators"],
        ["folding"],
        ["gradcheck", "picture", "profile", "table"],
        ["layering"],
        ["layout"],
        ["labels"],
        ["svg"],
        ["drawing"],
        ["nn.hooks"],
        ["nn.module", "nn.init", "losses", "optim.optimizer", "optim.clip", "serialize"],
        ["nn.layers", "optim.formulas"],
        ["nn", "optim"],
        ["transforms.nodes", "transforms.randomness"],
        ["transforms.pytree"],
        ["transforms.application"],
        ["transforms.arguments", "transforms.checkpointing", "transforms.custom_rules", "transforms.depositing"],
        ["transforms.derivatives", "transforms.matrices"],
        ["transforms"],
        ["__init__", "__main__"],
    ],
    "minigrad_rnn": [
        ["__init__", "manual_bptt.lecture", "text", "streams", "baselines"],
        ["manual_bptt.classics"],
        ["manual_bptt.general_recurrence", "manual_bptt.step"],
        ["manual_bptt.arguments", "manual_bptt.plain_cells", "manual_bptt.normalized_cells"],
        ["manual_bptt.stack"],
        ["manual_bptt.real_time"],
        ["manual_bptt"],
        ["cells.lengths"],
        ["cells.layout", "cells.unroll", "cells.cell"],
        ["cells.rnn", "cells.lstm", "cells.gru", "cells.mgu", "cells.layer_norm"],
        ["cells.indrnn"],
        ["cells"],
        ["cuda", "cuda.planner", "cuda.source"],
        ["cuda.launches"],
        ["cuda.sequence"],
        ["arguments", "ctc_lattice", "evaluating", "given"],
        ["recurrence", "ctc", "attention", "teacher_forcing", "divergence"],
        ["truncation", "networks", "shapes"],
        ["classics.over_time", "classics.classic", "classics.connections", "decoder"],
        ["classics.sliding", "classics.simple", "classics.general_recurrence"],
        ["classics.tdnn", "classics.narx", "classics.jordan", "classics.elman", "classics.state_space"],
        ["classics"],
        ["questions", "character_model", "sampling", "loss_picture", "ctc_decoding", "torch_state"],
        ["classic_question", "decoding", "onnx_graph"],
        ["verify", "onnx_export"],
        ["doctor"],
        ["__main__"],
    ],
}
"""From the ground up. minigrad_rnn stands on the whole of minigrad."""

SAME_FLOOR = {}
"""Imports from the own floor that are allowed."""

SPECIAL_FLOOR = {"minigrad_rnn": 10**3}  # the package's face gathers what it offers
HOST_ONLY = {"minigrad_rnn.manual_bptt", "minigrad_rnn.text", "minigrad_rnn.streams", "minigrad_rnn.baselines"}
"""These, and the files in them, know NumPy, the standard library and each other only: a witness must be a stranger,
and data needs no tape."""
ARRAY_LIBRARIES = {"numpy", "cupy", "cupyx", "torch", "jax"}
WITHOUT_ARRAYS = {"minigrad.tape", "minigrad.walk", "minigrad.saved", "minigrad.observer", "minigrad.pool"}


def floor_of() -> dict[str, int]:
    table = {}
    for package, floors in FLOORS.items():
        for floor, names in enumerate(floors):
            for name in names:
                module = package if name == "__init__" else f"{package}.{name}"
                table[module] = floor + (100 if package == "minigrad_rnn" else 0)
    return {**table, **{k: v for k, v in SPECIAL_FLOOR.items() if k in table}}


TABLE = floor_of()


def modules() -> dict[str, Path]:
    found = {}
    for package in FLOORS:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(module: str, source: str, is_package: bool) -> set[str]:
    """Every module that the source imports, in full; those under `if TYPE_CHECKING` too."""
    package = module if is_package else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            # `from . import tape` imports the module tape, not the package that holds both.
            submodules = {f"{base}.{alias.name}" for alias in node.names} & TABLE.keys()
            names = {alias.name for alias in node.names}
            found |= submodules
            if len(submodules) < len(names):
                found.add(base)
    return found


def host_only(module: str) -> str | None:
    """The room of HOST_ONLY that the module is, or is in."""
    return next((room for room in HOST_ONLY if module == room or module.startswith(f"{room}.")), None)


def trespasses(module: str, source: str, is_package: bool = False) -> list[str]:
    """What the source imports and may not, each with the reason."""
    if module not in TABLE:
        return [f"{module} has no floor: give it one in FLOORS of {Path(__file__).name}"]
    wrong = []
    for name in sorted(imports(module, source, is_package)):
        top = name.partition(".")[0]
        if top in ("cupy", "cupyx") and module != "minigrad.backend":
            wrong.append(f"{module} imports {name}: only minigrad/backend.py names cupy")
        elif top in ARRAY_LIBRARIES and module in WITHOUT_ARRAYS:
            wrong.append(f"{module} imports {name}: it knows no array library")
        elif top not in FLOORS:
            continue
        elif (room := host_only(module)) and host_only(name) != room:
            wrong.append(f"{module} imports {name}: it knows NumPy and the standard library only")
        elif name not in TABLE:
            wrong.append(f"{module} imports {name}, which has no floor")
        elif TABLE[name] > TABLE[module]:
            wrong.append(f"{module} (floor {TABLE[module]}) imports {name} from above (floor {TABLE[name]})")
        elif TABLE[name] == TABLE[module] and name != module:
            allowed = SAME_FLOOR.get(module, set())
            if not isinstance(allowed, str) and name not in allowed:
                wrong.append(f"{module} imports {name} from its own floor")
    return wrong


@pytest.mark.parametrize("module", sorted(MODULES))
def test_files_import_from_below(module: str) -> None:
    path = MODULES[module]
    assert trespasses(module, path.read_text(encoding="utf-8"), path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("module", "line", "complaint"),
    [
        ("minigrad.tape", "from .tensor import Tensor", "from above"),
        ("minigrad.tape", "from . import tensor", "from above"),
        ("minigrad.tape", "import numpy as np", "no array library"),
        ("minigrad.pool", "def f():\n    import numpy", "no array library"),
        ("minigrad.ops.elementwise", "import cupy", "only minigrad/backend.py"),
        ("minigrad_rnn.recurrence", "from cupy.cuda import Stream", "only minigrad/backend.py"),
        ("minigrad.ops.shape", "from ..functional import gradients", "from above"),
        ("minigrad.ops.shape", "from .elementwise import add", "own floor"),
        ("minigrad.backend", "from .pool import Pool", "own floor"),
        ("minigrad.optim", "import minigrad_rnn", "from above"),
        ("minigrad_rnn.manual_bptt", "import minigrad", "NumPy and the standard library only"),
        ("minigrad_rnn.manual_bptt.lecture", "from .. import text", "NumPy and the standard library only"),
        ("minigrad_rnn.manual_bptt.lecture", "from ..cells import Cell", "NumPy and the standard library only"),
        ("minigrad_rnn.text", "from . import streams", "NumPy and the standard library only"),
        ("minigrad_rnn.cells.rnn", "from .lstm import LSTMCell", "own floor"),
        ("minigrad_rnn.cells.rnn", "from ..recurrence import RNN", "from above"),
        ("minigrad.fresh_file", "", "has no floor"),
        ("minigrad.functional", "from .fresh_file import thing", "has no floor"),
    ],
)
def test_a_planted_trespass_is_caught(module: str, line: str, complaint: str) -> None:
    wrong = trespasses(module, f"from __future__ import annotations\n{line}\n")
    assert len(wrong) == 1
    assert complaint in wrong[0]


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("minigrad.backend", "import cupy"),
        ("minigrad.tape", "from .pool import Pool"),
        ("minigrad.functional", "from . import ops, tape\nfrom .tensor import Tensor"),
        ("minigrad_rnn.manual_bptt.lecture", "import numpy as np"),
        ("minigrad_rnn.recurrence", "import minigrad as mg\nfrom minigrad import Tensor, nn"),
    ],
)
def test_an_import_from_below_is_allowed(module: str, line: str) -> None:
    assert trespasses(module, line) == []
