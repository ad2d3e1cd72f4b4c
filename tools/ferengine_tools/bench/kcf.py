"""One update of a tracked face, by the native KCF and by OpenCV's on the whole frame."""

from __future__ import annotations

from collections.abc import Iterator

from ferengine.tracking import KcfTracker
from ferengine.vision import cv2
from ferengine_tools.bench.record import OWN, Metric
from ferengine_tools.bench.scenes import circling
from ferengine_tools.bench.timing import timing

SIDES = (40, 80, 160, 320)


def metrics(seconds: float) -> Iterator[Metric]:
    """Microseconds an update, for faces of several sizes; five updates after each start, as in a run."""
    for side in SIDES:
        frames, box = circling(side)
        own = KcfTracker()

        def start(own: KcfTracker = own) -> None:
            own.init(frames[0], box)  # noqa: B023 - called within this round

        def follow(own: KcfTracker = own) -> None:
            for frame in frames[1:]:  # noqa: B023
                own.update(frame)

        taken = timing(follow, units=len(frames) - 1, setup=start, seconds=seconds, least=20)
        yield Metric("kcf", f"{side} px face", OWN, 1e6 * taken.seconds, "us", taken.spread)
        if not hasattr(cv2, "TrackerKCF"):
            continue
        other = cv2.TrackerKCF.create()
        other.init(frames[0], tuple(map(int, box)))

        def follow_by_opencv(other: cv2.TrackerKCF = other) -> None:
            for frame in frames[1:]:  # noqa: B023
                other.update(frame)

        taken = timing(follow_by_opencv, units=len(frames) - 1, seconds=seconds, least=3)
        yield Metric("kcf", f"{side} px face", "OpenCV, whole frame", 1e6 * taken.seconds, "us", taken.spread)
