"""The file that keeps what clients add and change."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from disk_help import largest_file
from ferengine import UsageError, Zone
from ferengine.errors import ServiceError
from ferengine.service.saved import StateFile
from ferengine.sources import SourceSpec, parse_source

ZONE = Zone(name="hall", kind="ignore", points=[(0, 0), (1, 0), (0, 1)])
DOOR = parse_source("demo", name="door", zones=[ZONE], outside_zones="ignore")
ADDED = parse_source("rtsp://user:secret@camera.local/", name="added", fps=5.0)
PAUSED = parse_source("demo", name="paused")


def test_what_was_written_is_begun_with(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state.json")
    file.write([ADDED, PAUSED], ["paused"], {"door": DOOR, "gone": DOOR})
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600
    plain = parse_source("demo", name="door")
    beginning = file.begin([plain, plain])
    assert beginning.sources == (DOOR, plain.replace(name="door-2"), ADDED)
    assert beginning.paused == {"paused": PAUSED}
    assert (beginning.added, beginning.zoned) == ({"added", "paused"}, {"door"})
    given = file.begin([parse_source("demo", name="added")])
    assert [spec.kind for spec in given.sources] == ["demo"]  # what the service is started with wins
    assert given.added == {"paused"}


def test_what_one_start_does_not_name_is_kept_for_the_next(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state.json")
    file.write([ADDED], [], {"door": DOOR})
    beginning = file.begin([parse_source("demo", name="added")])
    file.write([], [], {})
    assert beginning.added == frozenset()
    assert file.begin([parse_source("demo", name="door")]).sources == (DOOR, ADDED)


def test_a_link_stays_one_and_its_file_becomes_private(tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text("{}")
    (tmp_path / "kept.json").chmod(0o644)
    (tmp_path / "state.json").symlink_to("kept.json")
    StateFile(tmp_path / "state.json").write([ADDED], [], {})
    assert (tmp_path / "state.json").is_symlink()
    assert stat.S_IMODE((tmp_path / "kept.json").stat().st_mode) == 0o600
    assert StateFile(tmp_path / "state.json").begin([]).sources == (ADDED,)


def test_without_a_file_it_begins_with_what_it_is_given(tmp_path: Path) -> None:
    assert StateFile(tmp_path / "state.json").begin([DOOR]).sources == (DOOR,)
    assert [path.name for path in tmp_path.iterdir()] == [".state.json.lock"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no", "is not JSON"),
        ("[]", "should be a valid dictionary"),
        ('{"cameras": [{"name": "door"}]}', "kind, value and name"),
        ('{"cameras": [{"kind": "stream", "value": "rtsp://u:secret@", "name": "a"}]}', "URL"),
        ('{"zones": {"door": {"zones": [{"name": "a", "points": []}]}}}', r"zones.door.zones.0.points"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(UsageError, match=rf"--state: .*state.json.*{said}") as refused:
        StateFile(tmp_path / "state.json").begin([])
    assert "secret" not in str(refused.value)
    StateFile(tmp_path / "state.json").write([], [], {})
    assert StateFile(tmp_path / "state.json").begin([]).sources == ()  # what refused it has not kept its lock


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(UsageError, match=f"--state: {path} is no file: a folder, a pipe or a device keeps nothing"):
            StateFile(path).begin([])
    with pytest.raises(UsageError, match=r"--state: .*state.json cannot be made: there is no folder .*nowhere"):
        StateFile(tmp_path / "nowhere" / "state.json").begin([])
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_one_service_has_a_file_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("state.json")
    first, second = StateFile(tmp_path / "state.json"), StateFile(tmp_path / "link.json")
    first.begin([])
    with pytest.raises(ServiceError, match=r"--state: another service has .*link.json: end it, or name another file"):
        second.begin([])
    first.close()
    first.close()
    second.begin([])
    second.close()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = f"""
import os, pathlib, signal
from ferengine.service.saved import StateFile
file = StateFile(pathlib.Path({str(tmp_path / "state.json")!r}))
file.begin([])
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)  # in the middle of writing
file.write([], [], {{}})
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".ferengine-state.json-*"))) == 1
    assert StateFile(tmp_path / "state.json").begin([]).sources == ()
    assert [path.name for path in tmp_path.iterdir()] == [".state.json.lock"]


def test_a_file_that_cannot_be_written_says_what_will_be_forgotten(tmp_path: Path) -> None:
    cameras: list[SourceSpec] = [ADDED]
    with pytest.raises(ServiceError, match=r"a restart will forget it: .* cannot be written: No such file"):
        StateFile(tmp_path / "nowhere" / "state.json").write(cameras, [], {})


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state.json")
    file.write([ADDED], [], {})
    many = [ADDED.replace(name=f"camera {number}") for number in range(50)]
    with largest_file(2000), pytest.raises(ServiceError, match=r"will forget it: .*state.json cannot be written: File"):
        file.write(many, [], {})
    assert file.begin([]).sources == (ADDED,)
    assert {path.name for path in tmp_path.iterdir()} == {"state.json", ".state.json.lock"}
