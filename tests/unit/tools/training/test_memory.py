"""Freed memory is kept for the next step."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

_PROGRAM = """
import resource
from ferengine_tools.training.memory import keep_freed_memory

def faults():
    for _ in range(20):
        bytearray(20_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

kept = keep_freed_memory()
before = faults()  # the first block is new in any case
print(kept, faults() - before)
"""


def test_a_block_that_was_freed_is_used_again() -> None:
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("this C library has no mallopt")
    kept, faults = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True).stdout.split()
    assert kept == "True"
    assert int(faults) < 1000  # of 20 blocks of 4,900 pages each
