"""From a network to its engine on the GPU: found in the cache or in the user's folder, or built now."""

from __future__ import annotations

import logging
from pathlib import Path

from ferengine.errors import ModelError
from ferengine.gpu.cache import Search, engines_folder, find_engine, read_engine
from ferengine.gpu.device import open_device
from ferengine.gpu.engine_file import Precision
from ferengine.gpu.environment import this_machine
from ferengine.gpu.runner import EngineRunner
from ferengine.gpu.tensorrt import TensorRT, load_runtime

log = logging.getLogger(__name__)


def open_runner(
    name: str, onnx: bytes, precision: Precision, max_batch: int, folder: Path | None = None, *, build: bool = False
) -> EngineRunner:
    """The engine of the network called ``name``, ready to run batches of up to ``max_batch``.

    Looked for in ``folder`` first, then in the cache; ``build``: where none serves, build one into the cache. Raises ModelError
    with the reason when none serves, MissingDependencyError without TensorRT, DeviceError when the GPU fails.
    """
    trt = load_runtime()
    folders = [folder, engines_folder()] if folder is not None else [engines_folder()]
    search = find_engine(folders, name, onnx, precision, trt, max_batch, this_machine())
    if search.file is None and build:
        log.warning("building an engine of %s, for %s", name, search.reason)
        search = _build(trt, name, onnx, precision, max_batch)
    plan = read_engine(search)
    assert search.file is not None
    return EngineRunner(trt, open_device(), plan, search.file.path.with_suffix(".kernels"))


def _build(trt: TensorRT, name: str, onnx: bytes, precision: Precision, max_batch: int) -> Search:
    from ferengine_tools.build_trt import build_network
    from ferengine_tools.trt_networks import Network, choose_profiles, is_buildable

    if not is_buildable(onnx, precision):
        raise ModelError(
            f"an int8 engine of {name} needs calibration: ferengine build-trt --precision int8 --calibration FER2013"
        )
    network = Network(name, onnx, None)
    profiles = choose_profiles(network, [(1, min(32, max_batch), max_batch)])
    file = build_network(trt, network, precision, profiles, engines_folder(), command="ferengine run --build-engines")
    return Search(file, f"{file.path} was built now")
