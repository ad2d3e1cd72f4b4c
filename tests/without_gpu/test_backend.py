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
from ferengine.detection.base import Detections, Detector
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.detection.open_detector import FallbackDetector
from ferengine.errors import DeviceError, MissingDependencyError, ModelError, UsageError
from ferengine.inference import onnxruntime as providers
from ferengine.inference import select as choose
from ferengine.inference.base import Outputs
from ferengine.inference.fallback import FallbackRunner
from ferengine.inference.onnxruntime import OrtRunner, available_providers
from ferengine.inference.select import choose_backend, open_model
from ferengine.inference.tensorrt.environment import Environment, Gpu
from ferengine.inference.tensorrt.runner import EngineRunner
from ferengine.models.registry import load_model
from ferengine.models.settings import BackendSettings
from ferengine.stages.classify import ClassifyStage
from ferengine.stages.messages import BackendChosen, FromWorker
from ferengine.stages.records import ScoreBatch, decode_event
from ferengine.stages.start_messages import Descriptor, StartClassify
from stages_help import context

NO_GPU = Environment("linux-x86_64", None, None, None, "no NVIDIA driver is installed")
NO_DEVICE = Environment("linux-x86_64", "580.1", "13.0", None, "the driver sees no GPU")
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
            choose, "_provider_unavailable", lambda name: None if cuda and name == "ort-cuda" else "not in this wheel"
        )

    return pretend


@pytest.mark.parametrize(
    ("here", "runtimes", "layer", "cuda", "name", "reason"),
    [
        (NO_GPU, ["tensorrt"], "pycuda", True, "ort", "no NVIDIA driver is installed"),
        (NO_DEVICE, ["tensorrt"], "pycuda", True, "ort", "the driver sees no GPU"),
        (WITH_GPU, ["tensorrt"], "pycuda", True, "tensorrt", "RTX 4090, with tensorrt and pycuda"),
        (WITH_GPU, ["tensorrt"], None, False, "ort", "neither pycuda nor cuda-bindings"),
        (WITH_GPU, [], "pycuda", False, "ort", "no TensorRT is installed"),
        (WITH_GPU, [], "pycuda", True, "ort-cuda", "CUDA provider (no TensorRT"),
        (DATA_CENTRE, ["tensorrt", "tensorrt-rtx"], "pycuda", True, "tensorrt", "H100, with tensorrt and"),
        (DATA_CENTRE, ["tensorrt-rtx"], "pycuda", True, "ort-cuda", "provider (tensorrt-rtx is not made for H100 with"),
        (DATA_CENTRE, ["tensorrt-rtx"], "pycuda", False, "ort", "compute capability 9.0 ("),
    ],
)
def test_auto_selects_the_best_backend_with_the_reason(
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
    with pytest.raises(MissingDependencyError, match=r"ONNX Runtime has no .* install 'onnxruntime-gpu\[cuda,cudnn\]'"):
        OrtRunner(load_model("dscnn").onnx, provider="ort-cuda")


def test_without_an_engine_the_cpu_takes_over_with_one_report(
    machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine(WITH_GPU, ["tensorrt-rtx"], "cuda-bindings")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "ferengine.inference.tensorrt.load.load_runtime", lambda: SimpleNamespace(name="tensorrt-rtx", version="1")
    )
    with caplog.at_level(logging.WARNING):
        _, backend = open_model(load_model("dscnn"), BackendSettings(), threads=1, max_batch=8)
    [record] = caplog.records
    assert "ferengine build-trt --model dscnn" in record.message
    assert backend.name == "ort"
    reports: list[str] = []
    open_model(load_model("dscnn"), BackendSettings(), threads=1, max_batch=8, on_failure=reports.append)
    assert len(reports) == 1


@pytest.mark.parametrize(("precision", "faster", "runs"), [
    ("auto", True, "fast-int8"), ("auto", False, "fast"), ("fp16", True, "fast"), ("int8", False, "fast-int8"),
])  # fmt: skip
def test_without_an_engine_the_cpu_runs_the_variant_that_is_faster_on_it(
    machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: Any, faster: bool, runs: str
) -> None:
    machine(WITH_GPU, ["tensorrt-rtx"], "cuda-bindings")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "ferengine.inference.tensorrt.load.load_runtime", lambda: SimpleNamespace(name="tensorrt-rtx", version="1")
    )
    monkeypatch.setattr("ferengine.inference.precision.int8_is_faster", lambda: faster)
    classifier = Classifier("fast", backend=BackendSettings(precision=precision), on_failure=lambda reason: None)
    assert (classifier.manifest.name, classifier.runner.name) == (runs, "ort")


