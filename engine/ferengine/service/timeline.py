"""The last minutes of each person, as the page shows them: one sample a second."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

from ferengine.results import FrameResult

SECONDS = 300.0
"""How far back it goes."""
_EVERY = 1.0
_MAX_TRACKS = 64
"""Of each camera: in a crowd the oldest go first."""


class Timeline:
    """What each track showed, sampled once a second; bounded in time and number of tracks."""

    def __init__(self) -> None:
        self._cameras: defaultdict[str, dict[int, deque[tuple[float, str, float]]]] = defaultdict(dict)

    def add(self, result: FrameResult, now: float) -> None:
        """Add a result that came at ``now``, seconds since the epoch."""
        tracks = self._cameras[result.camera]
        for face in result.faces:
            if face.track is None or face.expression is None:
                continue
            samples = tracks.setdefault(face.track, deque())
            if not samples or now - samples[-1][0] >= _EVERY:
                smoothed = face.expression.smoothed
                samples.append((now, smoothed.label, smoothed.confidence))
                while samples[0][0] < now - SECONDS:
                    samples.popleft()
        if len(tracks) > _MAX_TRACKS:
            self._prune(tracks, now)

    @staticmethod
    def _prune(tracks: dict[int, deque[tuple[float, str, float]]], now: float) -> None:
        by_age = sorted(tracks, key=lambda track: tracks[track][-1][0])
        gone = [track for track in by_age if tracks[track][-1][0] < now - SECONDS]
        for track in gone or by_age[: len(tracks) - _MAX_TRACKS]:
            del tracks[track]

    def forget(self, camera: str) -> None:
        """The camera was removed or begins anew."""
        self._cameras.pop(camera, None)

    def to_dict(self, now: float) -> dict[str, Any]:
        """By camera: its tracks with their samples, each the time (seconds since the epoch), label and score."""
        since = now - SECONDS
        return {
            camera: [
                {
                    "track": track,
                    "samples": [[round(when, 2), label, round(score, 3)] for when, label, score in samples if when >= since],
                }
                for track, samples in tracks.items()
                if samples[-1][0] >= since
            ]
            for camera, tracks in self._cameras.items()
        }
