"""Which backend runs the classifier, and why."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ferengine.errors import FerengineError, ModelError, UsageError
from ferengine.inference.precision import WantedPrecision, form_for_cpu, int8_form
from ferengine.inference.tensorrt.device import device_layer
from ferengine.inference.tensorrt.engine_file import Precision
from ferengine.inference.tensorrt.environment import Gpu, this_machine
from ferengine.inference.tensorrt.tensorrt import installed_runtimes, rtx_supports
from ferengine.models.registry import Model

if TYPE_CHECKING:
    from ferengine.inference.base import InferenceBackend, OrtProvider

BackendName = Literal["auto", "ort", "tensorrt", "ort-cuda", "ort-trt-rtx"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """What runs a network: ``backend``, ``precision`` and, for TensorRT alone, ``engines`` and ``build`` mean what
    EngineConfig's ``backend``, ``precision``, ``engines`` and ``build_engines`` do. Raises UsageError for another precision."""

    backend: BackendName = "auto"
    precision: WantedPrecision = "auto"
    engines: str | None = None
    build: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("auto", *get_args(Precision)):
            raise UsageError(f"the precision is auto, {', '.join(get_args(Precision))}, not {self.precision}")

    @property
    def engine_precision(self) -> Precision:
        """Of TensorRT's engines."""
        return "fp16" if self.precision == "auto" else self.precision


AS_NAMED = BackendSettings("ort", "fp32")
"""A model's very file, on the CPU: for measurements."""


def choose_backend(name: str = "auto") -> tuple[str, str]:
    """The backend that ``name`` stands for on this machine, and the reason in one sentence.

    ``auto``: TensorRT where a GPU that it supports, TensorRT and a package that speaks to CUDA are there, else ONNX Runtime's
    CUDA provider where its wheel is installed, else ONNX Runtime on the CPU. Nothing is loaded onto the GPU. Raises UsageError
    for another name, ModelError for one that cannot work here.
    """
    if name not in get_args(BackendName):
        raise UsageError(f"the backend is one of {', '.join(get_args(BackendName))}, not {name}")
    if name == "ort":
        return "ort", "chosen by the user"
    here = this_machine()
    obstacle = {
        "tensorrt": here.problem or _tensorrt_obstacle(),
        "ort-cuda": here.problem or _provider_obstacle("ort-cuda"),
        "ort-trt-rtx": here.problem or _provider_obstacle("ort-trt-rtx"),
    }
    if name != "auto":
        if obstacle[name]:
            raise ModelError(f"--backend {name} cannot work here: {obstacle[name]} (--backend auto takes what there is)")
        return name, "chosen by the user"
    gpu = here.gpu.name if here.gpu else "no GPU"
    against = obstacle["tensorrt"] or _unsupported(here.gpu)
    if not against:
        return "tensorrt", f"{gpu}, with {installed_runtimes()[0]} and {device_layer()}"
    if not obstacle["ort-cuda"]:
        return "ort-cuda", f"{gpu}, with ONNX Runtime's CUDA provider ({against})"
    return "ort", against


def _warn(reason: str) -> None:
    log.warning("the GPU is not used, ONNX Runtime on the CPU is: %s", reason)


def _tensorrt_obstacle() -> str | None:
    if not installed_runtimes():
        return "no TensorRT is installed (pip install 'ferengine[trt]', or tensorrt)"
    if device_layer() is None:
        return "neither pycuda nor cuda-bindings is installed (pip install 'ferengine[trt]')"
    return None


def _unsupported(gpu: Gpu | None) -> str | None:
    """Why the TensorRT that would be taken is not tried unasked: by name it may be, and says itself what is wrong."""
    if gpu is None or installed_runtimes()[0] != "tensorrt-rtx" or rtx_supports(gpu.capability):
        return None
    return f"tensorrt-rtx is not made for {gpu.name} with compute capability {gpu.capability} (pip install tensorrt)"


def _provider_obstacle(name: OrtProvider) -> str | None:
    from ferengine.inference.base import available_providers  # here: ONNX Runtime takes a while to import

    return None if available_providers()[name] else f"the installed onnxruntime cannot do {name}"


def choose_form(model: Model, settings: BackendSettings, tell: Callable[[str], None] | None = None) -> Model:
    """What runs where ``model`` was asked for: itself, or its int8 form.

    The form is taken where int8 is asked for (in TensorRT only if there is one, else the engine is a calibrated one), and
    where nothing is asked for on a CPU that computes int8 exactly, if its manifest shows that it loses less than 0.3 points;
    ``tell`` is told why not, as by ``form_for_cpu``. Raises as ``choose_backend`` and ``form_for_cpu`` do, and ModelError
    where int8 is asked for of another backend.
    """
    name, _ = choose_backend(settings.backend)
    if name == "ort":
        return form_for_cpu(model, settings.precision, tell)
    if settings.precision != "int8":
        return model
    if name != "tensorrt":
        raise ModelError(f"int8 runs on the CPU and in TensorRT, not by {name}: choose another precision or backend")
    return int8_form(model) or model


def create_backend(
    model: Model,
    settings: BackendSettings,
    *,
    threads: int,
    max_batch: int,
    on_failure: Callable[[str], None] | None = None,
) -> tuple[Model, InferenceBackend]:
    """The backend that ``settings`` ask for, and what runs on it: ``model``, as ``choose_form`` gave it, or its int8 form
    where this CPU had to take over from the start.

    Where TensorRT has no engine that serves, and may not build one, or the GPU fails, at the start or later, this goes on
    with ONNX Runtime on the CPU and tells ``on_failure`` the reason once (default: logs it). So it does where ``auto`` took
    ONNX Runtime's CUDA provider, and that does not start.

    Raises as ``choose_backend`` and ``OrtBackend`` do.
    """
    from ferengine.inference.base import OrtBackend

    name, reason = choose_backend(settings.backend)
    log.info("backend %s: %s", name, reason)
    if name == "ort":
        return model, OrtBackend(model.onnx, threads=threads)

    def on_cpu() -> InferenceBackend:
        return OrtBackend(model.onnx, threads=threads)

    try:
        if name == "tensorrt":
            from ferengine.inference.tensorrt.classifier_runner import FallbackBackend, TensorRtBackend
            from ferengine.inference.tensorrt.load import open_runner

            folder = Path(settings.engines) if settings.engines else None
            precision = "int8" if model.manifest.precision == "int8" else settings.engine_precision
            runner = open_runner(
                model.manifest.name, model.onnx, precision, max_batch, folder, build=settings.build, named=model.called
            )
            return model, FallbackBackend(TensorRtBackend(runner), on_cpu, on_failure)
        return model, OrtBackend(model.onnx, threads=threads, provider="ort-cuda" if name == "ort-cuda" else "ort-trt-rtx")
    except FerengineError as error:
        if name != "tensorrt" and settings.backend != "auto":
            raise
        (on_failure or _warn)(str(error))
    if settings.precision == "auto":
        model = form_for_cpu(model, "auto", log.warning)
    return model, on_cpu()
