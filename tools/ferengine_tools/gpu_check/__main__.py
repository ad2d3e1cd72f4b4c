"""Parity, accuracy and speed of all that runs the networks on an NVIDIA GPU. Each part writes its own JSON file after every
step, and ``gpu_check.md`` of all parts that are there; exit code 1 when a check failed."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from ferengine.errors import FerengineError, ModelError
from ferengine.inference.select import choose_backend
from ferengine.inference.tensorrt.environment import this_machine
from ferengine.inference.tensorrt.open_device import device_layer
from ferengine.inference.tensorrt.tensorrt import installed_runtimes, load_runtime
from ferengine.models.registry import DEFAULT, Model, load_model
from ferengine_tools.data.fer2013 import load_fer2013
from ferengine_tools.gpu_check.cameras import check_cameras, load_frames
from ferengine_tools.gpu_check.contenders import others
from ferengine_tools.gpu_check.engines import check_engines
from ferengine_tools.gpu_check.measure import Contender, Sample, check, in_batches, private_test
from ferengine_tools.gpu_check.report import SUMMARY, Part, Report, summarise


def check_others(
    report: Report, sample: Sample, contenders: dict[str, Callable[[], Contender]], limit: float = math.inf
) -> None:
    """Each in turn, the first as the reference of those after it. What does not run goes to the report.

    Args:
        report: What is found.
        sample: Faces.
        contenders: How each is opened.
        limit: Seconds after which no further one begins.
    """
    end = time.monotonic() + limit
    for name, make in contenders.items():
        if time.monotonic() > end:
            report.problem(name, f"not begun: the {limit:.0f} s for all were over")
            continue
        contender: Contender | None = None
        try:
            contender = make()
            logits = check(report, contender, sample)
            if sample.reference is None:
                sample = replace(sample, reference=logits)
        except Exception as error:  # torch's, ONNX Runtime's and CUDA's errors have no common class
            report.problem(name, f"{type(error).__name__}: {error}")
        finally:
            if contender is not None:
                _close(report, contender)
    if sample.reference is None:
        report.fail("ONNX Runtime does not run on the CPU")


def _close(report: Report, contender: Contender) -> None:
    try:
        contender.close()
    except Exception as error:  # as above
        report.problem(contender.name, f"closing: {type(error).__name__}: {error}")


def describe(report: Report) -> None:
    """Describe the machine in the report."""
    here = this_machine()
    assert here.gpu is not None
    versions = []
    for name in installed_runtimes():
        try:
            versions.append(f"{name} {load_runtime(name).version}")
        except FerengineError as error:
            versions.append(str(error))
    machine = {
        "GPU": f"{here.gpu.name}, compute capability {here.gpu.capability}, {here.gpu.memory / 2**30:.0f} GiB",
        "driver": f"{here.driver}, CUDA {here.cuda}", "CPU cores": str(len(os.sched_getaffinity(0))),
        "TensorRT": ", ".join(versions) or "not installed", "CUDA through": device_layer() or "nothing",
        "--backend auto": ": ".join(choose_backend()),
    }  # fmt: skip
    for what, value in machine.items():
        report.row("Machine", ["", ""], [what, value])


def run_networks(part: str, report: Report, model: Model, data: Path, engines: Path, limit: float) -> None:
    """The parts that measure networks alone."""
    sample = private_test(model, data)
    contenders = others(model)
    if part == "others":
        check_others(report, sample, contenders, limit)
        return
    reference = in_batches(contenders["onnxruntime cpu"]().run, sample.faces)
    replace(sample, reference=reference).save(engines / "sample.npz")
    calibration = data if len(load_fer2013(data).indices("training")) else None
    check_engines(report, model, engines / "sample.npz", engines, calibration)


def main(
    data: Annotated[Path, typer.Option(metavar="FER2013", help="Real faces; PrivateTest alone will do.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="For the reports.")] = Path("gpu_check"),
    part: Annotated[
        list[Part] | None,
        typer.Option(help="others: ONNX Runtime and torch; engines: TensorRT; cameras: whole engines. Default: all."),
    ] = None,
    model: Annotated[str, typer.Option(help="The classifier.")] = DEFAULT,
    video: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What cameras see. Default: the demo, which needs the extra.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="For each number of cameras.")] = 3.0,
    limit: Annotated[float, typer.Option(help="Seconds after which no further contender of 'others' begins.")] = math.inf,
) -> None:
    """Parity, accuracy and speed of all that runs the networks on an NVIDIA GPU.

    Each part writes a JSON file after every step, and gpu_check.md of all parts that are there. Exit code 1: a check failed.
    """
    here = this_machine()
    if here.gpu is None:
        raise ModelError(f"nothing can be checked: {here.unavailable_reason}")
    loaded = load_model(model)
    out.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    for name in [each.value for each in part or Part]:
        report = Report(out / f"{name}.json")
        try:
            describe(report)
            if name == "cameras":
                check_cameras(report, load_frames(video), seconds)
            else:
                with TemporaryDirectory(prefix="ferengine-") as engines:
                    run_networks(name, report, loaded, data, Path(engines), limit)
            report.finish()
        finally:
            summarise(out)
        failed += report.failed
    typer.echo(f"{'; '.join(failed) or 'passed'}: see {out / SUMMARY}")
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    try:
        typer.run(main)
    except FerengineError as error:
        sys.exit(f"error: {error}")
