"""The handlers of streams: results as server-sent events and over WebSocket, video over WebSocket and as MJPEG."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from ferengine.errors import FerengineError
from ferengine.json_text import json_text
from ferengine.service.cameras import ConflictError, UnknownCameraError
from ferengine.service.context import Context, context_of
from ferengine.service.hub import Subject
from ferengine.service.live import CameraVideo, Viewer
from ferengine.service.messages import video_message

_ALIVE_SECONDS = 15.0
"""Seconds after which a comment shows that the stream is still there."""
_STALLED_SECONDS = 30.0
"""Seconds after which a client that takes nothing is disconnected."""
_BOUNDARY = "ferengine"

GONE = 4404
"""WebSocket code: there is no such camera, or it is paused."""
FAILED = 4503
"""WebSocket code: too many clients, or no video; the reason says which."""


class Streamed(StreamingResponse):
    """An answer without an end, for a client that may leave, or take nothing any more, at any time.

    Args:
        content: What is sent.
        stack: What the answer holds, such as a queue; closed with it, also where it never begins.
        kind: The media type.
    """

    def __init__(self, content: AsyncIterator[str] | AsyncIterator[bytes], stack: contextlib.AsyncExitStack, kind: str) -> None:
        super().__init__(content, media_type=kind, headers={"X-Accel-Buffering": "no"})
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(_STALLED_SECONDS):
                await send(message)

        async with self._stack:
            with contextlib.suppress(TimeoutError):  # it takes nothing: the server closes the connection
                await super().__call__(scope, receive, send_in_time)


def _wanted(request: HTTPConnection) -> frozenset[str] | None:
    """The cameras that a client asks for, ``None`` for all. Raises UnknownCameraError, since it would wait for ever."""
    names = request.query_params.getlist("camera")
    for name in names:
        context_of(request).cameras.get(name)
    return frozenset(names) if names else None


async def get_results(request: Request) -> Response:
    """Results as server-sent events: ``result`` with the JSON of a frame, ``dropped`` where this client was too slow."""
    return _sent(request, "result")


async def get_events(request: Request) -> Response:
    """What happens, as server-sent events: ``event`` with its JSON, ``dropped`` where this client was too slow."""
    return _sent(request, "event")


def _sent(request: Request, subject: Subject) -> Response:
    context = context_of(request)
    stack = contextlib.AsyncExitStack()
    listener = stack.enter_context(context.hub.listen(_wanted(request), subject))

    async def events() -> AsyncIterator[str]:
        yield "retry: 2000\n\n"
        while True:
            try:
                text = await listener.take(_ALIVE_SECONDS)
            except EOFError:
                yield "event: end\ndata: {}\n\n"
                return
            if dropped := listener.take_dropped():
                yield f'event: dropped\ndata: {{"dropped": {dropped}}}\n\n'
            yield ": still here\n\n" if text is None else f"event: {subject}\ndata: {text}\n\n"

    return Streamed(events(), stack, "text/event-stream")


async def results_socket(socket: WebSocket) -> None:
    """Results over WebSocket: one JSON object a message; ``{"dropped": N}`` where this client was too slow."""
    await _send_subject(socket, "result")


async def events_socket(socket: WebSocket) -> None:
    """What happens, over WebSocket: one JSON object a message; ``{"dropped": N}`` where this client was too slow."""
    await _send_subject(socket, "event")


async def _send_subject(socket: WebSocket, subject: Subject) -> None:
    context = context_of(socket)
    await socket.accept()
    try:
        with context.hub.listen(_wanted(socket), subject) as listener:

            async def send() -> None:
                while True:
                    text = await listener.take(_ALIVE_SECONDS)
                    if dropped := listener.take_dropped():
                        await _send_in_time(socket.send_text(json_text({"dropped": dropped})))
                    if text is not None:
                        await _send_in_time(socket.send_text(text))

            await _until_left(socket, send())
    except EOFError:
        await socket.close(1001, "the run is over")
    except UnknownCameraError as error:
        await socket.close(GONE, _reason(error))
    except FerengineError as error:
        await socket.close(FAILED, _reason(error))
    except _ClientLeftError:
        pass


async def video_socket(socket: WebSocket) -> None:
    """Live video: each message is the length of a JSON text (4 bytes, big-endian), that text, and bytes of the video.

    The first message has the type and size of the video, with its init segment; so has one after a change of size. Each
    further one has the time of a frame and its result, with the fragment of that frame.
    """
    context = context_of(socket)
    name = socket.path_params["name"]
    await socket.accept()
    try:
        _check(context, name)
        async with context.live.watch(name, "video") as (video, viewer):
            await _until_left(socket, _send_video(socket, video, viewer))
        await socket.close(FAILED if viewer.error else GONE, (viewer.error or f"{name} gives no more frames")[:120])
    except (UnknownCameraError, ConflictError) as error:
        await socket.close(GONE, _reason(error))
    except FerengineError as error:
        await socket.close(FAILED, _reason(error))
    except _ClientLeftError:
        pass


async def _send_video(socket: WebSocket, video: CameraVideo, viewer: Viewer) -> None:
    begun = b""
    skipped = 0
    while (frame := await viewer.take()) is not None:
        mime, init = video.head
        if init != begun:
            begun = init
            head = {"mime": mime, "width": frame.encoded.width, "height": frame.encoded.height}
            await _send_in_time(socket.send_bytes(video_message(head, init)))
        message = frame.message if viewer.skipped == skipped else frame.message_after(viewer.skipped - skipped)
        await _send_in_time(socket.send_bytes(message))
        skipped = viewer.skipped


async def get_mjpeg(request: Request) -> Response:
    """Live video as a sequence of JPEGs, for what plays no MP4."""
    context, name = context_of(request), request.path_params["name"]
    _check(context, name)
    stack = contextlib.AsyncExitStack()
    _, viewer = await stack.enter_async_context(context.live.watch(name, "jpeg"))

    async def parts() -> AsyncIterator[bytes]:
        while (frame := await viewer.take()) is not None:
            jpeg = frame.encoded.jpeg
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            yield head.encode() + jpeg + b"\r\n"

    return Streamed(parts(), stack, f"multipart/x-mixed-replace; boundary={_BOUNDARY}")


def _check(context: Context, name: str) -> None:
    if not context.cameras.is_running(name):
        raise ConflictError(f"{name} is paused")


class _ClientLeftError(Exception):
    """The client has closed the connection, or takes nothing any more."""


async def _until_left(socket: WebSocket, sending: Coroutine[Any, Any, None]) -> None:
    """Run ``sending`` until it ends or the client leaves; what the client says is ignored.

    Raises:
        _ClientLeftError: It has left.
    """
    send = asyncio.create_task(sending)
    listen = asyncio.create_task(_drain(socket))
    try:
        await asyncio.wait((send, listen), return_when=asyncio.FIRST_COMPLETED)
        if not send.done():
            raise _ClientLeftError
        send.result()
    finally:
        for task in (send, listen):
            task.cancel()
        await asyncio.gather(send, listen, return_exceptions=True)


async def _drain(socket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await socket.receive()
            if socket.client_state.name != "CONNECTED":
                return


async def _send_in_time(sending: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.timeout(_STALLED_SECONDS):  # wait_for would make a task of each message
            await sending
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        raise _ClientLeftError from None


def _reason(error: Exception) -> str:
    """As a WebSocket takes it: at most 123 bytes."""
    return str(error).encode()[:120].decode(errors="ignore")
