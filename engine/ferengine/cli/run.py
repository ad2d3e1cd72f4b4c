"""``ferengine run``: from cameras and files to events, video files, windows and a summary."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections import deque
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from ferengine.errors import SinkError, SourceError, UsageError
from ferengine.results import CameraEvent

_TICK = 0.25
"""Seconds after which the event file is looked at for flushing even when no result comes."""

log = logging.getLogger("ferengine")


def run(
    camera: Annotated[
        list[str] | None,
        typer.Option("--camera", "-c", help="Camera number (/dev/videoN) or /dev/v4l/by-id/... Repeat for more."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            "-s",
            help="Video file, rtsp:// or http:// address, folder or glob of images, or 'demo' "
            "('demo:crossing', ...); NAME=SOURCE gives it a name. Repeat for more.",
        ),
    ] = None,
    events: Annotated[
        str | None, typer.Option(help="Write one JSON object a frame to this file; '-' for standard output.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write an H.264 video with everything drawn (a folder with several sources).")
    ] = None,
    display: Annotated[
        bool | None, typer.Option("--display/--no-display", help="Show a window; q ends. Default: where a screen is.")
    ] = None,
    max_frames: Annotated[int | None, typer.Option(help="Stop each camera after so many frames.")] = None,
    summary: Annotated[Path | None, typer.Option(help="Write the figures of the run to this JSON file.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace output files that exist.")] = False,
    pace: Annotated[
        Literal["fast", "native"] | None,
        typer.Option(help="Files: as fast as they go, or at their own rate like a camera. Default: native in a window."),
    ] = None,
    loop: Annotated[int, typer.Option(help="Play files so many times; 0 for ever.", min=0)] = 1,
    size: Annotated[
        str | None, typer.Option(help="Ask cameras for this size (1280x720); scale other pictures down to fit into it.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Ask cameras for this frame rate; thin other sources out to it.")] = None,
    pixel_format: Annotated[str | None, typer.Option(help="Ask cameras for this format: MJPG, YUYV, ...")] = None,
    rotate: Annotated[int, typer.Option(help="Turn pictures clockwise by 0, 90, 180 or 270 degrees.")] = 0,
    drop: Annotated[
        Literal["newest", "none"] | None,
        typer.Option(help="Skip to the newest frame, or wait for each. Default: newest for cameras, none for files."),
    ] = None,
    reconnect: Annotated[
        Literal["never", "lost", "always"],
        typer.Option(help="Open cameras and streams again: never, when lost, or also when they are not there at the start."),
    ] = "lost",
    timeout: Annotated[float, typer.Option(help="A stream or camera silent for so long is lost, seconds.")] = 5.0,
    transport: Annotated[Literal["tcp", "udp"], typer.Option(help="How RTSP streams come.")] = "tcp",
    detector: Annotated[Literal["mtcnn", "haar"], typer.Option(help="How faces are found.")] = "mtcnn",
    detect_every: Annotated[int, typer.Option(help="Search one frame in so many, track the others.")] = 6,
    search: Annotated[Literal["full", "near"], typer.Option(help="Search everywhere, or near known faces only.")] = "full",
    full_scan: Annotated[float, typer.Option(help="--search near: seconds between full scans, which find newcomers.")] = 1.0,
    min_face: Annotated[
        float,
        typer.Option(help="Smallest face, pixels. Half costs about twice, and finds far more people who stand back."),
    ] = 40.0,
    thresholds: Annotated[tuple[float, float, float], typer.Option(help="MTCNN's thresholds of P-, R- and O-Net.")] = (
        0.6,
        0.7,
        0.7,
    ),
    pyramid_factor: Annotated[float, typer.Option(help="MTCNN's step between scales.")] = 0.709,
    tracker: Annotated[
        Literal["kcf", "opencv"], typer.Option(help="How faces are followed; opencv needs opencv-contrib-python.")
    ] = "kcf",
    align: Annotated[Literal["none", "eyes"], typer.Option(help="Level the eyes before classifying.")] = "none",
    model: Annotated[str, typer.Option(help="Expression model: a name, or a .onnx file with its manifest.")] = "dscnn",
    smoothing: Annotated[float, typer.Option(help="Time constant of the smoothed scores, seconds; 0 is off.")] = 0.5,
    deadline: Annotated[float, typer.Option(help="Live: a face this old goes out unclassified, seconds.")] = 0.5,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="What is logged to standard error.")
    ] = "info",
) -> None:
    """Read the faces and expressions of cameras and videos.

    Without --camera or --source: camera 0 if there is one, else the built-in demo. Ctrl-C ends the run cleanly and
    closes all files; a second Ctrl-C forces it.
    """
    logging.basicConfig(level=log_level.upper(), format="%(levelname)s %(message)s", stream=sys.stderr, force=True)
    console = Console(stderr=True)
    settings = {
        "detector": detector, "detect_every": detect_every, "search": search, "full_scan": full_scan,
        "min_face": min_face, "thresholds": thresholds,
        "pyramid_factor": pyramid_factor, "tracker": tracker, "align": align, "model": model, "smoothing": smoothing,
        "deadline": deadline, "max_frames": max_frames,
    }  # fmt: skip
    _refuse_existing(summary, overwrite)
    names = [*(camera or []), *(source or [])] or [_default_source(console)]
    shown = _decide_display(display)
    reading = {
        "pace": pace or ("native" if shown else "fast"), "loop": loop, "size": size, "fps": fps,
        "pixel_format": pixel_format, "rotate": rotate, "drop": drop, "reconnect": reconnect, "timeout": timeout,
        "transport": transport,
    }  # fmt: skip
    sys.exit(_run(names, events, save, shown, summary, overwrite, reading, settings, console))


def _default_source(console: Console) -> str:
    """Camera 0 if it can be opened, else the demo; says which."""
    from ferengine.sources.camera import CameraSource

    probe = CameraSource(0)
    try:
        probe.open()
    except SourceError as error:
        console.print(f"no source named, and {error}: playing the built-in demo (see --source and --camera)", highlight=False)
        return "demo"
    finally:
        probe.close()
    console.print("no source named: taking camera 0")
    return "0"


def _decide_display(asked: bool | None) -> bool:
    from ferengine.sinks.window import screen_available

    if asked and not screen_available():
        raise UsageError("--display: there is no screen (DISPLAY and WAYLAND_DISPLAY are not set); use --save or --events")
    return screen_available() if asked is None else asked


def _refuse_existing(path: Path | None, overwrite: bool) -> None:
    if path is None:
        return
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already: choose another name or pass --overwrite")
    if not path.parent.is_dir():
        raise SinkError(f"{path}: the folder {path.parent} does not exist")


def _run(
    names: list[str],
    events: str | None,
    save: Path | None,
    display: bool,
    summary: Path | None,
    overwrite: bool,
    reading: dict[str, Any],
    settings: dict[str, Any],
    console: Console,
) -> int:
    from ferengine.engine import Engine
    from ferengine.sinks.events import EventWriter
    from ferengine.sources import parse_source

    specs = [parse_source(name, **reading) for name in names]
    happened: deque[CameraEvent] = deque()
    engine = Engine(specs, save=save, overwrite=overwrite, display=display, on_event=happened.append, **settings)
    writer = EventWriter(events, overwrite=overwrite) if events is not None else None
    _stop_on_signals(engine)
    failures: list[str] = []
    try:
        with engine:
            _consume(engine, writer, happened, failures, console)
    finally:
        if writer is not None:
            try:
                while happened:  # also where the run ended with an error
                    writer.write(happened.popleft())
                writer.close()
            except SinkError as error:
                failures.append(str(error))
    figures = engine.summary()
    if summary is not None:
        summary.write_text(json.dumps(figures, indent=2) + "\n")
    from ferengine.cli.report import print_summary

    print_summary(figures, console)
    for failure in failures:
        console.print(f"[bold red]error:[/] {failure}", highlight=False)
    return 1 if failures or engine.failures else 0


def _consume(engine: Any, writer: Any, happened: deque[CameraEvent], failures: list[str], console: Console) -> None:
    """Take all results; an event file that fails is said once, and the run goes on without it."""
    with console.status("starting the workers"):
        engine.wait_ready()
    result, over = None, False
    while not over:
        try:
            result = engine.take(_TICK)
        except EOFError:
            result, over = None, True
        if writer is not None:
            try:
                while happened:
                    writer.write(happened.popleft())
                if result is not None:
                    writer.write(result)
                writer.flush_if_due(time.monotonic())
            except SinkError as error:
                failures.append(str(error))
                writer = None


def _stop_on_signals(engine: Any) -> None:
    """SIGINT and SIGTERM end the run cleanly, a second one at once; works as process 1 of a container too."""
    count = 0

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        engine.stop(force=count > 1)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)
