"""The handlers of the REST interface."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ferengine import __version__
from ferengine.errors import EngineStoppedError, FerengineError, ServiceError, UsageError
from ferengine.json_text import json_text
from ferengine.service.access import COOKIE, SESSION_SECONDS, problem
from ferengine.service.analysis import MAX_BYTES
from ferengine.service.cameras import (
    CameraZones,
    ConflictError,
    ForbiddenSourceError,
    NewCamera,
    UnknownCameraError,
    read_body_as,
)
from ferengine.service.context import context_of

_MAX_JSON = 160 << 10
_BODY_SECONDS = 30.0
_SNAPSHOT_SECONDS = 10.0

_STATUS: tuple[tuple[type[FerengineError], int], ...] = (
    (UnknownCameraError, 404),
    (ConflictError, 409),
    (ForbiddenSourceError, 403),
    (UsageError, 400),
    (ServiceError, 503),
    (EngineStoppedError, 503),
)


class BodyTooLargeError(FerengineError):
    """The body of a request is larger than allowed."""


class BodyTimeoutError(FerengineError):
    """The body of a request did not come in time."""


async def get_session(request: Request) -> Response:
    """Say whether a token is needed, and whether this client has shown it."""
    sessions = context_of(request).sessions
    known = sessions is None or sessions.is_valid(request.cookies.get(COOKIE, ""))
    return JSONResponse({"token_needed": sessions is not None, "authenticated": known, "version": __version__})


async def post_session(request: Request) -> Response:
    """Show the token, and get a cookie for it."""
    sessions = context_of(request).sessions
    given = (await read_body(request, _MAX_JSON)).decode(errors="replace").strip()
    response = Response(status_code=204)
    if sessions is None:
        return response
    refusal = sessions.refuse_token(given, request.client.host if request.client else "")
    if refusal is not None:
        return refusal
    response.set_cookie(
        COOKIE, sessions.make(), max_age=SESSION_SECONDS, path=request.scope.get("root_path") or "/",
        secure=request.url.scheme == "https", httponly=True, samesite="strict",
    )  # fmt: skip
    return response


async def delete_session(request: Request) -> Response:
    """Let the client delete the cookie."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=request.scope.get("root_path") or "/")
    return response


async def get_health(request: Request) -> Response:
    """The state of the engine, its workers, cameras and consumers, and of this service."""
    context = context_of(request)
    health = context.engine.health()
    service = {
        "listeners": context.hub.listeners,
        "dropped": context.hub.dropped,
        "viewers": context.live.viewers,
        "video": context.live.counts(),
    }
    record = {"time": round(time.time(), 3), "ok": health.ok, **asdict(health), "service": service}
    return Response(json_text(record), media_type="application/json")


async def get_alive(request: Request) -> Response:
    """200 while the engine runs, else 503; says nothing more, and needs no token."""
    state = context_of(request).engine.health().state
    return Response(f"{state}\n", 200 if state in ("starting", "running") else 503, media_type="text/plain")


async def get_summary(request: Request) -> Response:
    """The metrics of the run so far."""
    summary = await asyncio.to_thread(context_of(request).engine.summary)
    return Response(json_text(summary), media_type="application/json")


async def get_cameras(request: Request) -> Response:
    """All cameras."""
    context = context_of(request)
    record = {"cameras": context.cameras.list(), "labels": context.engine.labels}
    return Response(json_text(record), media_type="application/json")


async def post_camera(request: Request) -> Response:
    """Add a camera."""
    context = context_of(request)
    name = await context.cameras.add(read_body_as(NewCamera, await read_body(request, _MAX_JSON)))
    return JSONResponse({"name": name}, 201)


async def get_camera(request: Request) -> Response:
    """One camera."""
    camera = context_of(request).cameras.get(request.path_params["name"])
    return Response(json_text(camera), media_type="application/json")


