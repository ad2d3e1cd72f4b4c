"""Everything that can run the classifier's network on this machine, behind one call: normalised crops to logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferengine.classify.backend import OrtBackend
from ferengine.classify.quantised import int8_form
from ferengine.errors import FerengineError
from ferengine.gpu.device import open_device
from ferengine.gpu.engine_file import load_engine
from ferengine.gpu.runner import EngineRunner
from ferengine.gpu.tensorrt import RuntimeName, installed_runtimes, load_runtime
from ferengine.models.registry import Model
from ferengine_tools.build_trt import build_network
from ferengine_tools.trt_networks import Network, choose_profiles

Array = NDArray[np.float32]
BATCHES = [(1, 8, 32), (1, 128, 512)]


@dataclass(frozen=True, slots=True)
class Contender:
    """``run``: float32 (N, 1, S, S) -> float32 (N, classes), copies included; ``close`` gives the device back."""

    name: str
    run: Callable[[Array], Array]
    close: Callable[[], None] = lambda: None


def engines(model: Model, folder: Path, calibration: Path | None, problems: dict[str, str]) -> Iterator[Contender]:
    """TensorRT, each runtime in each precision, with and without CUDA graphs; what does not work goes to ``problems``."""
    for runtime in installed_runtimes():
        for precision in ("fp32", "fp16", *(["int8"] if calibration or int8_form(model) else [])):
            name = f"{runtime} {precision}"
            try:
                plan = _plan(model, runtime, precision, folder, calibration)
            except FerengineError as error:
                problems[name] = str(error)
                continue
            for graphs in (True, False):
                label = name if graphs else f"{name}, no graphs"
                try:
                    runner = EngineRunner(load_runtime(runtime), open_device(), plan, graphs=graphs)
                except FerengineError as error:
                    problems[label] = str(error)
                    continue
                yield Contender(label, lambda batch, runner=runner: runner.run(batch)["logits"], runner.close)  # type: ignore[misc]


def _plan(model: Model, runtime: RuntimeName, precision: Any, folder: Path, calibration: Path | None) -> bytes:
    if precision == "int8":
        model = int8_form(model) or model
    network = Network(model.manifest.name, model.onnx, model.manifest)
    profiles = choose_profiles(network, BATCHES)
    file = build_network(
        load_runtime(runtime), network, precision, profiles, folder, calibration=calibration, command="tools/gpu_check.sh"
    )
    return load_engine(file)


def others(model: Model, problems: dict[str, str]) -> Iterator[Contender]:
    """ONNX Runtime on the CPU (the reference, first) and by CUDA, torch eager and compiled, on the GPU."""
    yield Contender("onnxruntime cpu", OrtBackend(model.onnx, threads=4).run)
    try:
        yield Contender("onnxruntime cuda", OrtBackend(model.onnx, provider="ort-cuda").run)
    except FerengineError as error:
        problems["onnxruntime cuda"] = str(error)
    try:
        import torch
    except ModuleNotFoundError:
        problems["torch"] = "torch is not installed"
        return
    if not torch.cuda.is_available():
        problems["torch"] = "this torch has no CUDA"
        return
    from ferengine_tools.networks.from_onnx import load_onnx

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    network = load_onnx(model.path).eval().cuda()
    yield Contender("torch eager", _torch_run(network))
    with suppress(AttributeError):
        yield Contender("torch.compile", _torch_run(torch.compile(network, mode="max-autotune")))


def _torch_run(network: Any) -> Callable[[Array], Array]:
    import torch

    def run(batch: Array) -> Array:
        with torch.inference_mode():
            result: Array = network(torch.from_numpy(batch).cuda(non_blocking=True)).float().cpu().numpy()
        return result

    return run
