"""A fleet on a cluster of three nodes whose parts are killed, stopped and drained."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from importlib.util import find_spec

import pytest

if find_spec("ray") is None or find_spec("cryptography") is None:  # Ray reads its authentication mode when it is imported
    pytest.skip("ray or cryptography is not installed (the extra fleet)", allow_module_level=True)

from ferengine.errors import UsageError
from ferengine.fleet.records import FleetEvent
from ferengine.results import EPOCH_NUMBERS
from fleet_help import LEASE, ApartNode, Machines, Watcher, slow_camera, wait_for

pytestmark = pytest.mark.timeout(900)


def node_of(watcher: Watcher, camera: str) -> str:
    node = watcher.health().cameras[camera].node
    assert node is not None
    return node


def elsewhere(watcher: Watcher, since: int, node: str) -> list[FleetEvent]:
    """The moves of camera two from a node to another one; on a busy machine a node may lose its camera and take it back."""
    return [event for event in watcher.moved(since, camera="two", before=node) if event.node != node]


def test_moves_give_no_number_twice(watcher: Watcher, rounds: int) -> None:
    for _ in range(rounds):
        source = node_of(watcher, "one")
        target = next(name for name, node in watcher.health().nodes.items() if name != source and node.state == "alive")
        watcher.move("one", target)
    wait_for(lambda: len(list(watcher.moved(camera="one"))) >= rounds, "an event for each move")
    gaps = [event.seconds for event in watcher.moved(camera="one") if event.seconds is not None]
    assert min(gaps) > 0
    print(f"gaps of {len(gaps)} moves: median {statistics.median(gaps):.2f} s, worst {max(gaps):.2f} s")
    wait_for(lambda: len({frame // EPOCH_NUMBERS for frame in watcher.frames["one"]}) > rounds, "results of each epoch")
    watcher.check_numbers()


@pytest.mark.usefixtures("long_run")
def test_drain_and_resume(watcher: Watcher) -> None:
    node = node_of(watcher, "two")
    since = len(watcher.events)
    watcher.fleet.drain(node)
    watcher.wait_for_event(since, "drained", node)
    wait_for(lambda: list(watcher.moved(since, camera="two", before=node)), "the move")
    print("gaps of a drain:", [f"{event.seconds:.2f} s" for event in watcher.moved(since, before=node)])
    assert not watcher.health().nodes[node].cameras
    with pytest.raises(UsageError, match=f"{node} is draining"):
        watcher.fleet.move("two", node)
    watcher.fleet.resume(node)
    watcher.check_numbers()


def test_the_coordinator_dies(watcher: Watcher) -> None:
    """Its successor knows all cameras, and gives no number twice."""
    before = watcher.health()
    os.kill(watcher.fleet.coordinator_pid(), signal.SIGKILL)
    wait_for(lambda: watcher.health().coordinator > before.coordinator, "another coordinator")
    wait_for(lambda: watcher.running(), "the cameras")
    after = watcher.health()
    assert set(after.cameras) == set(before.cameras)
    assert all(after.cameras[name].epoch >= camera.epoch for name, camera in before.cameras.items())
    watcher.check_numbers()


@pytest.mark.usefixtures("long_run")
@pytest.mark.parametrize("seconds", [0.0, 2 * LEASE])
def test_the_head_restarts(watcher: Watcher, machines: Machines, seconds: float) -> None:
    """Ray's tables are on a disk. Cameras go on through a short outage, and stop with their leases in a long one."""
    before, since = watcher.health(), len(watcher.events)
    machines.restart_tables(seconds)
    wait_for(lambda: watcher.running(), "the cameras")
    frames = {name: len(watcher.frames[name]) for name in before.cameras}
    wait_for(lambda: all(len(watcher.frames[name]) > count for name, count in frames.items()), "results of all")
    assert all(watcher.health().cameras[name].epoch >= camera.epoch for name, camera in before.cameras.items())
    watcher.check_numbers()
    gaps = [event.seconds for event in watcher.moved(since)]
    print(f"{seconds:.0f} s without the head: {len(gaps)} of {len(before.cameras)} cameras read anew, gaps {gaps}")
    watcher.fleet.add(slow_camera("after"))
    wait_for(lambda: watcher.running("after"), "a new camera")
    watcher.fleet.remove("after")
    wait_for(lambda: "after" not in watcher.health().cameras, "it is gone")


