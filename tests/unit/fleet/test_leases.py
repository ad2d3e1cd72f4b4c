"""The lease table of a fleet: leases, epochs and moves, alone and in a simulated world of bad networks."""

from __future__ import annotations

import contextlib
import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferengine.errors import UsageError
from ferengine.fleet.leases import LeaseTable
from ferengine.fleet.reading import STOP_SECONDS
from ferengine.fleet.records import Beat, CameraReport, CameraState, FleetEvent, Orders

LEASE = 5.0
GRACE = 7.0


class Fleet:
    """A lease table, and nodes that do at once what it says."""

    def __init__(self) -> None:
        self.events: list[FleetEvent] = []
        self.table = LeaseTable("test", LEASE, 0.2, lambda: 0.0, self.events.append)
        self.held: dict[str, dict[str, CameraReport]] = {}
        self.numbers: dict[str, int] = {}
        self.prepared: dict[str, frozenset[str]] = {}
        self.failing: set[str] = set()
        self.sources: dict[str, bytes] = {}
        self.now = 0.0

    def beat(self, name: str, life: str = "1", **labels: str) -> Orders:
        """One beat of a node, whose orders it follows."""
        held = self.held.setdefault(name + life, {})
        self.numbers[name + life] = self.numbers.get(name + life, 0) + 1
        prepared = dict.fromkeys(self.prepared.get(name, ()), True)
        beat = Beat(name, f"id of {name}", life, self.numbers[name + life], dict(held), 4.0, labels=labels, prepared=prepared)
        renewed = self.table.beat(beat, self.now)
        self.table.tick(self.now)
        orders = self.table.orders(name) if renewed else Orders({}, renewed=False)
        self.prepared[name] = frozenset(orders.prepare)
        for camera in [camera for camera, report in held.items() if orders.grants.get(camera) is None]:
            del held[camera]
        for camera, grant in orders.grants.items():
            before = held.get(camera)
            frames = before.frames + 10 if before is not None and before.epoch == grant.epoch else 0
            first = None if frames == 0 else 0.0
            state: CameraState = "failed" if camera in self.failing else "running"
            held[camera] = CameraReport(grant.epoch, state, frames, first_age=first, last_age=first)
            if grant.sealed:
                self.sources[camera] = grant.sealed
        return orders

    def run(self, seconds: float, *nodes: str) -> None:
        for _ in range(round(2 * seconds)):
            self.now += 0.5
            for node in nodes:
                self.beat(node)
            self.table.tick(self.now)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def where(self) -> dict[str, str | None]:
        return {name: camera.node for name, camera in self.table.health(self.now).cameras.items()}


@pytest.fixture
def fleet() -> Fleet:
    made = Fleet()
    for name in ("one", "two", "three"):
        made.table.add(name, b"sealed", {})
    made.run(4, "a", "b")
    return made


def test_cameras_are_spread_and_granted_once(fleet: Fleet) -> None:
    assert set(fleet.where().values()) == {"a", "b"}
    epochs = [camera.epoch for camera in fleet.table.health(fleet.now).cameras.values()]
    assert sorted(epochs) == [2, 3, 4]  # one was moved to the second node before it had begun
    assert fleet.kinds().count("placed") == 3
    assert fleet.table.health(fleet.now).ok


def test_a_lost_node_keeps_its_cameras_until_its_lease_is_over(fleet: Fleet) -> None:
    lost = [name for name, node in fleet.where().items() if node == "a"]
    fleet.run(LEASE, "b")
    assert [fleet.where()[name] for name in lost] == ["a"] * len(lost)
    fleet.run(1.5, "b")
    assert set(fleet.where().values()) == {"b"}
    [event] = [event for event in fleet.events if event.kind == "lost"]
    assert event.node == "a"
    moved = [event for event in fleet.events if event.kind == "moved" and event.reason == "node dead"]
    assert {event.camera for event in moved} == set(lost)
    assert all(LEASE < (event.seconds or 0) < LEASE + 2 for event in moved)


def test_cameras_of_a_lost_node_are_read_again_before_they_are_balanced(fleet: Fleet) -> None:
    for name in fleet.table.cameras:
        fleet.table.move(name, "a", fleet.now)
    fleet.run(15, "a", "b")
    assert set(fleet.where().values()) == {"a"}
    fleet.events.clear()
    while "lost" not in fleet.kinds():
        fleet.run(0.5, "b")
    fleet.beat("c")
    fleet.run(30, "b", "c")
    first = {event.camera: event for event in reversed(fleet.events) if event.kind == "moved"}
    assert {(event.node, event.reason) for event in first.values()} == {("b", "node dead")}
    assert set(fleet.where().values()) == {"b", "c"}


