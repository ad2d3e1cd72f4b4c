"""``ferengine run``: from cameras and files to events, video files, windows and a summary."""

from __future__ import annotations

import inspect
import json
import logging
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import combinations
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console

from ferengine.cli.command import call
from ferengine.cli.config_file import load_settings
from ferengine.cli.log import log_to
from ferengine.cli.options import RUN, checked, with_options
from ferengine.cli.outputs import Outputs
from ferengine.cli.report import print_summary
from ferengine.cli.settings import RunSettings
from ferengine.engine import Engine
from ferengine.errors import SinkError, SourceError, UsageError
from ferengine.results import CameraEvent
from ferengine.runtime.metrics import Summary
from ferengine.sinks.files import check_output, same_file
from ferengine.sinks.save_paths import refuse_source
from ferengine.sinks.window import screen_available
from ferengine.sources import SourceSpec

_CONFIG = inspect.Parameter(
    "config",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Take settings from this TOML file, which has the same names as these options; options win. "
            "See ferengine config.",
            show_default=False,
        ),
    ],
)


_EVENTS = 10_000
"""Camera events that may wait to be written; nobody takes them without --events."""
_TICK = 0.25
"""Seconds after which a signal is handled at the latest."""


@with_options(RUN, _CONFIG)
def run(config: Path | None, **given: Any) -> None:
    """Read the faces and expressions of cameras and videos.

    Without --camera or --source: camera 0 if there is one, else the built-in demo. Ctrl-C ends the run cleanly and
    closes all files; a second Ctrl-C forces it.
    """
    settings = checked(RunSettings, given)
    if config is not None:
        settings = merged(load_settings(config), settings)
    console = Console(stderr=True)
    log_to(console, settings.log_level)
    if not settings.camera and not settings.source:
        settings = settings.model_copy(update=_default_source(console))
    sys.exit(_run(settings, console))


def merged(file: RunSettings, options: RunSettings) -> RunSettings:
    """The settings of a file with the options of the command line over them; sources named there replace the file's."""
    over = {name: getattr(options, name) for name in options.model_fields_set}
    if options.camera or options.source:
        over = {"camera": (), "source": (), **over}
    return file.model_copy(update=over)


def _default_source(console: Console) -> dict[str, Any]:
    """Camera 0 if it can be opened, else the demo; says which."""
    from ferengine.sources.camera import CameraSource

    probe = CameraSource(0)
    try:
        probe.open()
    except SourceError as error:
        console.print(f"no source named, and {error}: playing the built-in demo (see --source and --camera)", highlight=False)
        return {"source": ("demo",)}
    finally:
        probe.close()
    console.print("no source named: taking camera 0")
    return {"camera": (0,)}


def _run(settings: RunSettings, console: Console) -> int:
    display = _decide_display(settings.display)
    table = _decide_table(settings, display, console)
    specs = settings.specs("native" if display else "fast")
    _check_files(settings, specs)
    happened: deque[CameraEvent] = deque(maxlen=_EVENTS)
    engine = Engine(
        specs, on_event=happened.append, save=settings.save, overwrite=settings.overwrite, display=display,
        **settings.engine_values(),
    )  # fmt: skip
    stopper = _Stopper(engine)
    outputs = Outputs(engine, settings, happened, console if table else None)
    with engine:
        try:
            with nullcontext() if table else console.status("starting the workers"):
                engine.wait_ready()
            outputs.start()
            while not engine.wait(_TICK):
                if outputs.all_failed and settings.save is None and not display:
                    engine.stop()  # nobody is left whom it runs for: head has had its lines
        finally:
            outputs.finish(lambda: stopper.asked_at)
    summary = engine.summary()
    summary["sinks"].update(outputs.summaries())
    failed = bool(engine.failures or outputs.errors) | (not _write_summary(settings.summary, summary))
    print_summary(summary, console)
    return 1 if failed else 0


def _check_files(settings: RunSettings, specs: Sequence[SourceSpec]) -> None:
    """Raises UsageError where two outputs name one file, or an output that of a source."""
    events = None if settings.events in (None, "-") else Path(str(settings.events))
    named = {"--events": events, "--csv": settings.csv, "--save": settings.save, "--summary": settings.summary}
    files = {option: path for option, path in named.items() if path is not None and not path.is_dir()}
    for (one, path), (other, second) in combinations(files.items(), 2):
        if same_file(path, second):
            raise UsageError(f"{one} and {other} name the same file, {path}: choose another for one of them")
    for path in files.values():
        refuse_source(path, specs)
    if settings.summary is not None:
        check_output(settings.summary, overwrite=settings.overwrite)


def _decide_display(asked: bool | None) -> bool:
    if asked and not screen_available():
        raise UsageError("--display: there is no screen (DISPLAY and WAYLAND_DISPLAY are not set); use --save or --events")
    return screen_available() if asked is None else asked


def _decide_table(settings: RunSettings, display: bool, console: Console) -> bool:
    """Never where lines of --events would come between."""
    mixed = settings.events == "-" and sys.stdout is not None and sys.stdout.isatty()
    if settings.table and (mixed or not console.is_terminal):
        reason = "--events - writes to the same terminal" if mixed else "standard error is not a terminal"
        raise UsageError(f"--table: {reason}; leave it out")
    usual = console.is_terminal and not display and not mixed
    return usual if settings.table is None else settings.table


def _write_summary(path: Path | None, summary: Summary) -> bool:
    if path is None:
        return True
    try:
        path.write_text(json.dumps(summary, indent=2) + "\n")
    except OSError as error:
        logging.getLogger("ferengine").error("%s", SinkError(f"{path} cannot be written: {error.strerror}"))
        return False
    return True


class _Stopper:
    """SIGINT, SIGTERM and, but under nohup, SIGHUP end the run cleanly, a second one at once; works as process 1 of a
    container too."""

    def __init__(self, engine: Engine) -> None:
        self.asked_at: float | None = None
        self._engine = engine
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        again = self.asked_at is not None and number != signal.SIGHUP  # a closing terminal sends that one twice
        self._engine.stop(force=again)
        self.asked_at = self.asked_at or time.monotonic()


def main(arguments: list[str]) -> None:
    call(run, "run", arguments)
