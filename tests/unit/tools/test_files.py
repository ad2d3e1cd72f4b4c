"""Files that the tools write: whole, or as they were."""

from __future__ import annotations

import os
import stat
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ferengine.errors import FerengineError, UsageError
from ferengine.vision import cv2
from ferengine_tools.files import files_below, read_image, written_whole


def test_a_file_is_replaced_where_it_lies(tmp_path: Path) -> None:
    """Behind a link, with the permissions that it had."""
    there, link = tmp_path / "there.json", tmp_path / "link.json"
    there.write_text("old")
    there.chmod(0o640)
    link.symlink_to(there)
    with written_whole(link) as beside:
        beside.write_text("new")
        assert there.read_text() == "old"
    assert link.is_symlink()
    assert (there.read_text(), stat.S_IMODE(there.stat().st_mode)) == ("new", 0o640)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "there.json"]


def test_a_link_to_nothing_gets_the_file_that_it_leads_to(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to("there.json")
    with written_whole(link) as beside:
        beside.write_text("new")
    assert link.is_symlink()
    assert (tmp_path / "there.json").read_text() == "new"


def test_names_that_the_system_refuses_are_one_line(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for path in (tmp_path / ("a" * 300), circle / "file"):
        with pytest.raises(FerengineError, match=r" cannot be written: "), written_whole(path) as beside:
            beside.write_text("new")


def test_a_file_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with written_whole(path) as beside:
            beside.write_text("half")
            raise OSError("no room")

    with pytest.raises(FerengineError, match=r"file cannot be written: no room"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FerengineError, match="Is a directory"), written_whole(tmp_path) as beside:
        beside.write_text("new")


def test_pipes_and_devices_are_written_to_and_stay(tmp_path: Path) -> None:
    """A link to the null device stands for it: taken for a file, the link would be gone, and the machine would keep its own."""
    pipe, null = tmp_path / "pipe", tmp_path / "null"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with written_whole(pipe) as beside:
        beside.write_text("text")
    reader.join()
    assert read == ["text"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    null.symlink_to("/dev/null")
    with written_whole(null) as beside:
        beside.write_text("text")
    assert null.is_symlink()
    assert null.is_char_device()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["null", "pipe"]


def test_a_jpeg_that_lacks_its_end_is_read_as_imread_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "face.jpg"
    encoded = cv2.imencode(".jpg", np.arange(3072, dtype=np.uint8).reshape(32, 32, 3))[1].tobytes()
    for end in (-2, -100):
        path.write_bytes(encoded[:end])
        image = read_image(path, cv2.IMREAD_COLOR)
        assert image is not None
        assert np.array_equal(image, cv2.imread(str(path), cv2.IMREAD_COLOR))


def test_images_that_imread_fails_on(tmp_path: Path) -> None:
    """imread raises an error for the header of a PNG of 100,000 x 100,000 pixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    parts = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks]
    path = tmp_path / "huge.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert read_image(path, cv2.IMREAD_GRAYSCALE) is None
    for content in (b"no image", b""):
        path.write_bytes(content)
        assert read_image(path, cv2.IMREAD_COLOR) is None
    assert read_image(tmp_path / "absent.png", cv2.IMREAD_COLOR) is None
    cv2.imwrite(str(path), np.full((3, 2), 7, np.uint8))
    image = read_image(path.rename(tmp_path / os.fsdecode(b"caf\xe9.png")), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    assert (image.dtype, image.tolist()) == (np.uint8, [[7, 7]] * 3)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.png").touch()
    (tmp_path / "open" / "loop").symlink_to(tmp_path)
    assert files_below(tmp_path) == [tmp_path / "open" / "a.png"]
    closed = tmp_path / "closed"
    closed.mkdir()
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UsageError, match="closed cannot be read: Permission denied"):
        files_below(tmp_path)