def test_where_cuda_does_not_start_auto_goes_on_and_a_named_backend_is_refused(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel is there, CUDA's libraries are not."""
    machine(WITH_GPU, [], None, cuda=True)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    reports: list[str] = []
    model, options = load_model("dscnn"), {"threads": 1, "max_batch": 8, "on_failure": reports.append}
    _, backend = open_model(model, BackendSettings(), **options)  # type: ignore[arg-type]
    assert backend.name == "ort"
    assert ["cannot start CUDAExecutionProvider" in reason for reason in reports] == [True]
    with pytest.raises(ModelError, match="cannot start CUDAExecutionProvider"):
        open_model(model, BackendSettings("ort-cuda"), **options)  # type: ignore[arg-type]


def crops(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng([count, seed]).normal(size=(count, 1, 48, 48)).astype(np.float32)


class Second:
    """Stands for ONNX Runtime: computes what the fake engine does."""

    name, depth, output_names = "ort", 1, ("logits",)

    def __init__(self, network: Any) -> None:
        self._network = network
        self._batch = np.zeros((32, 1, 48, 48), np.float32)
        self._outputs: list[Outputs] = []

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        return {"logits": self._network(batch)}

    def capacity(self, row: tuple[int, ...]) -> int:
        return 32

    def input(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return self._batch[: shape[0]]

    def submit(self, count: int) -> None:
        self._outputs.append(self.run(self._batch[:count]))

    @property
    def in_flight(self) -> int:
        return len(self._outputs)

    def is_done(self) -> bool:
        return bool(self._outputs)

    def collect(self) -> Outputs:
        return self._outputs.pop(0)

    def close(self) -> None:
        self._outputs.clear()


def make_fallback(device: Any, fake_trt: Any, expected: Any, reasons: list[str] | None = None) -> FallbackRunner:
    runner = EngineRunner(fake_trt(device, SIDE_48).loaded, device, b"plan")
    return FallbackRunner(runner, lambda: Second(expected), None if reasons is None else reasons.append)


@pytest.mark.parametrize("at", range(0, 60, 3))
def test_whenever_the_gpu_fails_no_batch_is_lost(make_device: Any, fake_trt: Any, expected: Any, at: int) -> None:
    """The device fails at its call number ``at`` after the start; batches go in and come out as the worker does it."""
    device, reasons = make_device(), list[str]()
    runner = make_fallback(device, fake_trt, expected, reasons)
    device.fail_at = len(device.calls) + at
    sent, received = [], []
    for seed in range(9):
        batch = crops(4 + seed % 2, seed)
        while runner.in_flight >= runner.depth:
            received.append(runner.collect()["logits"].copy())
        runner.input((32, 1, 48, 48))[: len(batch)] = batch
        runner.submit(len(batch))
        sent.append(expected(batch))
        if runner.is_done():
            received.append(runner.collect()["logits"].copy())
    while runner.in_flight:
        received.append(runner.collect()["logits"].copy())
    assert len(received) == len(sent)
    for found, wanted in zip(received, sent, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert len(reasons) == (runner.name == "ort")
    assert reasons or "begin" in device.calls[device.fail_at - 8 : device.fail_at + 1]  # a graph that fails is done without
    runner.close()
    assert device.closed


def test_run_goes_on_too_and_logs_an_error(device: Any, fake_trt: Any, expected: Any, caplog: pytest.LogCaptureFixture) -> None:
    runner = make_fallback(device, fake_trt, expected)
    np.testing.assert_allclose(runner.run(crops(5))["logits"], expected(crops(5)), rtol=1e-5)
    assert runner.name == "tensorrt"
    device.lost = True
    for seed in range(3):
        np.testing.assert_allclose(runner.run(crops(5, seed))["logits"], expected(crops(5, seed)), rtol=1e-5)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "lost" in record.message


def test_batches_beyond_the_engine_are_refused(device: Any, fake_trt: Any) -> None:
    runner = EngineRunner(fake_trt(device, SIDE_48).loaded, device, b"plan")
    with pytest.raises(ModelError, match="batches of 32 at most, not 33"):
        runner.input((33, 1, 48, 48))
    runner.close()


def test_onnxruntime_on_a_gpu_that_fails_falls_back_too(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(WITH_GPU, [], None, cuda=True)
    monkeypatch.setitem(providers._PROVIDERS, "ort-cuda", "CPUExecutionProvider")  # the CPU, which passes for a GPU here
    reasons: list[str] = []
    model = load_model("dscnn")
    _, runner = open_model(model, BackendSettings("ort-cuda"), threads=1, max_batch=8, on_failure=reasons.append)
    faces = np.random.default_rng(0).integers(0, 256, (3, 1, 48, 48), np.uint8)
    expected = runner.run(faces)["logits"]
    assert (runner.name, runner.input_dtype) == ("ort-cuda", np.uint8)
    run, calls = OrtRunner._compute, iter([1])

    def failing(self: OrtRunner, rows: NDArray[np.float32]) -> Outputs:
        for _ in calls:
            raise DeviceError("CUDA error 700")
        return run(self, rows)

    monkeypatch.setattr(OrtRunner, "_compute", failing)
    np.testing.assert_allclose(runner.run(faces)["logits"], expected, atol=1e-5)
    assert (runner.name, reasons, runner.input_dtype) == ("ort", ["CUDA error 700"], np.uint8)


@pytest.mark.parametrize("lost_after", [None, 0, 3])
def test_the_worker_gathers_into_pinned_memory_and_survives_the_gpu(
    device: Any, fake_trt: Any, monkeypatch: pytest.MonkeyPatch, machine: Any, lost_after: int | None
) -> None:
    """Real rings; the scores come in the order of the faces, whatever happens to the GPU, and all slots are freed."""
    machine(WITH_GPU, ["tensorrt"], "pycuda")
    runner = EngineRunner(fake_trt(device, SIDE_48, dtypes=("uint8", "float")).loaded, device, b"plan")
    monkeypatch.setattr("ferengine.inference.tensorrt.load.open_engine", lambda *arguments, **options: runner)
    ring, page = FaceRing.create(64, [(48, "grey")]), WorkerPage.create()
    engine, worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    engine.setblocking(False)
    worker_end.setblocking(False)
    reports: list[FromWorker] = []
    start = StartClassify(
        page=Descriptor(page.fd), events=Descriptor(worker_end.fileno()), faces=(Descriptor(ring.fd),),
        track_pages=(Descriptor(page.fd),), models=("dscnn",), prior=None, threads=1, max_batch=32, batch_deadline=0.0,
        backend=BackendSettings("auto", "fp16"),
    )  # fmt: skip
    stage = ClassifyStage(start, context(page, reports))
    stage.open()
    assert [(m.name, m.failure) for m in reports if isinstance(m, BackendChosen)] == [("tensorrt", None)]
    assert stage._networks.description == "the model dscnn in 16-bit floats on the GPU with TensorRT"
    pinned = list(device.pinned.values())
    [given] = stage._networks.inputs(32)
    assert any(np.shares_memory(given.rows, memory) for memory in pinned)
    assert given.rows.dtype == np.uint8
    made = device.calls.count("context")
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
    assert device.calls.count("context") == made  # all were made while it opened
    stage.close()
    if lost_after is not None:
        assert isinstance(reports[1], BackendChosen)
        assert "lost" in str(reports[1].failure)
        assert reports[1].networks == "the model dscnn in 32-bit floats on the CPU with ONNX Runtime"


def read(end: socket.socket) -> bytes | None:
    try:
        return end.recv(1 << 20)
    except BlockingIOError:
        return None


def test_an_error_that_is_not_the_gpus_is_not_swallowed(device: Any, fake_trt: Any, expected: Any) -> None:
    runner = make_fallback(device, fake_trt, expected, [])
    device.lost = True
    runner.run(crops(2))

    def broken(batch: NDArray[np.float32]) -> Outputs:
        raise DeviceError("this one too")

    runner._fallback.current.run = broken  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="this one too"):
        runner.run(crops(2))


class FailingDetector(Detector):
    """Stands for a GPU's: finds one face a frame, until it is lost. Something of the GPU's is in use meanwhile, and must be
    released before it is closed."""

    preferred_batch = 16

    def __init__(self) -> None:
        self.lost = self.closed = False
        self.held: Callable[[], object] = lambda: None

    def detect(self, frame: Any, near: Any = None) -> Detections:
        return self.detect_many([frame])[0]

    def detect_many(self, frames: Any, near: Any = None) -> list[Detections]:
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


class SecondDetector(Detector):
    """Stands for the CPU's: finds two faces, or three near others."""

    def detect(self, frame: Any, near: Any = None) -> Detections:
        return detections(2 if near is None else 3)


def test_detection_goes_on_on_the_cpu() -> None:
    first, reasons = FailingDetector(), list[str]()
    detector = FallbackDetector(first, SecondDetector, reasons.append)
    frames = [np.zeros((20, 20, 3), np.uint8)] * 3
    assert [len(found) for found in detector.detect_many(frames)] == [1, 1, 1]
    assert detector.preferred_batch > 1
    first.lost = True
    assert [len(found) for found in detector.detect_many(frames, [None, np.ones((1, 4), np.float32), None])] == [2, 3, 2]
    assert len(detector.detect(frames[0])) == 2
    assert reasons == ["the GPU was lost"]
    assert first.closed
    assert detector.preferred_batch == 1


def test_a_frame_that_is_none_is_no_failure_of_the_gpu() -> None:
    first, reasons = FailingDetector(), list[str]()

    def refuse(frames: Any, near: Any = None) -> list[Detections]:
        raise UsageError("a frame is a BGR uint8 array")

    first.detect_many = refuse  # type: ignore[method-assign]
    detector = FallbackDetector(first, SecondDetector, reasons.append)
    with pytest.raises(UsageError):
        detector.detect(np.zeros((20, 20), np.uint8))
    assert (reasons, first.closed) == ([], False)


def test_without_engines_mtcnn_runs_on_the_cpu_with_a_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: Any
) -> None:
    machine(WITH_GPU, ["tensorrt-rtx"], "cuda-bindings")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "ferengine.inference.tensorrt.load.load_runtime", lambda: SimpleNamespace(name="tensorrt-rtx", version="1")
    )
    reports: list[str] = []
    detector = create_detector("mtcnn", backend=BackendSettings(), on_failure=reports.append)
    assert isinstance(detector, MtcnnDetector)
    assert len(reports) == 1
    assert "ferengine build-trt --model pnet" in reports[0]
