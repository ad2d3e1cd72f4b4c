"""A network that normalises crops by itself computes what it did of normalised ones, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ferengine._native import FACE_KEY, FaceRing
from ferengine.classification.classifier import Classifier
from ferengine.errors import ModelError
from ferengine.inference.conversion import to_fp16, with_normalisation
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.models.manifest import Normalisation
from ferengine.models.registry import list_models, load_model
from ferengine.models.self_test import self_test_crops
from onnx_help import linear

ROW = (1, 4, 4)
SHIPPED = [manifest.name for manifest in list_models()]


def sums(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows.reshape(len(rows), -1) @ np.linspace(-1, 1, 32, dtype=np.float32).reshape(16, 2)


def crops(side: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(0).integers(0, 256, (24, side, side), np.uint8)
    return np.concatenate([self_test_crops(side), random])[:, None]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_model_gives_the_same_logits(name: str) -> None:
    """int8 variants among them."""
    model = load_model(name)
    normalisation, faces = model.manifest.input.normalisation, crops(model.manifest.input.size)
    inside = OrtRunner(model.onnx, normalisation=normalisation)
    assert inside.input_dtype == np.uint8
    [(output, expected)] = OrtRunner(model.onnx).run(normalisation.of(faces)).items()
    np.testing.assert_array_equal(inside.run(faces)[output], expected)


def test_in_fp16_the_normalisation_stays_in_float32() -> None:
    model = load_model("dscnn")
    normalisation, half, faces = model.manifest.input.normalisation, to_fp16(model.onnx), crops(48)
    expected = OrtRunner(half).run(normalisation.of(faces))["logits"]
    np.testing.assert_array_equal(OrtRunner(half, normalisation=normalisation).run(faces)["logits"], expected)


@settings(deadline=None)
@given(st.floats(-300, 300, width=32), st.floats(0.015625, 500, width=32), st.integers(0, 2**32 - 1))
def test_it_is_what_the_gathering_of_faces_does(mean: float, std: float, seed: int) -> None:
    normalisation = Normalisation(mean, std)
    frame = np.random.default_rng(seed).integers(0, 256, (40, 40), np.uint8)
    keys, faces, gathered = np.empty(1, FACE_KEY), np.empty((1, 16, 16), np.uint8), np.empty((1, 16, 16), np.float32)
    ring = FaceRing.create(4, [(16, "grey")])
    for _ in range(2):
        assert ring.push(frame, np.array([[20, 20, 21, 0.3]], np.float32), 0, 0, 0, 0, 0, 0)
    assert ring.gather([(0, faces, (0.0,), (1.0,))], keys) == 1
    assert ring.gather([(0, gathered, (mean,), (std,))], keys) == 1
    np.testing.assert_array_equal(normalisation.of(faces), gathered)


@settings(deadline=None, max_examples=20)
@given(st.floats(-300, 300, width=32), st.floats(0.015625, 500, width=32))
def test_any_mean_and_deviation(mean: float, std: float) -> None:
    normalisation, faces = Normalisation(mean, std), np.arange(256, dtype=np.uint8).reshape(16, 1, 4, 4)
    found = OrtRunner(linear(sums, ROW), normalisation=normalisation).run(faces)["logits"]
    np.testing.assert_array_equal(found, OrtRunner(linear(sums, ROW)).run(normalisation.of(faces))["logits"])


def test_still_images_are_normalised_as_the_engine_does() -> None:
    classifier, faces = Classifier("dscnn"), crops(48)
    expected = OrtRunner(load_model("dscnn").onnx).run(classifier.normalisation.of(faces))["logits"]
    np.testing.assert_allclose(classifier.logits(faces[:, 0]), expected, atol=1e-4)


def test_names_and_shapes_stay() -> None:
    model = load_model("dscnn").onnx
    inside = onnx.load_from_string(with_normalisation(model, Normalisation(1, 2)))
    onnx.checker.check_model(inside, full_check=True)
    before, after = onnx.load_from_string(model).graph, inside.graph
    assert [info.name for info in after.input] == [f"{before.input[0].name}_crops"]
    assert after.input[0].type.tensor_type.shape == before.input[0].type.tensor_type.shape
    assert list(after.output) == list(before.output)


def test_an_old_file_whose_weights_are_inputs_too() -> None:
    proto = onnx.load_from_string(linear(sums, ROW))
    proto.ir_version = 3
    proto.graph.input.insert(0, helper.make_tensor_value_info("w", TensorProto.FLOAT, [16, 2]))
    faces, normalisation = np.arange(32, dtype=np.uint8).reshape(2, *ROW), Normalisation(100, 50)
    found = OrtRunner(proto.SerializeToString(), normalisation=normalisation).run(faces)["logits"]
    np.testing.assert_allclose(found, sums(normalisation.of(faces)), rtol=1e-5, atol=1e-5)


def with_second_input() -> bytes:
    proto = onnx.load_from_string(linear(sums, ROW))
    proto.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1]))
    return bytes(proto.SerializeToString())


def with_taken_name() -> bytes:
    proto = onnx.load_from_string(linear(sums, ROW))
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "input_mean"))
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (b"odd", "not an ONNX file"),
        (linear(sums, ROW, TensorProto.UINT8), "one input, which is float32"),
        (with_second_input(), "one input, which is float32"),
        (with_taken_name(), "called input_mean already"),
    ],
    ids=["no network", "uint8 already", "two inputs", "a name that is taken"],
)
def test_what_cannot_be_normalised_for_is_refused(model: bytes, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        OrtRunner(model, normalisation=Normalisation(1, 2))


def test_a_network_of_uint8_is_not_taken_for_one_of_normalised_crops() -> None:
    with pytest.raises(ModelError, match="must be float32"):
        OrtRunner(linear(sums, ROW, TensorProto.UINT8))


@pytest.mark.parametrize(("normalisation", "given"), [(None, np.uint8), (Normalisation(1, 2), np.float32)])
def test_rows_of_another_type_are_refused(normalisation: Normalisation | None, given: Any) -> None:
    runner = OrtRunner(linear(sums, ROW), normalisation=normalisation)
    with pytest.raises(ModelError, match=rf"does not run on {np.dtype(given)} \(2, 1, 4, 4\): its input is"):
        runner.run(np.zeros((2, *ROW), given))


def test_cuda_gets_crops_in_fixed_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sessions are pretended to be the CPU's, which compute."""
    from ferengine.inference import onnxruntime as providers

    monkeypatch.setitem(providers._PROVIDERS, "ort-cuda", "CPUExecutionProvider")
    compute, seen = OrtRunner._compute, list[tuple[Any, int]]()

    def noting(self: OrtRunner, rows: Any) -> Any:
        seen.append((rows.dtype, rows.nbytes))
        return compute(self, rows)

    monkeypatch.setattr(OrtRunner, "_compute", noting)
    normalisation, faces = Normalisation(100, 50), crops(8)[:5, :, :4, :4]
    runner = OrtRunner(linear(sums, ROW), provider="ort-cuda", max_batch=16, normalisation=normalisation)
    expected = sums(normalisation.of(faces))
    np.testing.assert_allclose(runner.run(faces)["logits"], expected, rtol=1e-5, atol=1e-5)
    runner.input(faces.shape)[:] = faces
    runner.submit(5)
    np.testing.assert_allclose(runner.collect()["logits"], expected, rtol=1e-5, atol=1e-5)
    assert seen == [(np.uint8, 8 * 16)] * 2
