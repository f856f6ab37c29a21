"""Compile kernels with NVRTC, without a GPU, and read their registers and spills from its log."""

from __future__ import annotations

import ctypes
import re
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Compiled:
    """A kernel's registers per thread, spilled bytes, stack bytes and static shared memory."""

    registers: int
    spilled: int
    stack: int
    shared: int


@cache
def load_nvrtc() -> ctypes.CDLL | None:
    """Return libnvrtc of the package nvidia-cuda-nvrtc, or None."""
    folder = Path(sysconfig.get_paths()["purelib"]) / "nvidia"
    libraries = sorted(folder.glob("*/lib/libnvrtc.so.*"))
    return ctypes.CDLL(str(libraries[0])) if libraries else None


def compile_for(architecture: str, source: str, options: tuple[str, ...]) -> dict[str, Compiled]:
    """Compile a source for an architecture such as "sm_90" and return every kernel by name.

    Raises:
        ValueError: the source does not compile, or the compiler warns.
    """
    nvrtc = load_nvrtc()
    assert nvrtc is not None
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    flags = [*options, f"-arch={architecture}", "-std=c++17", "-ftz=true", "--ptxas-options=-v"]  # as CuPy does
    outcome = nvrtc.nvrtcCompileProgram(
        program, len(flags), (ctypes.c_char_p * len(flags))(*(o.encode() for o in flags))
    )
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, text)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    log = text.value.decode()
    if outcome or "warning" in log:
        raise ValueError(f"{architecture}: {log[:3000]}")
    return _read(log)


def _read(log: str) -> dict[str, Compiled]:
    kernels = {}
    for part in re.split(r"Compiling entry function '", log)[1:]:
        name = part[: part.index("'")]
        stack, stored, loaded = map(
            int, re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part).groups()
        )
        registers = int(re.search(r"Used (\d+) registers", part)[1])
        shared = re.search(r"(\d+) bytes smem", part)
        kernels[name] = Compiled(registers, stored + loaded, stack, int(shared[1]) if shared else 0)
    return kernels
