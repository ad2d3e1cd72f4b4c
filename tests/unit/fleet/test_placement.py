"""Which node reads which camera: what must hold for every fleet, and the cases that the docstrings name."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferengine.errors import UsageError
from ferengine.fleet.placement import CameraDemand, Node, Placement, place

SITES = ["north", "south"]
LOADS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 1.5])
LABELS = st.one_of(st.just({}), st.sampled_from(SITES).map(lambda site: {"site": site}))
HYSTERESIS = 0.2


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[Node], list[CameraDemand], dict[str, str]]:
    """Draw nodes in all states, cameras, and where these were, unknown nodes and cameras among them."""
    nodes = [
        Node(
            f"n{i}",
            draw(LABELS),
            capacity=draw(st.sampled_from([0.0, 1.0, 2.0, 4.0])),
            load=draw(LOADS),
            alive=draw(st.sampled_from([True, True, True, False])),
            draining=draw(st.sampled_from([False, False, False, True])),
        )
        for i in range(draw(st.integers(0, 6)))
    ]
    cameras = [CameraDemand(f"c{i}", draw(LOADS), draw(LABELS)) for i in range(draw(st.integers(0, 20)))]
    places = st.sampled_from([node.name for node in nodes] + ["gone"])
    named = draw(st.lists(st.sampled_from([camera.name for camera in cameras] + ["removed"]), unique=True))
    return nodes, cameras, {name: draw(places) for name in named}


def has_labels(node: Node, camera: CameraDemand) -> bool:
    return all(node.labels.get(key) == value for key, value in camera.affinity.items())


def takes(node: Node, camera: CameraDemand) -> bool:
    return node.alive and not node.draining and node.capacity > 0 and has_labels(node, camera)


def used(node: Node, cameras: list[CameraDemand], where: Mapping[str, str]) -> float:
    return node.load + sum(camera.load for camera in cameras if where.get(camera.name) == node.name)


def settled(nodes: list[Node], cameras: list[CameraDemand], current: Mapping[str, str]) -> Placement:
    """Call until nothing moves."""
    for _ in range(100):
        placement = place(nodes, cameras, current, HYSTERESIS)
        if placement.assignments == current:
            return placement
        current = placement.assignments
    raise AssertionError("the placement does not come to rest")


@given(fleets())
def test_place_every_camera_that_a_node_may_read_and_no_other(fleet) -> None:
    nodes, cameras, current = fleet
    placement = place(nodes, cameras, current, HYSTERESIS)
    by_name = {node.name: node for node in nodes}
    assert {*placement.assignments, *placement.unplaced} == {camera.name for camera in cameras}
    assert not {*placement.assignments} & {*placement.unplaced}
    for camera in cameras:
        hosts = [node.name for node in nodes if takes(node, camera)]
        at = placement.assignments.get(camera.name)
        if hosts:
            assert at in hosts
        elif at is not None:  # it may only stay where it is
            assert at == current[camera.name]
            assert by_name[at].alive
            assert has_labels(by_name[at], camera)
        else:
            assert placement.unplaced[camera.name]
            before = by_name.get(current.get(camera.name, ""))
            assert before is None or not (before.alive and has_labels(before, camera))


@given(fleets())
def test_place_moves_only_what_must_move_or_gains_more_than_the_hysteresis(fleet) -> None:
    nodes, cameras, current = fleet
    placement = place(nodes, cameras, current, HYSTERESIS)
    by_node, by_camera = {node.name: node for node in nodes}, {camera.name: camera for camera in cameras}
    changed = {name for name, at in placement.assignments.items() if name in current and current[name] != at}
    assert sorted(changed) == sorted(move.camera for move in placement.moves)
    must = {name for name in changed if current[name] == "gone" or not takes(by_node[current[name]], by_camera[name])}
    new = {name for name in placement.assignments if name not in current}
    if must or new:
        assert changed == must, "recovery moved a camera that could have stayed"
        return
    where = dict(placement.assignments) | {move.camera: move.source for move in placement.moves}
    for move in placement.moves:  # replayed in their order
        assert (move.reason, move.source, move.target) == ("balance", where[move.camera], placement.assignments[move.camera])
        source, target = by_node[move.source], by_node[move.target]
        before = used(source, cameras, where) / source.capacity
        where[move.camera] = move.target
        after = used(target, cameras, where) / target.capacity
        assert move.gain == pytest.approx(before - after)
        assert before - after > HYSTERESIS - 1e-9


@given(fleets())
def test_place_respects_capacity_where_a_new_camera_has_room(fleet) -> None:
    nodes, cameras, _ = fleet
    for camera in cameras:
        alone = place(nodes, [camera], {})
        roomy = [node.name for node in nodes if takes(node, camera) and node.load + camera.load <= node.capacity]
        assert not roomy or alone.assignments[camera.name] in roomy


@given(st.integers(1, 6), st.integers(1, 8), st.data())
def test_place_fills_nodes_exactly_when_equal_cameras_just_fit(count: int, each: int, data: st.DataObject) -> None:
    nodes = [Node(f"n{i}", {"site": SITES[i % 2]}, capacity=0.5 * each) for i in range(count)]
    cameras = []
    for node in nodes:  # those with an affinity need the room of their site; the others take what is left
        cameras += [CameraDemand(f"{node.name}-{k}", 0.5, data.draw(st.sampled_from([{}, node.labels]))) for k in range(each)]
    placement = place(nodes, cameras, {})
    assert all(used(node, cameras, placement.assignments) <= node.capacity for node in nodes)


@given(fleets())
def test_place_comes_to_rest_without_an_imbalance_that_one_move_would_mend(fleet) -> None:
    nodes, cameras, current = fleet
    placement = settled(nodes, cameras, current)
    assert not placement.moves
    where = placement.assignments
    for camera in cameras:
        if not camera.load or camera.name not in where:
            continue
        source = next(node for node in nodes if node.name == where[camera.name])
        for target in nodes:
            if target is not source and takes(target, camera) and source.capacity:
                before = used(source, cameras, where) / source.capacity
                after = (used(target, cameras, where) + camera.load) / target.capacity
                assert before - after <= HYSTERESIS + 1e-9


@given(fleets(), st.data())
def test_place_moves_the_cameras_of_a_dead_node_and_no_others(fleet, data: st.DataObject) -> None:
    nodes, cameras, current = fleet
    before = settled(nodes, cameras, current).assignments
    if not before:
        return
    dead = data.draw(st.sampled_from(sorted(set(before.values()))))
    state = data.draw(st.sampled_from([{"alive": False}, {"draining": True}]))
    after = place([dataclasses.replace(n, **state) if n.name == dead else n for n in nodes], cameras, before, HYSTERESIS)
    assert {move.camera for move in after.moves} <= {name for name, at in before.items() if at == dead}
    if "alive" in state:
        assert dead not in after.assignments.values()
        assert {move.reason for move in after.moves} <= {"node dead"}


@given(fleets(), st.randoms(use_true_random=False))
def test_place_ignores_the_order_of_its_arguments(fleet, shuffled: random.Random) -> None:
    nodes, cameras, current = fleet
    first = place(nodes, cameras, current)
    order = sorted(current)
    for names in (nodes, cameras, order):
        shuffled.shuffle(names)
    assert place(nodes, cameras, {name: current[name] for name in order}) == first


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alive": False}, "node dead"),
        ({"draining": True}, "node draining"),
        ({"capacity": 0.0}, "no capacity"),
        ({"labels": {"site": "south"}}, "labels"),
        (None, "node gone"),
    ],
)
def test_place_names_the_reason_of_a_move(changes: dict[str, object] | None, reason: str) -> None:
    camera = CameraDemand("door", 0.5, {"site": "north"})
    left = [] if changes is None else [dataclasses.replace(Node("a", {"site": "north"}), **changes)]
    placement = place([*left, Node("b", {"site": "north"})], [camera], {"door": "a"})
    (move,) = placement.moves
    assert (move.camera, move.source, move.target, move.reason, move.gain) == ("door", "a", "b", reason, 0.0)


def test_place_keeps_a_camera_on_a_draining_node_that_alone_may_read_it() -> None:
    nodes = [Node("a", {"site": "north"}, draining=True), Node("b")]
    placement = place(nodes, [CameraDemand("door", 0.5, {"site": "north"})], {"door": "a"})
    assert placement.assignments == {"door": "a"}
    assert not placement.moves


@pytest.mark.parametrize(
    ("nodes", "affinity", "reason"),
    [
        ([], {}, "there are no nodes"),
        ([Node("a")], {"site": "north"}, 'no node has site = "north"'),
        ([Node("a", alive=False), Node("b", draining=True)], {}, "no node can take it: a (dead), b (draining)"),
        (
            [Node(f"n{i}", {"site": "north"}, capacity=0) for i in range(5)],
            {"site": "north"},
            (
                'no node with site = "north" can take it: n0 (without capacity), n1 (without capacity), n2 (without capacity)'
                " and 2 more"
            ),
        ),
    ],
)
def test_place_says_why_no_node_may_read_a_camera(nodes: list[Node], affinity: dict[str, str], reason: str) -> None:
    assert place(nodes, [CameraDemand("door", 0.5, affinity)], {}).unplaced == {"door": reason}


def test_place_spreads_more_cameras_than_fit_evenly() -> None:
    nodes = [Node("a", capacity=1), Node("b", capacity=3)]
    cameras = [CameraDemand(f"c{i}", 1.0) for i in range(8)]
    placement = place(nodes, cameras, {})
    assert [used(node, cameras, placement.assignments) for node in nodes] == [2, 6]


def test_place_gives_a_node_that_joins_no_more_than_the_hysteresis_asks() -> None:
    cameras = [CameraDemand(f"c{i}", 0.5) for i in range(12)]
    current = {camera.name: f"n{i % 3}" for i, camera in enumerate(cameras)}
    nodes = [Node(f"n{i}", capacity=4) for i in range(4)]  # three at a half, one empty
    placement = place(nodes, cameras, current)
    assert [move.gain for move in placement.moves] == [0.375, 0.25]  # a third would gain an eighth
    assert {move.target for move in placement.moves} == {"n3"}


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_place_refuses_numbers_that_are_no_loads(value: float) -> None:
    with pytest.raises(UsageError, match="camera door: load must be a finite number"):
        CameraDemand("door", value)
    with pytest.raises(UsageError, match="node a: capacity must be a finite number"):
        Node("a", capacity=value)
    with pytest.raises(UsageError, match="node a: load must be a finite number"):
        Node("a", load=value)
    with pytest.raises(UsageError, match="hysteresis must be a finite number"):
        place([], [], {}, value)


def test_place_refuses_names_that_are_there_twice() -> None:
    with pytest.raises(UsageError, match="node a is there twice"):
        place([Node("b"), Node("a"), Node("a")], [], {})
    with pytest.raises(UsageError, match="camera door is there twice"):
        place([], [CameraDemand("door", 1), CameraDemand("yard", 1), CameraDemand("door", 2)], {})
