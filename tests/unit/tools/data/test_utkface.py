"""UTKFace from folders and zip files: labels, splits, the crops, the cache, and what is refused."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine.sources.demo.portraits import ASTRONAUT, HOPPER
from ferengine.tracking.crop_geometry import region_from_landmarks
from ferengine.vision import cv2
from ferengine_tools.data.cropping import PhotoCropper
from ferengine_tools.data.utkface import ETHNICITIES, GENDERS, UtkFace, crop_aligned, load_utkface, split_of

NAMES = ("25_1_0_20170112213500903", "61_0_3_20170109150557335", "110_1_4_20170110183726390")
EYES = np.float32([[38, 37], [88, 37]])  # where UTKFace has them in 128 pixels


@pytest.fixture(scope="module")
def faces() -> list[NDArray[np.uint8]]:
    """Three aligned images, BGR uint8 (128, 128, 3), as UTKFace crops them: no forehead; the third is the first, paler."""
    pytest.importorskip("skimage", reason="the extra `demo` is not installed")
    images = []
    for portrait in (ASTRONAUT, HOPPER):
        (x0, y0), (x1, y1) = portrait.landmarks[:2]
        scale = (EYES[1, 0] - EYES[0, 0]) / np.hypot(x1 - x0, y1 - y0)
        matrix = cv2.getRotationMatrix2D((x0, y0), np.degrees(np.arctan2(y1 - y0, x1 - x0)), scale)
        matrix[:, 2] += EYES[0] - [x0, y0]
        images.append(np.asarray(cv2.warpAffine(portrait.load(), matrix, (128, 128), flags=cv2.INTER_AREA), np.uint8))
    return [*images, np.asarray(0.8 * images[0] + 30, np.uint8)]


@pytest.fixture
def folder(tmp_path: Path, faces: list[NDArray[np.uint8]]) -> Path:
    (tmp_path / "images").mkdir()
    for name, face in zip(NAMES, faces, strict=True):
        assert cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), face)
    return tmp_path / "images"


def same(a: UtkFace, b: UtkFace) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in UtkFace.__dataclass_fields__)


def test_labels_and_splits(folder: Path) -> None:
    data = load_utkface(folder)
    assert data.names.tolist() == [f"{NAMES[n]}.png" for n in (2, 0, 1)]  # by name
    assert data.images.shape == (3, 48, 48)
    assert data.images.dtype == np.uint8
    assert data.age.tolist() == [110, 25, 61]
    assert [GENDERS[n] for n in data.gender] == ["female", "female", "male"]
    assert [ETHNICITIES[n] for n in data.ethnicity] == ["other", "White", "Indian"]
    assert data.detected.all()
    assert data.skipped == ()
    for index, name in enumerate(data.names[[0, 2]]):
        bucket = zlib.crc32(str(name).encode()) % 10
        assert data.split[2 * index] == {0: 2, 1: 1}.get(bucket, 0)


def test_split_of_known_names() -> None:
    """By the CRC-32 that gzip writes: of these names it is 0 modulo 10 for 2 and 13, 1 for 5."""
    splits = [split_of(f"{n}_0_0_1.jpg") for n in range(15)]
    assert [n for n, split in enumerate(splits) if split == 2] == [2, 13]
    assert [n for n, split in enumerate(splits) if split == 1] == [5]
    assert set(splits) == {0, 1, 2}


def test_near_duplicates_share_the_split_of_the_first_by_name(tmp_path: Path, faces: list[NDArray[np.uint8]]) -> None:
    test_name = next(name for n in range(99) if split_of(name := f"1{n}_0_0_1.png") == 2)
    train_name = next(name for n in range(99) if split_of(name := f"2{n}_0_0_1.png") == 0)
    for name, face in ((test_name, faces[0]), (train_name, faces[2])):
        cv2.imwrite(str(tmp_path / name), face)
    data = load_utkface(tmp_path)
    assert data.names.tolist() == [test_name, train_name]
    assert data.split.tolist() == [2, 2]
    assert data.moved.tolist() == [False, True]
    assert data.indices("test").tolist() == [0, 1]
    assert len(data.indices("training")) == len(data.indices("validation")) == 0


def test_a_zip_file_gives_the_same(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "utkface.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("UTKFace/README.md", "not an image")
        for file in folder.iterdir():
            archive.write(file, f"UTKFace/{file.name}")
    assert same(load_utkface(path), load_utkface(folder))


def test_the_eyes_are_where_the_engine_puts_them(faces: list[NDArray[np.uint8]]) -> None:
    """Two bright dots on the eyes of an aligned image appear at 0.38 of the crop's height, 1 / 2.67 of its side apart."""
    cropper = PhotoCropper()
    found = cropper.detect(faces[0])
    assert len(found) == 1
    assert found.landmarks is not None
    dotted = np.zeros_like(faces[0])
    for x, y in found.landmarks[0, :2]:
        cv2.circle(dotted, (round(float(x)), round(float(y))), 3, (255, 255, 255), cv2.FILLED)
    crop = cropper.crop(dotted, found, 0).astype(float)
    rows, columns = np.indices(crop.shape)
    left = crop * (columns < 24)
    right = crop * (columns >= 24)
    centers = [((rows * half).sum() / half.sum(), (columns * half).sum() / half.sum()) for half in (left, right)]
    assert [row for row, _ in centers] == pytest.approx([0.38 * 48, 0.38 * 48], abs=1.0)
    assert centers[1][1] - centers[0][1] == pytest.approx(48 / 2.67, abs=1.0)


