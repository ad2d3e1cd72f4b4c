"""A Ray cluster of several nodes on this machine, whose nodes can be killed, stopped and replaced."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ferengine.errors import UsageError
from ferengine.fleet.collector import FleetResults
from ferengine.fleet.fleet import Fleet
from ferengine.fleet.records import FleetEvent, FleetHealth
from ferengine.results import EPOCH_NUMBERS, FrameResult
from ferengine.sources import SourceSpec, parse_source

LEASE = 4.0
PATIENCE = 120.0
"""Seconds that anything may take on a busy machine."""


def slow_camera(name: str, source: str = "demo:turn", **options: Any) -> SourceSpec:
    """A camera that costs little: ten small frames a second."""
    loop = 0 if source.startswith("demo") else 1000
    given = {"pace": "native", "fps": 10.0, "size": (320, 240), "loop": loop, "name": name, **options}
    return parse_source(source, **given)


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.1)


class Machines:
    """A cluster with a head and named nodes; each is a raylet with all its processes.

    Args:
        *names: Of the nodes besides the head.
        durable: Whether Ray keeps its tables on a disk, so that ``restart_tables`` does not end the cluster.
    """

    def __init__(self, *names: str, durable: bool) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        from ray.cluster_utils import Cluster

        self.nodes: dict[str, Any] = {}
        self._tables = tempfile.TemporaryDirectory(prefix="ferengine-ray-")
        storage = {"gcs_storage": "rocksdb", "gcs_storage_path": self._tables.name} if durable else {}
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                **self._options("head"), "include_dashboard": False, "num_cpus": 1,
                "_system_config": storage,
            },
        )  # fmt: skip
        for name in names:
            self.add(name)

    @staticmethod
    def _options(name: str, **labels: str) -> dict[str, Any]:
        return {"object_store_memory": 80 << 20, "labels": {"name": name, **labels}, "include_log_monitor": False}

    @property
    def address(self) -> str:
        address: str = self._cluster.address
        return address

    @property
    def session(self) -> Path:
        """Where Ray writes its logs."""
        return Path(self._cluster.head_node.get_session_dir_path())

    def add(self, name: str, **labels: str) -> None:
        """Start a node."""
        self.nodes[name] = self._cluster.add_node(wait=False, num_cpus=4, **self._options(name, **labels))

    def pids(self, name: str) -> list[int]:
        """All processes of a node, the raylet first."""
        [raylet] = self.nodes[name].all_processes["raylet"]
        return tree(raylet.process.pid)

    def kill(self, name: str) -> None:
        """Pull the plug: SIGKILL for everything on the node."""
        send(self.pids(name), signal.SIGKILL)
        node = self.nodes.pop(name)
        with contextlib.suppress(Exception):  # of Ray, which finds that it has died already
            self._cluster.remove_node(node, allow_graceful=False)

    def stop(self, name: str) -> None:
        """Stop everything on the node in the middle of what it does."""
        send(self.pids(name), signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        """Let a node that was stopped go on."""
        send(self.pids(name), signal.SIGCONT)

    def restart_tables(self, seconds: float) -> None:
        """Kill Ray's own server on the head, which keeps all tables, and start it again after some seconds."""
        self._cluster.head_node.kill_gcs_server()
        time.sleep(seconds)
        self._cluster.head_node.start_gcs_server()

    def close(self) -> None:
        """End all nodes."""
        import ray

        for name in self.nodes:
            with contextlib.suppress(ProcessLookupError):
                self.go_on(name)
        ray.shutdown()
        self._cluster.shutdown()
        self._tables.cleanup()
        for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE"):
            del os.environ[name]


