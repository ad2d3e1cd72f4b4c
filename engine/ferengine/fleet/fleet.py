"""Many machines as one fleet of cameras: ``Fleet``."""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, Unpack

from ferengine.config import EngineSettings, make_config
from ferengine.engine import AnySource, as_spec
from ferengine.errors import UsageError, shown
from ferengine.fleet import cluster
from ferengine.fleet.collector import FleetResults, ask
from ferengine.fleet.coordinator import Coordinator, CoordinatorSetup, as_user_error
from ferengine.fleet.outputs import FleetOutputs, outputs_from
from ferengine.fleet.records import FleetEvent, FleetHealth, OutputReport
from ferengine.fleet.seal import Sealer, cluster_token
from ferengine.runtime.subscriptions import is_number
from ferengine.sources import SourceSpec, unique_names

_ANSWER = 30.0
"""Seconds that the coordinator may take to answer, its restart included."""
_RETRY = 0.2
_STOP_ENGINE = 30.0
_CALLS_AT_ONCE = 10_000
MIN_LEASE = 2.0

log = logging.getLogger("ferengine")


@dataclass(frozen=True)
class FleetCamera:
    """A camera of a fleet.

    Attributes:
        source: As ``Engine`` takes it, but no ``PushSource``. Devices and files are those of the node that reads it.
        affinity: Labels that a node must have to read it.
    """

    source: AnySource
    affinity: Mapping[str, str] = field(default_factory=dict, hash=False)

    def spec(self) -> SourceSpec:
        """The source: what is no camera is played at its own rate, the demo for ever, and streams are always opened again."""
        spec = as_spec(self.source)
        if spec.kind == "push":
            raise UsageError("a fleet reads its cameras itself: use Engine for frames that the program pushes")
        if isinstance(self.source, SourceSpec):
            return spec
        return spec.replace(pace="native", reconnect="always", loop=0 if spec.kind == "demo" else spec.loop)


@dataclass(frozen=True)
class NodePages:
    """The pages of the nodes, with the video of their cameras.

    Attributes:
        token: What clients have to show; ``None`` only with ``loopback``.
        loopback: Listen for clients of the same machine only.
        port: Of each node; 0 for any that is free.
        certificate, key: PEM files of each node, for TLS.

    Raises:
        UsageError: Other machines could see the pages without a token, or one of the two files is missing.
    """

    token: str | None
    loopback: bool = False
    port: int = 0
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if self.token is None and not self.loopback:
            raise UsageError("the pages of nodes, which other machines reach, need a token: give one, or loopback=True")
        if (self.certificate is None) != (self.key is None):
            raise UsageError("the pages of nodes need both a certificate and its key for TLS, or neither")


