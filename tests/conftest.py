"""Fixtures shared by the whole suite."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from ferengine._native import instruction_sets, use_instruction_set

settings.register_profile("ferengine", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("ferengine")

# OpenCV's FFmpeg reads its log level once, when the first file is opened: a test that opens one itself, before the
# sources do, must not make it talk for the rest of the session.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ferengine")
    group.addoption("--fault-rounds", type=int, default=2, help="Rounds of each test in tests/faults.")
    group.addoption("--fault-seed", type=int, default=1000, help="Seed of the first round.")
    group.addoption("--fleet-rounds", type=int, default=1, help="Moves and kills in tests/fleet; from 2 on all its tests.")
    group.addoption("--fuzz-cases", type=int, default=60, help="Mutated inputs of each kind in tests/fuzz.")
    group.addoption("--fuzz-seed", type=int, default=1, help="Seed of the mutations.")


@pytest.fixture(autouse=True)
def _no_log_handler_stays() -> Iterator[None]:
    """The command line logs to the console for the rest of its process, which a test that calls it in this one is not."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if not type(handler).__module__.startswith("_pytest")]:
        root.removeHandler(handler)


@pytest.fixture(scope="module", params=instruction_sets())
def each_instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """The tests of a module run with the C++ kernels of every instruction set that this machine has."""
    before = use_instruction_set(request.param)
    yield request.param
    use_instruction_set(before)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real faces that FERENGINE_DATA names; the test is skipped, by name, without it."""
    folder = os.environ.get("FERENGINE_DATA")
    if not folder:
        pytest.skip("FERENGINE_DATA is not set: no real faces to test on")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"FERENGINE_DATA names {folder}, which is not a folder")
    return path
