"""What searching only near known faces finds and costs, against full scans, on videos.

    python -m ferengine_tools.near_search VIDEO... [--detector retinaface] [--every 6] [--full-scan 1] [--min-face 40] [--json]

One frame in ``--every`` is searched twice: in full, which counts as the truth, and as a run with ``search="near"`` does:
in full once in ``--full-scan`` seconds or while nothing is known, else near the last boxes of all faces seen since. These
are ``--every`` frames old here, while in a run the trackers move them along, so that the engine loses fewer faces.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from ferengine.cli.command import exit_code, make_command
from ferengine.detection import Detector, create_detector
from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.models.settings import MIN_FACE, DetectorName
from ferengine.sources import open_source, parse_source
from ferengine.tracking.matching import iou_matrix
from ferengine.vision import cv2

MATCH_IOU = 0.5
"""Overlap from which a face of the full scan counts as found."""


@dataclass(frozen=True, slots=True)
class NearSearch:
    """What near search finds and costs.

    Attributes:
        frames: Frames searched.
        faces: Faces that the full scan finds.
        found: Those of them that near search finds.
        extra: Boxes that no full scan has.
        full_ms: CPU time of a full scan, ms.
        near_ms: CPU time of a near search, ms.
    """

    frames: int
    faces: int
    found: int
    extra: int
    full_ms: float
    near_ms: float

    @property
    def recall(self) -> float:
        """1 where there are no faces."""
        return self.found / self.faces if self.faces else 1.0


def measure(frames: Iterable[tuple[float, NDArray[np.uint8]]], detector: Detector, full_scan: float) -> NearSearch:
    """Search frames both ways.

    Args:
        frames: Time stamps in seconds, and BGR images.
        detector: What searches.
        full_scan: Seconds between full scans.
    """
    count = faces = found = extra = 0
    full_seconds = near_seconds = 0.0
    known: NDArray[np.float32] | None = None
    last_full = -np.inf
    for timestamp, frame in frames:
        start = time.thread_time()
        truth = detector.detect(frame)
        spent = time.thread_time() - start
        full_seconds += spent
        count += 1
        if known is None or not len(known) or timestamp - last_full >= full_scan:
            known, last_full = truth.boxes[:0], timestamp
            boxes = truth.boxes
            near_seconds += spent
        else:
            start = time.thread_time()
            boxes = detector.detect(frame, near=known).boxes
            near_seconds += time.thread_time() - start
        overlap = iou_matrix(truth.boxes, boxes).reshape(len(truth), len(boxes))
        faces += len(truth)
        found += int((overlap.max(axis=1, initial=0) >= MATCH_IOU).sum())
        extra += int((overlap.max(axis=0, initial=0) < MATCH_IOU).sum())
        missing = iou_matrix(known, boxes).reshape(len(known), len(boxes)).max(axis=1, initial=0) < MATCH_IOU
        known = np.vstack([boxes, known[missing]])
    each = 1000 / max(count, 1)
    return NearSearch(count, faces, found, extra, full_seconds * each, near_seconds * each)


def every_nth(path: str, every: int) -> Iterable[tuple[float, NDArray[np.uint8]]]:
    """Yield the time stamp and the image of one frame in ``every``.

    Raises:
        SourceError: The video cannot be read.
    """
    source = open_source(parse_source(path))
    source.open()
    try:
        while (frame := source.read()) is not None:
            yield frame.timestamp, frame.image
            source.skip(every - 1)
    finally:
        source.close()


def near_search(
    videos: Annotated[list[str], typer.Argument(help="Video files.")],
    detector: Annotated[DetectorName, typer.Option(help="What searches: mtcnn or retinaface.")] = "mtcnn",
    every: Annotated[int, typer.Option(min=1, help="Search every N-th frame.")] = 6,
    full_scan: Annotated[float, typer.Option(min=0, help="Seconds between full scans.")] = 1.0,
    min_face: Annotated[float, typer.Option(help="Minimum size of a face, pixels.")] = MIN_FACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of a table.")] = False,
) -> None:
    """Measure what searching near known faces finds, and saves."""
    if detector == "haar":
        raise UsageError("haar searches everywhere, whatever is near: choose mtcnn or retinaface")
    cv2.setNumThreads(1)
    searches = create_detector(detector, min_face=min_face)
    results = {video: measure(every_nth(video, every), searches, full_scan) for video in videos}
    if as_json:
        print(json_text({video: {**asdict(each), "recall": each.recall} for video, each in results.items()}, indent=2))
        return
    for video, each in results.items():
        print(f"{video}: {each.found} of {each.faces} faces ({each.recall:.2%}), {each.extra} extra, {each.frames} frames, "
              f"{each.near_ms:.2f} ms a frame instead of {each.full_ms:.2f}")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(near_search), "python -m ferengine_tools.near_search", arguments)


if __name__ == "__main__":
    sys.exit(main())
