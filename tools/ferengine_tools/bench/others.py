"""The same work as others do it: in one process, frame by frame, with the libraries that are installed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.classifier import Classifier
from ferengine.sources import SourceSpec, open_source
from ferengine.vision import cv2
from ferengine_tools.bench.mtcnn import mtcnn_in_onnxruntime
from ferengine_tools.bench.record import Metric

Frame = NDArray[np.uint8]
Work = Callable[[Frame], object]

LOOP = "single-process loop"


def metrics(spec: SourceSpec, seconds: float, absent: dict[str, str]) -> Iterator[Metric]:
    """Frames a second of each way over the first ``seconds`` of work; why others are missing goes into ``absent``."""
    yield Metric("engine", "file", LOOP, _rate(spec, plain_loop(), seconds), "frames/s")
    for name, make in _LIBRARIES.items():
        try:
            work = make()
        except Exception as error:  # a third-party package may raise anything when it is imported
            absent[name] = _reason(error)
            continue
        yield Metric("engine", "file", name, _rate(spec, work, seconds), "frames/s")


def plain_loop() -> Work:
    """What everyone writes: detect in every frame, cut each face with cv2, classify one by one."""
    detector, classifier = mtcnn_in_onnxruntime(), Classifier()
    side = classifier.input_size

    def work(frame: Frame) -> list[str]:
        labels = []
        for x, y, w, h in detector.detect(frame).boxes.astype(int).tolist():
            face = frame[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)]
            if face.size:
                gray = cv2.cvtColor(cv2.resize(face, (side, side)), cv2.COLOR_BGR2GRAY)
                scores = classifier.scores(np.asarray(gray, np.uint8)[None])[0]
                labels.append(classifier.labels[int(scores.argmax())])
        return labels

    return work


def _rate(spec: SourceSpec, work: Work, seconds: float) -> float:
    """Frames a second, decoding included, after one frame that does not count."""
    source = open_source(spec)
    source.open()
    first = source.read()
    if first is not None:
        work(first.image)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds and (captured := source.read()) is not None:
        work(captured.image)
        count += 1
    taken = time.perf_counter() - started
    source.close()
    return count / taken


def _fer(**options: bool) -> Work:
    _need("fer", "tensorflow")
    detector: Any = _first("fer.fer", "fer").FER(**options)
    return lambda frame: detector.detect_emotions(frame)


def _fer_mtcnn() -> Work:
    _need("facenet_pytorch")
    return _fer(mtcnn=True)


def _facenet() -> Work:
    _need("facenet_pytorch", "torch")
    detector = import_module("facenet_pytorch").MTCNN(keep_all=True, min_face_size=40, device="cpu")
    return lambda frame: detector.detect(np.ascontiguousarray(frame[..., ::-1]))


def _mtcnn() -> Work:
    _need("mtcnn", "tensorflow")  # only its weights are needed by ferengine, which installs it without TensorFlow
    detector = import_module("mtcnn").MTCNN()
    return lambda frame: detector.detect_faces(np.ascontiguousarray(frame[..., ::-1]))


_LIBRARIES: dict[str, Callable[[], Work]] = {
    "fer, Haar": _fer,
    "fer, MTCNN": _fer_mtcnn,
    "facenet-pytorch (detection alone)": _facenet,
    "mtcnn (detection alone)": _mtcnn,
}


def _need(*packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def _first(*modules: str) -> Any:
    """The first of ``modules`` that exists: packages move their classes about."""
    for name in modules[:-1]:
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    return import_module(modules[-1])


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed"
    return f"it does not start: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
