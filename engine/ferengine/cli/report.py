"""What is printed at the end of a run: its metrics, and what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from ferengine.detection.choice import AS_SET
from ferengine.runtime.metrics import SinkSummary, Summary
from ferengine.seen import BINS, Seen
from ferengine.sinks.table import clock_text
from ferengine.sources.url import show_path

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII = " .:-=+*#@"
"""A fraction of 0 to 1 as a character, for terminals with and without Unicode."""

_DETAILED = 6
"""Cameras that get a timeline each; of more, one line each."""
_FEW = 0.01
"""Labels of a smaller fraction of the faces get no line of their own."""
_BESIDE = len("   100 %  ")
"""What a line has beside the label and the timeline."""


def print_summary(
    summary: Summary, seen: Mapping[str, Seen], console: Console, files: Mapping[str, Path | str | None] | None = None
) -> None:
    """Print ``Engine.summary()``, which files were written, and what was seen.

    Args:
        summary: The metrics.
        seen: What each camera has shown.
        console: Where to print.
        files: The file or folder of each output, by its name in ``summary["sinks"]``; None or ``-`` (standard output) for what
            is not kept in one.
    """
    _line(
        console,
        f"[bold]{summary['frames']}[/] frames, [bold]{summary['fps']:.1f}[/] frames/s, {summary['faces']} faces; "
        f"batches of {summary['batch']['mean']:.1f}; ready after {summary['startup_s']:.1f} s",
    )
    detector = summary["detector"]
    why = "" if detector["reason"] == AS_SET else f" ({detector['reason']})"
    _line(console, escape(f"detector: {detector['name']}{why}"))
    prior = summary["prior"]
    name = "that of the training data" if prior is None else prior["name"]
    _line(console, escape(f"class prior: {name}"))
    for camera, counts in summary["cameras"].items():
        if counts["prior"] is not None:
            found = ", ".join(f"{label} {100 * value:.0f} %" for label, value in counts["prior"]["probabilities"].items())
            _line(console, escape(f"  of {camera} at the end: {found}"))
    drops = {
        f"{stage} {reason}": count
        for stage, reasons in summary["dropped"].items()
        for reason, count in reasons.items()
        if count
    }
    if drops:
        _line(console, escape("dropped: " + ", ".join(f"{name} {count}" for name, count in drops.items())))
    if whole := {output: count for output, count in summary["blurred_whole"].items() if count}:
        where = ", ".join(f"{output} {count}" for output, count in whole.items())
        _line(console, escape(f"blurred as a whole, as no detection came in time: {where} frames"))
    stages = Table("stage", "p50 ms", "p95 ms", "p99 ms", title="latency", title_justify="left")
    for stage, latency in summary["latency_ms"].items():
        stages.add_row(stage, f"{latency['p50']:.1f}", f"{latency['p95']:.1f}", f"{latency['p99']:.1f}")
    console.print(stages)
    restarted = any(worker["restarts"] for worker in summary["workers"].values())
    names = ["process", "peak MiB", "CPU s", *(["restarts"] if restarted else [])]
    workers = Table(*(Column(name, overflow="fold") for name in names), title="processes", title_justify="left")
    for name, worker in summary["workers"].items():
        cells = name, f"{worker['peak_mb']:.0f}", f"{worker['cpu_s']:.1f}", str(worker["restarts"])
        workers.add_row(*cells[: len(names)])
    console.print(workers)
    written = [
        _written(path, summary["sinks"][name])
        for name, path in (files or {}).items()
        if path is not None and str(path) != "-" and name in summary["sinks"]
    ]
    if written:
        _line(console, escape(f"written: {', '.join(written)}"))
    for camera, what in seen.items():
        _print_seen(camera, what, console, detailed=len(seen) <= _DETAILED)


def _written(path: Path | str, output: SinkSummary) -> str:
    """A file with the number of frames that are in it, and of those that should be."""
    lost = output["dropped"] + output["cut"]
    return f"{show_path(path)} ({output['written']} frames{f', {lost} lost' if lost else ''})"


def _print_seen(camera: str, seen: Seen, console: Console, *, detailed: bool) -> None:
    fractions = seen.fractions()
    if not seen.frames:
        _line(console, escape(f"{camera}: ended before its first frame was read"))
        return
    found = (
        f"{_people(seen)} in {seen.with_faces} of {seen.frames} frames" if seen.faces else f"no face in {seen.frames} frames"
    )
    said = f"{camera}: {found}, {clock_text(seen.seconds)}"
    if not detailed and fractions:
        label, fraction = next(iter(fractions.items()))
        said += f"; mostly {label} ({100 * fraction:.0f} %)"
    _line(console, escape(said), style="bold" if detailed else "")
    if not detailed:
        return
    width = max(map(len, fractions), default=0)
    columns = max(min(BINS, console.width - width - _BESIDE), 1) if console.is_terminal else BINS
    blocks = _BLOCKS if "utf" in console.encoding.lower() else _ASCII
    for label, fraction in fractions.items():
        if fraction >= _FEW:
            bar = timeline(seen.timeline(label, columns), blocks)
            _line(console, escape(f"  {label:{width}} {100 * fraction:3.0f} %  {bar}"))
    few = [label for label, fraction in fractions.items() if fraction < _FEW]
    if few:
        _line(console, escape(f"  below 1 %: {', '.join(few)}"))


def _line(console: Console, markup: str, style: str = "") -> None:
    """Print a line, wrapped between words on a terminal and never where a program or a file reads it."""
    console.print(markup, style=style, highlight=False, soft_wrap=not console.is_terminal)


def _people(seen: Seen) -> str:
    if seen.people == 1:
        return "1 person"
    return f"{seen.people} people (by their tracks, at most {seen.max_at_once} at once)"


def timeline(fractions: Sequence[float | None], blocks: str = _BLOCKS) -> str:
    """Fractions of 0 to 1 as one character each, from the emptiest to the fullest of ``blocks``; a blank where there is none.

    Any fraction above 0 shows.
    """
    steps = len(blocks) - 1
    return "".join(blocks[0] if not value else blocks[max(1, round(value * steps))] for value in fractions)
