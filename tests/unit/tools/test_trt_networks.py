"""Which faces ``ferengine build-trt`` calibrates a network on: those of its own task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ferengine.errors import UsageError
from ferengine.inference.conversion import is_quantised
from ferengine.inference.tensorrt import builder
from ferengine.inference.tensorrt.builder import in_precision
from ferengine.inference.tensorrt.networks import Network
from ferengine_tools.data import utkface
from ferengine_tools.data.utkface import UtkFace
from ferengine_tools.trt_networks import calibration_batch, choose_networks


@pytest.fixture
def expression(bar_models: Any, tmp_path: Path) -> Network:
    [network] = choose_networks(str(bar_models.write(tmp_path)), "int8")
    return network


@pytest.fixture
def gender(bar_models: Any, tmp_path: Path) -> Network:
    [network] = choose_networks(str(bar_models.write(tmp_path, name="mine", labels=("male", "female"), task="gender")), "int8")
    return network


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like UTKFace; every third of its 1,500 faces, which are cropped at once, is one to train on, with an
    intensity of its own."""
    folder = tmp_path / "utkface"
    folder.mkdir()
    (folder / "25_1_0_20170112213500903.png").write_bytes(b"cut below")
    count = 1500
    images = np.full((count, 48, 48), 255, np.uint8)
    images[::3] = np.arange(0, 500, dtype=np.int64)[:, None, None] // 2
    zeros, split = np.zeros(count, np.int64), np.arange(count) % 3
    faces = UtkFace(images, zeros, zeros, zeros, split, np.array([""] * count), split == 0, split == 1, ())

    def load(path: Path, cache: Path | None) -> UtkFace:
        assert path == folder
        return faces

    monkeypatch.setattr(utkface, "load_utkface", load)
    return folder


def in_int8(network: Network, data: Path | None) -> tuple[bytes, str]:
    """As ``build-trt --precision int8 --calibration DATA`` converts it."""
    return in_precision(network, "int8", calibration_batch(network, "int8", data))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The batches that were calibrated on."""
    batches: list[Any] = []
    quantise = builder.to_int8
    monkeypatch.setattr(builder, "to_int8", lambda onnx, batch: batches.append(batch) or quantise(onnx, batch[:32]))
    return batches


def test_a_gender_network_is_calibrated_on_utkfaces_training_faces(gender: Network, people: Path, seen: list[Any]) -> None:
    onnx, precision = in_int8(gender, people)
    assert precision == "int8"
    assert is_quantised(onnx)
    [batch] = seen
    assert (batch.dtype, batch.shape) == (np.float32, (500, 1, 48, 48))
    levels = batch[:, 0, 0, 0] * 50 + 100
    np.testing.assert_allclose(levels, np.arange(500) // 2, atol=1e-3)


def test_an_expression_network_is_calibrated_on_fer2013s_training_faces(
    expression: Network, bars: Path, seen: list[Any]
) -> None:
    onnx, _ = in_int8(expression, bars)
    assert is_quantised(onnx)
    assert [batch.shape for batch in seen] == [(56, 1, 48, 48)]


def test_faces_of_the_other_task_are_refused(expression: Network, gender: Network, people: Path, bars: Path) -> None:
    with pytest.raises(UsageError, match=r"mine reads gender and is calibrated on UTKFace .*fer2013.csv does not look like it"):
        in_int8(gender, bars)
    with pytest.raises(UsageError, match=r"bars reads expression and is calibrated on FER-2013 .*utkface looks like UTKFace"):
        in_int8(expression, people)


def test_what_is_missing_is_named(expression: Network, gender: Network) -> None:
    with pytest.raises(UsageError, match=r"bars has no int8 file: .*--calibration FER2013"):
        in_int8(expression, None)
    with pytest.raises(UsageError, match=r"mine has no int8 file: .*--calibration UTKFACE"):
        in_int8(gender, None)
    with pytest.raises(UsageError, match="neither an int8 file nor a manifest"):
        in_int8(Network("bare", gender.onnx, "bare.onnx"), None)


def test_a_set_without_training_faces_is_refused(gender: Network, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = np.zeros((1, 48, 48), np.uint8)
    column = np.ones(1, np.int64)
    empty = UtkFace(one, column, column, column, column, np.array(["a"]), column > 0, column > 1, ())
    monkeypatch.setattr(utkface, "load_utkface", lambda path, cache: empty)
    with pytest.raises(UsageError, match="no training faces"):
        in_int8(gender, people)
