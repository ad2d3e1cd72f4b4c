"""The whole engine on the demo, start of the workers included, beside a loop in one process over the same frames.

python -m pytest tests/benchmarks/test_engine_benchmark.py --benchmark-enable
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

pytest.importorskip("skimage", reason="the extra `demo` is not installed")

from ferengine import Engine
from ferengine.sources import SourceSpec, open_source
from ferengine_tools.bench import clips
from ferengine_tools.bench.others import plain_loop


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> SourceSpec:
    return clips.render_demo(tmp_path_factory.mktemp("demo") / "demo.mp4")


@pytest.mark.parametrize("search", ["full", "near"])
def test_engine(benchmark: BenchmarkFixture, clip: SourceSpec, search: str) -> None:
    def run() -> int:
        with Engine(clip, search=search) as engine:
            return sum(1 for _ in engine.results())

    assert benchmark.pedantic(run, rounds=3) == clips.DEMO_FRAMES


def test_single_process_loop(benchmark: BenchmarkFixture, clip: SourceSpec) -> None:
    work = plain_loop()

    def run() -> int:
        source = open_source(clip)
        source.open()
        count = 0
        while count < 60 and (captured := source.read()) is not None:
            work(captured.image)
            count += 1
        source.close()
        return count

    assert benchmark.pedantic(run, rounds=1) == 60
