"""Frames a second and memory with many cameras: one clip replayed as 1, 2, 4, 8 sources at once.

    python -m ferengine_tools.many_cameras CLIP [--cameras 1 --cameras 8] [--frames 240] [--json]

Each number of cameras is run twice: ``fast``, where every source gives frames as they are requested and none is dropped
(the machine's total rate), and ``live``, where each comes at its own rate and drops what the machine cannot keep up
with. Memory is the sum of the proportional set sizes (PSS: shared pages are divided among those that map them) of this
process and all workers, the largest of five samples a second.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ferengine import Engine
from ferengine.cli.command import exit_code, make_command
from ferengine.json_text import json_text
from ferengine.sources import SourceSpec, parse_source

_SAMPLE = 0.2


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        cameras: How many there were.
        pace: Their pace.
        fps: Results a second of all cameras together, from the first capture to the last result.
        delivered: Frames that became results.
        offered: Frames that the cameras gave.
        faces: Faces in the results.
        batch: Faces in a batch.
        mixed: Fraction of the batches with faces of several cameras.
        latency_ms: Median from capture to result, ms.
        pss_mb: Memory, MiB.
        startup_s: Time until ready, seconds.
    """

    cameras: int
    pace: Literal["fast", "live"]
    fps: float
    delivered: int
    offered: int
    faces: int
    batch: float
    mixed: float
    latency_ms: float
    pss_mb: float
    startup_s: float


def measure(clip: Path, cameras: int, pace: Literal["fast", "live"], frames: int) -> Run:
    """Play the first frames of a clip as several sources at once.

    Args:
        clip: The video.
        cameras: How many sources.
        pace: As fast as possible, or at the pace of the clip.
        frames: How many frames each gives.

    Raises:
        SourceError: The clip does not open.
    """
    source = parse_source(str(clip), pace="fast" if pace == "fast" else "native", loop=0)
    specs: list[SourceSpec] = [source] * cameras
    with Engine(specs, max_frames=frames) as engine:
        engine.wait_ready()
        samples = [0.0]
        done = threading.Event()

        def sample() -> None:
            while not done.wait(_SAMPLE):
                samples.append(sum(proportional_mb(pid) for pid in (os.getpid(), *engine.worker_pids().values())))

        sampler = threading.Thread(target=sample, name="ferengine-sampler")
        sampler.start()
        try:
            delivered = sum(1 for _ in engine.results())
        finally:
            done.set()
            sampler.join()
        summary = engine.summary()
    batch = summary["batch"]
    late = summary["dropped"]["capture"]["late"]  # passed over by the pacing, before they got a number
    return Run(
        cameras=cameras,
        pace=pace,
        fps=summary["fps"],
        delivered=delivered,
        offered=cameras * frames + late,
        faces=summary["faces"],
        batch=batch["mean"],
        mixed=round(batch["mixed"] / max(1, batch["batches"]), 3),
        latency_ms=summary["latency_ms"]["total"]["p50"],
        pss_mb=round(max(samples), 1),
        startup_s=summary["startup_s"],
    )


def proportional_mb(pid: int) -> float:
    """The proportional set size of process ``pid`` in MiB; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:")), 0.0)


def many_cameras(
    clip: Annotated[Path, typer.Argument(help="A video file.")],
    cameras: Annotated[
        list[int] | None, typer.Option(help="Numbers of cameras to run. Repeat for more.", show_default="1, 2, 4 and 8")
    ] = None,
    frames: Annotated[int, typer.Option(help="Frames of each camera.")] = 240,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per run.")] = False,
) -> None:
    """Measure frame rate and memory with many cameras: one clip replayed as several sources at once."""
    _print_runs(clip, cameras or (1, 2, 4, 8), frames, as_json=as_json)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(many_cameras), "python -m ferengine_tools.many_cameras", arguments)


def _print_runs(clip: Path, numbers: Sequence[int], frames: int, *, as_json: bool) -> None:
    if not as_json:
        print("cameras  pace  frames/s  delivered        faces  batch  mixed  p50 ms  PSS MiB  start s")
    for cameras in numbers:
        for pace in ("fast", "live"):
            run = measure(clip, cameras, pace, frames)
            if as_json:
                print(json_text(asdict(run)), flush=True)
                continue
            out = f"{run.delivered}/{run.offered}"
            print(f"{run.cameras:7}  {run.pace}  {run.fps:8.1f}  {out:15}  {run.faces:5}  {run.batch:5.2f}  {run.mixed:5.2f}"
                  f"  {run.latency_ms:6.0f}  {run.pss_mb:7.0f}  {run.startup_s:7.1f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
