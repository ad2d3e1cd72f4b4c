"""Trackers, and the identity of faces from frame to frame.

Names are imported on first use, so that OpenCV is loaded only for its own tracker.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from ferengine.errors import UsageError

_HOMES = {
    "FaceTracker": "ferengine.tracking.face_tracker",
    "KcfTracker": "ferengine.tracking.kcf",
    "OpenCvKcf": "ferengine.tracking.opencv_kcf",
    "Tracker": "ferengine.tracking.base",
    "TrackerUpdate": "ferengine.tracking.base",
    "update_all": "ferengine.tracking.kcf",
}

__all__ = [*_HOMES, "tracker_maker"]

if TYPE_CHECKING:
    from ferengine.tracking.base import Tracker as Tracker
    from ferengine.tracking.base import TrackerUpdate as TrackerUpdate
    from ferengine.tracking.face_tracker import FaceTracker as FaceTracker
    from ferengine.tracking.kcf import KcfTracker as KcfTracker
    from ferengine.tracking.kcf import update_all as update_all
    from ferengine.tracking.opencv_kcf import OpenCvKcf as OpenCvKcf


def tracker_maker(name: Literal["kcf", "opencv"]) -> Callable[[], Tracker]:
    """Return the class of a tracker.

    Args:
        name: "kcf" for the native KcfTracker, "opencv" for OpenCvKcf.

    Raises:
        UsageError: For another name.
        MissingDependencyError: If OpenCV has no KCF.
    """
    if name == "kcf":
        from ferengine.tracking.kcf import KcfTracker

        return KcfTracker
    if name == "opencv":
        from ferengine.tracking.opencv_kcf import OpenCvKcf

        OpenCvKcf()  # reports now what is missing, not at the first face
        return OpenCvKcf
    raise UsageError(f"the tracker must be kcf or opencv, not {name}")


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
