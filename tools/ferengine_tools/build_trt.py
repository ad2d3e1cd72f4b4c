"""``ferengine build-trt``: TensorRT engines of the expression, gender and MTCNN networks."""

from __future__ import annotations

import argparse
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ferengine.errors import FerengineError, UsageError
from ferengine.inference.tensorrt.builder import Progress as Report
from ferengine.inference.tensorrt.builder import build_network, choose_profiles
from ferengine.inference.tensorrt.cache import engines_folder
from ferengine.inference.tensorrt.tensorrt import load_runtime
from ferengine_tools.trt_networks import calibration_batch, choose_networks, parse_batches

if TYPE_CHECKING:
    from rich.progress import Progress


def _bar() -> Progress:
    from rich.console import Console  # here: engines are also built without a terminal
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
        help="int8: faces that set the ranges of activations, for a model that has no int8 variant of its own: FER-2013, or "
             "UTKFace for one that reads gender",
    )  # fmt: skip
    return parser


def main(arguments: list[str] | None = None) -> None:
    """The command line. Raises FerengineError, with one line that names the hint."""
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
        calibration = calibration_batch(network, options.precision, options.calibration)
        with bar or nullcontext():
            file = build_network(
                trt, network, options.precision, profiles, folder, targets=targets,
                calibration=calibration, command=command, progress=_report_to(bar, network.name),
            )  # fmt: skip
        size = file.path.stat().st_size / 2**20
        gpus = ", ".join(targets) or ("sm_80 and later" if trt.portable else f"{file.record.gpu}")
        print(f"{file.path}: {file.record.precision}, {size:.1f} MiB, {trt.name} {trt.version}, for {gpus}")


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
