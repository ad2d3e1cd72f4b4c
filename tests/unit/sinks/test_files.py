"""Output files: any name that the system allows, one error for what it refuses, and no half-written file."""

from __future__ import annotations

import os
import re
import resource
import stat
from pathlib import Path

import pytest

from ferengine import Engine
from ferengine.errors import FerengineError, SinkError
from ferengine.sinks.files import (
    check_output,
    create_numbered,
    create_output,
    make_folder,
    remove_leftovers,
    same_file,
    write_atomically,
)
from ferengine.sinks.jsonl import JsonlWriter
from ferengine.sinks.save_paths import save_paths
from ferengine.sinks.video import VideoWriter
from ferengine.sources import parse_source

LATIN = os.fsdecode(b"caf\xe9")
LONG = "x" * 300


@pytest.mark.parametrize("name", [LONG, "zero\0byte", "file/below", "loop"])
def test_names_that_the_system_refuses(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for link in ("loop", "loop.mp4"):
        (tmp_path / link).symlink_to(link)
    path = tmp_path / name
    video = tmp_path / f"{name}.mp4"
    specs = [parse_source("demo")]
    for refuse in (
        lambda: check_output(path, overwrite=True),
        lambda: os.close(create_output(path, overwrite=True)),
        lambda: write_atomically(path, b""),
        lambda: JsonlWriter(path, overwrite=True),
        lambda: VideoWriter(video, 64, 48, 30.0, overwrite=True),
        lambda: save_paths(specs, video, True),
        lambda: save_paths(specs * 2, path, True),
        lambda: Engine("demo", save=video, overwrite=True),
    ):
        with pytest.raises(FerengineError) as caught:
            refuse()
        assert len(str(caught.value).replace(str(tmp_path), "")) < 250
        assert "\n" not in str(caught.value)
    assert not same_file(path, tmp_path / "other")


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_place_for_an_output_says_what_it_is(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").touch()
    for refuse in (check_output, create_output):
        with pytest.raises(SinkError, match=rf"^{tmp_path} is a folder: name a file$"):
            refuse(tmp_path, overwrite=overwrite)
        with pytest.raises(SinkError, match=r"/none/out cannot be created: there is no folder .*/none$"):
            refuse(tmp_path / "none" / "out", overwrite=overwrite)
    with pytest.raises(SinkError, match=r"/file is not a folder: name one$"):
        make_folder(tmp_path / "file")
    for missing in ("none", "file"):
        with pytest.raises(SinkError, match=rf"/{missing}/clips cannot be created: there is no folder .*/{missing}$"):
            make_folder(tmp_path / missing / "clips")
    make_folder(tmp_path / "clips")
    make_folder(tmp_path / "clips")


def test_a_folder_that_takes_no_file_is_found_out_at_once(tmp_path: Path) -> None:
    proc = Path("/proc")
    for refuse, named in (
        (lambda: check_output(proc / "out.mp4", overwrite=True), "/proc/out.mp4"),
        (lambda: make_folder(proc), "/proc"),
        (lambda: Engine("demo", save=proc / "out.mp4"), "/proc/out.mp4"),
        (lambda: Engine(["demo", "demo"], save=proc), "/proc/demo.mp4"),
    ):
        why = "(No such file or directory|permission denied)"  # the latter where it is not root who asks
        with pytest.raises(SinkError, match=rf"^{re.escape(named)} cannot be written: {why}$"):
            refuse()
    check_output(tmp_path / "out.mp4", overwrite=False)
    make_folder(tmp_path / "faces")
    assert [path.name for path in tmp_path.rglob("*")] == ["faces"]


def test_a_disk_that_takes_only_empty_files_is_found_out_at_once(tmp_path: Path) -> None:
    """As a full one does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(SinkError, match=r"/out\.json cannot be written: File too large$"):
            check_output(tmp_path / "out.json", overwrite=False)
        with pytest.raises(SinkError, match=rf"^{tmp_path} cannot be written: File too large$"):
            make_folder(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_long_name_that_is_not_utf8_is_taken(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xe9" * 200 + b".json")
    check_output(path, overwrite=False)
    write_atomically(path, b"{}")
    assert list(tmp_path.iterdir()) == [path]


def test_devices_and_pipes_are_outputs_without_being_overwritten(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for path in (pipe, Path("/dev/null"), Path(f"/dev/fd/{os.open(os.devnull, os.O_WRONLY)}")):
        check_output(path, overwrite=False)
        descriptor = create_output(path, overwrite=False)
        os.write(descriptor, b"line\n")
        os.close(descriptor)
    assert os.read(reader, 100) == b"line\n"
    os.close(reader)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_folder_that_may_not_be_entered(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    locked = tmp_path / "locked"
    (locked / "inner").mkdir(parents=True)
    locked.chmod(0)
    user = 65534
    child = os.fork()
    if child == 0:  # root may enter every folder
        if os.geteuid() == 0:
            os.setresuid(user, user, user)
        code = 0
        for refuse in (
            lambda: check_output(locked / "inner" / "out", overwrite=True),
            lambda: save_paths([parse_source("demo")], locked / "inner" / "out.mp4", True),
            lambda: os.close(create_output(locked / "inner" / "out", overwrite=True)),
        ):
            try:
                refuse()
                code = 1
            except SinkError as error:
                code |= "ermission denied" not in str(error)
            except BaseException:
                code = 1
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    locked.chmod(0o700)


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    import av
    import numpy as np

    writer = VideoWriter(tmp_path / f"{LATIN}.mp4", 64, 48, 30.0)
    for number in range(3):
        writer.write(np.zeros((48, 64, 3), np.uint8), number / 30)
    writer.close()
    assert [os.fsencode(path.name) for path in tmp_path.iterdir()] == [b"caf\xe9.mp4"]
    with (tmp_path / f"{LATIN}.mp4").open("rb") as file, av.open(file) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, b"1" * 1000)
    before = path.stat()
    path.chmod(0o640)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    write_atomically(link, b"2", durable=True)
    assert link.is_symlink()
    assert path.read_bytes() == b"2"
    assert path.stat().st_ino != before.st_ino
    assert path.stat().st_mode & 0o777 == 0o640
    write_atomically(Path("/dev/null"), b"3")
    assert Path("/dev/null").is_char_device()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["link.json", "state.json"]


def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "state.json", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o640


def test_a_failure_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(SinkError, match="No space left on device"):
        write_atomically(path, b"new")
    assert [(item.name, item.read_bytes()) for item in tmp_path.iterdir()] == [("state.json", b"old")]


def test_a_pipe_is_written_to_and_never_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferengine.sinks.files._READER_SECONDS", 0.05)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SinkError, match="no program reads it"):
        write_atomically(pipe, b"a")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, b"first")
    assert os.read(reader, 100) == b"first"
    with pytest.raises(SinkError, match="does not take anything"):
        write_atomically(pipe, bytes(1 << 20))
    os.close(reader)
    reader, writer = os.pipe()
    write_atomically(Path(f"/dev/fd/{writer}"), b"of a shell")  # as it names >(jq .)
    assert os.read(reader, 100) == b"of a shell"
    os.close(reader)
    os.close(writer)
    assert [item.name for item in tmp_path.iterdir()] == ["pipe"]


def test_numbered_files_are_always_new(tmp_path: Path) -> None:
    (tmp_path / "out.part2.mp4").write_bytes(b"mine")
    made = []
    for _ in range(2):
        path, descriptor = create_numbered(tmp_path / "out.mp4")
        os.close(descriptor)
        made.append(path.name)
    assert made == ["out.part3.mp4", "out.part4.mp4"]
    assert (tmp_path / "out.part2.mp4").read_bytes() == b"mine"


def test_leftovers_of_killed_writers_are_removed_and_those_of_living_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"{'ä' * 100}[1].json"
    found: list[int] = []

    def look(descriptor: int) -> None:  # while the file is being written
        leftover = tmp_path / f"{next(tmp_path.glob('.ferengine-*')).name[:-8]}abcdefgh"
        leftover.write_text("half of i")
        (tmp_path / f".ferengine-other.json-{len(found)}").write_text("of another file")
        found.append(remove_leftovers(path))

    monkeypatch.setattr(os, "fsync", look)
    write_atomically(path, b"whole", durable=True)
    assert found == [1]
    assert path.read_bytes() == b"whole"
    assert sorted(each.name for each in tmp_path.iterdir()) == [".ferengine-other.json-0", path.name]
    assert remove_leftovers(path) == remove_leftovers(tmp_path / "absent" / "file") == 0