def test_others_prepare_while_a_node_is_silent(fleet: Fleet) -> None:
    held = {name for name, node in fleet.where().items() if node == "a"}
    epochs = {name: camera.epoch for name, camera in fleet.table.health(fleet.now).cameras.items()}
    fleet.events.clear()
    fleet.run(3, "b")
    assert fleet.prepared["b"] == held
    assert {name for name, node in fleet.where().items() if node == "a"} == held  # its lease is not over
    fleet.run(2, "a", "b")
    assert fleet.prepared["b"] == frozenset()
    assert {name: camera.epoch for name, camera in fleet.table.health(fleet.now).cameras.items()} == epochs
    assert fleet.events == []


def test_a_camera_that_cannot_be_read_is_tried_again(fleet: Fleet) -> None:
    epoch = fleet.table.health(fleet.now).cameras["one"].epoch
    fleet.failing.add("one")
    fleet.run(29, "a", "b")
    assert fleet.table.health(fleet.now).cameras["one"].epoch == epoch
    fleet.run(4, "a", "b")
    assert fleet.table.health(fleet.now).cameras["one"].epoch > epoch
    fleet.failing.clear()
    fleet.run(40, "a", "b")
    assert fleet.table.health(fleet.now).cameras["one"].state == "running"
    assert fleet.table.health(fleet.now).cameras["one"].epoch == max(
        camera.epoch for camera in fleet.table.health(fleet.now).cameras.values()
    )


def test_another_source_of_a_camera_is_read_under_a_new_epoch(fleet: Fleet) -> None:
    epoch = fleet.table.health(fleet.now).cameras["one"].epoch
    fleet.table.replace("one", b"another", {})
    fleet.run(2, "a", "b")
    assert fleet.sources["one"] == b"another"
    assert fleet.table.health(fleet.now).cameras["one"].epoch > epoch


def test_a_camera_that_is_gone_by_now_is_added(fleet: Fleet) -> None:
    fleet.table.remove("one")
    fleet.run(2, "a", "b")
    assert "one" not in fleet.where()
    fleet.table.replace("one", b"another", {})
    fleet.run(2, "a", "b")
    assert fleet.sources["one"] == b"another"


def test_a_drained_node_is_drained_whenever_it_returns(fleet: Fleet) -> None:
    fleet.table.drain("a")
    fleet.run(1300, "b")
    fleet.run(2, "a", "b")
    assert fleet.table.health(fleet.now).nodes["a"].state in ("draining", "drained")
    assert set(fleet.where().values()) == {"b"}


def test_a_node_that_returns_drops_what_is_no_longer_its_own(fleet: Fleet) -> None:
    held = dict(fleet.held["a1"])
    fleet.run(LEASE + 1, "b")
    assert fleet.held["a1"] == held
    orders = fleet.beat("a")
    assert not orders.grants
    assert orders.renewed
    assert "returned" in fleet.kinds()


def test_a_drained_node_gives_its_cameras_away_and_gets_none(fleet: Fleet) -> None:
    fleet.table.drain("a")
    fleet.run(2, "a", "b")
    assert set(fleet.where().values()) == {"b"}
    assert "drained" in fleet.kinds()
    fleet.table.add("four", b"", {})
    fleet.run(1, "a", "b")
    assert fleet.where()["four"] == "b"
    fleet.table.resume("a")
    fleet.table.add("five", b"", {})
    fleet.run(1, "a", "b")
    assert fleet.where()["five"] == "a"


def test_a_moved_camera_is_granted_only_after_its_node_has_stopped(fleet: Fleet) -> None:
    source = fleet.where()["one"]
    target = "b" if source == "a" else "a"
    assert source is not None
    fleet.table.move("one", target, fleet.now)
    assert "one" in fleet.beat(source).grants  # until the other has everything ready
    assert fleet.beat(target).prepare == {"one": b"sealed"}
    assert "one" in fleet.beat(source).grants
    assert "one" not in fleet.beat(target).grants
    assert "one" not in fleet.beat(source).grants
    assert "one" not in fleet.beat(target).grants
    fleet.beat(source)
    fleet.run(15, source, target)
    assert fleet.where()["one"] == target  # also where that is not balanced
    fleet.held[f"{target}1"].clear()
    grant = fleet.beat(target).grants["one"]
    assert grant.epoch > 5
    assert grant.sealed == b"sealed"


