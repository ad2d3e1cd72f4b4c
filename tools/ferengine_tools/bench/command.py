"""``ferengine bench``: what each stage and the whole engine cost on this machine, beside what others do."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from rich.console import Console

from ferengine.errors import UsageError
from ferengine.sources import SourceSpec, open_source, parse_source
from ferengine.vision import cv2
from ferengine_tools.bench import clips
from ferengine_tools.bench.machine import machine, versions
from ferengine_tools.bench.record import Figure, Record, differences, read_record
from ferengine_tools.bench.table import comparison, tables

STAGES = {"crop": "crop", "kcf": "kcf", "mtcnn": "mtcnn", "classifier": "classifier", "hand-over": "handover"}
"""The modules of this package that measure the stages, by their names."""

ENGINE = "engine"


def measure(
    stages: Sequence[str],
    source: str | None = None,
    *,
    seconds: float = 1.0,
    live_seconds: float = 10.0,
    frames: int | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Record:
    """Measure ``stages`` (those of ``STAGES``, and ``ENGINE``), each figure for about ``seconds``.

    The whole engine is given the video file ``source`` (``None``: the demo), its first ``frames`` frames, and plays a
    camera for ``live_seconds``. ``note`` is told what is being measured. Raises SourceError for a source that does not
    open, MissingDependencyError without the extra ``demo``.
    """
    cv2.setNumThreads(1)  # as in the workers
    absent: dict[str, str] = {}
    figures: list[Figure] = []
    before = machine()
    for stage in stages:
        note(stage)
        if stage == ENGINE:
            figures += _engine(source, seconds, live_seconds, frames, absent)
        else:
            figures += import_module(f"ferengine_tools.bench.{STAGES[stage]}").figures(seconds)
    rounded = [replace(figure, value=_rounded(figure.value), spread=round(figure.spread, 3)) for figure in figures]
    name = Path(source).name if source else "demo"
    return Record(before, versions(), name, datetime.now(UTC).isoformat(timespec="seconds"), rounded, absent)


def _engine(
    source: str | None, seconds: float, live_seconds: float, frames: int | None, absent: dict[str, str]
) -> Iterator[Figure]:
    from ferengine_tools.bench import engine_runs, others

    with tempfile.TemporaryDirectory(prefix="ferengine-bench-") as folder:
        spec = clips.render_demo(Path(folder) / "demo.mp4") if source is None else _file(source)
        yield from engine_runs.figures(spec, frames, live_seconds, Path(folder))
        yield from others.figures(spec, 3 * seconds, absent)


def _file(source: str) -> SourceSpec:
    spec = parse_source(Path(source))
    if spec.kind != "file":
        raise UsageError(f"{source} is not a video file: bench measures on one")
    return spec


def _rounded(value: float) -> float:
    """Five significant digits: no more is measured."""
    return float(f"{value:.5g}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ferengine bench", description=(__doc__ or "").partition(": ")[2])
    add = parser.add_argument
    names = [*STAGES, ENGINE]
    add("--only", action="append", choices=names, metavar="STAGE", help=f"measure this alone; repeat it: {', '.join(names)}")
    add("--source", metavar="FILE", help="video for the whole engine (default: the demo)")
    add("--frames", type=int, help="take so many frames of it (default: all)")
    add("--seconds", type=float, default=1.0, help="time for each figure of a stage (default: 1)")
    add("--live-seconds", type=float, default=10.0, help="how long to play a camera (default: 10)")
    add("--json", type=Path, metavar="FILE", help="write the record here")
    add("--compare", type=Path, metavar="EARLIER.json", help="show an earlier record beside this one")
    options = parser.parse_args(arguments)
    if (
        not 0 < options.seconds <= 60
        or not 0 < options.live_seconds <= 3600
        or (options.frames is not None and options.frames < 1)
    ):
        raise UsageError("--seconds is from 0 to 60, --live-seconds from 0 to 3600, --frames at least 1")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {options.json.absolute().parent} to write {options.json.name} to")
    earlier = None if options.compare is None else read_record(options.compare)
    if options.source is not None:
        open_source(_file(options.source)).open()  # says now what is wrong with it
    console, stderr = Console(highlight=False), Console(stderr=True, highlight=False)
    with stderr.status("") as status:
        record = measure(
            options.only or names,
            options.source,
            seconds=options.seconds,
            live_seconds=options.live_seconds,
            frames=options.frames,
            note=lambda stage: status.update(f"measuring {stage}"),
        )
    if options.json is not None:
        record.write(options.json)
    for table in tables(record):
        console.print(table)
    for name, reason in record.absent.items():
        console.print(f"not measured: {name}: {reason}")
    about = record.machine
    console.print(f"{about['processor']}, {about['cores']} cores, {' '.join(about['simd'])}; source: {record.source}; "
                  f"{', '.join(f'{name} {value}' for name, value in record.versions.items())}")  # fmt: skip
    if about["load"][0] > 0.5:
        stderr.print(f"[yellow]warning:[/] the machine was busy (load {about['load'][0]}): times on the clock are too long")
    if earlier is not None:
        for difference in differences(record, earlier):
            stderr.print(f"[yellow]warning:[/] the earlier record is not comparable: {difference}")
        console.print(comparison(record, earlier))


if __name__ == "__main__":
    main()
