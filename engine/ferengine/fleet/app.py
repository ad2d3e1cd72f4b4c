"""The page of a fleet, its metrics and its health, as an ASGI application on the parts of the service."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ferengine.errors import FerengineError
from ferengine.fleet.fleet import Fleet
from ferengine.fleet.records import FleetEvent, FleetHealth
from ferengine.json_text import json_text
from ferengine.service.access import COOKIE, SESSION_SECONDS, Access, Sessions
from ferengine.service.api import answer_error, answer_http, read_body
from ferengine.service.bodies import Bodies, UnreadBodies
from ferengine.service.metrics import CONTENT_TYPE

_EVENTS = 200
_HINT = "see the page about fleets in the documentation"
_FRESH_SECONDS = 0.5
"""Seconds for which one look at the fleet serves all clients."""
_MAX_TOKEN = 4096
_PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}

_Family = CounterMetricFamily | GaugeMetricFamily


class FleetView:
    """What the page shows of a fleet.

    Args:
        fleet: The fleet.
        describe: Makes one line of an event.
    """

    def __init__(self, fleet: Fleet, describe: Callable[[FleetEvent], str]) -> None:
        self.fleet = fleet
        self._describe = describe
        self._events: deque[str] = deque(maxlen=_EVENTS)
        self._health: tuple[float, FleetHealth] | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="ferengine-fleet-page", daemon=True).start()

    def health(self) -> FleetHealth:
        """How the fleet is, not older than half a second; blocks."""
        with self._lock:
            if self._health is None or time.monotonic() > self._health[0] + _FRESH_SECONDS:
                self._health = time.monotonic(), self.fleet.health()
            return self._health[1]

    def to_dict(self) -> dict[str, Any]:
        """The fleet with its last events, as JSON takes it; blocks."""
        health = self.health()
        return {**asdict(health), "ok": health.ok, "events": list(self._events)}

    def _listen(self) -> None:
        try:
            for event in self.fleet.events():
                self._events.append(self._describe(event))
        except FerengineError as error:
            self._events.append(str(error))


class _FleetCollector(Collector):
    """Reads the health of the fleet anew for each scrape."""

    def __init__(self, health: FleetHealth) -> None:
        self._health = health

    def collect(self) -> Iterator[_Family]:
        health = self._health
        yield GaugeMetricFamily("ferengine_fleet_up", "Whether no node is lost and each camera is read.", float(health.ok))
        moves = CounterMetricFamily("ferengine_fleet_moves", "Moves of each camera.", labels=["camera"])
        for name, camera in health.cameras.items():
            moves.add_metric([name], camera.moves)
        yield moves
        yield from self._nodes()
        yield from self._cameras()

    def _nodes(self) -> Iterator[_Family]:
        state = GaugeMetricFamily("ferengine_fleet_node_state", "1 for the state of the node.", labels=["node", "state"])
        load = GaugeMetricFamily("ferengine_fleet_node_load_cores", "CPU cores that are busy.", labels=["node"])
        capacity = GaugeMetricFamily("ferengine_fleet_node_capacity_cores", "CPU cores for cameras.", labels=["node"])
        stale = CounterMetricFamily("ferengine_fleet_stale", "Results refused after a lease had ended.", labels=["node"])
        written = CounterMetricFamily("ferengine_fleet_output_written", "Results written.", labels=["node", "output"])
        dropped = CounterMetricFamily(
            "ferengine_fleet_output_dropped", "Results and events dropped.", labels=["node", "output"]
        )
        events = CounterMetricFamily("ferengine_fleet_events_dropped", "Events of cameras dropped.", labels=["node"])
        for name, node in self._health.nodes.items():
            state.add_metric([name, node.state], 1)
            load.add_metric([name], node.load)
            capacity.add_metric([name], node.capacity)
            stale.add_metric([name], node.stale)
            events.add_metric([name], node.dropped_events)
            for output, report in node.outputs.items():
                written.add_metric([name, output], report.written)
                dropped.add_metric([name, output], report.dropped)
        yield from (state, load, capacity, stale, events, written, dropped)

    def _cameras(self) -> Iterator[_Family]:
        labels = ["camera", "node"]
        state = GaugeMetricFamily("ferengine_camera_state", "1 for the state of the camera.", labels=[*labels, "state"])
        frames = CounterMetricFamily("ferengine_frames", "Results since the node began to read the camera.", labels=labels)
        faces = CounterMetricFamily("ferengine_faces", "Faces in them.", labels=labels)
        dropped = CounterMetricFamily("ferengine_dropped", "Frames and faces dropped, by reason.", labels=[*labels, "reason"])
        load = GaugeMetricFamily("ferengine_fleet_camera_load_cores", "CPU cores that the camera takes.", labels=labels)
        age = GaugeMetricFamily("ferengine_last_result_age_seconds", "Since the camera's newest result.", labels=labels)
        for name, camera in self._health.cameras.items():
            where = [name, camera.node or ""]
            state.add_metric([*where, camera.state], 1)
            frames.add_metric(where, camera.frames)
            faces.add_metric(where, camera.faces)
            load.add_metric(where, camera.load)
            for reason, count in camera.dropped.items():
                dropped.add_metric([*where, reason], count)
            if camera.last_age is not None:
                age.add_metric(where, camera.last_age)
        yield from (state, frames, faces, dropped, load, age)


def metrics_text(health: FleetHealth) -> bytes:
    """The metrics of a fleet in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_FleetCollector(health))
    return generate_latest(registry)