def test_a_node_that_does_not_get_ready_is_waited_for_only_so_long(fleet: Fleet) -> None:
    source = fleet.where()["one"]
    target = "b" if source == "a" else "a"
    assert source is not None
    fleet.table.move("one", target, fleet.now)
    for _ in range(30):
        fleet.now += 0.5
        fleet.beat(source)
        fleet.beat(target)
        fleet.prepared.clear()
        fleet.table.tick(fleet.now)
    assert fleet.where()["one"] == target


def test_a_new_life_of_an_engine_gets_new_epochs_at_once(fleet: Fleet) -> None:
    before = {name for name, node in fleet.where().items() if node == "a"}
    grants = fleet.beat("a", "2").grants
    assert set(grants) == before
    assert min(grant.epoch for grant in grants.values()) > 4
    for _ in range(3):
        fleet.beat("a", "2")
    moved = [event for event in fleet.events if event.kind == "moved" and event.reason == "the engine died"]
    assert {event.camera for event in moved} == before


def test_a_fenced_node_starts_again_under_a_new_epoch(fleet: Fleet) -> None:
    [name, *_] = [name for name, node in fleet.where().items() if node == "a"]
    epoch = fleet.held["a1"].pop(name).epoch  # it stopped by itself
    assert fleet.beat("a").grants[name].epoch > epoch


def test_an_old_or_second_beat_renews_nothing(fleet: Fleet) -> None:
    old = Beat("a", "id of a", "1", 1, {}, 4.0)
    assert not fleet.table.beat(old, fleet.now)
    for number in (98, 99):
        assert not fleet.table.beat(replace(old, node_id="another machine", number=number), fleet.now)
    [event] = [event for event in fleet.events if event.kind == "failed"]
    assert event.reason is not None
    assert "another machine of this name" in event.reason


def test_events_that_a_node_dropped_are_said_once(fleet: Fleet) -> None:
    fleet.events.clear()
    for number, dropped in ((100, 3), (101, 3), (102, 5)):
        fleet.table.beat(Beat("a", "id of a", "1", number, {}, 4.0, dropped_events=dropped), fleet.now)
    missed = [event.reason for event in fleet.events if event.kind == "missed"]
    assert missed == [f"{count} events of its cameras were dropped: no coordinator took them" for count in (3, 2)]
    assert fleet.table.health(fleet.now).nodes["a"].dropped_events == 5
    fleet.now += 10  # its lease ends, and it returns
    fleet.table.tick(fleet.now)
    fleet.events.clear()
    fleet.table.beat(Beat("a", "id of a", "1", 103, {}, 4.0, dropped_events=5), fleet.now)
    assert "returned" in fleet.kinds()
    assert "missed" not in fleet.kinds()


def succeed(fleet: Fleet) -> None:
    """Have a new coordinator take over from what was saved last."""
    saved = fleet.table.dump()
    fleet.table = LeaseTable("test", LEASE, 0.2, lambda: 0.0, fleet.events.append)
    fleet.table.restore(saved, fleet.now, GRACE)
    fleet.events.clear()


@pytest.mark.parametrize("lost", [False, True])
def test_a_successor_knows_what_nodes_have_said(fleet: Fleet, lost: bool) -> None:
    event = FleetEvent("started", 0.0, "one", "a")
    version = fleet.table.version
    fleet.table.beat(Beat("a", "id of a", "1", 100, fleet.held["a1"], 4.0, events=(event,), dropped_events=3), fleet.now)
    assert fleet.table.version > version  # so it is saved
    if lost:
        fleet.now += 10
        version = fleet.table.version
        fleet.table.tick(fleet.now)
        assert fleet.table.version > version
    succeed(fleet)
    assert fleet.table.health(fleet.now).nodes["a"].state == ("lost" if lost else "alive")
    later = FleetEvent("ended", 0.0, "one", "a")
    fleet.table.beat(Beat("a", "id of a", "1", 101, {}, 4.0, events=(event, later), dropped_events=4), fleet.now)
    assert [each.kind for each in fleet.events if each.kind in ("started", "ended", "missed")] == ["ended", "missed"]
    [missed] = [each.reason for each in fleet.events if each.kind == "missed"]
    assert missed is not None
    assert missed.startswith("1 events")


def test_a_state_of_before_that_was_kept_is_read(fleet: Fleet) -> None:
    state = json.loads(fleet.table.dump())
    del state["requests"]
    for node in state["nodes"]:
        del node["events"], node["missed"], node["lost"]
    LeaseTable("test", LEASE, 0.2, lambda: 0.0, print).restore(json.dumps(state).encode(), 0.0, GRACE)


