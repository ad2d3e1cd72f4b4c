"""``ferengine build-trt``: TensorRT engines of the expression, gender and MTCNN networks."""

from __future__ import annotations

import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ferengine.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from ferengine.inference.tensorrt.builder import Progress as Report


def _bar() -> Progress:
    from rich.console import Console  # here: engines are also built without a terminal
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[phase]}"), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip


def build_trt(
    model: Annotated[
        str, typer.Option(help="all, mtcnn, pnet, rnet, onet, the name of a shipped model, or a .onnx file.")
    ] = "all",
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(help="Precision of weights and layers; outputs are float32, and fp32 is computed without TF32."),
    ] = "fp16",
    batch: Annotated[
        str,
        typer.Option(
            metavar="LOW:BEST:HIGH",
            help="Faces in a batch; separate several profiles with commas. MTCNN's networks have their own profiles.",
        ),
    ] = "1:32:256",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write to this folder.", show_default="the cache that run reads")
    ] = None,
    runtime: Annotated[
        Literal["tensorrt", "tensorrt-rtx", "auto"],
        typer.Option(
            help="Build for the GPU in this machine with tensorrt, or for RTX cards, without one, with tensorrt-rtx; "
            "auto takes what is installed."
        ),
    ] = "auto",
    target: Annotated[
        str,
        typer.Option(
            metavar="sm_86,...",
            help="With tensorrt-rtx: compute capabilities to build for.",
            show_default="sm_80 and later",
        ),
    ] = "",
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="With int8: faces that set the ranges of activations, for a model without an int8 variant: FER-2013, or "
            "UTKFace for a model of gender.",
        ),
    ] = None,
) -> None:
    """Build TensorRT engines of the networks."""
    from ferengine.inference.tensorrt.cache import engines_folder
    from ferengine.inference.tensorrt.tensorrt import load_runtime

    trt = load_runtime(runtime)
    from ferengine.inference.tensorrt.builder import build_network, choose_profiles  # here: needs onnx
    from ferengine_tools.trt_networks import calibration_batch, choose_networks, parse_batches

    batches = parse_batches(batch)
    targets = [each for each in target.split(",") if each]
    networks = choose_networks(model, precision)
    if calibration is not None and not calibration.exists():
        raise UsageError(f"--calibration {calibration} does not exist")
    folder = out if out is not None else engines_folder()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is not a folder")
    command = ["ferengine", "build-trt", "--runtime", runtime, "--precision", precision, "--batch", batch, "--model", model]
    command += ["--target", target] if target else []
    command += ["--calibration", calibration.name] if calibration is not None else []
    bar = _bar() if sys.stderr.isatty() else None
    for network in networks:
        profiles = choose_profiles(network, batches)
        faces = calibration_batch(network, precision, calibration)
        with bar or nullcontext():
            file = build_network(
                trt, network, precision, profiles, folder, targets=targets,
                calibration=faces, command=shlex.join(command), progress=_report_to(bar, network.name),
            )  # fmt: skip
        size = file.path.stat().st_size / 2**20
        gpus = ", ".join(targets) or (f"{file.record.gpu}" if not trt.portable else "sm_80 and later")
        print(f"{file.path}: {file.record.precision}, {size:.1f} MiB, {trt.name} {trt.version}, for {gpus}")


def _report_to(bar: Progress | None, name: str) -> Report | None:
    if bar is None:
        return None
    task = bar.add_task(name, phase="", total=None)

    def report(phase: str, done: int, total: int) -> bool:
        bar.update(task, completed=done, total=total, phase=phase)
        return True

    return report
