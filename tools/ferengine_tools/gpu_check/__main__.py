"""Runs all checks and writes ``gpu_check.md`` and ``gpu_check.json``; exit code 1 when one failed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ferengine.classify.choose import choose_backend
from ferengine.errors import FerengineError, ModelError
from ferengine.gpu.device import device_layer, open_device
from ferengine.gpu.engine import LoadedEngine
from ferengine.gpu.engine_file import list_engines, load_engine
from ferengine.gpu.environment import this_machine
from ferengine.gpu.tensorrt import installed_runtimes, load_runtime
from ferengine.models.registry import DEFAULT, Model, load_model
from ferengine_tools.data.fer2013 import LABELS, load_fer2013
from ferengine_tools.gpu_check.cameras import Load, replay
from ferengine_tools.gpu_check.contenders import engines, others
from ferengine_tools.gpu_check.measure import SIZES, compare, computing_microseconds, in_batches, microseconds, table

_FACES = 2000
_CAMERAS = (1, 2, 4, 8, 16, 32, 64)
_FRAMES = 150


class Report:
    """What was found, for people and for programs."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.data: dict[str, Any] = {}
        self.failed: list[str] = []

    def add(self, title: str, data: Any, text: str) -> None:
        self.data[title] = data
        self.text.append(f"## {title}\n\n{text}\n")
        print(f"\n## {title}\n\n{text}", flush=True)

    def write(self, folder: Path) -> None:
        verdict = "all checks passed" if not self.failed else "FAILED: " + "; ".join(self.failed)
        (folder / "gpu_check.md").write_text("\n".join([f"# GPU check: {verdict}\n", *self.text]))
        (folder / "gpu_check.json").write_text(json.dumps({**self.data, "failed": self.failed}, indent=2) + "\n")
        print(f"\n{verdict}; see {folder / 'gpu_check.md'}")


def check_network(report: Report, model: Model, data: Path, folder: Path) -> None:
    """Parity, accuracy and times of all that can run the network."""
    spec = model.manifest.input
    fer = load_fer2013(data)
    rows = fer.indices("private")
    faces = (fer.images[rows][:, None].astype(np.float32) - spec.mean) / np.float32(spec.std)
    wanted = np.array([LABELS.index(label) for label in model.manifest.labels])
    problems: dict[str, str] = {}
    parity, accuracy, times = [], [], []
    reference: Any = None
    for contender in [*others(model, problems), *engines(model, folder, data, problems)]:
        try:
            logits = in_batches(contender.run, faces)
            reference = logits if reference is None else reference
            found = compare(logits[:_FACES], reference[:_FACES])
            share = float((wanted[logits.argmax(axis=1)] == fer.labels[rows]).mean())
            gpu = contender.name != "onnxruntime cpu"
            row = [f"{microseconds(contender.run, faces, size):.2f}" for size in SIZES] if gpu else ["" for _ in SIZES]
        except (FerengineError, RuntimeError) as error:  # torch's errors are RuntimeErrors
            problems[contender.name] = str(error)
            continue
        finally:
            contender.close()
        if not found.passes(contender.name):
            report.failed.append(f"parity of {contender.name}")
        parity.append([contender.name, f"{found.difference:.2g}", f"{100 * found.agreement:.2f} %"])
        accuracy.append([contender.name, f"{100 * share:.2f} %"])
        times.append([contender.name, *row])
    times += _computing(folder, problems)
    sizes = [f"batch {size}" for size in SIZES]
    report.add(f"Parity with ONNX Runtime, {_FACES} faces", parity, table(["", "probability", "same label"], parity))
    report.add("Accuracy on PrivateTest", accuracy, table(["", "accuracy"], accuracy))
    report.add("Microseconds a face", times, table(["", *sizes], times))
    if problems:
        report.add("What did not run", problems, "\n".join(f"- {name}: {text}" for name, text in problems.items()))
    if not any(row[0].startswith("tensorrt") for row in parity):
        report.failed.append("no TensorRT engine ran")


def _computing(folder: Path, problems: dict[str, str]) -> list[list[str]]:
    rows = []
    for file in list_engines(folder):
        record = file.record
        name = f"{record.runtime} {record.precision}, data on the GPU"
        try:
            device = open_device()
            engine = LoadedEngine(load_runtime(record.runtime), load_engine(file))
            rows.append([name, *(f"{computing_microseconds(device, engine, size):.2f}" for size in SIZES)])
            engine.close()
            device.close()
        except FerengineError as error:
            problems[name] = str(error)
    return rows


def check_cameras(report: Report, seconds: float) -> None:
    """The whole engine, by number of cameras, on the GPU and on the CPU."""
    from ferengine.sources.demo import DemoSource

    source = DemoSource(frames=_FRAMES, faces=4)
    source.open()
    frames = [frame.image.copy() for frame in iter(source.read, None)]
    source.close()
    loads: list[Load] = []
    for backend in ("auto", "ort"):
        best = 0.0
        for cameras in _CAMERAS:
            load = replay(frames, cameras, seconds, backend=backend, build_engines=True, max_batch=256)
            loads.append(load)
            if load.fps < 1.05 * best:
                break  # saturated
            best = load.fps
    header = ["backend", "cameras", "frames/s", "p50 ms", "p99 ms", "faces/frame", "CPU cores", "GPU %"]
    rows = [
        [load.backend, str(load.cameras), f"{load.fps:.0f}", f"{load.p50:.1f}", f"{load.p99:.1f}", f"{load.faces:.1f}",
         f"{load.cpu:.1f}", "" if load.gpu is None else f"{load.gpu:.0f}"]
        for load in loads
    ]  # fmt: skip
    report.add("Cameras replayed from memory", [asdict(load) for load in loads], table(header, rows))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ferengine_tools.gpu_check", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FER2013", help="real faces")
    parser.add_argument("--out", type=Path, default=Path("gpu_check"), metavar="DIR")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each number of cameras")
    options = parser.parse_args(arguments)
    here = this_machine()
    if here.gpu is None:
        raise ModelError(f"nothing can be checked: {here.problem}")
    options.out.mkdir(parents=True, exist_ok=True)
    report = Report()
    machine = {
        "gpu": asdict(here.gpu), "driver": here.driver, "cuda": here.cuda, "cores": len(os.sched_getaffinity(0)),
        "tensorrt": {name: load_runtime(name).version for name in installed_runtimes()}, "cuda through": device_layer(),
        "backend": choose_backend(),
    }  # fmt: skip
    report.add("Machine", machine, "\n".join(f"- {name}: {value}" for name, value in machine.items()))
    check_network(report, load_model(options.model), options.data, options.out / "engines")
    check_cameras(report, options.seconds)
    report.write(options.out)
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    try:
        main()
    except FerengineError as error:
        sys.exit(f"error: {error}")
