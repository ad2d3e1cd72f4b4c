"""Choosing a backend, and going on without the GPU when it fails."""

from __future__ import annotations

import logging
import socket
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine._native import FACE_KEY, FaceRing, WorkerPage
from ferengine.classification.classifier import Classifier
from ferengine.detection import create_detector
from ferengine.detection.base import Detections
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.detection.open_detector import FallbackDetector
from ferengine.errors import DeviceError, MissingDependencyError, ModelError, UsageError
from ferengine.inference import select as choose
from ferengine.inference.base import OrtBackend, available_providers
from ferengine.inference.select import BackendSettings, choose_backend, create_backend
from ferengine.inference.tensorrt.classifier_runner import FallbackBackend, TensorRtBackend
from ferengine.inference.tensorrt.environment import Environment, Gpu
from ferengine.inference.tensorrt.runner import EngineRunner
from ferengine.models.registry import load_model
from ferengine.stages.classify import ClassifyStage
from ferengine.stages.messages import BackendChosen, Descriptor, FromWorker, StartClassify
from ferengine.stages.records import ScoreBatch, decode_event
from stages_help import context

NO_GPU = Environment("linux-x86_64", None, None, None, "no NVIDIA driver is installed")
WITH_GPU = Environment("linux-x86_64", "580.1", "13.0", Gpu("RTX 4090", "8.9", 1 << 34), None)
DATA_CENTRE = Environment("linux-x86_64", "580.1", "13.0", Gpu("H100", "9.0", 1 << 36), None)
SIDE_48 = [((1, 1, 48, 48), (8, 1, 48, 48), (32, 1, 48, 48))]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend: the GPU and what is installed."""

    def pretend(here: Environment, runtimes: list[str], layer: str | None, cuda: bool = False) -> None:
        monkeypatch.setattr(choose, "this_machine", lambda: here)
        monkeypatch.setattr(choose, "installed_runtimes", lambda: runtimes)
        monkeypatch.setattr(choose, "device_layer", lambda: layer)
        monkeypatch.setattr(
            choose, "_provider_obstacle", lambda name: None if cuda and name == "ort-cuda" else "not in this wheel"
        )

    return pretend


@pytest.mark.parametrize(
    ("here", "runtimes", "layer", "cuda", "name", "reason"),
    [
        (NO_GPU, ["tensorrt"], "pycuda", True, "ort", "no NVIDIA driver"),
        (WITH_GPU, ["tensorrt"], "pycuda", True, "tensorrt", "RTX 4090, with tensorrt and pycuda"),
        (WITH_GPU, ["tensorrt"], None, False, "ort", "neither pycuda nor cuda-bindings"),
        (WITH_GPU, [], "pycuda", False, "ort", "no TensorRT is installed"),
        (WITH_GPU, [], "pycuda", True, "ort-cuda", "CUDA provider (no TensorRT"),
        (DATA_CENTRE, ["tensorrt", "tensorrt-rtx"], "pycuda", True, "tensorrt", "H100, with tensorrt and"),
        (DATA_CENTRE, ["tensorrt-rtx"], "pycuda", True, "ort-cuda", "provider (tensorrt-rtx is not made for H100 with"),
        (DATA_CENTRE, ["tensorrt-rtx"], "pycuda", False, "ort", "compute capability 9.0 (pip install tensorrt)"),
    ],
)
def test_auto_takes_the_best_and_says_why(
    machine: Any, here: Environment, runtimes: list[str], layer: str | None, cuda: bool, name: str, reason: str
) -> None:
    machine(here, runtimes, layer, cuda)
    chosen, why = choose_backend("auto")
    assert chosen == name
    assert reason in why


def test_a_backend_that_cannot_work_is_refused(machine: Any) -> None:
    machine(NO_GPU, ["tensorrt"], "pycuda")
    for name in ("tensorrt", "ort-cuda", "ort-trt-rtx"):
        with pytest.raises(ModelError, match=f"--backend {name} cannot work here: no NVIDIA driver"):
            choose_backend(name)
    assert choose_backend("ort")[0] == "ort"
    with pytest.raises(UsageError, match="not cuda"):
        choose_backend("cuda")


def test_by_name_a_runtime_that_is_not_made_for_the_gpu_may_try(machine: Any) -> None:
    machine(DATA_CENTRE, ["tensorrt-rtx"], "pycuda")
    assert choose_backend("tensorrt") == ("tensorrt", "chosen by the user")


def test_a_provider_that_the_wheel_lacks_is_refused() -> None:
    if available_providers()["ort-cuda"]:
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(MissingDependencyError, match="pip install onnxruntime-gpu"):
        OrtBackend(load_model("dscnn").onnx, provider="ort-cuda")


def test_without_an_engine_the_cpu_takes_over_and_it_is_said_once(
    machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine(WITH_GPU, ["tensorrt-rtx"], "cuda-bindings")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "ferengine.inference.tensorrt.load.load_runtime", lambda: SimpleNamespace(name="tensorrt-rtx", version="1")
    )
    with caplog.at_level(logging.WARNING):
        _, backend = create_backend(load_model("dscnn"), BackendSettings(), threads=1, max_batch=8)
    [record] = caplog.records
    assert "ferengine build-trt --model dscnn" in record.message
    assert backend.name == "ort"
    told: list[str] = []
    create_backend(load_model("dscnn"), BackendSettings(), threads=1, max_batch=8, on_failure=told.append)
    assert len(told) == 1


@pytest.mark.parametrize(("precision", "vnni", "runs"), [
    ("auto", True, "fast-int8"), ("auto", False, "fast"), ("fp16", True, "fast"), ("int8", False, "fast-int8"),
])  # fmt: skip
def test_without_an_engine_the_cpu_runs_the_form_that_is_exact_on_it(
    machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: Any, vnni: bool, runs: str
) -> None:
    machine(WITH_GPU, ["tensorrt-rtx"], "cuda-bindings")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "ferengine.inference.tensorrt.load.load_runtime", lambda: SimpleNamespace(name="tensorrt-rtx", version="1")
    )
    monkeypatch.setattr("ferengine.inference.precision.has_vnni", lambda: vnni)
    classifier = Classifier("fast", backend=BackendSettings(precision=precision), on_failure=lambda reason: None)
    assert (classifier.manifest.name, classifier.backend.name) == (runs, "ort")


def test_where_cuda_does_not_start_auto_goes_on_and_who_named_it_is_told(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel is there, CUDA's libraries are not."""
    machine(WITH_GPU, [], None, cuda=True)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    told: list[str] = []
    model, options = load_model("dscnn"), {"threads": 1, "max_batch": 8, "on_failure": told.append}
    _, backend = create_backend(model, BackendSettings(), **options)  # type: ignore[arg-type]
    assert backend.name == "ort"
    assert ["cannot start CUDAExecutionProvider" in reason for reason in told] == [True]
    with pytest.raises(ModelError, match="cannot start CUDAExecutionProvider"):
        create_backend(model, BackendSettings("ort-cuda"), **options)  # type: ignore[arg-type]