def test_a_face_that_is_not_found_is_cropped_at_the_mean_place(faces: list[NDArray[np.uint8]]) -> None:
    cropper = PhotoCropper()
    wall = np.broadcast_to(np.arange(128, dtype=np.uint8)[:, None, None], (128, 128, 3)).copy()
    crop, found = crop_aligned(cropper, wall)
    assert not found
    points = np.array([[0.297, 0.288], [0.685, 0.288], [0.488, 0.516], [0.315, 0.687], [0.664, 0.687]]) * 128
    np.testing.assert_array_equal(crop, cropper.crop_square(wall, region_from_landmarks(points, align=False)))
    usual, found = crop_aligned(cropper, faces[0])
    assert found
    mean = cropper.crop_square(faces[0], region_from_landmarks(points, align=False))
    assert np.corrcoef(mean.ravel(), usual.ravel())[0, 1] > 0.9  # the mean place is where aligned faces are


def test_names_without_a_label_are_counted(folder: Path, faces: list[NDArray[np.uint8]]) -> None:
    for name in (
        "61_1_20170109142408075.png",
        "5_2_0_1.png",
        "5_0_5_1.png",
        "24_0_1_20170116220224657 .png",
        "55_0_0_2jpg.chip.png",
    ):
        cv2.imwrite(str(folder / name), faces[0])
    data = load_utkface(folder)
    assert len(data.images) == 5  # an odd date is no wrong label
    assert sorted(data.skipped) == ["5_0_5_1.png", "5_2_0_1.png", "61_1_20170109142408075.png"]
    cv2.imwrite(str(folder / "holiday.png"), faces[0])
    with pytest.raises(UsageError, match=r"4 of 9 names are not age_gender_ethnicity_datetime.*is this UTKFace"):
        load_utkface(folder)


