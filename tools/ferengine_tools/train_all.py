"""``ferengine train-all``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from ferengine_tools.training import plan
from ferengine_tools.training.config import TrainConfig


def _check_runs(names: list[str] | None) -> list[str] | None:
    known = [run.name for run in plan.TABLE]
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(known)}")
    return names


def train_all(
    data: Annotated[Path, typer.Option(help="FER-2013.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of all runs.")],
    gender_data: Annotated[Path | None, typer.Option(help="UTKFace, which gender and both are trained on.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN",
            callback=_check_runs,
            help=f"Train only this run: {', '.join(run.name for run in plan.TABLE)}. Repeat for more.",
            show_default="all",
        ),
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="As in ferengine train.")] = "auto",
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="As in ferengine train.")] = "bf16",
    threads: Annotated[int, typer.Option(help="Threads of torch on the CPU.")] = 1,
    jobs: Annotated[
        int,
        typer.Option(min=1, help="Runs at a time, each in a process: one for each core, or several on a GPU."),
    ] = 1,
) -> None:
    """Train, export and measure every model of the published table.

    Steps that are finished are not repeated and an interrupted run is resumed, so the command can be called until all is done.
    """
    from ferengine_tools.training.side_by_side import in_a_process, train_side_by_side
    from ferengine_tools.training.table import prepare
    from ferengine_tools.training.table import train_all as run

    console, names = Console(), only or [each.name for each in plan.TABLE]
    base = TrainConfig("standard", data, out, cache=out, device=device, precision=precision, threads=threads)
    if jobs > 1:
        prepare(base, gender_data, names, console)
        words = [
            "--data",
            str(data),
            "--out",
            str(out),
            "--device",
            device,
            "--precision",
            precision,
            "--threads",
            str(threads),
        ]
        words += ["--gender-data", str(gender_data)] if gender_data is not None else []
        runs = [each for each in plan.TABLE if each.name in names]
        train_side_by_side(runs, jobs, in_a_process(words, out), console.print)
    run(base, gender_data, names, console)  # what is finished is not repeated: this measures all and writes the table
