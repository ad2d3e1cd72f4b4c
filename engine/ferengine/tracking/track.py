"""One face that is followed: where it is, how it has looked, and what its tracker says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine.results import Box, Origin
from ferengine.tracking.appearance import appearance
from ferengine.tracking.base import Tracker
from ferengine.tracking.blending import Place
from ferengine.tracking.crop_geometry import CropGeometry, CropRegion
from ferengine.tracking.looks import Looks
from ferengine.tracking.motion import Motion
from ferengine.tracking.recognition import DOUBTFUL, SURE


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFace:
    """One face in the current frame.

    Attributes:
        id: The id of its track.
        box: x, y, w, h in pixels.
        score: Of its last detection, in [0, 1].
        confidence: Of the tracker, in [0, 1]; 1 if the face was detected in this frame.
        origin: Whether it was detected in this frame or tracked into it.
        landmarks: float32 (5, 2) in pixels, if it was detected in this frame by a detector that finds landmarks.
        region: Where to crop it for the classifier.
    """

    id: int
    box: Box
    score: float
    confidence: float
    origin: Origin
    landmarks: NDArray[np.float32] | None
    region: CropRegion


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One usable detection: ``geometry`` places the crop on its box, ``template`` is its appearance."""

    box: Box
    score: float
    landmarks: NDArray[np.float32] | None
    geometry: CropGeometry
    template: NDArray[np.float32]


@dataclass(slots=True, eq=False)
class Track:
    """``confident_box`` is the last box whose confidence was not weak, ``looks`` how the face has looked,
    ``place`` what has been where it is, ``motion`` where it goes.

    ``lost_since`` is set while the face is not found, and ``confirmed_lost`` once a detection did not find it either, or the
    scene has changed: then the tracker is not updated any more. ``denied`` says that a face at its place was too unlike it
    since it was last seen. ``scene`` is the one that it was last seen in, and
    ``detected_at`` when.
    """

    id: int
    tracker: Tracker
    detection: Detection
    box: Box
    confident_box: Box
    scene: int
    looks: Looks
    place: Place
    motion: Motion
    detected_at: float
    confidence: float = 1.0
    origin: Origin = "detected"
    lost_since: float | None = None
    confirmed_lost: bool = False
    denied: bool = False

    def face(self) -> TrackedFace:
        return TrackedFace(
            id=self.id,
            box=self.box,
            score=self.detection.score,
            confidence=self.confidence,
            origin=self.origin,
            landmarks=self.detection.landmarks if self.origin == "detected" else None,
            region=self.detection.geometry.region(self.box),
        )

    def resembles(self, frame: NDArray[np.uint8], timestamp: float, least: float) -> bool:
        """Whether what is at its place looks like its face, with a similarity of ``least``."""
        return self.looks.similarity(appearance(frame, self.box), timestamp) >= least

    def is_gone(self, frame: NDArray[np.uint8], timestamp: float) -> bool:
        """Whether its tracker doubts itself and is at what does not look like its face."""
        return self.confidence < SURE and not self.resembles(frame, timestamp, DOUBTFUL)

    def reinitialise(self, frame: NDArray[np.uint8], detection: Detection, scene: int, timestamp: float) -> None:
        """Put the track where the detector finds its face."""
        if scene == self.scene:
            self.motion.add(detection.box, timestamp)
        else:
            self.motion.restart(detection.box, timestamp)
        self.scene, self.detected_at = scene, timestamp
        self.tracker.init(frame, detection.box)
        self.place.confirm(detection.box)
        self.detection, self.box, self.confident_box = detection, detection.box, detection.box
        self.confidence, self.origin, self.lost_since, self.confirmed_lost = 1.0, "detected", None, False
        self.denied = False
