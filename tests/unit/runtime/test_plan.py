"""How many workers of each kind a run gets."""

from __future__ import annotations

import pytest

from ferengine.config import make_config
from ferengine.errors import UsageError
from ferengine.models.settings import BackendSettings
from ferengine.runtime.topology import make_plan


@pytest.mark.parametrize(
    ("gpu_detectors", "backend", "detectors"),
    [(0, "ort", 8), (0, "tensorrt", 8), (0, "ort-cuda", 8), (1, "tensorrt", 1), (2, "ort-cuda", 2), (1, "ort", 8)],
)
def test_a_device_gets_the_detect_workers_of_the_settings_not_one_for_two_cores(
    gpu_detectors: int, backend: str, detectors: int
) -> None:
    plan = make_plan(16, make_config(gpu_detectors=gpu_detectors), backend=backend, cores=16)
    assert (plan.detectors, plan.trackers) == (detectors, 8)


@pytest.mark.parametrize("settings", [{"detector": "haar"}, {"backend": "ort"}, {"backend": "ort-trt-rtx"}])
def test_what_cannot_run_mtcnn_on_a_gpu_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="gpu_detectors needs"):
        make_config(gpu_detectors=1, **settings)


@pytest.mark.parametrize("backend", ["auto", "tensorrt", "ort-cuda"])
def test_detection_stays_on_the_cpu_beside_a_classifier_on_a_gpu_unless_asked(backend: str) -> None:
    assert make_config(backend=backend).detector_settings().backend == "ort"
    assert make_config(backend=backend, gpu_detectors=1).detector_settings().backend == backend


@pytest.mark.parametrize("detector", ["auto", "retinaface"])
def test_detection_on_the_cpu_takes_the_precision(detector: str) -> None:
    assert make_config(detector=detector, precision="fp32").detector_settings() == BackendSettings("ort", "fp32")