def test_a_change_is_made_once_however_often_it_is_asked_for(fleet: Fleet) -> None:
    """The answer was lost, on the way or with the coordinator."""
    for _ in range(2):
        fleet.table.change("first", lambda table: table.add("four", b"sealed", {}))
        succeed(fleet)
    fleet.table.change("second", lambda table: table.remove("four"))
    assert "four" not in fleet.table.cameras
    fleet.table.change("second", lambda table: table.remove("four"))
    for _ in range(2):  # what failed is not remembered as done
        with pytest.raises(UsageError, match="no camera 'four'"):
            fleet.table.change("third", lambda table: table.remove("four"))


def test_affinity_and_unplaced(fleet: Fleet) -> None:
    fleet.table.add("north", b"", {"site": "north"})
    fleet.run(1, "a", "b")
    status = fleet.table.health(fleet.now).cameras["north"]
    assert (status.state, status.node) == ("waiting", None)
    assert status.reason is not None
    assert 'site = "north"' in status.reason
    assert fleet.kinds().count("unplaced") == 1
    assert not fleet.table.health(fleet.now).ok
    with pytest.raises(UsageError, match="needs a node with site"):
        fleet.table.move("north", "a", fleet.now)
    fleet.beat("c", site="north")
    fleet.beat("c", site="north")
    assert fleet.where()["north"] == "c"


def test_a_removed_camera_goes_when_its_node_has_stopped(fleet: Fleet) -> None:
    fleet.table.remove("one")
    with pytest.raises(UsageError, match="no camera 'one'"):
        fleet.table.remove("one")
    with pytest.raises(UsageError, match="is being removed"):
        fleet.table.add("one", b"", {})
    fleet.run(1, "a", "b")
    assert "one" not in fleet.table.cameras
    assert "removed" in fleet.kinds()


@pytest.mark.parametrize("call", ["drain", "resume"])
def test_unknown_nodes_are_named(fleet: Fleet, call: str) -> None:
    with pytest.raises(UsageError, match="there is no node 'z': known are a, b"):
        getattr(fleet.table, call)("z")


def test_a_successor_goes_on_without_a_move(fleet: Fleet) -> None:
    before, epochs = fleet.where(), fleet.held
    saved = fleet.table.dump()
    fleet.table = LeaseTable("test", LEASE, 0.2, lambda: 0.0, fleet.events.append)
    fleet.table.restore(saved, fleet.now, GRACE)
    fleet.events.clear()
    fleet.run(GRACE + 2, "a", "b")
    assert fleet.where() == before
    assert fleet.held == epochs
    assert fleet.kinds() == []
    fleet.table.add("four", b"", {})
    fleet.run(1, "a", "b")
    assert fleet.table.health(fleet.now).cameras["four"].epoch == 5


def test_a_successor_waits_before_it_takes_cameras_away(fleet: Fleet) -> None:
    before = fleet.where()
    saved = fleet.table.dump()
    fleet.table = LeaseTable("test", LEASE, 0.2, lambda: 0.0, fleet.events.append)
    fleet.table.restore(saved, fleet.now, GRACE)
    fleet.run(GRACE - 0.5, "b")
    assert fleet.where() == before
    fleet.run(2.5, "b")
    assert set(fleet.where().values()) == {"b"}


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(UsageError, match="version 7"):
        LeaseTable("test", LEASE, 0.2, lambda: 0.0, print).restore(b'{"version": 7}', 0.0, GRACE)