@pytest.mark.usefixtures("long_run")
def test_an_engine_dies(watcher: Watcher) -> None:
    """Ray starts another on the same node, which reads the same cameras under new epochs."""
    node = node_of(watcher, "one")
    since = len(watcher.events)
    os.kill(watcher.fleet.engine_pids()[node]["engine"], signal.SIGKILL)
    wait_for(lambda: list(watcher.moved(since, camera="one")), "the camera")
    watcher.check_numbers()


@pytest.mark.usefixtures("long_run")
def test_a_node_hangs_and_returns(watcher: Watcher, machines: Machines) -> None:
    """Everything on it is stopped, in the middle of what it does; later it goes on, and drops what is no longer its own."""
    watcher.move("three", "b")
    since = len(watcher.events)
    machines.stop("b")
    try:
        watcher.wait_for_event(since, "lost", "b")
        wait_for(lambda: list(watcher.moved(since, camera="three", before="b")), "the move")
    finally:
        machines.go_on("b")
    check_return(watcher, since, "b")


@pytest.mark.usefixtures("long_run")
def test_a_node_is_cut_off_and_returns(watcher: Watcher, machines: Machines) -> None:
    """Nothing of it is stopped: it reads on until its lease ends, and nothing that it sends arrives."""
    try:
        node = ApartNode("apart", machines.address)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network can be made here: {error}")
    try:
        wait_for(lambda: "apart" in watcher.health().nodes, "the node")
        watcher.move("three", "apart")
        since = len(watcher.events)
        node.cut()
        watcher.wait_for_event(since, "lost", "apart")
        wait_for(lambda: list(watcher.moved(since, camera="three", before="apart")), "the move")
        node.mend()
        check_return(watcher, since, "apart")
        watcher.move("three", "apart")  # it is as good as before
        watcher.check_numbers()
    finally:
        node.close()
    wait_for(lambda: watcher.running(), "all cameras")


def check_return(watcher: Watcher, since: int, node: str) -> None:
    """A node that was away drops what is no longer its own: what it still had comes too late, and does not count."""
    watcher.wait_for_event(since, "returned", node)
    wait_for(lambda: "three" not in watcher.health().nodes[node].cameras, "it drops the camera")
    epoch = watcher.health().cameras["three"].epoch
    wait_for(lambda: watcher.running(), "all cameras")
    assert watcher.frames["three"][-1] // EPOCH_NUMBERS >= epoch
    watcher.check_numbers()


def test_a_node_is_killed(watcher: Watcher, machines: Machines, rounds: int) -> None:
    """SIGKILL for everything on a node, again and again; what was killed is replaced by a new node of its name."""
    gaps = []
    for number in range(rounds):
        name = "cb"[number % 2]
        wait_for(lambda name=name: watcher.health().nodes[name].state == "alive", f"node {name}")
        watcher.move("two", name)
        since, epoch = len(watcher.events), watcher.health().cameras["two"].epoch
        machines.kill(name)
        lost = watcher.wait_for_event(since, "lost", name)
        wait_for(lambda since=since, name=name: elsewhere(watcher, since, name), "the move")
        event = elsewhere(watcher, since, name)[0]
        assert event.reason == "node dead"
        assert lost.seconds is not None
        assert event.seconds is not None
        assert min(lost.seconds, event.seconds) > LEASE, "it was given away before the lease was over"
        wait_for(lambda epoch=epoch: watcher.frames["two"][-1] // EPOCH_NUMBERS > epoch, "results of the other node")
        watcher.check_numbers()
        gaps.append(event.seconds)
        print(f"{name}: lost after {lost.seconds:.1f} s, read again after {event.seconds:.1f} s, load {os.getloadavg()[0]:.0f}")
        if number + 1 < rounds:
            machines.add(name)
    print(f"gaps of {len(gaps)} kills: median {statistics.median(gaps):.2f} s, worst {max(gaps):.2f} s")
    wait_for(lambda: len({track // EPOCH_NUMBERS for track in watcher.tracks["two"]}) > 1, "tracks of each epoch")
    watcher.check_numbers()


@pytest.mark.usefixtures("long_run")
def test_cameras_are_added_and_removed(watcher: Watcher) -> None:
    watcher.fleet.add(slow_camera("four"))
    with pytest.raises(UsageError, match="there is a camera 'four' already"):
        watcher.fleet.add(slow_camera("four"))
    wait_for(lambda: watcher.running("four"), "the new camera")
    watcher.fleet.remove("four")
    wait_for(lambda: "four" not in watcher.health().cameras, "it is gone")
    count = len(watcher.frames["four"])
    time.sleep(1)
    assert len(watcher.frames["four"]) <= count + 10
