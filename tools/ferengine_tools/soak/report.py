"""The verdict of a long run as a table, a JSON file and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from ferengine.json_text import json_text
from ferengine_tools.evaluation.figure import new_figure, save_figure
from ferengine_tools.files import written_whole
from ferengine_tools.soak.run import SoakReport
from ferengine_tools.soak.samples import FrameSample, ProcessSample, read_samples


def to_table(report: SoakReport) -> Table:
    """The checks, one a row."""
    settings = report.settings
    title = f"{settings.seconds / 60:.1f} minutes, {settings.cameras} cameras at {settings.fps:g} frames/s"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("check", "first", "last", "growth", "allowed", ""):
        table.add_column(name, justify="right" if name in ("first", "last", "growth") else "left")
    for check in report.checks:
        growth = f"{check.growth:+.2f} %" if check.first else ""
        verdict = "[green]passed[/]" if check.passed else "[red]FAILED[/]"
        table.add_row(check.subject, f"{check.first:.6g}", f"{check.last:.6g}", growth, check.allowed, verdict)
    return table


def to_dict(report: SoakReport) -> dict[str, Any]:
    """As JSON takes it."""
    values = asdict(report)
    for entry, check in zip(values["checks"], report.checks, strict=True):
        entry["growth_percent"] = round(check.growth, 3)
    return {"passed": report.passed, **values}


def write_json(report: SoakReport, path: Path) -> None:
    """Write the verdict. Raises FerengineError."""
    with written_whole(path) as beside:
        beside.write_text(json_text(to_dict(report), indent=2) + "\n", encoding="utf-8")


def draw(report: SoakReport, folder: Path, path: Path) -> None:
    """Draw the samples in ``folder`` over time.

    Raises:
        MissingDependencyError: matplotlib is missing.
        SinkError: The file cannot be written.
    """
    processes = read_samples(folder / "processes.csv", ProcessSample)
    frames = read_samples(folder / "frames.csv", FrameSample)
    figure = new_figure(9.0, 10.0)
    memory, counts, latency = figure.subplots(3, 1, sharex=True)
    for name in dict.fromkeys(sample.process for sample in processes):
        taken = [sample for sample in processes if sample.process == name]
        [line] = memory.plot(_minutes(taken), [sample.memory_mb for sample in taken], label=name, linewidth=1)
        for count, style in (("descriptors", "-"), ("threads", ":")):
            values = [getattr(sample, count) for sample in taken]
            counts.plot(_minutes(taken), values, color=line.get_color(), linestyle=style, linewidth=1)
    latency.plot(_minutes(frames), [sample.latency_ms for sample in frames], label="median", linewidth=1)
    latency.plot(_minutes(frames), [sample.worst_latency_ms for sample in frames], label="longest", linewidth=0.6)
    for axes, label in ((memory, "memory, MiB"), (counts, "descriptors (dotted: threads)"), (latency, "latency, ms")):
        axes.set_ylabel(label)
        axes.axvspan(0, report.settings.warm_up / 60, color="0.92")
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
    memory.legend(fontsize=7, ncols=3)
    latency.legend(fontsize=7)
    latency.set_xlabel("minutes (grey: warm-up)")
    verdict = "passed" if report.passed else "failed"
    figure.suptitle(f"{report.settings.cameras} cameras, {report.frames} results: {verdict}", fontsize=11)
    save_figure(figure, path)


def _minutes(samples: Sequence[ProcessSample] | Sequence[FrameSample]) -> list[float]:
    return [sample.seconds / 60 for sample in samples]
