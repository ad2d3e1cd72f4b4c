"""The page of a fleet, its metrics and its health, on a fleet that is made up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="needs the extra fleet")
pytest.importorskip("prometheus_client", reason="needs the extra serve")
pytest.importorskip("starlette", reason="needs the extra serve")

from starlette.testclient import TestClient

from ferengine.cli.fleet import line_of
from ferengine.errors import UsageError
from ferengine.fleet.app import create_fleet_app
from ferengine.fleet.records import CameraStatus, FleetEvent, FleetHealth, NodeStatus, OutputReport

TOKEN = "0123456789abcdef"


class MadeUpFleet:
    """Two nodes, one of them lost, and a camera that was moved."""

    def __init__(self) -> None:
        self.drained: list[str] = []
        self.lost = True

    def health(self) -> FleetHealth:
        outputs = {"mqtt": OutputReport(7, 2)}
        nodes = {
            "a": NodeStatus("a", "alive", 0.1, 3.2, 1.5, ("door",), {"site": "north"}, "http://10.0.0.1:80", 3, outputs),
            "b": NodeStatus("b", "lost" if self.lost else "alive", 9.0, 3.2, 0.0, (), {}, None, 0, {}),
        }
        door = CameraStatus("door", "running", "a", 2, 70, 40, 25.0, 0.4, 0.02, 1, {"late": 5}, {"site": "north"}, None)
        return FleetHealth("test", nodes, {"door": door}, 1, 1, 0.0)

    def events(self) -> Iterator[FleetEvent]:
        yield FleetEvent("moved", 0.0, "door", "a", "b", 6.25, "node dead")

    def drain(self, node: str) -> None:
        if node not in ("a", "b"):
            raise UsageError(f"there is no node {node!r}")
        self.drained.append(node)


@pytest.fixture
def fleet() -> MadeUpFleet:
    return MadeUpFleet()


def client(fleet: Any, **options: Any) -> TestClient:
    return TestClient(create_fleet_app(fleet, line_of, **options), base_url="http://localhost")


def test_the_page_and_what_it_shows(fleet: MadeUpFleet) -> None:
    page = client(fleet)
    assert "<title>ferengine fleet</title>" in page.get("/").text
    assert page.get("/page.js").headers["Content-Type"].startswith("text/javascript")
    shown = page.get("/api/fleet").json()
    assert shown["ok"] is False
    assert shown["nodes"]["a"]["url"] == "http://10.0.0.1:80"
    assert shown["cameras"]["door"]["node"] == "a"
    assert shown["events"][0].endswith("door: moved from b to a after 6.2 s (node dead)")


def test_metrics_have_the_labels_of_node_and_camera(fleet: MadeUpFleet) -> None:
    text = client(fleet).get("/metrics").text
    assert 'ferengine_frames_total{camera="door",node="a"} 70.0' in text
    assert 'ferengine_fleet_node_state{node="b",state="lost"} 1.0' in text
    assert 'ferengine_fleet_output_dropped_total{node="a",output="mqtt"} 2.0' in text
    assert 'ferengine_fleet_moves_total{camera="door"} 1.0' in text
    assert 'ferengine_fleet_stale_total{node="a"} 3.0' in text


@pytest.mark.parametrize(("lost", "status"), [(True, 503), (False, 200)])
def test_health(fleet: MadeUpFleet, lost: bool, status: int) -> None:
    fleet.lost = lost
    assert client(fleet).get("/healthz").status_code == status


def test_nodes_are_drained(fleet: MadeUpFleet) -> None:
    page = client(fleet)
    assert page.post("/api/nodes/a/drain").status_code == 204
    assert fleet.drained == ["a"]
    refused = page.post("/api/nodes/z/drain")
    assert (refused.status_code, refused.json()) == (400, {"error": "there is no node 'z'"})
    assert page.post("/api/nodes/a/drain", headers={"Origin": "http://elsewhere"}).status_code == 403


def test_unknown_paths_and_methods_say_so(fleet: MadeUpFleet) -> None:
    page = client(fleet)
    for answer, status, said in (
        (page.get("/nothing"), 404, "there is nothing here: see the page about fleets in the documentation"),
        (page.post("/api/fleet"), 405, "this path takes other methods: see the page about fleets in the documentation"),
    ):
        assert (answer.status_code, answer.json()) == (status, {"error": said})


def test_a_token_is_asked_for(fleet: MadeUpFleet) -> None:
    page = client(fleet, token=TOKEN)
    assert page.get("/api/fleet").status_code == 401
    assert page.get("/metrics").status_code == 401
    assert page.post("/api/session", content="wrong").status_code == 401
    assert page.post("/api/session", content=TOKEN).status_code == 204
    assert page.get("/api/fleet").status_code == 200
    assert client(fleet, token=TOKEN).get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