class ApartNode:
    """A node in a network of its own, behind a cable that can be pulled: what is sent then gets no answer, and no error.

    Args:
        name: Of the node.
        address: Of the head.
    """

    _HOST, _NODE, _NETWORK = "10.213.77.1", "10.213.77.2", "10.213.77.0/24"

    def __init__(self, name: str, address: str) -> None:
        self._space = f"ferengine-{os.getpid()}"
        self._bridge, self._cable, inner = (f"{kind}{os.getpid()}" for kind in ("ferb", "fere", "feri"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            _ip("netns", "add", self._space)
            _ip("link", "add", self._bridge, "type", "bridge")
            _ip("address", "add", f"{self._HOST}/24", "dev", self._bridge)
            _ip("link", "add", self._cable, "type", "veth", "peer", "name", inner, "netns", self._space)
            for device in (self._bridge, self._cable):
                _ip("link", "set", device, "up")
            for words in (("link", "set", "lo", "up"), ("address", "add", f"{self._NODE}/24", "dev", inner),
                          ("link", "set", inner, "up"), ("route", "add", "default", "via", self._HOST)):  # fmt: skip
                _ip("-n", self._space, *words)
            self.mend()
        except (OSError, subprocess.CalledProcessError):
            self.close()
            raise
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--address", address, "--node-ip-address", self._NODE]
        options = ["--block", "--num-cpus", "4", "--object-store-memory", str(80 << 20), "--labels", f"name={name}"]
        words = ["ip", "netns", "exec", self._space, *ray, *options]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL)

    def cut(self) -> None:
        """Pull the cable."""
        _ip("link", "set", self._cable, "nomaster")

    def mend(self) -> None:
        """Put it in."""
        _ip("link", "set", self._cable, "master", self._bridge)

    def close(self) -> None:
        """End the node and its network."""
        if self._process is not None:
            send(tree(self._process.pid), signal.SIGKILL)
            self._process.wait()
        for words in (("link", "delete", self._cable), ("link", "delete", self._bridge), ("netns", "delete", self._space)):
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                _ip(*words)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def tree(root: int) -> list[int]:
    """A process and all its descendants."""
    parents: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.read_text().rpartition(")")[2].split()[1])].append(int(stat.parent.name))
    found = [root]
    for pid in found:
        found += parents[pid]
    return found


def send(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _epoch(result: FrameResult) -> int:
    """The epoch under which a result was read: each time that another node begins to read a camera it is a larger one."""
    return result.frame // EPOCH_NUMBERS


class AllResults(FleetResults):
    """Keeps when each epoch's frames were captured, those that come too late for the reader included."""

    def __init__(self, *arguments: Any) -> None:
        self.captured: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        super().__init__(*arguments)

    def _accept(self, result: FrameResult) -> None:
        self.captured[result.camera][_epoch(result)].append(result.timings.captured)
        super()._accept(result)


class Watcher:
    """Takes all results and events of a fleet, and keeps what has to be checked."""

    def __init__(self, fleet: Fleet) -> None:
        self.frames: dict[str, list[int]] = defaultdict(list)
        self.tracks: dict[str, set[int]] = defaultdict(set)
        self.foreign: list[int] = []
        """Tracks that were numbered under another epoch than their frame."""
        self.events: list[FleetEvent] = []
        self.fleet = fleet
        self.results = AllResults(fleet._engines, 4096, None)
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._take, self._listen)]
        for thread in self._threads:
            thread.start()

    def _take(self) -> None:
        for result in self.results:
            self._note(result)

    def _note(self, result: FrameResult) -> None:
        self.frames[result.camera].append(result.frame)
        tracks = {face.track for face in result.faces if face.track is not None}
        self.foreign += [track for track in tracks if track // EPOCH_NUMBERS != _epoch(result)]
        self.tracks[result.camera] |= tracks

    def _listen(self) -> None:
        with contextlib.suppress(Exception):  # the fleet ends first
            for event in self.fleet.events():
                self.events.append(event)

    def health(self) -> FleetHealth:
        return self.fleet.health()

    def running(self, *cameras: str) -> bool:
        """Whether these cameras, or all, give results."""
        known = self.health().cameras
        return all(known[name].state == "running" and known[name].frames > 2 for name in cameras or known)

    def move(self, camera: str, node: str) -> None:
        """Have a node read a camera, and wait for its results from there; a busy node may be lost for a while."""

        def asked() -> bool:
            with contextlib.suppress(UsageError):
                self.fleet.move(camera, node)
            return self.health().cameras[camera].node == node and self.running(camera)

        wait_for(asked, f"{node} reads {camera}")

    def moved(self, since: int = 0, **wanted: str) -> Iterator[FleetEvent]:
        """The moves after the first ``since`` events, such as ``camera="door"``."""
        for event in self.events[since:]:
            if event.kind == "moved" and all(getattr(event, name) == value for name, value in wanted.items()):
                yield event

    def check_numbers(self) -> None:
        """No frame number came twice, and they only grew; no two nodes used a track's number, or read a camera at once."""
        for camera, frames in list(self.frames.items()):
            numbers = list(frames)
            assert numbers == sorted(set(numbers)), f"numbers of {camera} came twice or out of order"
        assert self.foreign == []
        for camera, epochs in list(self.results.captured.items()):
            for (earlier, before), (later, after) in pairwise(sorted(epochs.items())):
                assert max(before) < min(after), f"{camera} was read under epochs {earlier} and {later} at once"

    def wait_for_event(self, since: int, kind: str, node: str) -> FleetEvent:
        """The first event of a kind and node after the first ``since``."""

        def found() -> list[FleetEvent]:
            return [event for event in self.events[since:] if (event.kind, event.node) == (kind, node)]

        wait_for(found, f"{node} is {kind}")
        return found()[0]

    def close(self) -> None:
        self.results.close()
