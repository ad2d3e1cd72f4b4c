"""``ferengine report``: one HTML file on recorded results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_EVENTS = Annotated[list[Path], typer.Argument(help="Files of --events.", metavar="EVENTS...", show_default=False)]
_OUT = Annotated[Path, typer.Option("--out", help="The HTML file to write.", show_default=False)]
_OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")]


def report(events: _EVENTS, out: _OUT, overwrite: _OVERWRITE = False) -> None:
    """Write a report on recorded results: timelines, fractions, transitions, confidence, quality and drops.

    The file holds all that it needs: it opens without a network.
    """
    from ferengine.errors import UsageError
    from ferengine.report.events import read_recording
    from ferengine.report.page import report_page
    from ferengine.sinks.files import check_output, same_file, write_atomically

    for path in events:
        if same_file(path, out):
            raise UsageError(f"--out: {out} is one of the files to read: choose another name")
    check_output(out, overwrite=overwrite)
    page = report_page(read_recording(events), events)
    write_atomically(out, page.encode(errors="backslashreplace"))
