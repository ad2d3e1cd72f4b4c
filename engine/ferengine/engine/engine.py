"""The engine itself: made of its settings and sources, with its metrics, and a context manager."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self, Unpack, cast

from ferengine.config import EngineSettings, make_config
from ferengine.engine.consuming import EngineResults
from ferengine.engine.running import check_callback, check_flags
from ferengine.engine.sources import AnySource, EngineSources, as_spec
from ferengine.errors import UsageError
from ferengine.inference.select import choose_variant
from ferengine.inference.select_elsewhere import choose_backend_elsewhere
from ferengine.ipc.interpreter import worker_python
from ferengine.ipc.process import refused
from ferengine.models.priors import choose_prior
from ferengine.models.registry import GENDER, load_model
from ferengine.results import CameraEvent
from ferengine.runtime.cameras import Cameras
from ferengine.runtime.consumers import Consumers
from ferengine.runtime.health import Health, take_health
from ferengine.runtime.metrics import Summary, run_summary
from ferengine.runtime.supervisor import Supervisor
from ferengine.runtime.topology import Topology, make_plan
from ferengine.sinks.save_paths import save_paths
from ferengine.sources import unique_names
from ferengine.stages.detector_choice import choose_detector
from ferengine.stages.records import ScoreBatch


class Engine(EngineResults, EngineSources):
    """Reads the faces and expressions of one or more sources, in worker processes.

    Every iterator, stream and callback has a dedicated queue. Files wait until their results are taken, and begin with the
    first consumer; live sources drop instead, and one camera's end, failure or slow consumer does not touch the others.
    No signal handler is installed, nothing is printed (see the logger ``ferengine``), the caller needs no ``__main__``
    guard, all methods may be called from any thread, and several engines may run at once.

    Args:
        sources: Camera indices, paths, "demo", ``PushSource`` or ``SourceSpec``, one or a sequence.
        save: A video file to write with everything drawn; with several sources a folder, one file each.
        overwrite: Whether ``save`` may replace files that exist.
        display: Whether to show a window for each source.
        keep_open: Whether the engine goes on when it has no source left, or begins with none, until ``stop``;
            ``add_source`` brings more.
        on_event: Called, in a dedicated thread, when a camera starts, is disconnected, reconnects or ends.
        **settings: The fields of ``ferengine.config.EngineConfig``.

    Attributes:
        labels: The classes of the expression head, in the order of its outputs; none for a model that reads no expression.
        heads: The further heads of the model, as its manifest describes them: those of ``Face.heads``.
        prior: The class prior that expressions are read under; None for a model that names no priors.
        gender_labels: The classes of the gender network; empty unless the setting ``gender`` is on.
        detector: The detector, and why it is that one.
        blur_frames: For how many frames at least images are held back to blur their faces; None unless ``blur`` is on.

    Raises:
        UsageError: The settings make no sense.
        ModelError: A model is missing or damaged.
        WorkerError: The system refuses the memory or files that the workers need, or there is no Python to run them (in a
            frozen program).

    Example:
        Print the expressions of a video::

            with Engine("talk.mp4") as engine:
                for result in engine.results():
                    print(result.frame, [face.expression for face in result.faces])
    """

    def __init__(
        self,
        /,
        sources: AnySource | Sequence[AnySource] = (),
        *,
        save: str | Path | None = None,
        overwrite: bool = False,
        display: bool = False,
        keep_open: bool = False,
        on_event: Callable[[CameraEvent], object] | None = None,
        **settings: Unpack[EngineSettings],
    ) -> None:
        check_flags(overwrite=overwrite, display=display, keep_open=keep_open)
        config = make_config(**settings)
        if on_event is not None:
            check_callback(on_event, "on_event is a function that takes an event")
        worker_python()
        several = isinstance(sources, Iterable) and not isinstance(sources, str | bytes | Mapping)
        given = list(cast(Iterable[AnySource], sources)) if several else [cast(AnySource, sources)]
        if not given and not keep_open:
            raise UsageError("no source given: name a camera index, a file or 'demo', or pass keep_open=True")
        specs = unique_names(map(as_spec, given))
        self.detector = choose_detector(config, specs, growing=keep_open)
        config = config.model_copy(update={"detector": self.detector.name})
        model = load_model(config.model, "expression")
        self.labels = tuple(model.manifest.labels)
        self.heads = model.manifest.further_heads
        self.blur_frames = config.blur_frames
        self.prior = choose_prior(model.manifest, config.prior, follows=True)
        genders = load_model(GENDER, "gender") if config.gender else None
        self.gender_labels = () if genders is None else tuple(genders.manifest.labels)
        backend = choose_backend_elsewhere(config.backend)
        for each in filter(None, (model, genders)):  # refused before any file is touched
            choose_variant(each, config.backend_settings(), backend=backend)
        numbers = sum(len(head.labels) for each in (model, genders) if each is not None for head in each.manifest.outputs)
        if config.max_batch > ScoreBatch.largest(numbers):
            raise UsageError(
                f"the model {config.model} gives {numbers} numbers a face, of which a batch of {config.max_batch} is too many: "
                f"set max_batch to {ScoreBatch.largest(numbers)} or less"
            )
        self._save = None if save is None else _as_path(save)
        self._overwrite = overwrite
        paths = {} if self._save is None else save_paths(specs, self._save, overwrite)
        plan = make_plan(len(specs), config, backend=backend, outputs=(save is not None) + display, growing=keep_open)
        cameras = Cameras(self.labels, self.gender_labels, config, plan.trackers, self.heads, self.prior)
        try:
            crops = tuple(dict.fromkeys(each.manifest.input.crop for each in (model, genders) if each is not None))
            topology = Topology(cameras, config, plan, crops, self.prior, paths, overwrite, save is not None, display)
            self._supervisor = Supervisor(cameras, topology, config, keep_open=keep_open, on_event=on_event)
            for spec in specs:
                self._supervisor.add_camera(spec)
        except (MemoryError, OSError) as error:
            raise refused(error) or error from None
        self._run = self._supervisor.state
        self._consumers = Consumers(self._run, self._supervisor.rings, self._consume)
        self._lock = threading.Lock()
        self._callbacks = []

    # --- metrics

    @property
    def failures(self) -> tuple[str, ...]:
        """What went wrong without ending the run: sources and outputs that failed."""
        return tuple(self._state.failures)

    def health(self) -> Health:
        """How each worker, camera and consumer is doing now; cheap, from any thread, also after the end."""
        return take_health(self._state)

    def worker_pids(self) -> dict[str, int]:
        """Process ids of the living workers by name."""
        workers = self._state.topology.workers
        return {worker.name: worker.pid for worker in workers if worker.pid is not None}

    def summary(self) -> Summary:
        """The metrics of the run so far, as JSON takes them: rates, counts, drops by stage and reason, latencies, workers."""
        state = self._state
        return run_summary(state.metrics, state.cameras, state.topology, state.subscriptions, self.detector)

    # --- as a context manager

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)


def _as_path(save: str | Path) -> Path:
    if save == "":  # which would be the current folder
        raise UsageError("save is the path of a video file or a folder, and this one is empty")
    try:
        return Path(save)
    except TypeError:
        raise UsageError(f"save is the path of a video file or a folder, not {type(save).__name__}") from None