def crops(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng([count, seed]).normal(size=(count, 1, 48, 48)).astype(np.float32)


class Second:
    """Stands for ONNX Runtime: computes what the fake engine does."""

    name = "ort"
    depth = 1

    def __init__(self, network: Any) -> None:
        self.run = network
        self._batch = np.zeros((32, 1, 48, 48), np.float32)
        self._logits: list[NDArray[np.float32]] = []

    def input(self, count: int) -> NDArray[np.float32]:
        return self._batch[:count]

    def submit(self, count: int) -> None:
        self._logits.append(self.run(self._batch[:count]))

    @property
    def in_flight(self) -> int:
        return len(self._logits)

    def is_done(self) -> bool:
        return bool(self._logits)

    def collect(self) -> NDArray[np.float32]:
        return self._logits.pop(0)

    def close(self) -> None:
        self._logits.clear()


def make_fallback(device: Any, fake_trt: Any, expected: Any, told: list[str] | None = None) -> FallbackBackend:
    runner = EngineRunner(fake_trt(device, SIDE_48).loaded, device, b"plan")
    return FallbackBackend(TensorRtBackend(runner), lambda: Second(expected), None if told is None else told.append)


@pytest.mark.parametrize("at", range(0, 60, 3))
def test_whenever_the_gpu_fails_no_batch_is_lost(make_device: Any, fake_trt: Any, expected: Any, at: int) -> None:
    """The device fails at its call number ``at`` after the start; batches go in and come out as the worker does it."""
    device, told = make_device(), list[str]()
    backend = make_fallback(device, fake_trt, expected, told)
    device.fail_at = len(device.calls) + at
    sent, received = [], []
    for seed in range(9):
        batch = crops(4 + seed % 2, seed)
        while backend.in_flight >= backend.depth:
            received.append(backend.collect().copy())
        backend.input(32)[: len(batch)] = batch
        backend.submit(len(batch))
        sent.append(expected(batch))
        if backend.is_done():
            received.append(backend.collect().copy())
    while backend.in_flight:
        received.append(backend.collect().copy())
    assert len(received) == len(sent)
    for found, wanted in zip(received, sent, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert len(told) == (backend.name == "ort")
    assert told or "begin" in device.calls[device.fail_at - 8 : device.fail_at + 1]  # a graph that fails is done without
    backend.close()
    assert device.closed


def test_run_goes_on_too_and_logs_an_error(device: Any, fake_trt: Any, expected: Any, caplog: pytest.LogCaptureFixture) -> None:
    backend = make_fallback(device, fake_trt, expected)
    np.testing.assert_allclose(backend.run(crops(5)), expected(crops(5)), rtol=1e-5)
    assert backend.name == "tensorrt"
    device.lost = True
    for seed in range(3):
        np.testing.assert_allclose(backend.run(crops(5, seed)), expected(crops(5, seed)), rtol=1e-5)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "lost" in record.message


def test_batches_beyond_the_engine_are_refused(device: Any, fake_trt: Any) -> None:
    backend = TensorRtBackend(EngineRunner(fake_trt(device, SIDE_48).loaded, device, b"plan"))
    with pytest.raises(ModelError, match="batches of 32 at most, not 33"):
        backend.input(33)
    backend.close()


@pytest.mark.parametrize("lost_after", [None, 0, 3])
def test_the_worker_gathers_into_pinned_memory_and_survives_the_gpu(
    device: Any, fake_trt: Any, monkeypatch: pytest.MonkeyPatch, machine: Any, lost_after: int | None
) -> None:
    """Real rings; the scores come in the order of the faces, whatever happens to the GPU, and all slots are freed."""
    machine(WITH_GPU, ["tensorrt"], "pycuda")
    runner = EngineRunner(fake_trt(device, SIDE_48).loaded, device, b"plan")
    monkeypatch.setattr("ferengine.inference.tensorrt.load.open_runner", lambda *arguments, **options: runner)
    ring, page = FaceRing.create(64, 48), WorkerPage.create()
    engine, worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    engine.setblocking(False)
    worker_end.setblocking(False)
    reports: list[FromWorker] = []
    start = StartClassify(
        page=Descriptor(page.fd), events=Descriptor(worker_end.fileno()), faces=(Descriptor(ring.fd),),
        track_pages=(Descriptor(page.fd),), models=("dscnn",), threads=1, max_batch=32, batch_deadline=0.0,
        backend=BackendSettings("auto", "fp16"),
    )  # fmt: skip
    stage = ClassifyStage(start, context(page, reports))
    stage.open()
    assert [(m.name, m.failure) for m in reports if isinstance(m, BackendChosen)] == [("tensorrt", None)]
    pinned = list(device.pinned.values())
    assert any(np.shares_memory(stage._networks.input(32), memory) for memory in pinned)
    frame = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    squares = np.array([[40, 40, 60, 0], [30, 40, 50, 0]], np.float32)
    received: list[int] = []
    for number in range(8):
        if number == lost_after:
            device.lost = True
        assert ring.push(frame, squares, 0, 0, number, 0, 0, 0)
        while stage.step():
            pass
        while (data := read(engine)) is not None:
            batch = decode_event(data)
            assert isinstance(batch, ScoreBatch)
            np.testing.assert_allclose(batch.scores.sum(axis=1), 1, atol=1e-4)
            received += [int(key["sequence"]) * 2 + int(key["face"]) for key in np.asarray(batch.keys, FACE_KEY)]
    assert received == list(range(16))
    assert ring.free == 64
    assert stage._networks.backend_names == ("tensorrt" if lost_after is None else "ort")
    assert len(reports) == (1 if lost_after is None else 2)
    stage.close()
    if lost_after is not None:
        assert isinstance(reports[1], BackendChosen)
        assert "lost" in str(reports[1].failure)


def read(end: socket.socket) -> bytes | None:
    try:
        return end.recv(1 << 20)
    except BlockingIOError:
        return None


def test_an_error_that_is_not_the_gpus_is_not_swallowed(device: Any, fake_trt: Any, expected: Any) -> None:
    backend = make_fallback(device, fake_trt, expected, [])
    device.lost = True
    backend.run(crops(2))

    def broken(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        raise DeviceError("this one too")

    backend._current.run = broken  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="this one too"):
        backend.run(crops(2))


class FailingDetector:
    """Stands for a GPU's: finds one face a frame, until it is lost. Something of the GPU's is in use meanwhile, and must be
    let go of before it is closed."""

    def __init__(self) -> None:
        self.lost = self.closed = False
        self.held: Callable[[], object] = lambda: None

    def detect_many(self, frames: Any) -> list[Detections]:
        context = np.zeros(1)
        self.held = weakref.ref(context)
        if self.lost:
            raise DeviceError("the GPU was lost")
        return [detections(1) for _ in frames]

    def close(self) -> None:
        assert self.held() is None, "closed while a context is in use"
        self.closed = True


def detections(count: int) -> Detections:
    return Detections(np.ones((count, 4), np.float32), np.ones(count, np.float32), np.ones((count, 5, 2), np.float32))


def test_detection_goes_on_on_the_cpu() -> None:
    first, told = FailingDetector(), list[str]()
    second: Any = SimpleNamespace(detect=lambda frame, near: detections(2 if near is None else 3))
    detector = FallbackDetector(first, lambda: second, told.append)  # type: ignore[arg-type]
    frames = [np.zeros((20, 20, 3), np.uint8)] * 3
    assert [len(found) for found in detector.detect_many(frames)] == [1, 1, 1]
    assert detector.frames_at_once > 1
    first.lost = True
    assert [len(found) for found in detector.detect_many(frames, [None, np.ones((1, 4), np.float32), None])] == [2, 3, 2]
    assert len(detector.detect(frames[0])) == 2
    assert told == ["the GPU was lost"]
    assert first.closed
    assert detector.frames_at_once == 1


def test_without_engines_mtcnn_runs_on_the_cpu_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: Any
) -> None:
    machine(WITH_GPU, ["tensorrt-rtx"], "cuda-bindings")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "ferengine.inference.tensorrt.load.load_runtime", lambda: SimpleNamespace(name="tensorrt-rtx", version="1")
    )
    told: list[str] = []
    detector = create_detector("mtcnn", backend=BackendSettings(), on_failure=told.append)
    assert isinstance(detector, MtcnnDetector)
    assert len(told) == 1
    assert "ferengine build-trt --model pnet" in told[0]
