"""NVRTC without a GPU: a kernel's registers and spills, as its assembler reports them."""

from __future__ import annotations

import ctypes
import re
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Compiled:
    """What one kernel needs: registers of a thread, bytes spilled and of stack, bytes of its own shared memory."""

    registers: int
    spilled: int
    stack: int
    shared: int


@cache
def load_nvrtc() -> ctypes.CDLL | None:
    """libnvrtc of the package nvidia-cuda-nvrtc, or None."""
    folder = Path(sysconfig.get_paths()["purelib"]) / "nvidia"
    found = sorted(folder.glob("*/lib/libnvrtc.so.*"))
    return ctypes.CDLL(str(found[0])) if found else None


def compile_for(architecture: str, source: str, options: tuple[str, ...]) -> dict[str, Compiled]:
    """Every kernel of a source by name, compiled for an architecture such as "sm_90".

    Raises:
        ValueError: it does not compile, or the compiler warns.
    """
    nvrtc = load_nvrtc()
    assert nvrtc is not None
    made = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(made), source.encode(), b"kernel.cu", 0, None, None)
    told = [*options, f"-arch={architecture}", "-std=c++17", "-ftz=true", "--ptxas-options=-v"]  # as CuPy does
    outcome = nvrtc.nvrtcCompileProgram(made, len(told), (ctypes.c_char_p * len(told))(*(o.encode() for o in told)))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(made, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(made, text)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(made))
    log = text.value.decode()
    if outcome or "warning" in log:
        raise ValueError(f"{architecture}: {log[:3000]}")
    return _read(log)


def _read(log: str) -> dict[str, Compiled]:
    found = {}
    for part in re.split(r"Compiling entry function '", log)[1:]:
        name = part[: part.index("'")]
        stack, stored, loaded = map(
            int, re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part).groups()
        )
        registers = int(re.search(r"Used (\d+) registers", part)[1])
        shared = re.search(r"(\d+) bytes smem", part)
        found[name] = Compiled(registers, stored + loaded, stack, int(shared[1]) if shared else 0)
    return found