class Fleet:
    """Reads cameras on all nodes of a Ray cluster, each camera on one of them at any time.

    A node that dies, hangs or is cut off loses its cameras to others after its lease. Frames and tracks of a camera are
    numbered from a new multiple of ``results.EPOCH_NUMBERS`` each time that a node begins to read it.

    Args:
        cameras: Sources or ``FleetCamera``, one or a sequence.
        address: ``HOST:PORT`` of a cluster, or "auto"; ``None`` starts one on this machine, with one node.
        name: Of the fleet. A program that names a fleet that runs joins it, and its settings stay.
        detached: Whether the fleet goes on when this object is closed, until ``stop``.
        lease: Seconds that a node may go on reading when the coordinator does not answer, and after which its cameras are
            given to others. Shorter means shorter gaps, and more cameras that move because a node was busy for a moment.
        hysteresis: How uneven the load may be, as a fraction of a node, before a camera is moved for it.
        state: A folder of the cluster's head for the fleet's state, so that numbers go on after the whole cluster was
            restarted. By default Ray keeps it.
        gpus: GPUs that an engine takes on a node that has them, such as 0.5.
        outputs: Where the nodes write results.
        pages: Have each node serve its page.
        **settings: The fields of ``ferengine.config.EngineConfig``, for all engines.

    Raises:
        UsageError: A setting makes no sense, or the cluster has no token authentication.
        MissingDependencyError: Ray is not installed.
        FleetError: The cluster cannot be reached.

    Example:
        Print who moves::

            with Fleet([FleetCamera("rtsp://10.0.0.7/live", {"site": "north"})], address="auto") as fleet:
                for event in fleet.events():
                    print(event.kind, event.camera, event.seconds)
    """

    def __init__(
        self,
        cameras: AnySource | FleetCamera | Sequence[AnySource | FleetCamera] = (),
        *,
        address: str | None = None,
        name: str = "ferengine",
        detached: bool = False,
        lease: float = 5.0,
        hysteresis: float = 0.2,
        state: str | Path | None = None,
        gpus: float = 1.0,
        outputs: FleetOutputs | None = None,
        pages: NodePages | None = None,
        **settings: Unpack[EngineSettings],
    ) -> None:
        if not is_number(lease) or not lease >= MIN_LEASE:
            raise UsageError(f"lease: at least {MIN_LEASE:g} seconds, not {shown(lease)}: nodes stop a second before its end")
        config = make_config(**settings)
        given = list(cameras) if isinstance(cameras, Sequence) and not isinstance(cameras, str) else [cameras]
        wanted = [each if isinstance(each, FleetCamera) else FleetCamera(each) for each in given]
        specs = unique_names(each.spec() for each in wanted)
        self._name = name
        self._detached = detached
        self._closed = self._ends = False
        self._failures: list[str] = []
        self._coordinator: Any = None
        self._readers: weakref.WeakSet[FleetResults] = weakref.WeakSet()
        self._owned = cluster.connect(address)
        try:
            token = cluster_token()
            assert token is not None  # connect refuses clusters without one
            self._sealer = Sealer(token)
            page = None if pages is None else {
                "port": pages.port, "token": pages.token, "certificate": pages.certificate, "key": pages.key,
            }  # fmt: skip
            sealed = self._sealer.seal(
                {
                    "settings": config.model_dump_json(exclude_unset=True),
                    "outputs": (outputs or outputs_from({})).model_dump(),
                    "page": page,
                }
            )
            setup = CoordinatorSetup(
                name, lease, hysteresis, None if state is None else str(state), gpus, pages is None or pages.loopback, sealed
            )
            joins = cluster.find_actor(cluster.coordinator_name(name)) is not None
            self._ends = not (detached or joins)
            self._coordinator = self._start_coordinator(setup)
            known = set(self.health().cameras)
            if not joins:  # what an earlier run has left behind counts no more than what is given now
                for left in known - {spec.name for spec in specs} if not detached else ():
                    with contextlib.suppress(UsageError):  # it is being removed
                        self._change("remove", left)
            for camera, spec in zip(wanted, specs, strict=True):
                if spec.name not in known or not joins:
                    method = "replace" if spec.name in known else "add"
                    self._change(method, spec.name, self._sealer.seal(spec.to_dict()), dict(camera.affinity))
        except BaseException:
            self.close()
            raise

    # --- cameras and nodes

    def add(self, source: AnySource | FleetCamera) -> str:
        """Add a camera.

        Args:
            source: As the constructor takes it.

        Returns:
            The camera's name.

        Raises:
            UsageError: The source makes no sense, or the name is taken.
        """
        camera = source if isinstance(source, FleetCamera) else FleetCamera(source)
        spec = camera.spec()
        self._change("add", spec.name, self._sealer.seal(spec.to_dict()), dict(camera.affinity))
        return spec.name

    def remove(self, camera: str) -> None:
        """Remove a camera; its node stops reading it shortly after.

        Args:
            camera: Its name.

        Raises:
            UsageError: There is no such camera.
        """
        self._change("remove", camera)

    def move(self, camera: str, node: str) -> None:
        """Have another node read a camera, from shortly after.

        Args:
            camera: Its name.
            node: The node's name.

        Raises:
            UsageError: There is no such camera or node, the node may not take it, or has not the labels for it.
        """
        self._change("move", camera, node)

    def drain(self, node: str) -> None:
        """Move all cameras of a node to others, and give it none, until ``resume``. The event "drained" says when it has none.

        Args:
            node: Its name.

        Raises:
            UsageError: There is no such node.
        """
        self._change("drain", node)

    def resume(self, node: str) -> None:
        """Let a drained node read cameras again.

        Args:
            node: Its name.

        Raises:
            UsageError: There is no such node.
        """
        self._change("resume", node)

    # --- what it does

    def health(self) -> FleetHealth:
        """How all nodes and cameras are doing."""
        found: FleetHealth = self._call("health")
        return found

    def results(self, *, cameras: str | Sequence[str] | None = None, queue: int = 4096) -> FleetResults:
        """The results of all cameras as they come, in order for each camera.

        Outputs on the nodes are the better way for many cameras: what is collected here passes through this machine.

        Args:
            cameras: The names of the cameras that are wanted, or one name; ``None`` for all. A camera may be added later.
            queue: How many results may wait, on each node and here; then the oldest are dropped, and counted.

        Raises:
            UsageError: These are no names, or the queue has no room for a result.
        """
        made = FleetResults(self._engines, queue, cameras)
        self._readers.add(made)
        return made

    def engine_pids(self) -> dict[str, dict[str, int]]:
        """The processes of each node's engine by name; "engine" is the actor itself."""
        found = {}
        for node, name in self._engines().items():
            actor = cluster.find_actor(name)
            if actor is not None:
                found[node] = ask(actor.worker_pids.remote(), _ANSWER)
        return found

    def coordinator_pid(self) -> int:
        """The process of the coordinator, on its machine."""
        found: int = self._call("pid")
        return found

    def events(self, timeout: float | None = None) -> Iterator[FleetEvent]:
        """What happens, from the beginning of what the coordinator remembers (the last 10,000 events).

        Args:
            timeout: Seconds without an event after which the iteration ends; ``None`` for never.
        """
        after, life, since = 0, 0, time.monotonic()  # lives are counted from 1
        while not self._closed and (timeout is None or time.monotonic() < since + timeout):
            try:
                now, count, found = self._events(life, after, 0.5 if timeout is None else min(0.5, timeout))
            except cluster.FleetError:
                if self._closed:
                    return
                raise
            if found:
                since = time.monotonic()
            missed = count - (after if now == life else 0) - len(found)
            if missed and life:  # what was forgotten before the first look was not promised
                yield FleetEvent("missed", time.time(), reason=f"{missed} events were forgotten before they were read")
            life, after = now, count
            yield from found

    def _events(self, life: int, after: int, wait: float) -> tuple[int, int, tuple[FleetEvent, ...]]:
        """Events of one life of the coordinator: its successor counts anew."""
        now, count, found = self._call("events", life, after, wait)
        return now, count, found

    # --- the end

    def close(self) -> None:
        """Stop the fleet, unless it is detached or another program began it, and leave the cluster; may be called again."""
        if self._closed:
            return
        self._closed = True
        for results in list(self._readers):
            results.close()
        try:
            if self._ends and self._coordinator is not None:
                with contextlib.suppress(cluster.FleetError):
                    self.stop()
        finally:
            if self._owned:
                cluster.disconnect()

    def stop(self) -> None:
        """End the fleet: its engines write what their outputs have, and end; then the coordinator. What is lost by that is
        logged, and in ``failures``."""
        ray = cluster.connected()
        engines = self._engines()
        self._call("stop")
        actors = {node: actor for node, name in engines.items() if (actor := cluster.find_actor(name)) is not None}
        stopping = {actor.stop.remote(): node for node, actor in actors.items()}
        ended, late = ray.wait(list(stopping), num_returns=len(stopping), timeout=_STOP_ENGINE) if stopping else ([], [])
        for call in ended:
            self._note_end(stopping[call], call)
        for call in late:
            self._fail(f"{stopping[call]} has not ended within {_STOP_ENGINE:.0f} s: what its outputs still had is lost")
        for actor in [*actors.values(), self._coordinator]:
            ray.kill(actor, no_restart=True)

    @property
    def failures(self) -> tuple[str, ...]:
        """What has failed when the fleet ended: outputs, and engines that did not end by themselves."""
        return tuple(self._failures)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- within

    def _note_end(self, node: str, call: Any) -> None:
        try:
            outputs: dict[str, OutputReport] = ask(call, _ANSWER)
        except cluster.connected().exceptions.RayError as error:
            self._fail(f"{node} has failed at its end: {' '.join(str(error).split())[-300:]}")
            return
        for name, report in outputs.items():
            if report.error is not None:
                self._fail(f"{node}: {report.error}")
            if report.dropped:
                log.warning("%s: %d results and events were not written by %s", node, report.dropped, name)

    def _fail(self, text: str) -> None:
        self._failures.append(text)
        log.error("%s", text)

    def _start_coordinator(self, setup: CoordinatorSetup) -> Any:
        return (
            cluster.connected()
            .remote(Coordinator)
            .options(
                name=cluster.coordinator_name(self._name), namespace=cluster.NAMESPACE, get_if_exists=True,
                lifetime="detached" if self._detached else None, max_restarts=-1, max_task_retries=0,
                max_concurrency=_CALLS_AT_ONCE, num_cpus=0, resources={cluster.HEAD: 0.001},
            )
            .remote(setup)
        )  # fmt: skip

    def _engines(self) -> dict[str, str]:
        found: dict[str, str] = self._call("engines")
        return found

    def _change(self, method: str, *arguments: Any) -> None:
        """Call the coordinator for something that must not be done twice, should its answer be lost."""
        self._call(method, uuid.uuid4().hex, *arguments)

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call the coordinator; it is asked again while it is being restarted."""
        errors = cluster.connected().exceptions
        deadline = time.monotonic() + _ANSWER
        while True:
            try:
                return ask(getattr(self._coordinator, method).remote(*arguments), _ANSWER)
            except errors.RayTaskError as error:
                known = as_user_error(error)
                if not isinstance(known, UsageError) and known is not None and time.monotonic() < deadline:
                    time.sleep(_RETRY)  # it cannot reach its store at the moment
                    continue
                raise (known or error) from None
            except (errors.ActorUnavailableError, errors.GetTimeoutError):
                if time.monotonic() > deadline:
                    raise cluster.FleetError(f"the coordinator of the fleet {self._name} does not answer") from None
                time.sleep(_RETRY)
            except errors.ActorDiedError:
                raise cluster.FleetEndedError(f"the fleet {self._name} has ended") from None
