"""A service with a real engine that reads the demo."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from service_help import Running, demo, serving

from ferengine import Engine


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """A service for this module's tests, which shows the camera ``door``."""
    pytest.importorskip("httpx", reason="the extra `test` is not installed")
    with Engine(demo("door"), keep_open=True, min_face=30) as engine:
        assert engine.wait_ready(120)
        with serving(engine, analysis={"min_face": 40.0}) as made:
            yield made
