"""What a coordinator leaves to its successor, as JSON. Sources in it are sealed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ferengine.errors import UsageError
from ferengine.fleet.members import Camera, Member
from ferengine.fleet.records import Beat

_VERSION = 1


@dataclass(frozen=True, slots=True)
class TableState:
    """What a lease table is restored from.

    Attributes:
        epoch: The last one that was given.
        cameras: All of them.
        nodes: All of them; those that were not lost may still hold a lease.
        requests: The changes that were made last, by their ids.
    """

    epoch: int
    cameras: tuple[Camera, ...]
    nodes: tuple[Member, ...]
    requests: tuple[str, ...]


def dump_state(epoch: int, cameras: Iterable[Camera], nodes: Iterable[Member], requests: Iterable[str]) -> bytes:
    """Return the state that ``load_state`` reads.

    Args:
        epoch: The last one that was given.
        cameras: All of them.
        nodes: All of them.
        requests: The changes that were made last.
    """
    state = {
        "version": _VERSION,
        "epoch": epoch,
        "cameras": [
            {
                "name": camera.name, "sealed": base64.b64encode(camera.sealed).decode(), "affinity": camera.affinity,
                "epoch": camera.epoch, "holder": camera.holder, "removing": camera.removing, "ended": camera.ended,
                "begun": camera.begun, "pinned": camera.pinned, "moves": camera.moves,
            }
            for camera in cameras
        ],
        "nodes": [
            {
                "name": node.beat.node, "node_id": node.beat.node_id, "incarnation": node.beat.incarnation,
                "draining": node.draining, "lost": node.lost, "events": node.events, "missed": node.missed,
            }
            for node in nodes
        ],
        "requests": list(requests),
    }  # fmt: skip
    return json.dumps(state).encode()


def load_state(data: bytes, now: float, grace: float) -> TableState:
    """Read what ``dump_state`` gave.

    Args:
        data: The state.
        now: The time, from which on nodes count as silent.
        grace: Seconds that a lease from the coordinator before may last.

    Raises:
        UsageError: It was written by another version.
    """
    state: dict[str, Any] = json.loads(data)
    if state.get("version") != _VERSION:
        raise UsageError(f"the fleet's state has version {state.get('version')!r}, and this ferengine reads {_VERSION}")
    cameras = tuple(_camera(item, now) for item in state["cameras"])
    nodes = tuple(_node(item, now, now + grace) for item in state["nodes"])
    return TableState(state["epoch"], cameras, nodes, tuple(state.get("requests", ())))


def _camera(item: dict[str, Any], now: float) -> Camera:
    sealed = base64.b64decode(item.pop("sealed"))
    held = item["holder"] is not None
    camera = Camera(sealed=sealed, wanted=None if item["removing"] else item["holder"], **item)
    camera.before, camera.first = camera.holder, now if held and camera.begun else None
    return camera


def _node(item: dict[str, Any], now: float, expires: float) -> Member:
    beat = Beat(item["name"], item["node_id"], item["incarnation"], 0, {}, capacity=0.0)
    kept = {name: item[name] for name in ("lost", "events", "missed") if name in item}  # which earlier ones did not
    return Member(beat, now, expires, draining=item["draining"], silent=True, **kept)