async def delete_camera(request: Request) -> Response:
    """Remove a camera."""
    context, name = context_of(request), request.path_params["name"]
    try:
        await context.cameras.remove(name)
    except ServiceError:  # it is gone, and only the file does not know
        await context.forget(name)
        raise
    await context.forget(name)
    return Response(status_code=204)


async def put_zones(request: Request) -> Response:
    """Replace the zones of a camera, from its next frame on."""
    zones = read_body_as(CameraZones, await read_body(request, _MAX_JSON))
    await context_of(request).cameras.set_zones(request.path_params["name"], zones)
    return Response(status_code=204)


async def pause_camera(request: Request) -> Response:
    """Close a camera, and remember it."""
    context, name = context_of(request), request.path_params["name"]
    try:
        await context.cameras.pause(name)
    except ServiceError:
        await context.forget(name)
        raise
    await context.forget(name)
    return Response(status_code=204)


async def resume_camera(request: Request) -> Response:
    """Open a paused camera again."""
    await context_of(request).cameras.resume(request.path_params["name"])
    return Response(status_code=204)


async def get_snapshot(request: Request) -> Response:
    """The next frame of a camera, as a JPEG."""
    context, name = context_of(request), request.path_params["name"]
    if not context.cameras.is_running(name):
        raise ConflictError(f"{name} is paused")
    async with context.live.watch(name, "jpeg") as (_, viewer):
        try:
            frame = await asyncio.wait_for(viewer.take(), _SNAPSHOT_SECONDS)
        except TimeoutError:
            raise ServiceError(f"{name} gave no frame within {_SNAPSHOT_SECONDS:.0f} s") from None
    if frame is None:
        raise ServiceError(viewer.error or f"{name} gives no more frames")
    headers = {"X-Ferengine-Frame": str(frame.result.frame), "X-Ferengine-Timestamp": f"{frame.result.timestamp:.6f}"}
    return Response(frame.encoded.jpeg, media_type="image/jpeg", headers=headers)


async def get_timeline(request: Request) -> Response:
    """What each person of the last minutes showed, one sample a second."""
    now = time.time()
    record = {"now": round(now, 3), "cameras": context_of(request).hub.timeline.to_dict(now)}
    return Response(json_text(record), media_type="application/json")


async def post_analyze(request: Request) -> Response:
    """Read the faces of one image: the body is the file."""
    analysis = context_of(request).analysis
    if analysis is None:
        return problem(404, "this service reads no images: it was started without that")
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise UsageError("the body is a form: send the bytes of the image alone (curl --data-binary @face.jpg)")
    with analysis.place():
        image = await read_body(request, MAX_BYTES)
    if not image:
        raise UsageError("the body is empty: send the bytes of an image (curl --data-binary @face.jpg)")
    return Response(await analysis.analyse(image), media_type="application/json")


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request.

    Raises:
        BodyTooLargeError: It is, or says that it is, larger than ``limit`` bytes.
        BodyTimeoutError: It takes too long.
    """
    too_large = BodyTooLargeError(f"the body is larger than {limit >> 10} KiB, which is the maximum")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise too_large
    data = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                data += part
                if len(data) > limit:
                    raise too_large
    except TimeoutError:
        raise BodyTimeoutError(f"the body did not come within {_BODY_SECONDS:.0f} s") from None
    except ClientDisconnect:
        raise BodyTimeoutError("the client has left") from None
    return bytes(data)


async def answer_error(_: Request, error: Exception) -> Response:
    """One clear line, and the status that fits."""
    if isinstance(error, BodyTooLargeError):
        return problem(413, str(error))
    if isinstance(error, BodyTimeoutError):
        return problem(408, str(error))
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return problem(status, str(error), {"Retry-After": "1"} if status == 503 else None)
    return problem(500, str(error))


def answer_http(hint: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Make the handler of what no route takes; ``hint`` says where it is described which ones there are."""
    texts = {404: f"there is nothing here: {hint}", 405: f"this path takes other methods: {hint}"}

    async def answer(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem(error.status_code, texts.get(error.status_code, error.detail), dict(error.headers or {}))

    return answer
