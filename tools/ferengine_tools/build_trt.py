"""``ferengine build-trt``: TensorRT engines of the expression, gender and MTCNN networks."""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ferengine build-trt", description=__doc__)
    parser.add_argument(
        "--model", default="all", help="all, mtcnn, pnet, rnet, onet, a shipped model's name, or a .onnx file (default: all)"
    )
    parser.add_argument(
        "--precision", choices=("fp32", "fp16", "int8"), default="fp16",
        help="of weights and layers; inputs and outputs are float32. fp32 is computed without TF32 (default: fp16)",
    )  # fmt: skip
    parser.add_argument(
        "--batch", default="1:32:256", metavar="LOW:BEST:HIGH",
        help="faces in a batch; several profiles separated by commas. MTCNN's networks have their own (default: 1:32:256)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: the cache that run looks in)")
    parser.add_argument(
        "--runtime", choices=("tensorrt", "tensorrt-rtx", "auto"), default="auto",
        help="tensorrt: for the GPU in this machine; tensorrt-rtx: RTX cards, builds without one (default: what is installed)",
    )  # fmt: skip
    parser.add_argument(
        "--target", default="", metavar="sm_86,...",
        help="tensorrt-rtx: compute capabilities to build for (default: all since sm_80)",
    )  # fmt: skip
    parser.add_argument(
        "--calibration", type=Path, metavar="DATA",
        help="int8: faces that set the ranges of activations, for a model that has no int8 form of its own: FER-2013, or "
             "UTKFace for one that reads gender",
    )  # fmt: skip
    return parser


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    batches = parse_batches(options.batch)
    targets = [target for target in options.target.split(",") if target]
    networks = choose_networks(options.model, options.precision)
    if options.calibration is not None and not options.calibration.exists():
        raise UsageError(f"--calibration {options.calibration} does not exist")
    trt = load_runtime(options.runtime)
    folder = options.out if options.out is not None else engines_folder()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is not a folder")
    command = shlex.join(["ferengine", "build-trt", *(arguments or [])])
    bar = _bar() if sys.stderr.isatty() else None
    for network in networks:
        profiles = choose_profiles(network, batches)
        with bar or _no_bar():
            report = _report_to(bar, network.name)
            file = build_network(
                trt, network, options.precision, profiles, folder, targets=targets,
                calibration=options.calibration, command=command, report=report,
            )  # fmt: skip
        size = file.path.stat().st_size / 2**20
        whom = ", ".join(targets) or (f"{file.record.gpu}" if not trt.portable else "sm_80 and later")
        print(f"{file.path}: {file.record.precision}, {size:.1f} MiB, {trt.name} {trt.version}, for {whom}")


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
