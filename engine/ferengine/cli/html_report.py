"""``ferengine report``: one HTML file on recorded results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_EVENTS = Annotated[
    list[Path],
    typer.Argument(
        help="Files of --events, databases of --store, files or folders of --parquet.", metavar="RECORDING",
        show_default=False,
    ),
]  # fmt: skip
_OUT = Annotated[Path, typer.Option("--out", help="The HTML file to write.", show_default=False)]
_PNG = Annotated[
    Path | None, typer.Option("--png", help="Also write the report as an image to this file; needs Chromium or Chrome.")
]
_OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")]


def report(events: _EVENTS, out: _OUT, png: _PNG = None, overwrite: _OVERWRITE = False) -> None:
    """Write a report on recorded results: timelines, fractions, transitions, confidence, quality and drops.

    The file holds all that it needs: it opens without a network.
    """
    from ferengine.errors import UsageError
    from ferengine.report.page import report_page
    from ferengine.report.recordings import read_recording
    from ferengine.report.screenshot import find_browser, screenshot
    from ferengine.sinks.files import check_output, same_file, write_atomically
    from ferengine.sources.url import show_path

    outputs = {"--out": out} if png is None else {"--out": out, "--png": png}
    for option, output in outputs.items():
        if any(same_file(path, output) for path in events):
            raise UsageError(f"{option}: {output} is one of the files to read: choose another name")
        check_output(output, overwrite=overwrite)
    if png is not None and same_file(out, png):
        raise UsageError(f"--out and --png name the same file, {out}: choose another for one of them")
    browser = None if png is None else find_browser()
    recording = read_recording(events)
    page = report_page(recording, events)
    write_atomically(out, page.encode(errors="backslashreplace"))
    if png is not None and browser is not None:
        write_atomically(png, screenshot(out, browser))
    names = ", ".join(show_path(output) for output in outputs.values())
    frames = sum(camera.frames for camera in recording.cameras.values())
    typer.echo(f"written: {names} ({frames} {'frame' if frames == 1 else 'frames'})", err=True)
