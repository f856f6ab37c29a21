"""Count the instructions of the persistent kernels between a step's product and what it publishes.

    python -m benchmarks.machine_code [CHECKOUT] [--write] [--listings FOLDER]

Every kernel that the planner offers an H200 at `SIZES` is compiled for sm_90 by NVRTC, without a GPU, and disassembled
by `nvdisasm`, of the package nvidia-cuda-nvdisasm 13, which must be on the path or named by NVDISASM. With CHECKOUT, a
folder that holds another version of the packages, its kernels stand beside this checkout's.

Counted is what one thread does from the product's last multiply-add, the last FFMA before the last shuffle (SHFL), up
to the first and the last store that another block waits for: STG.STRONG.GPU where others poll, ST into a block of the
cluster where a barrier follows. The path is `sass.usual_path`: no call (a division's slow path), no padding, no jump
back, and null pointers where the other branch has as much arithmetic.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .page import replace_block, table
from .sass import Instruction, read_kernel, usual_path

PAGE = Path(__file__).with_name("gpu.md")
BLOCK, PROGRAM = "CHECKOUT", "benchmarks.machine_code"
CELLS = {"rnn_tanh": "RNN", "lstm": "LSTM", "gru": "GRU", "gru_reset_first": "GRU, reset first"}
SIZES = ((1, 128), (16, 256), (64, 512))
"""B and H."""
ARCHITECTURE = "sm_90"
PUBLISHES = re.compile(r"STG\S*\.STRONG\.GPU|ST\.E|STAS")
COUNTED = ("SHFL", "LDG", "MUFU", "BAR", "BRA")
HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Source:
    """One kernel to compile: `name` is "forward" or "backward"."""

    cell: str
    B: int
    H: int
    name: str
    text: str
    options: tuple[str, ...]
    tile: str

    @property
    def title(self) -> str:
        return f"{CELLS[self.cell]} {self.name} {self.B}, {self.H}"


@dataclass(frozen=True)
class Tail:
    """What a thread does between a product and the stores that publish its results."""

    instructions: Sequence[Instruction]
    first: int
    """Instructions up to and with the first publishing store; `instructions` end with the last."""

    def count(self, name: str) -> int:
        return sum(one.name.split(".")[0] == name for one in self.instructions)


def sources(checkout: str) -> list[Source]:
    """Return the kernels that the packages in a folder plan. Run in a process that has not imported them yet."""
    sys.path.insert(0, checkout)
    import minigrad_rnn
    from minigrad.backend import Device
    from minigrad_rnn.cuda.planner import PERSISTENT, Shape, plan
    from minigrad_rnn.cuda.source import options, program

    found = Path(minigrad_rnn.__file__).resolve()
    if Path(checkout).resolve() not in found.parents:
        raise RuntimeError(f"machine_code: minigrad_rnn was imported from {found}, want it from {checkout}")
    device = Device("H200", 132, 227 << 10, 1 << 16, 1024, (9, 0), True)
    made = []
    for cell in CELLS:
        for B, H in SIZES:
            planned = plan(device, Shape(cell, B, H, np.dtype(np.float32), 1))
            for name in ("forward", "backward"):
                chosen = getattr(planned, name)
                if chosen.name != PERSISTENT:
                    continue
                file = "gru_reset_first.cu" if cell == "gru_reset_first" else f"{name}.cu"
                told = options(cell, H, 4, chosen.tile.macros())
                made.append(Source(cell, B, H, name, program(file, cell), told, str(chosen.tile)))
    return made


def compile_kernel(source: Source, folder: Path) -> Path:
    """Write a kernel's machine code into a folder.

    Raises:
        RuntimeError: NVRTC is missing or reports an error.
    """
    nvrtc = ctypes.CDLL(str(nvrtc_library()))
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.text.encode(), b"kernel.cu", 0, None, None)
    flags = [o.encode() for o in (*source.options, f"-arch={ARCHITECTURE}", "-std=c++17", "-ftz=true")]  # as CuPy does
    failed = nvrtc.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
    size = ctypes.c_size_t()
    kind = "ProgramLog" if failed else "CUBIN"
    getattr(nvrtc, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{kind}")(program, text)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    if failed:
        raise RuntimeError(f"{source.title}: {text.value.decode()[:3000]}")
    file = folder / f"{source.cell}_{source.B}_{source.H}_{source.name}.cubin"
    file.write_bytes(text.raw)
    return file


def nvrtc_library() -> Path:
    """Return libnvrtc of the package nvidia-cuda-nvrtc.

    Raises:
        RuntimeError: it is not installed.
    """
    found = sorted((Path(sysconfig.get_paths()["purelib"]) / "nvidia").glob("*/lib/libnvrtc.so.*"))
    if not found:
        raise RuntimeError("machine_code: NVRTC: the package nvidia-cuda-nvrtc is missing")
    return found[0]


def disassembler() -> str:
    """Return the path of nvdisasm.

    Raises:
        RuntimeError: there is none.
    """
    found = shutil.which(os.environ.get("NVDISASM", "nvdisasm"))
    if not found:
        raise RuntimeError("machine_code: nvdisasm is missing: it is in the package nvidia-cuda-nvdisasm; set NVDISASM")
    return found


def tails(path: Sequence[Instruction]) -> list[Tail]:
    """Return, for each product of a step, what lies between its last multiply-add and its publishing stores.

    Raises:
        ValueError: a publishing store has no shuffle, or no multiply-add, before it.
    """
    kinds = [one.name.split(".")[0] for one in path]
    found: dict[int, list[int]] = {}
    for k, one in enumerate(path):
        if not PUBLISHES.match(one.name):
            continue
        try:
            shuffle = len(kinds) - 1 - kinds[::-1].index("SHFL", len(kinds) - k)
            product = len(kinds) - 1 - kinds[::-1].index("FFMA", len(kinds) - shuffle)
        except ValueError:
            raise ValueError(f"tails: {one}: no product before this store") from None
        found.setdefault(product, []).append(k)
    return [Tail(path[product + 1 : stores[-1] + 1], stores[0] - product) for product, stores in sorted(found.items())]


def measured(source: Source, folder: Path) -> list[Tail]:
    """Compile, disassemble and count one kernel; its listing and the counted instructions stay in the folder."""
    cubin = compile_kernel(source, folder)
    listing = subprocess.run([disassembler(), "-c", str(cubin)], capture_output=True, text=True, check=True).stdout
    cubin.with_suffix(".sass").write_text(listing, encoding="utf-8")
    counted = tails(usual_path(read_kernel(listing, source.name), PUBLISHES))
    text = "\n\n".join("\n".join(map(str, tail.instructions)) for tail in counted)
    cubin.with_suffix(".path").write_text(f"{source.tile}\n\n{text}\n", encoding="utf-8")
    return counted


def rows(checkout: str, folder: Path) -> dict[str, Tail]:
    """Return the tails of a checkout's kernels by name."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        planned = pool.submit(sources, checkout).result()
    found = {}
    for source in planned:
        for k, tail in enumerate(measured(source, folder)):
            found[source.title + ("" if k == 0 else f", product {k + 1}")] = tail
    return found


