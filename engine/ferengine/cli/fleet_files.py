"""``ferengine fleet --files``: an archive of videos on many machines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from ferengine.errors import UsageError
from ferengine.sinks.files import shortened

if TYPE_CHECKING:
    from ferengine.fleet.files import FilesProgress

_LINE_SECONDS = 60.0
"""Seconds between two lines of progress where standard error is no terminal."""


def run_files(
    files: Sequence[str],
    out: Path | None,
    engine: dict[str, Any],
    *,
    address: str | None,
    overwrite: bool,
    cpus_per_file: float,
    console: Console,
) -> int:
    """Read the files with the engine's settings, and return the exit code: 1 if a file failed."""
    from ferengine.fleet.files import plan_files, read_files

    if out is None:
        raise UsageError("--files needs --out: the folder of the results")
    if not cpus_per_file > 0:
        raise UsageError(f"--cpus-per-file is above 0, not {cpus_per_file:g}")
    plan = plan_files(files, out, overwrite=overwrite, **engine)
    for name in plan.changed:
        _say(console, f"{shortened(name)} was changed since it was read: reading it again")
    _say(console, f"{len(plan.jobs) + plan.kept} files, {plan.kept} of them with complete results")
    shown = 0
    line_due = _LINE_SECONDS

    columns = (TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)

        def report(now: FilesProgress) -> None:
            nonlocal shown, line_due
            for outcome in now.failed[shown:]:
                _say(console, f"failed: {outcome.error}")
            shown = len(now.failed)
            bar.update(task, total=now.bytes_total, completed=now.bytes_over, description=progress_line(now))
            if not console.is_terminal and now.seconds >= line_due:
                line_due = now.seconds + _LINE_SECONDS
                _say(console, progress_line(now))

        done = read_files(plan, out, address=address, cpus_per_file=cpus_per_file, report=report)
    for outcome in done.truncated:
        _say(console, f"cut off: {shortened(outcome.source)} has results of {outcome.frames} frames, up to where it ends")
    _say(
        console,
        f"{done.done} files read in {_duration(done.seconds)}: {done.frames} frames, {done.faces} faces; "
        f"{len(done.failed)} failed, {len(done.truncated)} cut off",
    )
    return 1 if done.failed else 0


def progress_line(now: FilesProgress) -> str:
    """How far a run is, in a line.

    Example:
        >>> from ferengine.fleet.files import FilesProgress
        >>> progress_line(FilesProgress(total=9, kept=2, done=3, bytes_total=80, bytes_over=20, seconds=30.0))
        '5 of 9 files, 0 failed, 0:01:30 left'
    """
    left = "" if now.seconds_left is None else f", {_duration(now.seconds_left)} left"
    return f"{now.kept + now.done + len(now.failed)} of {now.total} files, {len(now.failed)} failed{left}"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
