"""Mutated inputs of each kind, read in a process that may die of them: see tests/fuzzing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzzing.kinds import KINDS

SLOW = {"manifests": 3, "networks": 3, "settings": 2}
"""Kinds whose cases take long: there are so many times fewer."""


@pytest.mark.timeout(0)  # each case has its own limit
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_inputs(kind: str, fuzz_cases: int, fuzz_seed: int, record_property: pytest.RecordProperty) -> None:
    count = max(1, fuzz_cases // SLOW.get(kind, 1))
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "fuzzing", kind, str(fuzz_seed), str(count)]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env={**os.environ, "PYTHONPATH": path}
    )
    *_, last = done.stdout.strip().splitlines() or ["no case"]
    record_property("result", last)
    print(f"{kind}: {last}")
    repeat = last.replace("case", f"repeat with -k {kind} --fuzz-cases {SLOW.get(kind, 1)} --fuzz-seed")
    assert done.returncode == 0, f"exit code {done.returncode} at {last}: {repeat}\n{done.stderr[-6000:]}"
