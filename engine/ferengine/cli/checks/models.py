"""Every shipped model on the built-in faces, by each backend of this machine, against the logits of its manifest; torch."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ferengine.cli.checks.base import Finding
from ferengine.errors import FerengineError, ModelError
from ferengine.models.manifest import Manifest
from ferengine.models.registry import Model, list_models, load_model
from ferengine.models.self_test import self_test_crops
from ferengine.pip_hint import pip_install

if TYPE_CHECKING:
    from ferengine.inference.base import Runner

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Crops, uint8 (N, S, S) -> logits, float32 (N, classes)."""

_TORCH_TOLERANCE = 1e-3
"""Relative; orders of summation differ."""

_FP32_TOLERANCE, _GPU_TOLERANCE, _INT8_TOLERANCE = 0.05, 0.1, 0.5
"""Of largest logits around 5. fp32: other orders of summation stay below 0.001. GPU: fp16, and TF32 with as many bits, below
0.01. int8: below 0.001 on x86; elsewhere values that are rounded to the next step may add up."""


def check_models() -> Finding:
    """Every shipped model: its hash, and its logits by ONNX Runtime on the CPU, which every run may fall back on."""
    from ferengine.inference.onnxruntime import OrtRunner
    from ferengine.inference.precision import int8_is_faster

    def difference(model: Model) -> float | None:
        return largest_difference(model.manifest, _run_by(OrtRunner(model.onnx), model.manifest))

    tally = _Tally()
    for manifest in list_models():
        int8 = manifest.precision == "int8"
        unused = ": not used on this processor, it has no AVX2" if int8 and not int8_is_faster() else ""
        tally.add(manifest, difference, _INT8_TOLERANCE if int8 else _FP32_TOLERANCE, unused)
    return tally.finding("fail", "reinstall ferengine and onnxruntime, and report this if it stays")


def check_torch() -> Finding | None:
    """Whether torch, which training and explaining need, loads and computes; ``None`` where it is not installed."""
    if find_spec("torch") is None:
        return None
    crops: NDArray[np.float32] = self_test_crops(48).reshape(8, -1).astype(np.float32) / np.float32(255)
    try:
        import torch

        found = (torch.from_numpy(crops) @ torch.from_numpy(crops.T)).numpy()
    except Exception as error:  # torch raises OSError and RuntimeError for libraries that are missing or do not fit
        return Finding("warn", f"torch cannot be used ({error}): a run does without it, training does not",
                       pip_install("--force-reinstall", "torch"))  # fmt: skip
    off = float(np.abs(found / (crops @ crops.T) - 1).max())
    if not off <= _TORCH_TOLERANCE:
        return Finding("warn", f"torch {torch.__version__} multiplies matrices up to {off:.2g} off what NumPy gives",
                       pip_install("--force-reinstall", "torch"))  # fmt: skip
    return Finding("ok", f"torch {torch.__version__} loads and computes as NumPy does")


class _NotOnGpuError(Exception):
    """The GPU's backend gave up, and a run would go on on the CPU; its text is the reason."""


def check_gpu() -> Finding | None:
    """The shipped models by the GPU's backend that a run takes, on the engines that are there; ``None`` where a run takes the
    CPU anyway, for a reason that ``check_backend`` gives."""
    from ferengine.config import EngineConfig
    from ferengine.inference.select import choose_backend, open_model
    from ferengine.models.settings import BackendSettings

    name, _ = choose_backend("auto")
    if name == "ort":
        return None
    largest_batch = EngineConfig.model_fields["max_batch"].default  # an engine must serve a run, not these few faces alone

    def give_up(reason: str) -> None:
        raise _NotOnGpuError(reason)

    def difference(model: Model) -> float | None:
        _, runner = open_model(model, BackendSettings(), threads=1, max_batch=largest_batch, on_failure=give_up)
        try:
            return largest_difference(model.manifest, _run_by(runner, model.manifest))
        finally:
            runner.close()

    tally, on_cpu, reasons = _Tally(f"{name}: "), list[str](), list[str]()
    for manifest in _exact_models():
        try:
            tally.add(manifest, difference, _GPU_TOLERANCE)
        except _NotOnGpuError as error:
            on_cpu.append(manifest.name)
            reasons.append(str(error))
    hint = "ferengine run --backend ort does without the GPU; "
    if on_cpu and not tally.wrong:
        reason = f"{name}: {', '.join(on_cpu)} would run on the CPU ({reasons[0]}); right: {', '.join(tally.right) or 'none'}"
        return Finding("warn", reason, f"{hint}ferengine build-trt builds the engines that are missing or do not fit")
    return tally.finding("fail", f"{hint}ferengine build-trt builds new engines: report this if it stays")


def largest_difference(manifest: Manifest, run: Run) -> float | None:
    """Of the logits that ``run`` gives on the built-in faces from those that the manifest holds; ``None`` where it holds none.
    Raises ModelError for another number of scores, and what ``run`` raises."""
    if manifest.self_test is None:
        return None
    logits = run(self_test_crops(manifest.input.size))
    stored = np.array(manifest.self_test, np.float32)
    if logits.shape != stored.shape:
        raise ModelError(f"{manifest.name} gives scores of shape {logits.shape}, its manifest holds {stored.shape}")
    return float(np.abs(logits - stored).max())


def _run_by(runner: Runner, manifest: Manifest) -> Run:
    from ferengine.inference.base import as_input, only_output

    return lambda crops: only_output(runner.run(as_input(crops, runner, manifest.input.normalisation)))


def _exact_models() -> list[Manifest]:
    """All but the int8 variants, which run on CPUs and in TensorRT where they are requested."""
    return [manifest for manifest in list_models() if manifest.precision != "int8"]


class _Tally:
    """Models that are ``right``, with how nearly, those that are ``wrong``, with why, and those that could not be compared.
    ``where``: what all findings begin with."""

    def __init__(self, where: str = "") -> None:
        self._where = where
        self.right: list[str] = []
        self.wrong: list[str] = []
        self._untested: list[str] = []

    def add(self, manifest: Manifest, difference: Callable[[Model], float | None], tolerance: float, note: str = "") -> None:
        """``difference``: ``largest_difference`` of the loaded model; what it raises makes the model a wrong one."""
        try:
            off = difference(load_model(manifest.name))
        except FerengineError as error:
            self.wrong.append(str(error))
            return
        if off is None:
            self._untested.append(manifest.name)
        elif off <= tolerance:
            self.right.append(f"{manifest.name} (logits within {off:.1g}{note})")
        else:  # or not a number
            self.wrong.append(f"{manifest.name} gives logits up to {off:.3g} off those of its manifest")

    def finding(self, otherwise: Literal["warn", "fail"], hint: str) -> Finding:
        right = ", ".join(self.right) or "none"
        if self.wrong:
            return Finding(otherwise, self._where + "; ".join(self.wrong), hint)
        if self._untested:
            reason = f"{self._where}no stored logits to compare with: {', '.join(self._untested)}; right: {right}"
            return Finding("warn", reason, "export these models again: ferengine export-onnx")
        return Finding("ok", self._where + right)
