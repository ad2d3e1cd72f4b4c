"""The sources of an engine, which come and go while it runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import TypeAlias

from ferengine.engine.running import EngineRun, check_flags
from ferengine.errors import EngineStoppedError, UsageError, shown
from ferengine.frames import AnyImage
from ferengine.ipc.process import refused
from ferengine.results import Pushed
from ferengine.runtime.supervisor import DRAIN
from ferengine.seen import Seen
from ferengine.sinks.save_paths import refuse_source, save_path
from ferengine.sources import SourceSpec, parse_source, unique_names
from ferengine.sources.push import PushSource
from ferengine.sources.zone import Zone
from ferengine.zones import Outside

AnySource: TypeAlias = str | int | os.PathLike[str] | SourceSpec | PushSource


class EngineSources(EngineRun):
    """The part of ``Engine`` that adds, changes, feeds and removes sources."""

    _save: Path | None
    _overwrite: bool

    @property
    def cameras(self) -> tuple[str, ...]:
        """The names of the cameras."""
        return tuple(camera.name for camera in self._state.cameras)

    @property
    def sources(self) -> dict[str, SourceSpec]:
        """The source of each camera by its name."""
        return {camera.name: camera.spec for camera in self._state.cameras}

    @property
    def seen(self) -> dict[str, Seen]:
        """What each camera has shown so far, by its name: people, and the fractions of expressions."""
        return {camera.name: camera.seen for camera in self._state.cameras}

    def add_source(self, source: AnySource, *, held: bool = False) -> str:
        """Add a source, also while the engine runs.

        One that does not open ends with an error in ``health()`` and ``failures``, and does not touch the others.

        Args:
            source: As the constructor takes it.
            held: Whether its process is started, but the source is opened only by ``open_source``: that then takes no longer
                than the source itself.

        Returns:
            The name that results call it.

        Raises:
            UsageError: As the constructor does.
            WorkerError: The system refuses memory or files.
            EngineStoppedError: The engine has stopped.
        """
        check_flags(held=held)
        spec = as_spec(source)

        def add() -> str:
            path = None
            if self._save is not None:
                specs = unique_names([*self._specs(), spec])
                path = save_path(specs[-1], self._save, self._overwrite)
                refuse_source(path, specs)
            try:
                camera = self._supervisor.add_camera(spec, held=held)
            except (MemoryError, OSError) as error:
                raise refused(error) or error from None
            if path is not None:
                self._state.topology.save_to(camera, path)
            return camera.name

        return self._state.executor.call(add)

    def set_zones(self, name: str, zones: Iterable[Zone], *, outside: Outside = "deliver") -> None:
        """Replace the zones of a camera, also while it runs: from one of its next frames on.

        Args:
            name: The camera's name.
            zones: What to watch and to ignore; none removes all.
            outside: Where zones are watched, whether to "deliver" faces that are in none of them or "ignore" them.

        Raises:
            UsageError: There is no such camera, or two zones have one name.
            EngineStoppedError: The engine has stopped.
        """
        camera = self._state.cameras.named(name)
        if not isinstance(zones, Iterable) or isinstance(zones, str | Mapping):
            raise UsageError(f"zones are a sequence of Zone, an empty one to remove all, not {shown(zones)}")
        spec = camera.spec.replace(zones=tuple(zones), outside_zones=outside)
        self._state.executor.call(lambda: self._supervisor.set_zones(camera, spec))

    def open_source(self, name: str) -> None:
        """Open a source that was added as held. Does not wait.

        Args:
            name: The camera's name.

        Raises:
            UsageError: There is no such camera.
        """
        camera = self._state.cameras.named(name)
        with contextlib.suppress(EngineStoppedError):
            self._state.executor.call(lambda: self._supervisor.open_held(camera))

    def end_source(self, name: str) -> None:
        """Read or accept no further frame of a camera. All that it has given still comes out, and then it has ended, as a
        file does. Does not wait.

        Args:
            name: The camera's name.

        Raises:
            UsageError: There is no such camera.
        """
        camera = self._state.cameras.named(name)
        with contextlib.suppress(EngineStoppedError):
            self._state.executor.call(lambda: self._supervisor.close_input(camera))

    def remove_source(self, name: str, *, drain: bool = True) -> None:
        """Remove a camera, and wait until all that it had is gone: its capture process, memory and tracks.

        Args:
            name: The camera's name.
            drain: Whether its frames on their way still come out, within a second; otherwise they are dropped
                (``end_source`` drops none).

        Raises:
            UsageError: There is no such camera.
        """
        check_flags(drain=drain)
        camera = self._state.cameras.named(name)
        try:
            self._state.executor.call(lambda: self._supervisor.remove_camera(camera, drain=drain))
        except EngineStoppedError:
            return
        while not camera.removed.wait(DRAIN / 4) and not self._state.finished.is_set():
            pass

    def push(self, camera: str, frame: AnyImage, timestamp: float | None = None, *, timeout: float = 10.0) -> Pushed:
        """Hand in the next frame of a ``PushSource``; it is copied, once, into shared memory.

        Never blocks for a live source, except for its first frame and for one that is larger than all before.

        Args:
            camera: The source's name.
            frame: uint8 (H, W, 3) BGR, (H, W, 4) BGRA (alpha is ignored) or (H, W) grey, of any layout in memory, 1 to
                16384 pixels on a side. The size may change from frame to frame; then all tracks of the camera end.
            timestamp: Seconds, default now; it should not go backwards.
            timeout: Seconds that a source with ``wait`` waits for a free slot.

        Returns:
            Whether the frame was accepted, and if not what dropped it.

        Raises:
            UsageError: The array or the time stamp makes no sense, or there is no such camera, or it is not pushed to.
        """
        if self._state.cameras.was_removed(camera):
            return Pushed(False, "ended")
        known = self._state.cameras.named(camera)
        if known.input is None:
            raise UsageError(f"{camera} is read by the engine itself: only a PushSource takes pushed frames")
        if not self._state.ending:
            self._start()
        return known.input.push(frame, timestamp, timeout)

    def _specs(self) -> list[SourceSpec]:
        return [camera.spec for camera in self._state.cameras]


def as_spec(source: AnySource) -> SourceSpec:
    """What ``source`` names. Raises UsageError."""
    if isinstance(source, PushSource):
        return source.spec()
    if isinstance(source, SourceSpec):
        return source
    if isinstance(source, bool) or not isinstance(source, str | Integral | os.PathLike):
        raise UsageError(
            f"a source is a camera's number, a path, a URL, 'demo', a SourceSpec or a PushSource, not {type(source).__name__}"
        )
    return parse_source(source)
