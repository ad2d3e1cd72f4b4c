"""The smaller parts of a fleet: seals, stores, queues, numbers and the order of collected results."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="needs the extra fleet")

from ferengine.errors import SinkError, UsageError
from ferengine.fleet.clients import ClientQueues
from ferengine.fleet.cluster import FleetEndedError
from ferengine.fleet.collector import FleetResults
from ferengine.fleet.fleet import Fleet, NodePages
from ferengine.fleet.outputs import QUEUE, BoundedQueue, FleetOutputs, NodeOutputs, _EventQueue, outputs_from
from ferengine.fleet.records import Taken, renumbered
from ferengine.fleet.seal import Sealer, cluster_token
from ferengine.fleet.store import FolderStore
from ferengine.results import EPOCH_NUMBERS, CameraEvent, Face, FrameResult, Timings

TOKEN = "f" * 64


def result(frame: int, camera: str = "door", track: int | None = 3) -> FrameResult:
    face = Face(track, (0.0, 0.0, 9.0, 9.0), 0.9, 1.0, "detected", None, None)
    return FrameResult(camera, frame, 1.5, 2.0, (face,), Timings(0.0, 0.0, 0.0, 0.0, 0.0))


def test_a_seal_shows_nothing_and_opens_with_its_token_only() -> None:
    sealed = Sealer(TOKEN).seal({"value": "rtsp://admin:hunter2@camera"})
    assert b"hunter2" not in sealed
    assert Sealer(TOKEN).open(sealed) == {"value": "rtsp://admin:hunter2@camera"}
    for sealer, data in ((Sealer("e" * 64), sealed), (Sealer(TOKEN), sealed[:-9] + b"AAAAAAAA=")):
        with pytest.raises(UsageError, match="sealed with another token"):
            sealer.open(data)


def test_the_token_is_found_where_ray_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cluster_token() is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(f"{TOKEN}\n")
    assert cluster_token() == TOKEN
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "absent"))
    with pytest.raises(UsageError, match="cannot be read"):
        cluster_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "short")
    with pytest.raises(UsageError, match="has 5 characters, and needs at least 32"):
        cluster_token()


def test_a_folder_keeps_the_state(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "a" / "b")
    assert store.load("state") is None
    store.save("state", b"one")
    store.save("state", b"two")
    assert FolderStore(tmp_path / "a" / "b").load("state") == b"two"


def test_a_full_queue_drops_the_oldest_and_counts() -> None:
    queue = BoundedQueue(2)
    for frame in range(5):
        queue.put(result(frame))
    assert (queue.waiting, queue.dropped) == (2, 3)
    taken, passed = queue.take_many(10, 0.0)
    assert [each.frame for each in taken] == [3, 4]
    assert passed == 5
    assert queue.take_many(10, 0.0) == ([], 5)
    queue.close()
    with pytest.raises(EOFError):
        queue.take(0.0)


def test_numbers_begin_at_the_epoch() -> None:
    made = renumbered(result(7), 12)
    assert made.frame == 12 * EPOCH_NUMBERS + 7
    assert made.faces[0].track == 12 * EPOCH_NUMBERS + 3
    assert renumbered(result(7, track=None), 12).faces[0].track is None
    assert (made.camera, made.timestamp) == ("door", 1.5)


def test_results_of_the_node_before_come_late_and_are_counted() -> None:
    results = FleetResults(dict, 10, frozenset({"door"}))
    try:
        for number, epoch in ((4, 1), (0, 2), (5, 1), (1, 2), (1, 2)):
            results._accept(renumbered(result(number), epoch))
        assert results.late == 2
        taken, _ = results._queue.take_many(10, 0.0)
        assert [divmod(each.frame, EPOCH_NUMBERS) for each in taken] == [(1, 4), (2, 0), (2, 1)]
    finally:
        results.close()
    assert list(results) == []


@pytest.mark.parametrize(
    ("queue", "cameras", "why"),
    [
        (0, None, "a queue holds 1 to 100000 results, not 0"),
        ("9", None, "a queue holds 1 to 100000 results, not '9'"),
        (9, 5, "cameras are a name or a sequence of names, not 5"),
    ],
)
def test_a_reader_without_room_or_names_is_refused(queue: Any, cameras: Any, why: str) -> None:
    with pytest.raises(UsageError, match=f"^{why}$"):
        FleetResults(dict, queue, cameras)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"webhok": "https://host/hook"}, r"there is no webhok: did you mean 'webhook'\?"),
        ({"store_days": True}, "store_days: input should be a valid number, not True"),
        ({"store_days": 0}, "store_days: input should be greater than 0, not 0"),
        ({"events": "", "mqtt": ["mqtts://me:hunter2@broker"]}, "events: .*; mqtt: input should be a valid string"),
        ({"store_days": "mqtts://me:hunter2@broker"}, "store_days: input should be a valid number, .*"),
        ({"self": 1}, "there is no self: known are events, store, .*"),
    ],
)
def test_outputs_that_make_no_sense_are_named_without_secrets(given: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=f"^{why}$") as caught:
        FleetOutputs(**given)
    assert "hunter2" not in str(caught.value)
    assert FleetOutputs(store_days=7).store_days == 7


def test_pages_that_others_see_need_a_token_and_tls_both_files() -> None:
    with pytest.raises(UsageError, match=r"^the pages of nodes, .* need a token: give one, or loopback=True$"):
        NodePages(None)
    for files in ({"certificate": "a.pem"}, {"key": "b.pem"}):
        with pytest.raises(UsageError, match=r"^the pages of nodes need both a certificate and its key for TLS, or neither$"):
            NodePages(TOKEN, **files)
    assert NodePages(None, loopback=True).token is None
    assert NodePages(TOKEN, certificate="a.pem", key="b.pem").key == "b.pem"


def test_one_name_is_one_camera() -> None:
    for given in ("door", ["door"], iter(["door"])):
        with FleetResults(dict, 10, given) as results:
            assert results._cameras == {"door"}


@pytest.mark.parametrize("lease", ["5", None, True, 1.9, float("nan")])
def test_a_lease_is_a_number_of_seconds(lease: Any) -> None:
    with pytest.raises(UsageError, match=rf"^lease: at least 2 seconds, not {lease!r}: "):
        Fleet(lease=lease)


def test_results_that_are_lost_on_the_way_are_counted() -> None:
    """Whether a queue of the node was full, an answer was lost, or the node had forgotten this client."""
    results = FleetResults(dict, 10, None)
    try:
        results._take_in("a", Taken([result(0), result(1)], 5, 7, "first life", 1e6))
        assert results.dropped == 0  # the queue began with the sixth, long before this reader
        results._take_in("a", Taken([result(4)], 5, 10, "first life", 1e6))
        assert results.dropped == 2
        results._take_in("a", Taken([result(9)], 14, 15, "first life", 1e6))
        assert results.dropped == 6
        results._take_in("a", Taken([result(10)], 3, 4, "second life", 0.0))
        assert results.dropped == 9  # what it gave before it was asked was for this reader, too
        results._take_in("b", Taken([result(0, camera="yard")], 2, 3, "another node", 0.0))
        assert results.dropped == 11
    finally:
        results.close()


def test_a_node_keeps_for_each_client_what_it_wants() -> None:
    now = 0.0
    queues = ClientQueues("life", lambda: now)
    queues.put(result(0))
    queues.put(result(0, "yard"))
    doors = frozenset({"door"})
    empty = queues.take("all", None, 4, 9, 0.0), queues.take("doors", doors, 4, 9, 0.0)
    assert [(each.results, each.since, each.until) for each in empty] == [([], 2, 2), ([], 1, 1)]
    for frame in range(1, 4):
        for camera in ("door", "yard"):
            queues.put(result(frame, camera))
    now = 7.0
    everything, wanted = queues.take("all", None, 4, 9, 0.0), queues.take("doors", doors, 4, 9, 0.0)
    assert [(each.camera, each.frame) for each in everything.results] == [("door", 2), ("yard", 2), ("door", 3), ("yard", 3)]
    assert (everything.since, everything.until) == (2, 8)  # two were dropped
    assert [each.frame for each in wanted.results] == [1, 2, 3]
    assert (wanted.since, wanted.until, wanted.incarnation, wanted.age) == (1, 4, "life", 7.0)
    now = 100.0
    for frame in (4, 5):
        queues.put(result(frame))  # by the first of them the queue is given up
    again = queues.take("doors", doors, 4, 9, 0.0)
    assert (again.results, again.since, again.until) == ([], 6, 6)


def test_results_end_with_their_fleet() -> None:
    def engines() -> dict[str, str]:
        raise FleetEndedError("the fleet has ended")

    assert list(FleetResults(engines, 10, None)) == []


def test_events_that_an_output_does_not_take_are_counted() -> None:
    written: list[CameraEvent] = []

    def take(event: CameraEvent) -> None:
        if len(written) == QUEUE - 1:
            raise SinkError("the disk is full")
        written.append(event)

    queue = _EventQueue(take)
    for number in range(QUEUE + 3):
        queue.put(CameraEvent("door", "started", float(number)))
    assert queue.dropped == 3
    with pytest.raises(SinkError):
        queue.pass_on()
    assert [event.timestamp for event in written] == [3.0 + number for number in range(QUEUE - 1)]
    assert queue.unwritten == 4


def test_outputs_of_a_node_are_its_own_files(tmp_path: Path) -> None:
    settings = outputs_from({"events": f"{tmp_path}/{{node}}", "store": f"{tmp_path}/{{node}}.db"})
    for _ in range(2):  # each life of an engine begins a new file
        outputs = NodeOutputs(settings, "north 1", None)
        outputs.put(result(1))
        while outputs.reports()["events"].written < 1:
            time.sleep(0.01)
        outputs.close()
        assert {name: report.error for name, report in outputs.reports().items()} == {"events": None, "store": None}
    files = sorted((tmp_path / "north 1").iterdir())
    assert len(files) == 2
    assert all('"frame":1' in path.read_text() for path in files)
    assert (tmp_path / "north 1.db").exists()


def test_results_that_wait_for_an_output_that_fails_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, result: FrameResult) -> None:
            outputs_may_fail.wait(60)
            raise SinkError("the disk is full")

        def close(self) -> None:
            pass

    outputs_may_fail = threading.Event()
    monkeypatch.setattr("ferengine.fleet.outputs._sinks", lambda *_: iter([("events", Full(), lambda event: None)]))
    outputs = NodeOutputs(outputs_from({}), "north", None)
    for number in range(5):
        outputs.put(result(number))
    outputs_may_fail.set()
    while outputs.reports()["events"].error is None:
        time.sleep(0.01)
    outputs.put(result(5))
    outputs.close()
    report = outputs.reports()["events"]
    assert (report.written, report.dropped) == (0, 6)
    assert report.error is not None
    assert "the disk is full" in report.error
