"""The classify stage: when a batch closes, and what it holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferengine._native import FaceRing, WorkerPage
from ferengine.classification.classifier import Classifier
from ferengine.classification.light import FULL_CONTRAST, contrast_of
from ferengine.errors import UsageError
from ferengine.inference.select import BackendSettings
from ferengine.ipc.channel import data_pair, receive_data
from ferengine.models.registry import load_model
from ferengine.models.settings import Prior
from ferengine.stages.classify import BatchPolicy, ClassifyStage
from ferengine.stages.messages import BackendChosen, FromWorker
from ferengine.stages.records import ScoreBatch, decode_event
from ferengine.stages.start_messages import Descriptor, StartClassify
from ferengine.tracking.cropper import FaceCropper
from stages_help import context


@given(st.floats(0, 100), st.booleans(), st.integers(1, 64), st.floats(0, 10))
def test_nothing_waits_nothing_closes(age: float, idle: bool, maximum: int, deadline: float) -> None:
    assert not BatchPolicy(maximum, deadline).closes(0, age, device_idle=idle)


@pytest.mark.parametrize(
    ("waiting", "age", "idle", "closes"),
    [
        (1, 0.0, True, True),  # idle: no reason to wait
        (1, 0.0, False, False),
        (7, 0.009, False, False),
        (8, 0.0, False, True),  # full
        (9, 0.0, False, True),
        (1, 0.01, False, True),  # the oldest has waited long enough
        (1, 0.5, False, True),
    ],
)
def test_a_batch_closes(waiting: int, age: float, idle: bool, closes: bool) -> None:
    assert BatchPolicy(8, 0.01).closes(waiting, age, device_idle=idle) is closes


@pytest.mark.parametrize(("maximum", "deadline"), [(0, 0.01), (-1, 0.01), (1, -0.001)])
def test_wrong_limits_are_refused(maximum: int, deadline: float) -> None:
    with pytest.raises(UsageError, match="at least 1 face"):
        BatchPolicy(maximum, deadline)


def test_without_a_deadline_limit_only_a_full_batch_or_an_idle_device_closes() -> None:
    policy = BatchPolicy(2, math.inf)
    assert not policy.closes(1, 1e9, device_idle=False)
    assert policy.closes(2, 0.0, device_idle=False)


def test_one_batch_takes_the_faces_of_all_rings() -> None:
    rings = [FaceRing.create(8, [(48, "grey")]) for _ in range(2)]
    page = WorkerPage.create()
    sent, received = data_pair()
    frame = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    squares = np.array([[50, 50, 60, 0], [40, 40, 50, 0]], np.float32)
    dark = (frame >> 4).astype(np.uint8)
    assert rings[0].push(dark, squares, 0, 1, 7, 1, 2, 0)
    assert rings[1].push(frame, squares[:1], 1, 1, 9, 1, 2, 0)
    assert rings[1].push(frame, squares[1:], 2, 1, 5, 1, 2, 0)
    labels = load_model("dscnn").manifest.labels
    prior = Prior("one of seven", labels, (0.994, *[0.001] * 6))
    start = StartClassify(
        page=Descriptor(page.fd),
        events=Descriptor(sent.fileno()),
        faces=tuple(Descriptor(ring.fd) for ring in rings),
        track_pages=(Descriptor(page.fd), Descriptor(page.fd)),
        models=("dscnn",),
        prior=prior,
        threads=1,
        max_batch=8,
        batch_deadline=0.01,
        backend=BackendSettings(),
    )
    reports: list[FromWorker] = []
    stage = ClassifyStage(start, context(page, reports))
    stage.open()
    [chosen] = reports
    assert isinstance(chosen, BackendChosen)
    assert chosen.networks == "the model dscnn in 32-bit floats on the CPU with ONNX Runtime"
    assert chosen.reason
    assert stage.step()
    message = receive_data(received)
    assert message is not None
    batch = decode_event(message)
    assert isinstance(batch, ScoreBatch)
    assert (batch.scores.argmax(axis=1) == 0).all()  # under that prior
    crops = np.concatenate([FaceCropper(48).crop(image, squares) for image in (dark, frame)])
    np.testing.assert_allclose(batch.scores, Classifier("dscnn", prior=prior).scores(crops), atol=1e-5)
    np.testing.assert_allclose(batch.measures[:, 2], contrast_of(crops), atol=0.01)  # of the crops as they came
    assert (batch.measures[:, 2] < FULL_CONTRAST).tolist() == [True, True, False, False]
    assert sorted(zip(batch.keys["camera"].tolist(), batch.keys["sequence"].tolist(), strict=True)) == [
        (0, 7), (0, 7), (1, 9), (2, 5),
    ]  # fmt: skip
    assert receive_data(received) is None
    stage.close()
    for end in (sent, received):
        end.close()
