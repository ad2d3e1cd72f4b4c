"""One run of the engine on the command line: its outputs, its signals and its summary."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from types import FrameType

from rich.console import Console

from ferengine.cli.camera_events import CameraEvents
from ferengine.cli.health_file import HealthFile, is_health_file
from ferengine.cli.message_outputs import event_media
from ferengine.cli.outputs import Outputs
from ferengine.cli.report import print_summary
from ferengine.cli.settings import RunSettings, check_of_use
from ferengine.engine import Engine
from ferengine.errors import SinkError, SourceError, UsageError
from ferengine.json_text import json_text
from ferengine.runtime.metrics import Summary
from ferengine.sinks.files import check_output, is_folder, same_file, write_atomically
from ferengine.sinks.save_paths import refuse_source
from ferengine.sinks.screen import no_window_reason
from ferengine.sources import SourceSpec, unique_names
from ferengine.sources.url import no_file

_STDOUT = Path("-")
_TICK = 0.25
"""Maximum seconds until a signal is handled."""


def run_session(settings: RunSettings, console: Console, config: Path | None = None) -> int:
    """Run the engine with its outputs until it ends or is stopped, and return the exit code.

    Args:
        settings: What to run.
        console: Standard error.
        config: The file that settings were read from.
    """
    display = _decide_display(settings.display)
    table = _decide_table(settings, display, console)
    specs = settings.specs()
    refuse_absent(specs)
    say_renamed(specs)
    check_files(settings, specs, read={"--config": config})
    camera_events = CameraEvents()
    engine = Engine(
        specs, on_event=camera_events.append, save=settings.save, overwrite=settings.overwrite, display=display,
        **settings.engine_values(),
    )  # fmt: skip
    stopper = Stopper(engine)
    outputs = Outputs(engine, settings, camera_events, console if table else None, event_media(settings, engine))
    health = None if settings.health_file is None else HealthFile(settings.health_file, engine)
    try:
        with engine:
            try:
                with console.status("starting the workers"):
                    engine.wait_ready()
                outputs.start()
                while not engine.wait(_TICK):
                    if outputs.all_failed and not settings.display and _is_video_over(engine, settings):
                        engine.stop()  # nothing takes the results any more: head has had its lines, or the disk is full
            finally:
                outputs.finish(lambda: stopper.stopped_at)
    finally:
        if health is not None:
            health.close()
    summary = engine.summary()
    summary["sinks"].update(outputs.summaries())
    failed = bool(engine.failures or outputs.errors) | (not _write_summary(settings.summary, summary))
    failed |= health is not None and health.error is not None
    failed |= any_image_unread(engine, specs)
    files = {
        "video": settings.save,
        "events": settings.events,
        "csv": settings.csv,
        "parquet": settings.parquet,
        "store": settings.store,
    }
    print_summary(summary, engine.seen, console, files)
    return 1 if failed else 0


def refuse_absent(specs: Sequence[SourceSpec]) -> None:
    """Raise SourceError before any worker starts where all sources are files that are not there; a run reads what there is."""
    absent = [spec.value for spec in specs if spec.kind == "file" and not os.path.lexists(spec.value)]
    if absent and len(absent) == len(specs):
        raise SourceError("\n".join(map(no_file, absent)))


def say_renamed(specs: Sequence[SourceSpec]) -> None:
    """Log the name in results of each source whose own name another has."""
    for spec, named in zip(specs, unique_names(specs), strict=True):
        if named.name != spec.name:
            logging.getLogger("ferengine").info("%s is %s in results: another source is %s", spec.where, named.name, spec.name)


def check_files(
    settings: RunSettings,
    specs: Sequence[SourceSpec],
    *,
    read: Mapping[str, Path | None] | None = None,
    state: Path | None = None,
) -> None:
    """Raise UsageError if two outputs have the same file, or an output that of a source or of what else is read.

    Args:
        settings: The outputs.
        specs: The sources.
        read: What is read besides, by its option, such as ``--config``.
        state: The file of ``--state``, which is read and written.
    """
    events = None if settings.events is None else Path(settings.events)
    streams = {"--events": events, "--csv": settings.csv}
    named = {**streams, "--save": settings.save, "--summary": settings.summary, "--health-file": settings.health_file,
             "--store": settings.store, "--state": state}  # fmt: skip
    folders = {"--parquet": settings.parquet, "--snapshots": settings.snapshots, "--clips": settings.clips}
    to_stdout = [option for option, path in {**named, **folders}.items() if path == _STDOUT]
    for option in to_stdout:
        if option not in streams:
            kind = "folder" if option in folders else "file"
            raise UsageError(f"{option} -: only --events and --csv write to standard output: name a {kind}")
    if len(to_stdout) > 1:
        raise UsageError(f"{' and '.join(to_stdout)} cannot both write to standard output: name a file for one of them")
    files = {option: path for option, path in named.items() if path is not None and path != _STDOUT and not is_folder(path)}
    for (one, path), (other, second) in combinations(files.items(), 2):
        if same_file(path, second):
            raise UsageError(f"{one} and {other} name the same file, {path}: choose another for one of them")
    inputs = {**(read or {}), "--model": settings.model, "--prior": settings.prior,
              "--mqtt-password": settings.mqtt_password, "--webhook-secret": settings.webhook_secret}  # fmt: skip
    for option, path in files.items():
        refuse_source(path, specs)
        for reader, given in inputs.items():
            if given is not None and os.path.isfile(given) and same_file(path, Path(given)):  # noqa: PTH113 - of any name
                raise UsageError(f"{option}: {path} is the file of {reader}: choose another name for the output")
    if settings.summary is not None:
        check_output(settings.summary, overwrite=settings.overwrite)
    if settings.health_file is not None:
        left_by_a_run = is_health_file(settings.health_file)
        check_output(settings.health_file, overwrite=settings.overwrite or left_by_a_run)
    if state is not None:
        check_output(state, overwrite=True)  # it was left by a run before, as reading it has shown
    check_of_use(settings, _option)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _is_video_over(engine: Engine, settings: RunSettings) -> bool:
    """Whether no video is being written: none was asked for, or that of the only camera has failed."""
    if settings.save is None:
        return True
    return len(engine.cameras) == 1 and bool(engine.failures) and engine.summary()["sinks"]["video"]["error"] is not None


def _decide_display(asked: bool | None) -> bool:
    reason = no_window_reason() if asked is not False else None
    if asked and reason:
        raise UsageError(f"--display: {reason}; use --save or --events")
    return reason is None if asked is None else asked


def _decide_table(settings: RunSettings, display: bool, console: Console) -> bool:
    """Whether to show the table: never between the lines of --events or --csv."""
    option = next((option for option, path in (("--events", settings.events), ("--csv", settings.csv)) if str(path) == "-"), "")
    mixed = bool(option) and sys.stdout is not None and sys.stdout.isatty()
    if settings.table and (mixed or not console.is_terminal):
        reason = f"{option} - writes to the same terminal" if mixed else "standard error is not a terminal"
        raise UsageError(f"--table: {reason}; leave it out")
    usual = console.is_terminal and not display and not mixed
    return usual if settings.table is None else settings.table


def any_image_unread(engine: Engine, specs: Sequence[SourceSpec]) -> bool:
    """Whether files of a folder or glob of images could not be read, as in ``ferengine image``; each was named already."""
    cameras = engine.health().cameras
    unread = {spec.name: cameras[spec.name].dropped["broken"] for spec in unique_names(specs) if spec.kind == "images"}
    for name, count in unread.items():
        if count:
            logging.getLogger("ferengine").error("%s: images could not be read, %d times in all", name, count)
    return any(unread.values())


def _write_summary(path: Path | None, summary: Summary) -> bool:
    if path is None:
        return True
    try:
        write_atomically(path, json_text(summary, indent=2).encode() + b"\n", durable=True)
    except SinkError as error:
        logging.getLogger("ferengine").error("%s", error)
        return False
    return True


class Stopper:
    """Ends the run cleanly on SIGINT, SIGTERM and (except under nohup) SIGHUP, and at once on a second one.

    It works as process 1 of a container, too.
    """

    def __init__(self, engine: Engine) -> None:
        self.stopped_at: float | None = None
        self._engine = engine
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        again = self.stopped_at is not None and number != signal.SIGHUP  # a closing terminal sends that one twice
        self._engine.stop(force=again)
        self.stopped_at = self.stopped_at or time.monotonic()
