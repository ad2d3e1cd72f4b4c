"""``ferengine data prepare``: what is found, what is written, what goes wrong."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from command_help import command
from ferengine.detection.base import Detections
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.errors import FerengineError, UsageError
from ferengine.sources.demo import DemoSource
from ferengine.vision import cv2
from ferengine_tools.data.cropping import PhotoCropper, decode
from ferengine_tools.data.fer2013 import SPLITS, load_fer2013
from ferengine_tools.data.prepare import find_images, write_crops

main = command("data")

GREY = np.full((60, 80, 3), 90, np.uint8)


class Script:
    """As many faces as the image's first pixel says, each 10 pixels larger than the one before; crops are the index."""

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        count = int(image[0, 0, 0])
        sides = 10.0 + 10 * np.arange(count, dtype=np.float32)
        boxes = np.stack([np.full(count, 1, np.float32), np.full(count, 2, np.float32), sides, sides], 1)
        return Detections(boxes, np.linspace(0.9, 0.8, count, dtype=np.float32), np.zeros((count, 5, 2), np.float32))

    def crop(self, image: NDArray[np.uint8], faces: Detections, index: int) -> NDArray[np.uint8]:
        return np.full((48, 48), index, np.uint8)


def image(path: Path, faces: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((40, 40, 3), faces, np.uint8))


