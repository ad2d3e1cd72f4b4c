"""Crops that go to a GPU as they are, uint8, and are normalised there: bytes, answers, and what follows a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine._native import FACE_KEY, FaceRing
from ferengine.classification import classifier as classifiers
from ferengine.classification.parallel_heads import ParallelClassifier
from ferengine.errors import ModelError
from ferengine.inference.base import Runner
from ferengine.inference.fallback import FallbackRunner
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.inference.tensorrt.runner import EngineRunner
from ferengine.inference.tensorrt.verify import check_outputs
from ferengine.models.manifest import Normalisation
from ferengine.models.registry import load_model
from onnx_help import linear

CROPS = Normalisation(129.5, 65.0)
UINT8, FLOAT = ("uint8", "float"), ("float", "float")
SIDE_48 = [((1, 1, 48, 48), (8, 1, 48, 48), (32, 1, 48, 48))]


def crops(count: int, side: int = 4) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, 1, side, side), np.uint8)


def open_runner(device: Any, fake_trt: Any, profiles: Any, dtypes: tuple[str, str] = UINT8) -> EngineRunner:
    return EngineRunner(fake_trt(device, profiles, dtypes=dtypes).loaded, device, b"plan")


@pytest.mark.parametrize("graphs", [True, False])
def test_a_quarter_of_the_bytes_gives_the_same(
    make_device: Callable[..., Any], fake_trt: Any, profiles: Any, expected: Any, graphs: bool
) -> None:
    given = crops(13)
    sent = []
    for dtypes in (UINT8, FLOAT):
        device = make_device(with_graphs=graphs)
        runner = open_runner(device, fake_trt, profiles, dtypes)
        rows = given if runner.input_dtype == np.uint8 else CROPS.of(given)
        for _ in range(8):  # from the third time of each of the two in flight on as graphs
            batch = runner.input(rows.shape)
            assert batch.dtype == runner.input_dtype
            batch[:] = rows
            runner.submit(len(rows))
            np.testing.assert_array_equal(runner.collect()["logits"], expected(CROPS.of(given)))
        assert device.calls.count("launch") == (4 if graphs else 0)
        sent.append(device.uploads)
        runner.close()
    assert sent == [[16 * 16] * 8, [4 * 16 * 16] * 8]  # 13 are padded to 16 of 4 x 4 pixels


def test_pinned_and_device_memory_are_of_the_crops_size(make_device: Callable[..., Any], fake_trt: Any) -> None:
    held = []
    for dtypes in (UINT8, FLOAT):
        device = make_device()
        runner = open_runner(device, fake_trt, SIDE_48, dtypes)
        held.append(max(map(len, device.pinned.values())))
        assert held[-1] == max(map(len, device.memory.values()))
        runner.close()
    assert held == [32 * 48 * 48, 4 * 32 * 48 * 48]


@pytest.mark.parametrize(("dtypes", "given"), [(UINT8, np.float32), (FLOAT, np.uint8)])
def test_rows_of_the_other_type_are_refused(device: Any, fake_trt: Any, profiles: Any, dtypes: Any, given: Any) -> None:
    runner = open_runner(device, fake_trt, profiles, dtypes)
    with pytest.raises(ModelError, match=rf"does not run on {np.dtype(given)} \(2, 1, 4, 4\): its input is"):
        runner.run(np.zeros((2, 1, 4, 4), given))
    runner.close()


def test_an_engine_of_crops_is_compared_on_crops(make_device: Callable[..., Any], fake_trt: Any, expected: Any) -> None:
    """Also its normalisation: the network's own is the reference."""
    device = make_device()
    runner = open_runner(device, fake_trt, SIDE_48)
    onnx = linear(expected, (1, 48, 48))
    check_outputs(runner, OrtRunner(onnx, normalisation=CROPS), "fp32", 32)
    with pytest.raises(ModelError, match="differ from ONNX Runtime's"):
        check_outputs(runner, OrtRunner(onnx, normalisation=Normalisation(100.0, 65.0)), "fp32", 32)
    runner.close()


@pytest.mark.parametrize("lost", [False, True])
def test_crops_in_flight_survive_the_gpu(device: Any, fake_trt: Any, profiles: Any, expected: Any, lost: bool) -> None:
    """What takes the GPU's place normalises in its graph too: the batches stay what they are."""
    onnx = linear(expected, (1, 4, 4))
    reasons: list[str] = []
    runner = FallbackRunner(
        open_runner(device, fake_trt, profiles), lambda: OrtRunner(onnx, normalisation=CROPS), reasons.append
    )
    sent = [crops(5), crops(7)]
    for batch in sent:
        runner.input(batch.shape)[:] = batch
        runner.submit(len(batch))
    device.lost = lost
    for batch in sent:
        np.testing.assert_allclose(runner.collect()["logits"], expected(CROPS.of(batch)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(runner.run(crops(3))["logits"], expected(CROPS.of(crops(3))), rtol=1e-4, atol=1e-5)
    assert (runner.input_dtype, runner.name, len(reasons)) == (np.uint8, "ort" if lost else "tensorrt", int(lost))
    runner.close()


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[bool]], ParallelClassifier]:
    """Classifiers side by side, each with a network that takes crops as they are or not."""

    def make(in_graph: list[bool]) -> ParallelClassifier:
        left = iter(in_graph)

        def open_model(model: Any, *arguments: Any, **options: Any) -> tuple[Any, Runner]:
            normalisation = model.manifest.input.normalisation if next(left) else None
            return model, OrtRunner(model.onnx, normalisation=normalisation)

        monkeypatch.setattr(classifiers, "open_model", open_model)
        return ParallelClassifier(["dscnn"] * len(in_graph))

    return make


@pytest.mark.parametrize(
    "in_graph", [[False], [True], [True, True], [True, False], [False, True], [False, True, False]], ids=str
)
def test_faces_are_gathered_as_the_networks_take_them(heads: Any, in_graph: list[bool]) -> None:
    """From a real ring: crops for one that normalises them itself, normalised rows for another."""
    networks = heads(in_graph)
    ring, keys = FaceRing.create(16, [(48, "grey")]), np.empty(8, FACE_KEY)
    frame = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    squares = np.array([[40, 40, 60, 0], [30, 40, 50, 0], [50, 30, 48, 0.2]], np.float32)
    assert ring.push(frame, squares, 0, 0, 0, 0, 0, 0)
    inputs = networks.inputs(8)
    own = load_model("dscnn").manifest.input.normalisation
    assert [each.rows.dtype for each in inputs] == [np.uint8 if inside else np.float32 for inside in in_graph]
    assert [(*each.mean, *each.std) for each in inputs] == [(0, 1) if inside else own for inside in in_graph]
    assert ring.gather([(0, each.rows, each.mean, each.std) for each in inputs], keys) == 3
    gathered = inputs[0].rows[:3].copy()
    networks.submit(3)
    found = networks.collect()
    assert networks.in_flight == 0
    plain = heads([False])
    rows = gathered if gathered.dtype == np.float32 else own.of(gathered)
    [given] = plain.inputs(3)
    given.rows[:] = rows
    plain.submit(3)
    np.testing.assert_array_equal(found, np.hstack([plain.collect()] * len(in_graph)))