def create_fleet_app(fleet: Fleet, describe: Callable[[FleetEvent], str], *, token: str | None = None) -> Starlette:
    """Make the application that shows a fleet.

    Args:
        fleet: The fleet. The application does not end it.
        describe: Makes one line of an event.
        token: What clients have to show. ``None`` lets in whatever reaches it under the name of this machine.
    """
    view = FleetView(fleet, describe)
    sessions = None if token is None else Sessions(token)
    bodies = Bodies()

    async def get_fleet(_: Request) -> Response:
        return Response(json_text(await asyncio.to_thread(view.to_dict)), media_type="application/json")

    async def get_metrics(_: Request) -> Response:
        health = await asyncio.to_thread(view.health)
        return Response(metrics_text(health), headers={"Content-Type": CONTENT_TYPE})

    async def get_alive(_: Request) -> Response:
        health = await asyncio.to_thread(view.health)
        return Response("ok\n" if health.ok else "not ok\n", 200 if health.ok else 503, media_type="text/plain")

    async def drain(request: Request) -> Response:
        await asyncio.to_thread(fleet.drain, request.path_params["name"])
        return Response(status_code=204)

    async def resume(request: Request) -> Response:
        await asyncio.to_thread(fleet.resume, request.path_params["name"])
        return Response(status_code=204)

    async def get_session(request: Request) -> Response:
        known = sessions is None or sessions.is_valid(request.cookies.get(COOKIE, ""))
        return JSONResponse({"token_needed": sessions is not None, "authenticated": known})

    async def post_session(request: Request) -> Response:
        given = (await read_body(request, _MAX_TOKEN)).decode(errors="replace").strip()
        response = Response(status_code=204)
        if sessions is None:
            return response
        refusal = sessions.refuse_token(given, request.client.host if request.client else "")
        if refusal is not None:
            return refusal
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, sessions.make(), max_age=SESSION_SECONDS, secure=secure, httponly=True, samesite="strict")
        return response

    app = Starlette(
        routes=[
            *_pages(),
            Route("/api/fleet", get_fleet, methods=["GET"]),
            Route("/api/nodes/{name}/drain", drain, methods=["POST"]),
            Route("/api/nodes/{name}/resume", resume, methods=["POST"]),
            Route("/api/session", get_session, methods=["GET"]),
            Route("/api/session", post_session, methods=["POST"]),
            Route("/metrics", get_metrics, methods=["GET"]),
            Route("/healthz", get_alive, methods=["GET"]),
        ],
        middleware=[Middleware(UnreadBodies, bodies=bodies), Middleware(Access, sessions=sessions)],
        exception_handlers={
            FerengineError: answer_error,
            HTTPException: answer_http(_HINT),
        },
    )
    app.state.bodies = bodies
    return app


def _pages() -> list[Route]:
    folder = files("ferengine.fleet") / "page"
    return [Route(path, _file((folder / name).read_bytes(), kind), methods=["GET"]) for path, (name, kind) in _PAGE.items()]


def _file(content: bytes, kind: str) -> Callable[[Request], Any]:
    async def get_file(_: Request) -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return get_file
