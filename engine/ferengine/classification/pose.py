"""Which way a face looks, from its five landmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.track_memory import TrackMemory
from ferengine.results import Pose

FACE_POINTS = np.array(
    [[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.6, -0.5], [-0.43, 1.07, -0.05], [0.43, 1.07, -0.05]], np.float64
)
"""The five landmarks of a mean face that looks at the viewer, in distances between its eyes: x to the right and y down in the
image, z away from the viewer. Left eye, right eye (as the viewer sees them), tip of the nose, left and right mouth corner."""

_CENTERED = FACE_POINTS - FACE_POINTS.mean(axis=0)
_INVERSE = np.linalg.pinv(_CENTERED)


def estimate_pose(landmarks: NDArray[np.float32] | Sequence[Sequence[float]]) -> Pose | None:
    """Estimate the pose of a face from its landmarks.

    The landmarks are taken as a scaled orthographic image of ``FACE_POINTS``: a least-squares fit gives the 2x3 matrix of
    the projection, and the nearest pair of orthonormal rows its rotation (D. DeMenthon, L. Davis, "Model-Based Object Pose
    in 25 Lines of Code", IJCV 1995, without its iteration over perspective).

    Args:
        landmarks: (5, 2), x and y in pixels, in the order of ``FACE_POINTS``.

    Returns:
        Degrees, or None where the points nearly coincide or are not finite.

    Example:
        >>> pose = estimate_pose(100 * FACE_POINTS[:, :2])
        >>> round(abs(pose.yaw)), round(abs(pose.pitch)), round(abs(pose.roll))
        (0, 0, 0)
    """
    points = np.asarray(landmarks, np.float64)
    if not np.isfinite(points).all():
        return None
    (a, b, c), (d, e, f) = (_INVERSE @ points).T.tolist()  # the mean of the points falls out
    # The nearest orthonormal rows are S^(-1/2) P, S = P P^T: for two rows in closed form, far quicker than by singular values.
    xx, xy, yy = a * a + b * b + c * c, a * d + b * e + c * f, d * d + e * e + f * f
    trace, root = xx + yy, math.sqrt(max(0.0, xx * yy - xy * xy))
    largest = (trace + math.sqrt(max(0.0, trace * trace - 4 * root * root))) / 2
    if root <= 1e-6 * max(1.0, math.sqrt(largest)) * math.sqrt(largest):  # root: the product of the two singular values
        return None
    scale = root * math.sqrt(trace + 2 * root)
    xx, xy, yy = (xx + root) / scale, xy / scale, (yy + root) / scale
    a, b, c, d, e, f = yy * a - xy * d, yy * b - xy * e, yy * c - xy * f, xx * d - xy * a, xx * e - xy * b, xx * f - xy * c
    # Of the rotation Rz(roll) Ry(-yaw) Rx(-pitch); its third row is the cross product of these two.
    yaw = math.asin(max(-1.0, min(1.0, b * f - c * e)))
    pitch = -math.atan2(c * d - a * f, a * e - b * d)
    roll = math.atan2(d, a)
    return Pose(math.degrees(yaw), math.degrees(pitch), math.degrees(roll))


def rotation(pose: Pose) -> NDArray[np.float64]:
    """The rotation (3, 3) that brings ``FACE_POINTS``, as columns, into the pose."""
    yaw, pitch, roll = (math.radians(angle) for angle in (pose.yaw, pose.pitch, pose.roll))
    (sy, cy), (sp, cp), (sr, cr) = ((math.sin(angle), math.cos(angle)) for angle in (yaw, pitch, roll))
    up = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    right = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    clockwise = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(clockwise @ right @ up, np.float64)


class PoseMemory:
    """The last pose of each track: landmarks are found in detected frames only, and the pose is kept until the next, with
    its age."""

    def __init__(self) -> None:
        self._tracks: TrackMemory[Pose] = TrackMemory()

    def update(self, track: int, timestamp: float, landmarks: Sequence[Sequence[float]] | None) -> Pose | None:
        """The pose of a track in a frame, or None where it has had no landmarks.

        Args:
            track: The track's id.
            timestamp: Media time, seconds.
            landmarks: Of this frame, (5, 2), if the face was detected in it.
        """
        pose = None if landmarks is None else estimate_pose(landmarks)
        if pose is not None:
            self._tracks.put(track, timestamp, pose)
            return pose
        last = self._tracks.get(track, timestamp)
        return None if last is None else Pose(last[1].yaw, last[1].pitch, last[1].roll, last[0])
