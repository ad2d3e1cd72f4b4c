"""The service as an ASGI application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from ferengine.config import make_config
from ferengine.engine import Engine
from ferengine.errors import FerengineError, UsageError
from ferengine.models.priors import choose_prior
from ferengine.models.registry import DEFAULT, load_model
from ferengine.models.settings import ADAPT
from ferengine.service.access import MIN_TOKEN, PAGE, Access, Sessions
from ferengine.service.analysis import ImageAnalysis
from ferengine.service.api import answer_error, answer_http
from ferengine.service.bodies import Bodies, UnreadBodies
from ferengine.service.cameras import CameraBook
from ferengine.service.context import Context
from ferengine.service.hub import Hub
from ferengine.service.live import Live
from ferengine.service.operations import OPERATIONS
from ferengine.service.saved import Beginning, StateFile
from ferengine.service.streams import events_socket, results_socket, video_socket
from ferengine.sinks.person_events import Event, EventDetector

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_ANALYZER = (
    "detector", "min_face", "thresholds", "pyramid_factor", "align", "model", "prior", "gender", "min_confidence",
    "check_quality", "backend", "precision",
)  # fmt: skip
"""Settings of the engine that concern still images, too."""


def create_app(
    engine: Engine,
    *,
    token: str | None = None,
    analysis: Mapping[str, Any] | None = None,
    allow_files: bool = False,
    max_clients: int = 64,
    state: StateFile | None = None,
    beginning: Beginning = Beginning(),  # noqa: B008 - it is not changed
    attach: Callable[[Event], Event] | None = None,
) -> Starlette:
    """Make the application that shows an engine: to run by itself, or to mount in another.

    Mounted, it runs on the loop of the application around it, whose middleware and limits come first; its pages and paths
    are relative to where it is mounted. It begins to take results with its first request, or its lifespan.

    Args:
        engine: The engine, started or not. The application does not end it.
        token: What clients have to show. ``None`` lets in whatever reaches it under the name of this machine.
        analysis: Settings (of ``EngineConfig``) for images that clients send, of which those that concern single images count;
            ``None`` refuses images.
        allow_files: Whether requests may add files and folders of this machine as cameras.
        max_clients: How many clients may watch video, and how many may take results, at once.
        state: Where to keep the cameras and zones that requests add and change; ``None`` forgets them with the application.
        beginning: What ``state`` held; the engine has its ``sources`` already.
        attach: Gives an event the paths of its snapshot and its clip, where these are written.

    Raises:
        UsageError: The token is too short, or one of the settings for images is unknown or wrong.
        ModelError: A prior is among these, and the model that it is for is damaged.

    Example:
        Beside one's own pages::

            engine = Engine("rtsp://camera.local/stream", keep_open=True)
            app = Starlette(routes=[Mount("/faces", create_app(engine, token=TOKEN))])
    """
    if not isinstance(token, str | None):
        raise UsageError(f"the token is a text of at least {MIN_TOKEN} characters, not {type(token).__name__}")
    if token is not None and len(token) < MIN_TOKEN:
        raise UsageError(f"the token has {len(token)} characters, and needs at least {MIN_TOKEN}: make a longer one")
    settings = None if analysis is None else _analyzer_settings(analysis)
    prior = None if engine.prior is None else engine.prior.name
    detector = EventDetector(prior=prior) if attach is None else EventDetector(attach, prior)
    context = Context(
        engine,
        CameraBook(engine, allow_files=allow_files, state=state, beginning=beginning),
        Hub(engine, max_clients, detector),
        Live(engine, max_clients),
        None if settings is None else ImageAnalysis(settings, _prior_of(settings)),
        None if token is None else Sessions(token),
        Bodies(),
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        context.start()
        yield
        await context.close()

    app = Starlette(
        routes=[*_pages(), *_routes()],
        middleware=[Middleware(UnreadBodies, bodies=context.bodies), Middleware(Access, sessions=context.sessions)],
        exception_handlers={FerengineError: answer_error, HTTPException: answer_http("see api/openapi.json")},
        lifespan=lifespan,
    )
    app.state.context = context
    return app


def _analyzer_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the analyzer needs of settings of an engine, in a form that JSON takes. Raises UsageError."""
    config = make_config(**given)
    known = {name: getattr(config, name) for name in _ANALYZER if name in given}
    if known.get("prior") == ADAPT:  # an image is of no camera: it is read under what every camera starts from
        del known["prior"]
    return known


def _prior_of(settings: Mapping[str, Any]) -> dict[str, float] | None:
    """The probabilities of the prior that images are read under, None where none is chosen. Raises UsageError, ModelError."""
    if settings.get("prior") is None:
        return None
    prior = choose_prior(load_model(settings.get("model", DEFAULT), "expression").manifest, settings["prior"])
    return None if prior is None else prior.by_label()


def _routes() -> list[BaseRoute]:
    rest = [Route(item.path, item.handler, methods=[item.method]) for item in OPERATIONS]
    sockets = [
        WebSocketRoute("/api/results", results_socket),
        WebSocketRoute("/api/events", events_socket),
        WebSocketRoute("/api/cameras/{name}/video", video_socket),
    ]
    return [*rest, *sockets]


def _pages() -> list[BaseRoute]:
    folder = files("ferengine.service") / "page"
    return [
        Route(path, _file((folder / name).read_bytes(), _KINDS[PurePath(name).suffix]), methods=["GET"])
        for path, name in PAGE.items()
    ]


def _file(content: bytes, kind: str) -> Any:
    async def get_file(_: Request) -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return get_file
