"""What runs a model on this machine, and why. Importing this module loads no inference library and no CUDA."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ferengine.errors import FerengineError, ModelError, UsageError
from ferengine.inference.base import Runner
from ferengine.inference.fallback import FallbackRunner, is_lost
from ferengine.inference.precision import int8_variant, variant_for_cpu
from ferengine.inference.tensorrt.environment import Gpu, this_machine
from ferengine.inference.tensorrt.open_device import device_layer
from ferengine.inference.tensorrt.tensorrt import installed_runtimes, rtx_supports
from ferengine.models.registry import Model
from ferengine.models.settings import BackendName, BackendSettings
from ferengine.pip_hint import install_extra, pip_install

if TYPE_CHECKING:
    from ferengine.inference.onnxruntime import OrtProvider

log = logging.getLogger(__name__)


def choose_backend(name: str = "auto") -> tuple[str, str]:
    """The backend that a name stands for on this machine. Nothing is loaded onto the GPU.

    ``auto`` is TensorRT where there are a GPU that it supports, TensorRT itself and a package that speaks to CUDA; else ONNX
    Runtime's CUDA provider where its wheel is installed; else ONNX Runtime on the CPU.

    Args:
        name: A ``BackendName``.

    Returns:
        The backend, which is never ``auto``, and the reason in one sentence.

    Raises:
        UsageError: There is no backend of that name.
        ModelError: It cannot work here.
    """
    if not isinstance(name, str) or name not in get_args(BackendName):
        raise UsageError(f"the backend is one of {', '.join(get_args(BackendName))}, not {name}")
    if name == "ort":
        return "ort", "chosen by the user"
    here = this_machine()
    if name != "auto":
        if reason := here.unavailable_reason or _unavailable(name):
            raise ModelError(f"--backend {name} cannot work here: {reason} (--backend auto takes what there is)")
        return name, "chosen by the user"
    if here.gpu is None:
        if here.cuda is None:
            return "ort", "no NVIDIA driver is installed"  # without the hint, as none is missed
        return "ort", here.unavailable_reason or "no GPU"
    reason = _tensorrt_unavailable() or _unsupported(here.gpu)
    if not reason:
        return "tensorrt", f"{here.gpu.name}, with {installed_runtimes()[0]} and {device_layer()}"
    if not _provider_unavailable("ort-cuda"):
        return "ort-cuda", f"{here.gpu.name}, with ONNX Runtime's CUDA provider ({reason})"
    return "ort", reason


def choose_variant(
    model: Model, settings: BackendSettings, report: Callable[[str], None] | None = None, backend: str | None = None
) -> Model:
    """What runs where a model was requested: itself, or its int8 variant.

    The variant is taken where int8 is requested; in TensorRT only if there is one, else the engine is a calibrated one. On a
    CPU that computes int8 exactly it is taken unasked, if its manifest shows that it loses little.

    Args:
        model: The model that was requested.
        settings: The backend and the precision.
        report: As of ``variant_for_cpu``.
        backend: What ``choose_backend`` says of the settings' backend, where it was asked already.

    Returns:
        The model or its variant.

    Raises:
        UsageError: As ``choose_backend``.
        ModelError: As ``choose_backend`` and ``variant_for_cpu``, and where int8 is requested of a backend without it.
    """
    name = backend or choose_backend(settings.backend)[0]
    if name == "ort":
        return variant_for_cpu(model, settings.precision, report)
    if settings.precision != "int8":
        return model
    if name != "tensorrt":
        raise ModelError(f"int8 runs on the CPU and in TensorRT, not by {name}: choose another precision or backend")
    return int8_variant(model) or model


def open_model(
    model: Model,
    settings: BackendSettings,
    *,
    threads: int,
    max_batch: int,
    on_failure: Callable[[str], None] | None = None,
) -> tuple[Model, Runner]:
    """A runner of a model on the backend that the settings name.

    One on a GPU takes uint8 crops and normalises them there, and so does what takes its place; one on the CPU from the start
    takes normalised crops.

    Where TensorRT has no engine that serves and may not build one, or where the GPU fails, at the start or later, ONNX Runtime
    takes over on the CPU. So it does where ``auto`` took ONNX Runtime's CUDA provider and that does not start.

    Args:
        model: What ``choose_variant`` returned.
        settings: The backend, the precision, and what TensorRT may use.
        threads: Of ONNX Runtime on the CPU.
        max_batch: The largest batch, which a TensorRT engine must take.
        on_failure: Called once with the reason where the CPU takes over. By default it is logged.

    Returns:
        What runs, and the runner. That is the model, or its int8 variant where the CPU had to take over from the start.

    Raises:
        UsageError: As ``choose_backend``.
        ModelError: As ``choose_backend``, and where the network cannot be loaded.
        MissingDependencyError: ONNX Runtime lacks the provider that was named.
        DeviceError: CUDA works no more in this process, and the settings say that it restarts.
    """
    from ferengine.inference.onnxruntime import OrtRunner  # here: it takes a while to import

    name, reason = choose_backend(settings.backend)
    log.info("backend %s: %s", name, reason)
    if name == "ort":
        return model, _on_cpu(model, threads)
    try:
        on_gpu = _open_on_gpu(name, model, settings, max_batch)
        on_cpu = partial(OrtRunner, model.onnx, threads=threads, normalisation=model.manifest.input.normalisation)
        return model, FallbackRunner(on_gpu, on_cpu, on_failure, restarts=settings.restarts)
    except FerengineError as error:
        if (name != "tensorrt" and settings.backend != "auto") or (settings.restarts and is_lost(error)):
            raise
        (on_failure or _log_failure)(str(error))
    if settings.precision == "auto":
        model = variant_for_cpu(model, "auto", log.warning)
    return model, _on_cpu(model, threads)


def _on_cpu(model: Model, threads: int) -> Runner:
    from ferengine.inference.onnxruntime import OrtRunner  # here: it takes a while to import

    try:
        return OrtRunner(model.onnx, threads=threads)
    except ModelError as error:
        raise ModelError(f"model {model.manifest.name}: {error}") from None


def _open_on_gpu(name: str, model: Model, settings: BackendSettings, max_batch: int) -> Runner:
    if name != "tensorrt":
        from ferengine.inference.onnxruntime import OrtRunner

        provider: OrtProvider = "ort-cuda" if name == "ort-cuda" else "ort-trt-rtx"
        return OrtRunner(model.onnx, provider=provider, max_batch=max_batch, normalisation=model.manifest.input.normalisation)
    from ferengine.inference.tensorrt.load import open_engine
    from ferengine.inference.tensorrt.networks import classifier_network

    precision = "int8" if model.manifest.precision == "int8" else settings.engine_precision
    folder = Path(settings.engines) if settings.engines else None
    return open_engine(classifier_network(model), precision, max_batch, folder, build=settings.build)


def _log_failure(reason: str) -> None:
    log.warning("the GPU is not used, ONNX Runtime on the CPU is: %s", reason)


def _unavailable(name: str) -> str | None:
    """Why a backend on a GPU is not available, the GPU aside."""
    if name == "tensorrt":
        return _tensorrt_unavailable()
    return _provider_unavailable("ort-cuda" if name == "ort-cuda" else "ort-trt-rtx")


def _tensorrt_unavailable() -> str | None:
    if not installed_runtimes():
        return f"no TensorRT is installed ({install_extra('trt')}, or tensorrt)"
    if device_layer() is None:
        return f"neither pycuda nor cuda-bindings is installed ({install_extra('trt')})"
    return None


def _unsupported(gpu: Gpu) -> str | None:
    """Why the TensorRT that would be taken is not tried unasked: named, it may be, and says itself what is wrong."""
    if installed_runtimes()[0] != "tensorrt-rtx" or rtx_supports(gpu.capability):
        return None
    return f"tensorrt-rtx is not made for {gpu.name} with compute capability {gpu.capability} ({pip_install('tensorrt')})"


def _provider_unavailable(name: OrtProvider) -> str | None:
    from ferengine.inference.onnxruntime import available_providers  # here: as above

    return None if available_providers()[name] else f"the installed onnxruntime cannot do {name}"
