"""``ferengine soak``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from ferengine.errors import UsageError

_WARM_UP = 0.2
"""Fraction of the run, unless said otherwise."""


def soak(
    minutes: Annotated[float, typer.Option(help="Length of the run.")] = 60.0,
    cameras: Annotated[int, typer.Option(help="Live cameras; every second one is pushed, the others have a worker.")] = 2,
    fps: Annotated[float, typer.Option(help="Frames a second of each camera.")] = 5.0,
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Size of the frames.")] = "320x240",
    warm_up: Annotated[
        float | None, typer.Option(help="Minutes at the beginning that do not count.", show_default="a fifth of the run")
    ] = None,
    growth: Annotated[float, typer.Option(help="How far memory may grow, percent.")] = 2.0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write the samples (CSV), the verdict (JSON) and a figure (PNG) there."),
    ] = None,
) -> None:
    """Run the engine on live cameras for long, and look for what grows or is lost.

    Memory, descriptors and threads of each process are sampled, and every frame is accounted for. The exit code is 1 where
    memory grew, descriptors or threads changed, a worker was replaced, or anything was lost without being counted.
    """
    side = re.fullmatch(r"(\d{2,5})x(\d{2,5})", size)
    if side is None or min(map(int, side.groups())) < 64:
        raise UsageError(f"--size: give WIDTHxHEIGHT, each at least 64, not {size!r}")
    if not 0 < minutes <= 10_080 or not 1 <= cameras <= 64 or not 0.1 <= fps <= 120 or not 0 <= growth <= 100:
        raise UsageError("--minutes is from 0 to 10080, --cameras from 1 to 64, --fps from 0.1 to 120, --growth from 0 to 100")
    if warm_up is not None and not 0 <= warm_up < minutes:
        raise UsageError("--warm-up is shorter than --minutes")
    from ferengine_tools.evaluation.figure import new_figure
    from ferengine_tools.files import make_folder
    from ferengine_tools.soak.report import draw, to_table, write_json
    from ferengine_tools.soak.run import SoakSettings, run_soak

    warm_seconds = 60 * (minutes * _WARM_UP if warm_up is None else warm_up)
    settings = SoakSettings(60 * minutes, warm_seconds, cameras, fps, (int(side[1]), int(side[2])), growth)
    console = Console(highlight=False)
    with TemporaryDirectory(prefix="ferengine-soak-") as temporary:
        folder = Path(temporary) if out is None else out
        make_folder(folder)
        if out is not None:
            new_figure(1, 1)  # a missing package is found out now, not after an hour
        report = run_soak(settings, folder)
        console.print(to_table(report))
        drops = ", ".join(f"{count} {reason}" for reason, count in report.dropped.items() if count) or "none"
        latency = ", ".join(f"{name} {value:.1f}" for name, value in report.latency_ms.items())
        console.print(f"{report.frames} results; dropped: {drops}; latency in ms: {latency}")
        for failure in report.failures:
            console.print(f"reported: {failure}", markup=False)
        if out is not None:
            write_json(report, out / "soak.json")
            draw(report, out, out / "soak.png")
            console.print(f"samples, verdict and figure: {out}", markup=False)
    console.print("[green]nothing grew and nothing was lost[/]" if report.passed else "[red]the run failed[/]")
    if not report.passed:
        sys.exit(1)
