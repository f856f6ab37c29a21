"""Describe this machine's CPU: what is compiled for it may not run on another."""

from __future__ import annotations

import platform
import struct
import sys
from functools import cache
from pathlib import Path

from .child_process import Deadline, run
from .errors import NativeError

CPUINFO = Path("/proc/cpuinfo")
FIELDS = {
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),  # x86-64
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features"),  # ARM
    *("cpu", "machine", "isa", "uarch", "features"),  # POWER, RISC-V, s390
}
"""The lines of /proc/cpuinfo that say what a CPU is, and not how fast it runs just now."""


@cache
def description() -> str:
    """Return the CPU's model and instruction sets, on one line each, and the size of this Python's pointers."""
    lines = [sys.platform, platform.machine(), f"{8 * struct.calcsize('P')} bits"]
    return "\n".join([*lines, *_model()])


def _model() -> list[str]:
    try:
        text = CPUINFO.read_text(errors="replace")
    except OSError:
        text = ""
    # Each core has its lines; cores of two kinds have different ones.
    if found := sorted({line for line in text.splitlines() if line.partition(":")[0].strip() in FIELDS}):
        return found
    if sys.platform == "darwin":
        try:
            return [run(("/usr/sbin/sysctl", "machdep.cpu", "hw.optional"), "sysctl", Deadline(1.0)).words]
        except NativeError:
            pass
    return [platform.processor()]
