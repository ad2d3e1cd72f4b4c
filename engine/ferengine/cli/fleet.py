"""``ferengine fleet``: cameras on many machines."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ferengine.cli.fleet_files import run_files
from ferengine.cli.log import log_to
from ferengine.errors import FerengineError, UsageError

if TYPE_CHECKING:
    from ferengine.cli.fleet_settings import FleetSettings
    from ferengine.fleet.fleet import Fleet, NodePages
    from ferengine.fleet.records import FleetEvent
    from ferengine.service.server import Address, Server, Tls

_TICK = 0.5


def fleet(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", help="Read cameras, outputs and settings from this TOML file; with --files the engine's settings only."
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address", metavar="auto|HOST:PORT",
            help="Use the Ray cluster there, or the one that this machine belongs to (auto). If not given, one is started on "
            "this machine.",
        ),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--files", metavar="PATTERN",
            help="Read video files in place of cameras, such as 'archive/**/*.mp4'; may be repeated.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FOLDER", help="Write the results of --files there, and go on where an earlier run ended."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Read files that have results in --out again.")] = False,
    cpus_per_file: Annotated[
        float, typer.Option("--cpus-per-file", help="Cores of a node to set aside for each of --files.")
    ] = 2.0,
) -> None:  # fmt: skip
    """Read cameras, or an archive of video files, on many machines as one fleet, on a Ray cluster.

    Each camera is read by one node at any time. A node that dies, hangs or is cut off loses its cameras to others; what
    happens is shown. Ctrl-C ends the fleet, unless its settings say that it goes on (detached). Each file is read once; those
    that fail are named, and make the exit code 1.
    """
    from ferengine.cli.fleet_settings import FleetSettings, load_fleet_settings

    if config is None and not files:
        raise UsageError("there is nothing to read: pass --config with cameras, or --files")
    if not files and (out is not None or overwrite):
        raise UsageError(f"{'--overwrite' if out is None else '--out'} is for --files: the outputs of cameras are in --config")
    settings = FleetSettings.model_validate({}) if config is None else load_fleet_settings(config)
    console = Console(stderr=True)
    log_to(console, settings.log_level)
    if files:
        sys.exit(
            run_files(
                files, out, settings.engine_values(), address=address, overwrite=overwrite, cpus_per_file=cpus_per_file,
                console=console,
            )
        )  # fmt: skip
    pages = None if settings.listen is None else _Pages.read(settings, settings.listen, console)
    sys.exit(run_fleet(settings, address, console, pages))


@dataclass(frozen=True)
class _Pages:
    """Where the pages are, and who may see them."""

    address: Address
    tls: Tls | None
    token: str | None
    node_port: int

    @classmethod
    def read(cls, settings: FleetSettings, listen: str, console: Console) -> _Pages:
        from ferengine.cli.serve import check_exposure, read_tls, read_token
        from ferengine.service.server import Address

        address, tls = Address.parse(listen), read_tls(settings.tls_certificate, settings.tls_key)
        token = None if settings.token_file is None else read_token(settings.token_file, console)
        check_exposure(address, tls, token, console)
        return cls(address, tls, token, settings.node_port)

    def of_nodes(self) -> NodePages:
        """Those of the nodes."""
        from ferengine.fleet.fleet import NodePages

        files = (None, None) if self.tls is None else (str(self.tls.certificate), str(self.tls.key))
        return NodePages(self.token, self.address.is_loopback, self.node_port, *files)

    def serve(self, fleet: Fleet) -> Server:
        """Serve that of the fleet. Raises ServiceError."""
        from ferengine.fleet.app import create_fleet_app
        from ferengine.service.server import Server

        app = create_fleet_app(fleet, line_of, token=self.token)

        async def end() -> None:
            """It has no streams."""
            app.state.bodies.end()

        server = Server(app, self.address, self.tls, before_end=end)
        server.start()
        return server


def run_fleet(settings: FleetSettings, address: str | None, console: Console, pages: _Pages | None) -> int:
    """Run a fleet until a signal ends it; returns the exit code."""
    over = threading.Event()
    _end_with_signals(over)
    with console.status("starting the fleet"):
        fleet = _start(settings, address, pages)
    with fleet, ExitStack() as stack:
        health = fleet.health()
        console.print(f"fleet {settings.name}: {len(health.cameras)} cameras", highlight=False, markup=False)
        if pages is not None:
            server = pages.serve(fleet)
            stack.callback(server.close)
            console.print(f"the fleet is on {server.url}", highlight=False, markup=False)
        printer = threading.Thread(target=_print_events, args=(fleet, console), name="ferengine-fleet-events", daemon=True)
        printer.start()
        failed = _watch(fleet, over, printer)
    return 1 if failed or fleet.failures else 0


def _start(settings: FleetSettings, address: str | None, pages: _Pages | None) -> Fleet:
    from ferengine.fleet.fleet import Fleet, FleetCamera

    if not settings.camera and not settings.detached:
        raise UsageError("there is no camera in the settings: add a [[camera]] table")
    cameras = [FleetCamera(spec, affinity) for spec, affinity in settings.sources()]
    return Fleet(
        cameras, address=address, name=settings.name, detached=settings.detached, lease=settings.lease,
        hysteresis=settings.hysteresis, state=settings.state, gpus=settings.gpus, outputs=settings.outputs(),
        pages=None if pages is None else pages.of_nodes(), **settings.engine_values(),
    )  # fmt: skip


def _end_with_signals(over: threading.Event) -> None:
    def end(number: int, frame: FrameType | None) -> None:
        if over.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        over.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)


def _watch(fleet: Fleet, over: threading.Event, printer: threading.Thread) -> bool:
    """Wait for the end; returns whether an output or camera has failed, or the fleet ended by itself."""
    while not over.wait(_TICK):
        if not printer.is_alive():
            raise FerengineError("the fleet has ended: see Ray's logs of the coordinator")
    health = fleet.health()
    outputs = [output.error for node in health.nodes.values() for output in node.outputs.values()]
    return any(outputs) or any(camera.state == "failed" for camera in health.cameras.values())


def _print_events(fleet: Fleet, console: Console) -> None:
    for event in fleet.events():
        console.print(line_of(event), highlight=False, markup=False)


def line_of(event: FleetEvent) -> str:
    """An event as one line.

    Example:
        >>> from ferengine.fleet.records import FleetEvent
        >>> line_of(FleetEvent("moved", 0.0, "door", "b", "a", 6.25, "node dead"))[9:]
        'door: moved from a to b after 6.2 s (node dead)'
    """
    clock = time.strftime("%H:%M:%S", time.localtime(event.timestamp))
    subject = event.camera or event.node or "coordinator"
    parts: list[str] = [event.kind]
    if event.before is not None and event.kind == "moved":
        parts.append(f"from {event.before}")
    if event.camera is not None and event.node is not None:
        parts.append(f"{'to' if event.kind == 'moved' else 'on'} {event.node}")
    if event.seconds is not None:
        parts.append(f"after {event.seconds:.1f} s")
    if event.reason is not None:
        parts.append(f"({event.reason})")
    return f"{clock} {subject}: {' '.join(parts)}"
