"""The people of made scenes: cut out of clips that show one person, and out of photographs."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.detection.base import Detector
from ferengine.errors import UsageError
from ferengine.results import Box
from ferengine.sources import open_source, parse_source
from ferengine.vision import cv2
from ferengine_tools.files import read_image

Image = NDArray[np.uint8]

CLIPS = ("woman2.mp4", "liveportrait_d3.mp4", "pyfeat_single_face.mp4", "pyfeat_face_noface.mov")
"""Those that show one person, at least at first."""

_CLIP_SECONDS = 5.0
_FACE_HEIGHT = 90.0
"""To which the frames of clips are scaled, pixels: what a scene needs of it."""

_SURE_SCORE = 0.98


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """One person.

    Attributes:
        name: Of the clip or of the person in the list of photographs.
        times: Of each image, seconds from 0; a photograph has one.
        images: BGR, uint8 (H, W, 3) each.
        boxes: Of the face in each.
    """

    name: str
    times: tuple[float, ...]
    images: tuple[Image, ...]
    boxes: tuple[Box, ...]

    @property
    def duration(self) -> float:
        """Seconds; 0 for a photograph."""
        return self.times[-1]

    def at(self, seconds: float) -> tuple[Image, Box]:
        """The image at a time and its face; a clip goes back and forth, so that nothing jumps."""
        if not self.duration:
            return self.images[0], self.boxes[0]
        phase = seconds % (2 * self.duration)
        index = int(np.searchsorted(self.times, min(phase, 2 * self.duration - phase), side="right")) - 1
        return self.images[index], self.boxes[index]


def clip_actors(folder: Path, detector: Detector) -> list[Actor]:
    """The people of ``CLIPS``, as far as their faces are found in one frame after another.

    Raises:
        UsageError: A clip is not there.
    """
    actors = []
    for name in CLIPS:
        if not (folder / name).is_file():
            raise UsageError(f"{folder / name} is not there: the scenes are made of it")
        times: list[float] = []
        images: list[Image] = []
        boxes: list[Box] = []
        scale = 0.0
        for timestamp, image in _frames(folder / name):
            found = detector.detect(image)
            if timestamp > _CLIP_SECONDS or not len(found):
                break
            x, y, w, h = found.boxes[int(found.scores.argmax())].tolist()
            scale = scale or _FACE_HEIGHT / h
            small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            times.append(timestamp)
            images.append(np.asarray(small, np.uint8))
            boxes.append((x * scale, y * scale, w * scale, h * scale))
        actors.append(Actor(name, tuple(time - times[0] for time in times), tuple(images), tuple(boxes)))
    return actors


def _frames(path: Path) -> Iterator[tuple[float, Image]]:
    source = open_source(parse_source(str(path)))
    source.open()
    try:
        while (frame := source.read()) is not None:
            yield frame.timestamp, frame.image
    finally:
        source.close()


def photo_actors(folder: Path, detector: Detector, count: int) -> list[Actor]:
    """People of wild_faces, one photograph of each, in the order of its list.

    Raises:
        UsageError: The list or its images cannot be read.
    """
    try:
        return list(islice(_portraits(folder, detector), count))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{folder} cannot be read as wild_faces: {error}") from None


def _portraits(folder: Path, detector: Detector) -> Iterator[Actor]:
    seen: set[str] = set()
    with zipfile.ZipFile(folder / "faces.zip") as archive, (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        members = {Path(name).name: name for name in archive.namelist()}
        for row in csv.DictReader(file):
            if row["person"] in seen or float(row["face_px"]) < 100:
                continue
            seen.add(row["person"])
            crop = cv2.imdecode(np.frombuffer(archive.read(members[row["file"]]), np.uint8), cv2.IMREAD_COLOR)
            if crop is None:
                raise ValueError(f"{row['file']} is not an image")
            image = np.asarray(cv2.resize(crop, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
            found = detector.detect(image)
            if len(found) == 1 and found.scores[0] >= _SURE_SCORE:
                x, y, w, h = found.boxes[0].tolist()
                yield Actor(row["person"], (0.0,), (image,), ((x, y, w, h),))


def backgrounds(folder: Path, detector: Detector, size: tuple[int, int], count: int) -> list[Image]:
    """Photographs of faces_detection in which nothing is found, as (width, height).

    Raises:
        UsageError: There are not that many.
    """
    found: list[Image] = []
    for path in sorted((folder / "images").glob("*.jpg")):
        image = read_image(path, cv2.IMREAD_COLOR)
        if image is None or min(image.shape[:2]) < min(size):
            continue
        scaled = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        if not len(detector.detect(scaled)):
            found.append(scaled)
        if len(found) == count:
            return found
    raise UsageError(f"{folder} has only {len(found)} photographs without a face: the scenes need {count}")
