"""From a network to its engine on the GPU: found in the cache or in the user's folder, or built now."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from ferengine.errors import ModelError
from ferengine.inference.files import locked
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.inference.tensorrt.cache import Search, engines_folder, find_engine, read_engine
from ferengine.inference.tensorrt.environment import this_machine
from ferengine.inference.tensorrt.networks import Network
from ferengine.inference.tensorrt.open_device import open_device
from ferengine.inference.tensorrt.runner import EngineRunner
from ferengine.inference.tensorrt.tensorrt import TensorRT, load_runtime
from ferengine.inference.tensorrt.verify import check_outputs
from ferengine.models.settings import Precision

log = logging.getLogger(__name__)


def open_engine(
    network: Network,
    precision: Precision,
    max_batch: int,
    folder: Path | None = None,
    *,
    build: bool = False,
    depth: int = 2,
    blocking: bool = False,
) -> EngineRunner:
    """The engine of a network on the GPU, ready to run and checked against the network itself.

    Args:
        network: What is to run.
        precision: That it is to run in; a network that is not quantisable is taken in fp16 for int8.
        max_batch: The largest batch that is to run.
        folder: Where to look before the user's cache.
        build: Whether to build one into the cache where none serves.
        depth: How many batches may be in flight.
        blocking: As of ``EngineRunner``.

    Raises:
        ModelError: No engine serves, with the reason, or its outputs are not the network's.
        MissingDependencyError: There is no TensorRT, or no package that speaks to CUDA.
        DeviceError: The GPU fails.
    """
    if precision == "int8" and not network.quantisable:
        precision = "fp16"
    trt = load_runtime()
    folders = [folder, engines_folder()] if folder is not None else [engines_folder()]
    search = find_engine(folders, network, precision, trt, max_batch, this_machine())
    if search.file is None and build:
        with locked(engines_folder() / "building"):  # of several workers that miss it one builds, the others find it
            search = find_engine(folders, network, precision, trt, max_batch, this_machine())
            if search.file is None:
                log.warning("building a TensorRT engine of %s, for %s", network.name, search.reason)
                search = _build(trt, network, precision, max_batch)
    plan = read_engine(search)
    assert search.file is not None
    kernels = search.file.path.with_suffix(".kernels")
    runner = EngineRunner(trt, open_device(), plan, kernels, depth=depth, blocking=blocking)
    try:
        check_outputs(runner, OrtRunner(network.onnx, normalisation=network.normalisation), precision, max_batch)
        runner.keep_kernels()
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # they hold contexts, which must go before the device does
        runner.close()
        raise
    return runner


def _build(trt: TensorRT, network: Network, precision: Precision, max_batch: int) -> Search:
    from ferengine.inference.tensorrt.builder import build_network, choose_profiles, needs_calibration  # here: imports onnx

    if needs_calibration(network, precision):
        raise ModelError(
            f"an int8 engine of {network.name} needs calibration: ferengine build-trt --precision int8 --calibration FER2013 "
            "(one that reads gender: UTKFACE)"
        )
    profiles = choose_profiles(network, [(1, min(32, max_batch), max_batch)])
    file = build_network(trt, network, precision, profiles, engines_folder(), command="ferengine run --build-engines")
    return Search(file, f"{file.path} was built now")
