"""``ferengine build-trt``: TensorRT engines of the expression, gender and MTCNN networks."""

from __future__ import annotations

import datetime
import shlex
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ferengine.cli.command import call
from ferengine.errors import FerengineError, ModelError, UsageError
from ferengine.inference.tensorrt.builder import BuiltEngine, Profile, build_engine
from ferengine.inference.tensorrt.builder import Progress as Report
from ferengine.inference.tensorrt.cache import engines_folder
from ferengine.inference.tensorrt.engine_file import (
    EngineFile,
    EngineRecord,
    Precision,
    ProfileRecord,
    TensorRecord,
    digest,
    engine_name,
    write_engine,
)
from ferengine.inference.tensorrt.environment import Environment, this_machine
from ferengine.inference.tensorrt.files import locked
from ferengine.inference.tensorrt.tensorrt import TensorRT, load_runtime
from ferengine_tools.trt_networks import Network, choose_networks, choose_profiles, in_precision, parse_batches

if TYPE_CHECKING:
    from rich.progress import Progress


def build_network(
    trt: TensorRT,
    network: Network,
    precision: Precision,
    profiles: Sequence[Profile],
    folder: Path,
    *,
    targets: Sequence[str] = (),
    calibration: Path | None = None,
    command: str,
    report: Report | None = None,
) -> EngineFile:
    """Build one engine into ``folder``, with its record, under the folder's lock.

    fp32 is computed without TF32. Raises UsageError and ModelError as ``in_precision`` and ``build_engine`` do, and
    ModelError where tensorrt has no GPU to build for.
    """
    here = this_machine()
    if not trt.portable and here.gpu is None:
        raise ModelError(f"{trt.name} builds on the GPU that it builds for, and {here.problem}: use --runtime tensorrt-rtx")
    onnx, made = in_precision(network, precision, calibration)
    with locked(folder):
        timing = None if trt.portable else folder / f"timing-{digest(f'{trt.version} {here.gpu}'.encode())[:10]}.cache"
        built = build_engine(trt, onnx, profiles, targets=targets, timing_cache=timing, progress=report)
        record = _describe(trt, network, made, onnx, built, here, command)
        path = folder / engine_name(network.name, made, trt.name, _key(trt, record))
        write_engine(path, built.plan, record)
    return EngineFile(path, record)


def _describe(
    trt: TensorRT, network: Network, precision: Precision, onnx: bytes, built: BuiltEngine, here: Environment, command: str
) -> EngineRecord:
    return EngineRecord(
        model=network.name,
        source_sha256=digest(network.onnx),
        onnx_sha256=digest(onnx),
        engine_sha256=digest(built.plan),
        precision=precision,
        tf32=False,
        runtime=trt.name,
        runtime_version=trt.version,
        cuda=trt.cuda,
        driver=here.driver,
        gpu=here.gpu.name if here.gpu else None,
        capability=here.gpu.capability if here.gpu else None,
        targets=built.targets,
        os=here.os,
        inputs=tuple(TensorRecord(name=t.name, shape=t.shape, dtype=t.dtype) for t in built.inputs),
        outputs=tuple(TensorRecord(name=t.name, shape=t.shape, dtype=t.dtype) for t in built.outputs),
        profiles=tuple(ProfileRecord(low=p.low, best=p.best, high=p.high) for p in built.profiles),
        command=command,
        built=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _key(trt: TensorRT, record: EngineRecord) -> str:
    """What tells engines of one network and precision apart."""
    machine = None if trt.portable else (record.gpu, record.capability)
    return repr((record.source_sha256, record.runtime_version, record.targets, machine, record.profiles))


def _bar() -> Progress:
    from rich.console import Console  # here: engines are also built where nobody watches
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
        typer.Option(
            help="Precision of weights and layers; inputs and outputs are float32, and fp32 is computed without TF32."
        ),
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
    batches = parse_batches(batch)
    targets = [each for each in target.split(",") if each]
    networks = choose_networks(model, precision)
    if calibration is not None and not calibration.exists():
        raise UsageError(f"--calibration {calibration} does not exist")
    trt = load_runtime(runtime)
    folder = out if out is not None else engines_folder()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is not a folder")
    command = ["ferengine", "build-trt", "--runtime", runtime, "--precision", precision, "--batch", batch, "--model", model]
    command += ["--target", target] if target else []
    command += ["--calibration", calibration.name] if calibration is not None else []
    bar = _bar() if sys.stderr.isatty() else None
    for network in networks:
        profiles = choose_profiles(network, batches)
        with bar or _no_bar():
            report = _report_to(bar, network.name)
            file = build_network(
                trt, network, precision, profiles, folder, targets=targets,
                calibration=calibration, command=shlex.join(command), report=report,
            )  # fmt: skip
        size = file.path.stat().st_size / 2**20
        whom = ", ".join(targets) or (f"{file.record.gpu}" if not trt.portable else "sm_80 and later")
        print(f"{file.path}: {file.record.precision}, {size:.1f} MiB, {trt.name} {trt.version}, for {whom}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command outside ``ferengine``. Raises FerengineError."""
    call(build_trt, "ferengine build-trt", arguments)


def _no_bar() -> AbstractContextManager[object]:
    return nullcontext()


def _report_to(bar: Progress | None, name: str) -> Report | None:
    if bar is None:
        return None
    task = bar.add_task(name, phase="", total=None)

    def report(phase: str, done: int, total: int) -> bool:
        bar.update(task, completed=done, total=total, phase=phase)
        return True

    return report


if __name__ == "__main__":
    try:
        main()
    except FerengineError as error:
        sys.exit(f"error: {error}")
