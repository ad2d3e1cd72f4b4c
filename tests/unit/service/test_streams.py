"""Answers without an end give back what they hold, whatever the client does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from ferengine import Engine
from ferengine.results import CameraEvent

streams = pytest.importorskip("ferengine.service.streams", reason="the extra `serve` is not installed", exc_type=ImportError)

SCOPE: dict[str, Any] = {"type": "http", "asgi": {"spec_version": "2.3"}}


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(0)


async def never(*_: Any) -> Any:
    await asyncio.sleep(3600)


def answer(send: Any, receive: Any = never) -> bool:
    """Whether the answer gave back what it held."""
    given_back: list[bool] = []

    async def run() -> None:
        stack = contextlib.AsyncExitStack()
        stack.callback(given_back.append, True)
        await asyncio.wait_for(streams.Streamed(endless(), stack, "text/plain")(SCOPE, receive, send), 60)

    asyncio.run(run())
    return given_back == [True]


def test_a_client_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_STALLED_SECONDS", 0.05)
    assert answer(never)


def test_a_socket_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_STALLED_SECONDS", 0.01)
    with pytest.raises(streams._ClientLeftError):
        asyncio.run(streams._send_in_time(never()))


def test_a_client_that_leaves_before_the_first_byte() -> None:
    async def left() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        await asyncio.sleep(0)

    assert answer(send, left)


def test_events_get_the_paths_of_their_media() -> None:
    from ferengine.service.app import create_app

    with contextlib.closing(Engine("demo", keep_open=True)) as engine:
        hub = create_app(engine, attach=lambda event: replace(event, clip="door.mp4")).state.context.hub
        [event] = hub._detector.add_camera_event(CameraEvent("door", "ended", 5.0))
    assert event.clip == "door.mp4"
