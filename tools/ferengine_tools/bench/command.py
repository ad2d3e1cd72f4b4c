"""``ferengine bench``: what each stage and the whole engine cost on this machine, beside what others do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ferengine.errors import UsageError
from ferengine.sources import SourceSpec, open_source, parse_source
from ferengine_tools.bench.machine import machine, versions
from ferengine_tools.bench.record import Metric, Record, differences, read_record
from ferengine_tools.bench.table import comparison, tables


class Stage(StrEnum):
    """What can be measured."""

    CROP = "crop"
    KCF = "kcf"
    MTCNN = "mtcnn"
    CLASSIFIER = "classifier"
    HAND_OVER = "hand-over"
    ENGINE = "engine"


STAGES = {
    Stage.CROP: "crop",
    Stage.KCF: "kcf",
    Stage.MTCNN: "mtcnn",
    Stage.CLASSIFIER: "classifier",
    Stage.HAND_OVER: "handover",
}
"""The modules of this package that measure the stages."""


def measure(
    stages: Sequence[str],
    source: str | None = None,
    *,
    seconds: float = 1.0,
    live_seconds: float = 10.0,
    frames: int | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Record:
    """Measure stages.

    Args:
        stages: Values of ``Stage``.
        source: The video file that the whole engine reads; the demo if None.
        seconds: Time for each metric, seconds.
        live_seconds: How long a camera is played, seconds.
        frames: How many frames of the video are read; all if None.
        note: Called with the name of each stage.

    Raises:
        SourceError: The source does not open.
        MissingDependencyError: The extra ``demo`` is missing.
    """
    from ferengine.vision import cv2  # here, as all that follows: the help loads no NumPy

    cv2.setNumThreads(1)  # as in the workers
    absent: dict[str, str] = {}
    metrics: list[Metric] = []
    before = machine()
    for stage in stages:
        note(stage)
        if stage == Stage.ENGINE:
            metrics += _engine(source, seconds, live_seconds, frames, absent)
        else:
            metrics += import_module(f"ferengine_tools.bench.{STAGES[Stage(stage)]}").metrics(seconds)
    rounded = [replace(metric, value=_rounded(metric.value), spread=round(metric.spread, 3)) for metric in metrics]
    name = Path(source).name if source else "demo"
    return Record(before, versions(), name, datetime.now(UTC).isoformat(timespec="seconds"), rounded, absent)


def _engine(
    source: str | None, seconds: float, live_seconds: float, frames: int | None, absent: dict[str, str]
) -> Iterator[Metric]:
    from ferengine_tools.bench import clips, engine_runs, others

    with tempfile.TemporaryDirectory(prefix="ferengine-bench-") as folder:
        spec = clips.render_demo(Path(folder) / "demo.mp4") if source is None else _file(source)
        yield from engine_runs.metrics(spec, frames, live_seconds, Path(folder))
        yield from others.metrics(spec, 3 * seconds, absent)


def _file(source: str) -> SourceSpec:
    spec = parse_source(Path(source))
    if spec.kind != "file":
        raise UsageError(f"{source} is not a video file: bench measures on one")
    return spec


def _rounded(value: float) -> float:
    """Five significant digits: no more is measured."""
    return float(f"{value:.5g}")


def bench(
    only: Annotated[
        list[Stage] | None, typer.Option(help="Measure only this stage. Repeat for more.", show_default="all")
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="FILE", help="Video for the whole engine.", show_default="the demo")
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Use only this many frames of the video.", show_default="all")] = None,
    seconds: Annotated[float, typer.Option(help="Time for each measurement of a stage, seconds.")] = 1.0,
    live_seconds: Annotated[float, typer.Option(help="How long to play a camera, seconds.")] = 10.0,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the record to this JSON file.")] = None,
    compare: Annotated[Path | None, typer.Option(metavar="FILE", help="Show an earlier record beside this one.")] = None,
) -> None:
    """Measure each stage and the whole engine on this machine.

    Other implementations are measured beside ours where they are installed.
    """
    if not 0 < seconds <= 60 or not 0 < live_seconds <= 3600 or (frames is not None and frames < 1):
        raise UsageError("--seconds is from 0 to 60, --live-seconds from 0 to 3600, --frames at least 1")
    if json is not None and not json.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {json.absolute().parent} to write {json.name} to")
    earlier = None if compare is None else read_record(compare)
    if source is not None:
        open_source(_file(source)).open()  # reports now what is wrong with it
    console, stderr = Console(highlight=False), Console(stderr=True, highlight=False)
    with stderr.status("") as status:
        record = measure(
            only or list(Stage),
            source,
            seconds=seconds,
            live_seconds=live_seconds,
            frames=frames,
            note=lambda stage: status.update(f"measuring {stage}"),
        )
    if json is not None:
        record.write(json)
    for table in tables(record):
        console.print(table)
    for name, reason in record.absent.items():
        console.print(f"not measured: {name}: {reason}")
    about = record.machine
    console.print(f"{about['processor']}, {about['cores']} cores, {' '.join(about['simd'])}; source: {record.source}; "
                  f"{', '.join(f'{name} {value}' for name, value in record.versions.items())}")  # fmt: skip
    if about["load"][0] > 0.5:
        stderr.print(f"[yellow]warning:[/] the machine was busy (load {about['load'][0]}): wall-clock times are too long")
    if earlier is not None:
        for difference in differences(record, earlier):
            stderr.print(f"[yellow]warning:[/] the earlier record is not comparable: {difference}")
        console.print(comparison(record, earlier))