def listing(out: Path) -> list[dict[str, str]]:
    with (out / "faces.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_each_image_has_an_outcome(tmp_path: Path) -> None:
    folder, out = tmp_path / "images", tmp_path / "faces"
    image(folder / "happy" / "one.png", 1)
    image(folder / "happy" / "deeper" / "three.bmp", 3)
    image(folder / "sad" / "none.png", 0)
    (folder / "sad" / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    (folder / "sad" / "empty.png").touch()
    (folder / "sad" / "notes.txt").write_text("not an image")
    calls: list[None] = []
    done = write_crops(folder, out, Script(), find_images(folder), lambda: calls.append(None))
    assert done.outcomes == {"one face": 1, "largest of several": 1, "no face": 1, "unreadable": 2}
    assert (done.images, done.faces, len(calls)) == (5, 2, 5)
    rows = {row["image"]: row for row in listing(out)}
    assert list(rows) == ["happy/deeper/three.bmp", "happy/one.png", "sad/broken.jpg", "sad/empty.png", "sad/none.png"]
    three = rows["happy/deeper/three.bmp"]
    assert (three["outcome"], three["faces"], three["file"]) == ("largest of several", "3", "happy/deeper/three.png")
    assert [three[name] for name in ("x", "y", "w", "h", "score")] == ["1.0", "2.0", "30.0", "30.0", "0.800"]
    assert rows["sad/none.png"]["outcome"] == "no face"
    assert rows["sad/broken.jpg"]["outcome"] == rows["sad/empty.png"]["outcome"] == "unreadable"
    assert rows["sad/none.png"]["file"] == ""
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert written == ["happy/deeper/three.png", "happy/one.png"]
    crop = cv2.imread(str(out / "happy/deeper/three.png"), cv2.IMREAD_UNCHANGED)
    assert crop is not None
    np.testing.assert_array_equal(crop, np.full((48, 48), 2, np.uint8))  # the third, largest face; grayscale


def test_images_laid_out_as_fer2013_are_ready_for_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "images", tmp_path / "faces"
    names = [f"{part}/{emotion}/{usage}_{emotion}-{number}.jpg" for part, usage in
             (("train", "Training"), ("test", "PublicTest"), ("test", "PrivateTest"))
             for emotion in ("happy", "surprise") for number in (1, 2)]  # fmt: skip
    for name in names:
        image(folder / name, 1)
    write_crops(folder, out, Script(), find_images(folder))
    data = load_fer2013(out)
    assert [len(data.indices(split)) for split in SPLITS] == [4, 4, 4]
    assert all(sorted(data.labels[data.indices(split)].tolist()) == [3, 3, 5, 5] for split in SPLITS)
    assert not data.images.any()  # the script's crops

    pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")
    options = {"--model": "dscnn", "--data": out, "--out": tmp_path / "run", "--epochs": 1, "--batch": 2, "--threads": 1}
    command("train")([str(word) for option in options.items() for word in option])
    assert "validation accuracy" in capsys.readouterr().out
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()


def test_names_that_differ_in_their_endings_alone(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for name in ("a.png", "a.bmp", "b.png"):
        image(folder / name, 1)
    write_crops(folder, tmp_path / "faces", Script(), find_images(folder))
    assert [row["file"] for row in listing(tmp_path / "faces")] == ["a.bmp.png", "a.png.png", "b.png"]


def test_no_face_takes_the_place_of_another(tmp_path: Path) -> None:
    """a.jpg goes to a.jpg.png beside a.png, where a third image is called just that."""
    folder = tmp_path / "images"
    for name in ("a.jpg", "a.png", "a.jpg.png", "a.jpg.png.png"):
        image(folder / name, 1)
    done = write_crops(folder, tmp_path / "faces", Script(), find_images(folder))
    written = [row["file"] for row in listing(tmp_path / "faces")]
    assert done.faces == 4
    assert len(set(written)) == 4
    assert sorted(path.name for path in (tmp_path / "faces").glob("*.png")) == sorted(written)


def test_names_that_are_not_utf8_are_listed(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    image(folder / "a.png", 1)
    (folder / "a.png").rename(folder / os.fsdecode(b"caf\xe9.png"))
    assert write_crops(folder, tmp_path / "faces", Script(), find_images(folder)).faces == 1
    assert [row["file"] for row in listing(tmp_path / "faces")] == [r"caf\udce9.png"]
    assert (tmp_path / "faces" / os.fsdecode(b"caf\xe9.png")).is_file()


def test_an_image_is_rotated_as_its_camera_says(tmp_path: Path) -> None:
    """EXIF orientation 6: the upper side of what is seen is the left side of what is stored."""
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[:, :10] = 255
    jpeg = cv2.imencode(".jpg", stored)[1].tobytes()
    tag = b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00" + tag + b"\x00\x00\x00\x00"
    turned = decode(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:], "photo.jpg")
    assert turned.shape == (60, 40, 3)
    assert turned[:8].min() > 200
    assert turned[12:].max() < 60


def test_folders_that_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    with pytest.raises(UsageError, match="images is not a folder"):
        find_images(folder)
    folder.mkdir()
    with pytest.raises(UsageError, match="holds no images"):
        find_images(folder)
    image(folder / "a.png", 1)
    images = find_images(folder)
    for out in (folder, folder / "faces"):
        with pytest.raises(UsageError, match="choose another --out"):
            write_crops(folder, out, Script(), images)
    used = tmp_path / "used"
    used.mkdir()
    (used / "faces.csv").write_text("mine")
    for out in (used, used / "faces.csv"):
        with pytest.raises(UsageError, match="exists and is not an empty folder"):
            write_crops(folder, out, Script(), images)
    assert (used / "faces.csv").read_text() == "mine"


def test_a_full_disk_keeps_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = tmp_path / "images", tmp_path / "faces"
    for number in range(3):
        image(folder / f"{number}.png", 1)
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name == "2.png":
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FerengineError, match=r"faces cannot be written to: No space left on device; 2 of 3 images are done"):
        write_crops(folder, out, Script(), find_images(folder))
    assert [row["file"] for row in listing(out)] == ["0.png", "1.png"]
    assert (out / "1.png").is_file()


@pytest.fixture
def frame() -> NDArray[np.uint8]:
    """Two faces of the demo, the left one nearer. BGR uint8 (480, 640, 3)."""
    pytest.importorskip("skimage", reason="the extra `demo` is not installed")
    source = DemoSource(faces=2, frames=1)
    source.open()
    captured = source.read()
    assert captured is not None
    return captured.image.copy()


def test_the_command(tmp_path: Path, frame: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "images", tmp_path / "faces"
    (folder / "neutral").mkdir(parents=True)
    cv2.imwrite(str(folder / "neutral" / "two.png"), frame)
    cv2.imwrite(str(folder / "neutral" / "wall.png"), GREY)
    main(["prepare", str(folder), "--out", str(out), "--json"])
    assert json.loads(capsys.readouterr().out) == {
        "images": 2, "faces": 1, "one face": 0, "largest of several": 1, "no face": 1, "unreadable": 0,
    }  # fmt: skip
    truth = max(DemoSource(faces=2).boxes(0), key=lambda box: box[2] * box[3])
    row = listing(out)[0]
    assert float(row["x"]) == pytest.approx(truth[0], abs=0.2 * truth[2])
    assert float(row["w"]) == pytest.approx(truth[2], rel=0.25)
    crop = cv2.imread(str(out / row["file"]), cv2.IMREAD_UNCHANGED)
    assert crop is not None
    assert crop.shape == (48, 48)
    assert crop.std() > 20


def test_no_face_at_all_is_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "wall.png"), GREY)
    with pytest.raises(FerengineError, match=r"no face was found in .*smaller than --min-face 40"):
        main(["prepare", str(folder), "--out", str(tmp_path / "faces")])
    assert listing(tmp_path / "faces")[0]["outcome"] == "no face"


def test_a_face_that_fills_its_image_is_found_with_a_border(frame: NDArray[np.uint8]) -> None:
    """Cropped into brow and chin, MTCNN does not find the face in the image alone; the box refers to the image."""
    x, y, w, h = DemoSource(faces=2).boxes(0)[0]
    left, top, right, bottom = (round(value) for value in (x + 0.15 * w, y + 0.15 * h, x + 0.85 * w, y + 0.85 * h))
    tight = np.ascontiguousarray(frame[top:bottom, left:right])
    assert len(MtcnnDetector(40.0).detect(tight)) == 0
    found = PhotoCropper().detect(tight)
    assert len(found) == 1
    assert found.boxes[0] == pytest.approx([x - left, y - top, w, h], abs=0.25 * h)
    assert found.landmarks is not None
    assert (found.landmarks[0] > 0).all()
    assert (found.landmarks[0] < [right - left, bottom - top]).all()
