"""What the coordinator of a fleet has to do: CPU time of its lease table, by the size of the fleet.

    python -m ferengine_tools.fleet.coordinator_load [--nodes 100 --nodes 500] [--cameras-per-node 20]

The lease table answers two beats a second of each node with the default lease, and looks at leases ten times a second. Calls
between processes come on top.
"""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from ferengine.cli.command import exit_code, make_command
from ferengine.fleet.leases import LeaseTable
from ferengine.fleet.records import Beat, CameraReport, Grant

_LEASE = 5.0
_BEATS = 2.0
_TICKS = 10.0
_SAMPLE = 100
"""Beats that are timed."""


class _Fleet:
    """A lease table, and nodes that do at once what it says."""

    def __init__(self, nodes: int, cameras: int) -> None:
        self.table = LeaseTable("load", _LEASE, 0.2, lambda: 0.0, lambda event: None)
        for camera in range(cameras):
            self.table.add(f"camera-{camera:05}", b"s" * 400, {"site": f"site-{camera % 20}"} if camera % 2 else {})
        self.held: list[dict[str, CameraReport]] = [{} for _ in range(nodes)]
        self.numbers = [0] * nodes

    def beat(self, node: int, now: float) -> dict[str, Grant]:
        self.numbers[node] += 1
        name, labels = f"node-{node:04}", {"site": f"site-{node % 20}"}
        self.table.beat(Beat(name, name, "1", self.numbers[node], dict(self.held[node]), 12.8, labels=labels), now)
        self.table.differs(name)
        return dict(self.table.orders(name).grants)


def measure(nodes: int, cameras: int) -> tuple[float, float, float, int]:
    """Measure a lease table.

    Returns:
        CPU seconds of a beat with its answer, of a look at leases, and of the state to be saved; then the size of that, bytes.
    """
    fleet = _Fleet(nodes, cameras)
    for node in range(nodes):
        fleet.beat(node, 0.0)
    fleet.table.tick(0.0)
    for node in range(nodes):
        given = fleet.beat(node, 0.0)
        reports = {name: CameraReport(grant.epoch, "running", 10, 5, 0.0, 0.0, 0.2) for name, grant in given.items()}
        fleet.held[node] = reports
    timed = min(nodes, _SAMPLE)
    began = time.process_time()
    for node in range(timed):
        fleet.beat(node, 0.5)
    beats = time.process_time()
    fleet.table.tick(0.6)
    ticked = time.process_time()
    state = fleet.table.dump()
    return (beats - began) / timed, ticked - beats, time.process_time() - ticked, len(state)


def coordinator_load(
    nodes: Annotated[list[int], typer.Option(help="Sizes of the fleet; may be repeated.")] = [20, 50, 100, 200, 500],  # noqa: B006 - typer's
    cameras_per_node: Annotated[int, typer.Option(help="Cameras of each node.")] = 20,
) -> None:
    """Measure the CPU time of a fleet's coordinator, without Ray."""
    print("nodes  cameras  beat, ms  look, ms  cores  state, MB  to make it, ms")
    for count in nodes:
        beat, tick, dump, size = measure(count, count * cameras_per_node)
        cores = beat * _BEATS * count + tick * _TICKS
        print(
            f"{count:5}  {count * cameras_per_node:7}  {1e3 * beat:8.2f}  {1e3 * tick:8.1f}  {cores:5.2f}  "
            f"{size / 1e6:9.2f}  {1e3 * dump:14.0f}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(exit_code(make_command(coordinator_load), "python -m ferengine_tools.fleet.coordinator_load"))
