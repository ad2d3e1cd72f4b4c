"""Rounds with seeds: ``--fault-rounds N`` runs each test so often, ``--fault-seed S`` begins with that seed.

The name of a test holds its seed, so that a failure names what repeats it:
``--fault-seed 1007 --fault-rounds 1``.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest

from faults_help import TALLY, children, descriptors
from ferengine import Engine
from ferengine.results import FrameResult
from ferengine.sources.demo import DemoSource


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        first, rounds = metafunc.config.getoption("--fault-seed"), metafunc.config.getoption("--fault-rounds")
        metafunc.parametrize("seed", range(first, first + rounds), ids=lambda seed: f"seed {seed}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := TALLY.lines():
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds of the demo as a small video file."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    source = DemoSource(320, 240, frames=150)
    source.open()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.time_base = Fraction(1, 30)
        while (captured := source.read()) is not None:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(captured.image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def undisturbed(clip: Path) -> list[FrameResult]:
    """The results of the clip when nothing happens."""
    with Engine(clip, min_face=30.0) as engine:
        return list(engine.results())


@pytest.fixture(autouse=True)
def _nothing_stays_behind(undisturbed: list[FrameResult]) -> Iterator[None]:
    """No process and no descriptor (of a ring, a socket, a file) outlives a test."""
    gc.collect()
    before = descriptors()
    processes = set(children())
    yield
    gc.collect()  # an engine in a cycle of references keeps its event pages
    assert set(children()) <= processes
    assert descriptors() <= before
