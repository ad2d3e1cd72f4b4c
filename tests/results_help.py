"""Results as tests make them."""

from __future__ import annotations

from ferengine.results import Expression, Face, FrameResult, Scores, Timings


def face(track: int | None, label: str | None, score: float = 0.75) -> Face:
    """A face with a smoothed label; without one it is not classified."""
    expression = None
    if label is not None:
        scores = {"happy": 1 - score, "sad": 1 - score, label: score}
        expression = Expression("sad", scores, Scores(label, scores))
    return Face(track, (1.0, 2.0, 30.0, 40.0), 0.9, 1.0, "detected", None, expression)


def result(number: int, *faces: Face, camera: str = "door", fps: float = 10.0, cut: bool = False) -> FrameResult:
    """Frame ``number`` of a camera."""
    return FrameResult(camera, number, number / fps, 5.0, faces, Timings(0, 0, 0, 0, 0), cut, searched=number)