def counts(tail: Tail | None) -> list[str]:
    """Return a table's cells: instructions to the first and to the last store, and of those the `COUNTED`."""
    if tail is None:
        return ["–"] * (2 + len(COUNTED))
    return [str(n) for n in (tail.first, len(tail.instructions), *map(tail.count, COUNTED))]


def page(now: dict[str, Tail], before: dict[str, Tail] | None) -> str:
    """Return the counts as a table; with those of another version, each cell is "before → now"."""
    lines = []
    for title in dict.fromkeys([*(before or {}), *now]):
        cells = counts(now.get(title))
        if before is not None:
            cells = [f"{a} → {b}" for a, b in zip(counts(before.get(title)), cells)]
        lines.append([title, *cells])
    return table(["kernel, B and H", "first store", "last store", *COUNTED], lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=f"python -m {PROGRAM}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", nargs="?", help="a folder that holds the version before")
    parser.add_argument("--write", action="store_true", help="write the table into benchmarks/gpu.md")
    parser.add_argument("--listings", metavar="FOLDER", help="keep the machine code and the counted paths there")
    arguments = parser.parse_args(argv)
    if arguments.write and not arguments.checkout:
        parser.error("--write: the page wants a CHECKOUT of the version before")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.listings or temporary)
        found = []
        for name, checkout in (("now", HERE), ("before", arguments.checkout)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            found.append(rows(str(Path(checkout).resolve()), folder / name) if checkout else None)
    text = page(found[0] or {}, found[1])
    print(text)
    if arguments.write:
        PAGE.write_text(replace_block(PAGE.read_text(encoding="utf-8"), BLOCK, text, PROGRAM), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
