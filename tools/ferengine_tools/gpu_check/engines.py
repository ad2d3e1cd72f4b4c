"""TensorRT's engines, each built and measured in processes of their own: one that crashes or hangs takes nothing with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ferengine.inference.precision import int8_variant
from ferengine.inference.tensorrt.engine_file import list_engines
from ferengine.inference.tensorrt.environment import this_machine
from ferengine.inference.tensorrt.tensorrt import RuntimeName, installed_runtimes, rtx_supports
from ferengine.models.registry import Model
from ferengine.models.settings import Precision
from ferengine_tools.gpu_check.report import Report

BATCHES = "1:8:32,1:128:512"
_PORTABLE = "sm_80"
_BUILDING, _MEASURING = 240, 120
"""Seconds that a process may take."""


@dataclass(frozen=True, slots=True)
class Request:
    """An engine to build.

    Attributes:
        runtime: What builds it.
        precision: Of its weights.
        target: Compute capability of a portable engine; None for what the runtime builds by default.
    """

    runtime: RuntimeName
    precision: Precision
    target: str | None = None

    @property
    def name(self) -> str:
        """What it is called in the report."""
        return f"{self.runtime} {self.precision}" + (f" for {self.target}" if self.target else "")


def check_engines(report: Report, model: Model, sample: Path, folder: Path, calibration: Path | None) -> None:
    """All that can be built of ``model``, into ``folder``. Where tensorrt-rtx does not work with an engine of its choice it is
    given one for sm_80, built as if there were no GPU. ``sample``: a Sample's file."""
    gpu = this_machine().gpu
    precisions: list[Precision] = ["fp32", "fp16"]
    if calibration is not None or int8_variant(model) is not None:
        precisions.append("int8")
    worked, supported = False, False
    for runtime in installed_runtimes():
        supports = runtime == "tensorrt" or (gpu is not None and rtx_supports(gpu.capability))
        supported |= supports
        for precision in precisions:
            request = Request(runtime, precision)
            fine = _try(report, model, request, sample, folder, calibration, excused=not supports)
            if not fine and runtime == "tensorrt-rtx":
                request = Request(runtime, precision, _PORTABLE)
                fine = _try(report, model, request, sample, folder, calibration, excused=not supports)
            worked |= fine
    if not worked:
        report.problem("TensorRT", "no engine worked")
        if supported:
            report.fail("no TensorRT engine worked")


def _try(
    report: Report, model: Model, request: Request, sample: Path, folder: Path, calibration: Path | None, *, excused: bool
) -> bool:
    place = folder / request.name.replace(" ", "-")
    command = ["-m", "ferengine", "build-trt", "--model", model.called, "--runtime", request.runtime, "--precision",
               request.precision, "--batch", BATCHES, "--out", str(place)]  # fmt: skip
    if request.target is not None:
        command += ["--target", request.target]
    if request.precision == "int8" and int8_variant(model) is None:
        command += ["--calibration", str(calibration)]
    error = run(command, _BUILDING, visible=request.target is None)
    engines = list(list_engines(place)) if error is None else []
    if not engines:
        report.problem(request.name, f"building: {error or 'no engine was written'}")
        return False
    fine = True
    for graphs in (True, False):
        name = request.name if graphs else f"{request.name}, no graphs"
        found = place / f"{'graphs' if graphs else 'plain'}.report"
        command = ["-m", "ferengine_tools.gpu_check.one_engine", name, str(engines[0].path), str(sample), str(found)]
        error = run(command if graphs else [*command, "--no-graphs"], _MEASURING)
        fine &= report.adopt(found, excused=excused) and error is None
        if error is not None:
            report.problem(name, error)
        if not fine:
            break
    return fine


def run(arguments: Sequence[str], seconds: float, *, visible: bool = True) -> str | None:
    """Run this Python with ``arguments``; ``visible``: whether it sees the GPU. None when all went well, else why not: how it
    ended, and the last lines that it printed."""
    environment = os.environ if visible else {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, errors="replace", env=environment, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {seconds:g} s"
    if done.returncode == 0:
        return None
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    last = [line for line in done.stderr.splitlines() if line.strip()][-6:]
    return f"{how}: " + "\n".join(last)
