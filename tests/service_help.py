"""A service on a port of this machine, for the tests of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from ferengine import Engine
from ferengine.sources import SourceSpec, parse_source

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True)
class Running:
    """A service that answers."""

    engine: Engine
    url: str
    context: Any


def demo(name: str, **options: Any) -> SourceSpec:
    """An endless demo at 10 frames a second: light enough for a busy machine."""
    pytest.importorskip("skimage", reason="the extra `demo` is not installed")
    return parse_source("demo", name=name, loop=0, pace="native", **{"fps": 10.0, "size": "320x240"} | options)


@contextmanager
def serving(engine: Engine, **options: Any) -> Iterator[Running]:
    """A service for an engine, with options of ``create_app``."""
    pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
    from ferengine.service.app import create_app
    from ferengine.service.server import Address, Server

    app = create_app(engine, **options)
    server = Server(app, Address("127.0.0.1", 0), before_end=app.state.context.close)
    server.start()
    try:
        yield Running(engine, server.url, app.state.context)
    finally:
        server.close()
        assert not server.alive


def snapshot_of(web: httpx.Client, camera: str) -> httpx.Response:
    """The next frame of a camera, asked for again where a busy machine gives none within the service's ten seconds."""
    for _ in range(10):
        answer = web.get(f"/api/cameras/{camera}/snapshot.jpg")
        if answer.status_code != 503:
            break
    assert answer.status_code == 200, answer.text
    return answer


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
