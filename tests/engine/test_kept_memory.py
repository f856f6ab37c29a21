"""The C library keeps what a backward pass freed for the next one, rather than return it to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PASSES = """
import resource
import numpy as np
import minigrad as mg

x = mg.tensor(np.full(10_000, 0.5, np.float32), requires_grad=True)

def faults():
    x.grad, y = None, x
    for _ in range(250):
        y = mg.sin(mg.tanh(y * x) + x)
    y.sum().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

before, *_, after = [faults() for _ in range(12)][1:]
print(after - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have rules of their own")
def test_a_second_backward_pass_finds_its_memory_mapped() -> None:
    """A pass has some 7,000 pages of arrays of 40 kB, each of which would be a page fault again."""
    result = subprocess.run([sys.executable, "-c", PASSES], capture_output=True, text=True, check=True, timeout=120)
    assert int(result.stdout) < 10 * 1000