class World:
    """Nodes with clocks of their own, a network that loses and delays messages, a coordinator that dies and is restored from
    what it saved. Time passes in steps; what each node really reads is written down."""

    STEP = 0.1

    def __init__(self, seed: int, cameras: int, nodes: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.table = LeaseTable("world", LEASE, 0.2, lambda: 0.0, lambda event: None)
        self.saved = self.table.dump()
        self.nodes = [SimulatedNode(f"n{i}", self.random.uniform(0.98, 1.02)) for i in range(nodes)]
        self.last: dict[str, int] = {}
        for i in range(cameras):
            self.table.add(f"c{i}", b"", {})

    def step(self, faults: bool) -> None:
        self.now += self.STEP
        self.table.tick(self.now)
        if faults:
            self.disturb()
        for node in self.nodes:
            node.step(self, faults)
        self.check()

    def disturb(self) -> None:
        chance = self.random.random()
        node = self.random.choice(self.nodes)
        if chance < 0.01:
            node.cut_until = self.now + self.random.uniform(0, 15)
        elif chance < 0.02:
            node.die()
        elif chance < 0.03:
            self.table = LeaseTable("world", LEASE, 0.2, lambda: 0.0, lambda event: None)
            self.table.restore(self.saved, self.now, GRACE)
        elif chance < 0.08 and self.table.cameras:
            camera, known = self.random.choice(self.table.cameras), list(self.table.nodes)
            if known:
                with contextlib.suppress(UsageError):  # the node is draining
                    self.table.move(camera, self.random.choice(known), self.now)
        elif chance < 0.09 and node.name in self.table.nodes:
            self.table.drain(node.name)
        elif chance < 0.11 and node.name in self.table.nodes:
            self.table.resume(node.name)

    def check(self) -> None:
        reading: dict[str, str] = {}
        for node in self.nodes:
            for camera, epoch in node.reading.items():
                assert camera not in reading, f"{reading[camera]} and {node.name} read {camera} at {self.now:.1f}"
                reading[camera] = node.name
                assert epoch >= self.last.get(camera, 0), f"the epoch of {camera} went back"
                self.last[camera] = epoch


class SimulatedNode:
    """What ``Readings`` and the beats of ``NodeEngine`` do, in simulated time."""

    def __init__(self, name: str, rate: float) -> None:
        self.name = name
        self.rate = rate
        self.life = 0
        self.cut_until = 0.0
        self.die()

    def die(self) -> None:
        self.life += 1
        self.number = 0
        self.until = 0.0
        self.reading: dict[str, int] = {}
        self.prepared: frozenset[str] = frozenset()
        self.closing: dict[str, float] = {}
        self.answers: list[tuple[float, int, Orders, float]] = []
        self.asked = -1.0
        self.down_until = 0.0

    def step(self, world: World, faults: bool) -> None:
        clock = world.now * self.rate
        if clock >= self.until - STOP_SECONDS:
            for camera in self.reading:
                self.closing.setdefault(camera, clock + world.random.uniform(0, STOP_SECONDS - 0.1))
        for camera, until in list(self.closing.items()):
            if clock >= until:
                del self.closing[camera], self.reading[camera]
        for answer in [answer for answer in self.answers if world.now >= answer[0]]:
            self.answers.remove(answer)
            _, number, orders, sent = answer
            if number == self.number:
                self.obey(orders, sent, clock, world)
            elif clock < self.until:  # it was overtaken
                self.until = max(self.until, sent + LEASE)
        waits = any(number == self.number for _, number, _, _ in self.answers)
        if world.now > self.asked + (1.0 if waits or self.lossy(world, faults) else 0.3):
            self.ask(world, clock, faults)

    def lossy(self, world: World, faults: bool) -> bool:
        return faults and world.now < self.cut_until

    def ask(self, world: World, clock: float, faults: bool) -> None:
        self.asked = world.now
        self.number += 1
        cameras = {
            camera: CameraReport(epoch, "moving" if camera in self.closing else "running")
            for camera, epoch in self.reading.items()
        }
        prepared = {camera: world.random.random() < 0.7 for camera in self.prepared}
        beat = Beat(self.name, f"id {self.name}", str(self.life), self.number, cameras, 4.0, prepared=prepared)
        if self.lossy(world, faults) and world.random.random() < 0.5:
            return  # the question is lost
        if not world.table.beat(beat, world.now):
            return
        orders = world.table.orders(self.name)
        world.saved = world.table.dump()
        if self.lossy(world, faults):
            return  # the answer is lost
        slow = 4.0 if faults and world.random.random() < 0.3 else 0.4
        self.answers.append((world.now + world.random.uniform(0, slow), self.number, orders, clock))

    def obey(self, orders: Orders, sent: float, clock: float, world: World) -> None:
        self.until = max(self.until, sent + LEASE)
        self.prepared = frozenset(orders.prepare)
        for camera, epoch in self.reading.items():
            grant = orders.grants.get(camera)
            if grant is None or grant.epoch != epoch:
                self.closing.setdefault(camera, clock + world.random.uniform(0, 1.0))
        for camera, grant in orders.grants.items():
            if camera not in self.reading and clock < self.until - STOP_SECONDS:
                self.reading[camera] = grant.epoch


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 6))
def test_no_camera_is_ever_read_by_two_nodes(seed: int, cameras: int, nodes: int) -> None:
    world = World(seed, cameras, nodes)
    for _ in range(600):
        world.step(faults=True)
    for node in world.nodes:
        if node.name in world.table.nodes:
            world.table.resume(node.name)
    for _ in range(200):
        world.step(faults=False)
    read = {camera for node in world.nodes for camera in node.reading}
    assert read == set(world.table.cameras)
