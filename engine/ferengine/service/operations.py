"""The REST interface as a table: what the routes are made of, and the OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ferengine import __version__
from ferengine.service import api, streams
from ferengine.service.analysis import MAX_BYTES
from ferengine.service.cameras import CameraZones, NewCamera
from ferengine.service.context import context_of
from ferengine.service.metrics import CONTENT_TYPE, metrics_text

_JSON = "application/json"


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None, text: str = "") -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}
    return schema | {"description": text} if text else schema


_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_INTEGER = {"type": "integer"}
_FLAG = {"type": "boolean"}
_SCORES = _object({"label": _TEXT, "scores": {"type": "object", "additionalProperties": _NUMBER}})

_SCHEMAS: dict[str, Any] = {
    "Error": _object({"error": _TEXT}, text="One line that says what is wrong, and what helps."),
    "Face": _object(
        {
            "track": {"type": ["integer", "null"]},
            "box": {"type": "array", "items": _NUMBER, "minItems": 4, "maxItems": 4},
            "score": _NUMBER,
            "track_confidence": _NUMBER,
            "origin": {"enum": ["detected", "tracked"]},
            "landmarks": {"type": ["array", "null"], "items": {"type": "array", "items": _NUMBER}},
            "expression": {"anyOf": [_ref("Expression"), {"type": "null"}]},
        },
        {
            "reason": _TEXT, "gender": _ref("Expression"),
            "pose": _object(dict.fromkeys(("yaw", "pitch", "roll", "age"), _NUMBER)),
            "quality": _object(dict.fromkeys(("size", "sharpness", "brightness", "contrast"), _NUMBER)),
            "zones": {"type": "array", "items": _TEXT},
        },
        "One face, as in a line of --events; there may be further keys.",
    ),
    "Expression": _object({**_SCORES["properties"], "smoothed": _SCORES}, {"reason": _TEXT}),
    "Result": _object(
        {
            "camera": _TEXT, "frame": _INTEGER, "timestamp": _NUMBER, "latency_ms": _NUMBER,
            "faces": {"type": "array", "items": _ref("Face")},
        },
        {"scene_cut": _FLAG, "prior": _TEXT, "changes": {"type": "array", "items": {"type": "object"}}},
        "One frame, as in a line of --events.",
    ),
    "Camera": _object(
        {
            "name": _TEXT, "kind": _TEXT, "source": _TEXT, "paused": _FLAG, "state": _TEXT,
            "zones": {"type": "array", "items": _ref("Zone")}, "outside_zones": {"enum": ["deliver", "ignore"]},
        },
        {
            "live": _FLAG, "frames": _INTEGER, "faces": _INTEGER, "last_frame_age_s": {"type": ["number", "null"]},
            "restarts": _INTEGER, "dropped": {"type": "object", "additionalProperties": _INTEGER},
            "error": {"type": ["string", "null"]}, "ignored": _INTEGER, "total": {"type": ["integer", "null"]},
            "size": {"type": ["array", "null"], "items": _INTEGER}, "progress": {"type": ["number", "null"]},
            "left_out": _INTEGER,
        },
        "A paused camera has the required keys only.",
    ),
    "Event": _object(
        {"event": _TEXT, "camera": _TEXT, "timestamp": _NUMBER},
        {
            "track": _INTEGER, "label": _TEXT, "confidence": _NUMBER, "before": _TEXT, "seconds": _NUMBER, "reason": _TEXT,
            "zone": _TEXT, "zones": {"type": "array", "items": _TEXT}, "snapshot": _TEXT, "clip": _TEXT, "prior": _TEXT,
        },
        "Something that happened, as MQTT and webhooks get it.",
    ),
    "Analysis": _object(
        {"width": _INTEGER, "height": _INTEGER, "faces": {"type": "array", "items": _ref("Face")}}, {"prior": _TEXT}
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the interface.

    Attributes:
        method: Of HTTP.
        path: Below the place where the application is mounted.
        handler: Answers it; its docstring is the description.
        status: Of success.
        content: Media type of the answer, and its schema; ``None`` where there is none.
        body: Media type of the request's body, and its schema.
        errors: Status codes of failures.
        query: Parameters of the query: name, and what they say.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    status: int = 200
    content: tuple[str, Any] | None = None
    body: tuple[str, Any] | None = None
    errors: tuple[int, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """As OpenAPI describes it."""
        text = " ".join((self.handler.__doc__ or "").split())
        success: dict[str, Any] = {"description": "Success"}
        if self.content is not None:
            success["content"] = {self.content[0]: {"schema": self.content[1]}}
        answers: dict[str, Any] = {str(self.status): success}
        for status in (*self.errors, 401, 429):
            answers[str(status)] = {"description": _REASONS[status], "content": {_JSON: {"schema": _ref("Error")}}}
        parameters = [
            {"name": "name", "in": "path", "required": True, "schema": _TEXT, "description": "Name of the camera."}
        ] * ("{name}" in self.path)
        parameters += [
            {"name": name, "in": "query", "schema": {"type": "array", "items": _TEXT}, "description": said}
            for name, said in self.query.items()
        ]
        record: dict[str, Any] = {
            "operationId": self.handler.__name__, "summary": text, "parameters": parameters, "responses": answers
        }  # fmt: skip
        if self.body is not None:
            record["requestBody"] = {"required": True, "content": {self.body[0]: {"schema": self.body[1]}}}
        return record


_REASONS = {
    400: "The request makes no sense",
    401: "A token is needed, or is wrong",
    403: "Not allowed",
    404: "There is no such camera",
    408: "The body took too long",
    409: "The name is taken, or the camera is in another state",
    413: "The body is too large",
    429: "Too many requests",
    503: "Not now: busy, closing, or no frame came",
}


async def get_openapi(_: Request) -> Response:
    """This document."""
    return JSONResponse(openapi())


async def get_metrics(request: Request) -> Response:
    """Metrics in the text format of Prometheus."""
    text = await asyncio.to_thread(metrics_text, context_of(request))
    return Response(text, headers={"Content-Type": CONTENT_TYPE})


_CAMERA = "/api/cameras/{name}"
_ONLY = {"camera": "Only the results of this camera; may be repeated."}
_LIST = _object({"cameras": {"type": "array", "items": _ref("Camera")}, "labels": {"type": "array", "items": _TEXT}})
_ANY = {"type": "object"}

OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/api/cameras", api.get_cameras, content=(_JSON, _LIST)),
    Operation(
        "POST", "/api/cameras", api.post_camera, 201, (_JSON, _object({"name": _TEXT})), (_JSON, _ref("NewCamera")),
        (400, 403, 408, 409, 413, 503),
    ),
    Operation("GET", _CAMERA, api.get_camera, content=(_JSON, _ref("Camera")), errors=(404,)),
    Operation("DELETE", _CAMERA, api.delete_camera, 204, errors=(404, 503)),
    Operation(
        "PUT", f"{_CAMERA}/zones", api.put_zones, 204, body=(_JSON, _ref("CameraZones")), errors=(400, 404, 408, 413, 503)
    ),
    Operation("POST", f"{_CAMERA}/pause", api.pause_camera, 204, errors=(404, 409, 503)),
    Operation("POST", f"{_CAMERA}/resume", api.resume_camera, 204, errors=(404, 409, 503)),
    Operation(
        "GET", f"{_CAMERA}/snapshot.jpg", api.get_snapshot, content=("image/jpeg", _TEXT), errors=(404, 409, 503)
    ),
    Operation(
        "GET", f"{_CAMERA}/video.mjpeg", streams.get_mjpeg, content=("multipart/x-mixed-replace", _TEXT), errors=(404, 409, 503)
    ),
    Operation(
        "GET", "/api/results", streams.get_results, content=("text/event-stream", _ref("Result")), errors=(404, 503),
        query=_ONLY,
    ),
    Operation(
        "GET", "/api/events", streams.get_events, content=("text/event-stream", _ref("Event")), errors=(404, 503), query=_ONLY
    ),
    Operation("GET", "/api/timeline", api.get_timeline, content=(_JSON, _ANY)),
    Operation("GET", "/api/health", api.get_health, content=(_JSON, _ANY)),
    Operation("GET", "/api/summary", api.get_summary, content=(_JSON, _ANY)),
    Operation(
        "POST", "/api/analyze", api.post_analyze, content=(_JSON, _ref("Analysis")),
        body=("application/octet-stream", {"type": "string", "format": "binary", "maxLength": MAX_BYTES}),
        errors=(400, 404, 408, 413, 503),
    ),
    Operation("GET", "/api/session", api.get_session, content=(_JSON, _ANY)),
    Operation("POST", "/api/session", api.post_session, 204, body=("text/plain", _TEXT), errors=(408, 413)),
    Operation("DELETE", "/api/session", api.delete_session, 204),
    Operation("GET", "/api/openapi.json", get_openapi, content=(_JSON, _ANY)),
    Operation("GET", "/metrics", get_metrics, content=("text/plain", _TEXT)),
    Operation("GET", "/healthz", api.get_alive, content=("text/plain", _TEXT), errors=(503,)),
)  # fmt: skip
"""All of it but the three WebSockets, which OpenAPI does not describe."""


def openapi() -> dict[str, Any]:
    """The document, as JSON takes it."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = operation.described()
    bodies = {
        model.__name__: model.model_json_schema(ref_template=_ref("{model}")["$ref"]) for model in (NewCamera, CameraZones)
    }
    definitions = {name: schema for body in bodies.values() for name, schema in body.pop("$defs", {}).items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ferengine",
            "version": __version__,
            "description": "Perceived facial expressions of live cameras. Besides what is here there are three WebSockets: "
            "/api/results and /api/events (a JSON object a message) and /api/cameras/{name}/video (live video with the "
            "result of each frame).",
        },
        "security": [{"token": []}, {"session": []}, {}],
        "paths": paths,
        "components": {
            "schemas": {**_SCHEMAS, **definitions, **bodies},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "ferengine_session"},
            },
        },
    }
