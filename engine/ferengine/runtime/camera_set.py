"""The cameras of a run, which come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ferengine.config import EngineConfig
from ferengine.errors import UsageError
from ferengine.runtime.cameras import CameraState
from ferengine.runtime.joiner import CameraJoiner
from ferengine.sources import SourceSpec, unique_names


class CameraSet:
    """Cameras by number and by name. Numbers are never used twice, so that messages still on their way from a removed
    camera are not mistaken for another's; ``removed`` keeps what the removed ones had counted."""

    def __init__(self, labels: tuple[str, ...], gender_labels: tuple[str, ...], config: EngineConfig, trackers: int) -> None:
        self._labels, self._gender_labels = labels, gender_labels
        self._config = config
        self._trackers = trackers
        self._by_number: dict[int, CameraState] = {}
        self._next = 0
        self.removed: Counter[str] = Counter()

    def __iter__(self) -> Iterator[CameraState]:
        return iter(list(self._by_number.values()))

    def __len__(self) -> int:
        return len(self._by_number)

    def get(self, number: int) -> CameraState | None:
        """``None`` for a camera that has been removed."""
        return self._by_number.get(number)

    def named(self, name: str) -> CameraState:
        """Raises UsageError for a name that no camera has."""
        for camera in self:
            if camera.name == name:
                return camera
        known = ", ".join(camera.name for camera in self) or "none"
        raise UsageError(f"there is no camera {name!r}: there is {known}")

    def add(self, spec: SourceSpec) -> CameraState:
        """A camera for ``spec``, under a name that no other has, with the track worker that has fewest."""
        *_, spec = unique_names([*(camera.spec for camera in self), spec])
        config = self._config
        joiner = CameraJoiner(
            spec.name,
            spec.live,
            self._labels,
            config.deadline,
            config.smoothing,
            config.min_confidence,
            gender_labels=self._gender_labels,
        )
        load = Counter(camera.tracker for camera in self if not camera.ended)
        tracker = min(range(self._trackers), key=lambda index: (load[index], index))
        camera = CameraState(self._next, spec, joiner, tracker)
        self._by_number[self._next] = camera
        self._next += 1
        return camera

    def remove(self, camera: CameraState) -> None:
        self.removed.update(camera_counts(camera))
        del self._by_number[camera.number]

    def counts(self) -> Counter[str]:
        """The sums over all cameras, removed ones included: see ``camera_counts``."""
        total = Counter(self.removed)
        for camera in self:
            total.update(camera_counts(camera))
        return total


def camera_counts(camera: CameraState) -> dict[str, int]:
    """Frames and faces that went out, and drops by reason."""
    joiner = camera.joiner
    return {
        "frames": joiner.emitted,
        "faces": joiner.faces,
        "ring_full": camera.ring_full,
        "broken": camera.broken,
        "late": camera.late,
        "not_ready": camera.not_ready,
        "skipped": joiner.skipped,
        "deadline": joiner.unclassified["deadline"],
        "face_ring_full": joiner.unclassified["face_ring_full"],
    }
