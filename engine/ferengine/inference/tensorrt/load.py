"""From a network to its engine on the GPU: found in the cache or in the user's folder, or built now."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from ferengine.errors import ModelError
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.inference.tensorrt.cache import Search, engines_folder, find_engine, read_engine
from ferengine.inference.tensorrt.device import open_device
from ferengine.inference.tensorrt.engine_file import Precision
from ferengine.inference.tensorrt.environment import this_machine
from ferengine.inference.tensorrt.files import locked
from ferengine.inference.tensorrt.runner import EngineRunner
from ferengine.inference.tensorrt.tensorrt import TensorRT, load_runtime
from ferengine.inference.tensorrt.verify import check_answers

if TYPE_CHECKING:
    from ferengine.detection.mtcnn_graphs import Network

log = logging.getLogger(__name__)


def open_runner(
    name: str,
    onnx: bytes,
    precision: Precision,
    max_batch: int,
    folder: Path | None = None,
    *,
    build: bool = False,
    depth: int = 2,
    named: str | None = None,
) -> EngineRunner:
    """The engine of the network called ``name``, ready to run batches of up to ``max_batch``.

    Looked for in ``folder`` first, then in the cache; ``build``: where none serves, build one into the cache. ``depth``:
    EngineRunner's. ``named``: what build-trt calls the network, where that is not ``name``. Raises ModelError with the reason
    when none serves or its answers are not the network's, MissingDependencyError without TensorRT, DeviceError when the GPU
    fails.
    """
    trt = load_runtime()
    folders = [folder, engines_folder()] if folder is not None else [engines_folder()]
    search = find_engine(folders, name, onnx, precision, trt, max_batch, this_machine(), named)
    if search.file is None and build:
        with locked(engines_folder() / "building"):  # of several workers that miss it one builds, the others find it
            search = find_engine(folders, name, onnx, precision, trt, max_batch, this_machine())
            if search.file is None:
                log.warning("building an engine of %s, for %s", name, search.reason)
                search = _build(trt, name, onnx, precision, max_batch)
    plan = read_engine(search)
    assert search.file is not None
    kernels = search.file.path.with_suffix(".kernels")
    runner = EngineRunner(trt, open_device(), plan, kernels, depth=depth, blocking=depth == 1)  # one batch: all wait for it
    try:
        check_answers(runner, OrtRunner(onnx, provider="CPUExecutionProvider"), precision)
        runner.keep_kernels()
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # they hold contexts, which must go before the device does
        runner.close()
        raise
    return runner


def open_mtcnn(precision: Precision, folder: Path | None = None, *, build: bool = False) -> dict[Network, EngineRunner]:
    """MTCNN's three engines, as ``open_runner`` finds them; int8 stands for fp16, for they are not quantised."""
    from ferengine.detection.mtcnn_weights import mtcnn_networks

    kind: Precision = "fp16" if precision == "int8" else precision
    runners: dict[Network, EngineRunner] = {}
    try:
        for name, onnx in mtcnn_networks().items():
            runners[name] = open_runner(name, onnx, kind, 1, folder, build=build, depth=1)  # run() waits
    except BaseException:
        for runner in runners.values():
            runner.close()
        raise
    return runners


def _build(trt: TensorRT, name: str, onnx: bytes, precision: Precision, max_batch: int) -> Search:
    from ferengine_tools.build_trt import build_network
    from ferengine_tools.trt_networks import Network, choose_profiles, is_buildable

    if not is_buildable(onnx, precision):
        raise ModelError(
            f"an int8 engine of {name} needs calibration: ferengine build-trt --precision int8 --calibration FER2013 "
            "(one that reads gender: UTKFACE)"
        )
    network = Network(name, onnx, None)
    profiles = choose_profiles(network, [(1, min(32, max_batch), max_batch)])
    file = build_network(trt, network, precision, profiles, engines_folder(), command="ferengine run --build-engines")
    return Search(file, f"{file.path} was built now")
