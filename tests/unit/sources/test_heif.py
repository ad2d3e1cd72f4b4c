"""HEIC and AVIF images, made here."""

from __future__ import annotations

import builtins
import io
import re
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from ferengine.cli.app import app
from ferengine.cli.checks.drawn_face import drawn_face
from ferengine.cli.images import read_image
from ferengine.errors import MissingDependencyError, SourceError
from ferengine.pip_hint import install_extra
from ferengine.service.image_worker import analyse
from ferengine.sources import open_source, parse_source
from ferengine.sources.heif import is_heic
from ferengine.sources.images import decode_images
from ferengine.vision import cv2


def heic(image: NDArray[np.uint8]) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra `heic` is not installed")
    file = io.BytesIO()
    pillow_heif.encode("BGR", image.shape[1::-1], np.ascontiguousarray(image).tobytes(), file, quality=95)
    return file.getvalue()


def avif(image: NDArray[np.uint8]) -> bytes:
    encoded, data = cv2.imencode(".avif", image)
    assert encoded
    return bytes(data.tobytes())


@pytest.mark.parametrize("encode", [heic, avif])
def test_the_pixels_are_right(encode: Any, tmp_path: Path) -> None:
    image = np.zeros((96, 128, 3), np.uint8)
    image[:48], image[48:, 64:] = (200, 60, 30), (20, 40, 220)
    path = tmp_path / f"shot.{encode.__name__.upper()}"
    path.write_bytes(encode(image))
    decoded = read_image(path)
    assert decoded.shape == image.shape
    assert np.abs(decoded.astype(int) - image).mean() < 6
    spec = parse_source(path)
    assert spec.kind == "images"
    source = open_source(spec)
    info = source.open()
    assert (info.width, info.height, info.frames) == (128, 96, 1)
    captured = source.read()
    assert captured is not None
    assert np.array_equal(captured.image, decoded)


@pytest.mark.parametrize("encode", [heic, avif])
def test_a_copy_is_drawn_on(encode: Any, tmp_path: Path) -> None:
    """--save draws onto the image that was decoded."""
    path = tmp_path / f"shot.{encode.__name__}"
    path.write_bytes(encode(drawn_face()))
    done = CliRunner().invoke(app, ["image", str(path), "--save", str(tmp_path / "copies"), "--blur"])
    assert done.exit_code == 0, done.output
    [copy] = (tmp_path / "copies").iterdir()
    assert (np.abs(read_image(copy).astype(int) - drawn_face()) > 50).any()


def test_a_turned_photograph_is_upright() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra `heic` is not installed")
    image = np.zeros((64, 128, 3), np.uint8)
    image[:, :64] = 255
    turned = pillow_heif.from_bytes("BGR", (128, 64), image.tobytes())
    file = io.BytesIO()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6
    turned.save(file, quality=95, exif=exif)
    (decoded,) = decode_images(np.frombuffer(file.getvalue(), np.uint8))
    assert decoded.shape == (128, 64, 3)
    assert decoded[:60].mean() > 200
    assert decoded[70:].mean() < 60


@pytest.mark.parametrize("length", [12, 40, 200, 2000])
def test_damaged_files_are_none(length: int) -> None:
    data = heic(drawn_face())
    assert decode_images(np.frombuffer(data[:length], np.uint8)) == []


def test_which_files_are_heic() -> None:
    assert is_heic(b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf")
    assert is_heic(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert not is_heic(b"\0\0\0 ftypavif\0\0\0\0avifmif1miafMA1B")
    assert not is_heic(b"\0\0\0\x18ftypisom\0\0\0\0mp41mp42")
    assert not is_heic(b"\0\0\0\x10ftypmif1\0\0\0\0heic")  # behind the box
    assert not is_heic(b"")


def take_the_extra_away(monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def absent(name: str, *rest: Any) -> ModuleType:
        if name == "pillow_heif":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)


def test_the_service_names_the_extra_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that left the answer would end the process with its networks."""
    take_the_extra_away(monkeypatch)
    photograph = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    answer = analyse(cast("Any", None), photograph)
    assert not answer.ok
    assert answer.text.startswith("the image is a HEIC image")
    assert install_extra("heic") in answer.text


def test_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "shot.heic"
    path.write_bytes(heic(drawn_face()))
    take_the_extra_away(monkeypatch)
    said = f"{path} is a HEIC image, which takes the package pillow-heif to read: {install_extra('heic')}"
    with pytest.raises(MissingDependencyError, match=f"^{re.escape(said)}$"):
        read_image(path)
    with pytest.raises(MissingDependencyError, match=f"^{re.escape(said)}$"):
        open_source(parse_source(path)).open()
    cv2.imwrite(str(tmp_path / "z.png"), np.zeros((8, 8, 3), np.uint8))
    folder = open_source(parse_source(tmp_path))
    folder.open()  # the others are still read
    assert folder.broken_frames == 1
    assert caplog.messages == [f"{said}; it is skipped"]


def test_a_folder_says_what_it_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(heic(drawn_face()))
    for name in ("talk.mp4", "notes.txt", "b.md", "c.md"):
        (tmp_path / name).write_text("no image")
    done = CliRunner().invoke(app, ["image", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "a.heic: 1 face" in done.stdout
    assert "left out, because they are not images: 4 (b.md, c.md, notes.txt, ...)" in done.stderr


def test_a_video_is_sent_to_run(tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0mp41mp42")
    with pytest.raises(SourceError, match=r"ferengine run .*talk\.mp4 reads a video"):
        read_image(tmp_path / "talk.mp4")