def test_other_sources_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_utkface(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no images"):
        load_utkface(tmp_path / "empty")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(UsageError, match="neither a folder nor a zip file: is it truncated"):
        load_utkface(broken)
    face = folder / f"{NAMES[0]}.png"
    face.write_bytes(face.read_bytes()[:40])
    with pytest.raises(UsageError, match=rf"{face.name} cannot be read as an image"):
        load_utkface(folder)


def test_the_same_image_in_two_folders_is_refused(folder: Path) -> None:
    """Some distributions hold the whole set more than once."""
    (folder / "again").mkdir()
    (folder / "again" / f"{NAMES[0]}.png").write_bytes((folder / f"{NAMES[0]}.png").read_bytes())
    with pytest.raises(UsageError, match=rf"holds an image twice, as .*{NAMES[0]}\.png: name the one folder"):
        load_utkface(folder)


def test_a_cache_that_cannot_be_written(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("ferengine_tools.data.utkface.PhotoCropper", None)  # refused before anything is cropped
    with pytest.raises(UsageError, match=r"cache cannot be written to \(Not a directory\): choose another folder"):
        load_utkface(folder, tmp_path / "file" / "cache")


def test_a_damaged_member_is_named(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "utkface.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / f"{NAMES[0]}.png", f"{NAMES[0]}.png")
    content = bytearray(path.read_bytes())
    content[2000] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"{NAMES[0]}\.png is damaged"):
        load_utkface(path)


def test_images_that_are_no_faces_are_refused(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{20 + number}_0_0_1.png"), np.full((128, 128, 3), 90, np.uint8))
    with pytest.raises(UsageError, match="found in only 0 of 3 images"):
        load_utkface(tmp_path)


def test_the_cache(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    data = load_utkface(folder, cache)
    [kept] = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("ferengine_tools.data.utkface.PhotoCropper", None)  # nothing is cropped again
        assert same(load_utkface(folder, cache), data)
    for name, value in (("_CROPPING", 0), ("__version__", "0.0.1")):  # what others cropped is not taken
        with monkeypatch.context() as patch:
            patch.setattr(f"ferengine_tools.data.utkface.{name}", value)
            load_utkface(folder, cache)
        [other] = set(cache.iterdir()) - {kept}
        other.unlink()
    kept.write_bytes(kept.read_bytes()[:500])
    with pytest.raises(UsageError, match=rf"{kept.name} is damaged.*delete it"):
        load_utkface(folder, cache)
    kept.unlink()
    (folder / f"{NAMES[1]}.png").rename(folder / "62_0_3_20170109150557335.png")  # another source, another file
    assert 62 in load_utkface(folder, cache).age
    assert [file.name for file in cache.iterdir()] != [kept.name]


@pytest.mark.data
def test_real_faces_are_found(data_dir: Path) -> None:
    cropper = PhotoCropper()
    with zipfile.ZipFile(data_dir / "utkface" / "utkface128.zip") as archive:
        names = archive.namelist()[::500]
        images = [cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR) for name in names]
    found = [crop_aligned(cropper, np.asarray(image, np.uint8))[1] for image in images]
    assert len(found) == 48
    assert sum(found) >= 46


def test_names_that_are_not_utf8(tmp_path: Path, folder: Path) -> None:
    known = next(path for path in sorted(folder.rglob("*")) if path.is_file())
    known.rename(known.with_name("20_0_0_2017\udcff.png"))
    assert same(load_utkface(folder, tmp_path / "cache"), load_utkface(folder, tmp_path / "cache"))


def test_caches_of_any_damage_are_named(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    data = load_utkface(folder, cache)
    [kept] = cache.iterdir()
    whole = kept.read_bytes()
    at = whole.index(b"PK\x01\x02")
    other_method, encrypted = bytearray(whole), bytearray(whole)
    other_method[at + 10], encrypted[at + 8] = 99, encrypted[at + 8] | 1
    single, short = io.BytesIO(), io.BytesIO()
    np.save(single, data.images)
    np.savez(short, **{**vars(data), "skipped": np.array([], np.str_), "images": data.images[:1]})
    for content in (bytes(other_method), bytes(encrypted), single.getvalue(), short.getvalue()):
        kept.write_bytes(content)
        with pytest.raises(UsageError, match=rf"{kept.name} is damaged.*delete it"):
            load_utkface(folder, cache)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied", str(kept))

    monkeypatch.setattr(np, "load", refuse)
    with pytest.raises(UsageError, match=rf"{kept.name} cannot be read \(Permission denied\): choose another folder"):
        load_utkface(folder, cache)
