"""Zones of a running service: over REST, in its events, and drawn on the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ferengine import Engine
from ferengine.service.app import create_app
from ferengine.service.saved import StateFile
from service_help import Running, until

connect = pytest.importorskip("websockets.sync.client", reason="the extra `serve` is not installed").connect
ALL = {"name": "hall", "points": [[0, 0], [1, 0], [1, 1], [0, 1]]}


@pytest.fixture
def web(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=120) as client:
        yield client
        client.put("/api/cameras/door/zones", json={})


def results(running: Running, wanted: Any, subject: str = "results") -> dict[str, Any]:
    """The first result, or event, that is ``wanted``."""
    with connect(f"{running.url.replace('http', 'ws')}/api/{subject}") as socket:
        while not wanted(record := json.loads(socket.recv(90))):
            pass
    return record  # type: ignore[no-any-return]


def test_zones_of_a_running_camera(running: Running, web: httpx.Client) -> None:
    results(running, lambda result: result["faces"])
    assert web.put("/api/cameras/door/zones", json={"zones": [ALL]}).status_code == 204
    [face, *_] = results(running, lambda result: any("zones" in face for face in result["faces"]))["faces"]
    assert face["zones"] == ["hall"]
    described = web.get("/api/cameras/door").json()
    assert (described["zones"], described["outside_zones"]) == ([{**ALL, "kind": "watch"}], "deliver")
    before = described["ignored"]
    assert web.put("/api/cameras/door/zones", json={"zones": [{**ALL, "kind": "ignore"}]}).status_code == 204
    until(lambda: web.get("/api/cameras/door").json()["ignored"] > before)
    results(running, lambda result: not result["faces"])
    assert 'ferengine_ignored_total{camera="door"}' in web.get("/metrics").text
    assert all(worker.restarts == 0 for worker in running.engine.health().workers.values())


def test_people_who_enter_a_zone_are_events(running: Running, web: httpx.Client) -> None:
    assert web.put("/api/cameras/door/zones", json={"zones": [ALL]}).status_code == 204
    socket = connect(f"{running.url.replace('http', 'ws')}/api/events?camera=door")
    with socket, web.stream("GET", "/api/events") as answer:
        assert web.post("/api/cameras/door/pause").status_code == 204
        assert web.post("/api/cameras/door/resume").status_code == 204
        until(lambda: json.loads(socket.recv(90))["event"] == "zone_entered")
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        event = next(event for event in map(json.loads, (line[6:] for line in lines)) if event["event"] == "zone_entered")
    assert (event["camera"], event["zone"]) == ("door", "hall")
    assert isinstance(event["track"], int)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "the request"),
        (b'{"zones": [{"name": "a", "points": [[0, 0], [1, 1]]}]}', "zones.0.points"),
        (b'{"zones": [{"name": "a", "points": [[0, 0], [1, 1], [1, 0], [0, 1]]}]}', "must not cross itself"),
        (b'{"zones": [{"name": "a", "points": [[0, 0], [1, 1], [1, 1e999]]}]}', "zones.0.points"),
        (b'{"outside_zones": "drop"}', "outside_zones"),
        (b'{"regions": []}', "regions"),
    ],
)  # fmt: skip
def test_zones_that_make_no_sense_are_refused(web: httpx.Client, body: bytes, said: str) -> None:
    answer = web.put("/api/cameras/door/zones", content=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert web.put("/api/cameras/attic/zones", json={}).status_code == 404


def test_cameras_and_zones_are_kept(tmp_path: Any) -> None:
    from starlette.testclient import TestClient

    file = StateFile(tmp_path / "state.json")
    with Engine("demo", keep_open=True) as engine:
        client = TestClient(create_app(engine, state=file), base_url="http://localhost")
        zones = [ALL]
        assert client.post("/api/cameras", json={"source": "demo", "name": "added", "zones": zones}).status_code == 201
        assert client.put("/api/cameras/demo/zones", json={"zones": zones, "outside_zones": "ignore"}).status_code == 204
        beginning = file.begin(engine.sources[name] for name in ("demo",))
        assert [spec.name for spec in beginning.sources] == ["demo", "added"]
        assert all(spec.zones[0].name == "hall" for spec in beginning.sources)
        assert beginning.sources[1].pace == "native"
        client.post("/api/cameras/added/pause")
        assert list(file.begin([]).paused) == ["added"]
        assert client.put("/api/cameras/added/zones", json={}).status_code == 204
        assert file.begin([]).paused["added"].zones == ()
        again = TestClient(create_app(engine, state=file, beginning=file.begin([])), base_url="http://localhost")
        assert again.get("/api/cameras/added").json()["state"] == "paused"
        client.delete("/api/cameras/added")
        assert file.begin([]).paused == {}
