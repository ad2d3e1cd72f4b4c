"""What ``ferengine.inference.base.Runner`` promises, of every runner: ONNX Runtime, a fake TensorRT, and the fall-back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.errors import ModelError
from ferengine.inference.base import Runner
from ferengine.inference.fallback import FallbackRunner
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.inference.tensorrt.runner import EngineRunner
from onnx_help import linear

Rows = NDArray[np.float32]
ROW = (1, 4, 4)


def rows(count: int, seed: int = 0) -> Rows:
    return np.random.default_rng([count, seed]).normal(size=(count, *ROW)).astype(np.float32)


@pytest.fixture(params=["onnxruntime", "tensorrt", "fallback", "fallback, GPU lost"])
def runner(request: pytest.FixtureRequest, expected: Any) -> Iterator[Runner]:
    def on_cpu() -> OrtRunner:
        return OrtRunner(linear(expected, ROW), max_batch=40)

    made: Runner
    if request.param == "onnxruntime":
        made = on_cpu()
    else:
        device, fake_trt, profiles = map(request.getfixturevalue, ("device", "fake_trt", "profiles"))
        made = EngineRunner(fake_trt(device, profiles).loaded, device, b"plan")
        if request.param != "tensorrt":
            made = FallbackRunner(made, on_cpu, lambda reason: None)
        device.lost = request.param.endswith("lost")
    yield made
    made.close()


def submit(runner: Runner, batch: Rows) -> None:
    runner.input(batch.shape)[:] = batch
    runner.submit(len(batch))


@pytest.mark.parametrize("count", [1, 5, 40, 97])
def test_run_takes_batches_of_any_size(runner: Runner, expected: Any, count: int) -> None:
    outputs = runner.run(rows(count))
    assert tuple(outputs) == runner.output_names == ("logits",)
    assert outputs["logits"].dtype == np.float32
    np.testing.assert_allclose(outputs["logits"], expected(rows(count)), rtol=1e-4, atol=1e-5)


def test_outputs_of_run_are_the_callers(runner: Runner, expected: Any) -> None:
    first = runner.run(rows(3))["logits"]
    for seed in range(1, 5):
        runner.run(rows(3, seed))
    np.testing.assert_allclose(first, expected(rows(3)), rtol=1e-4, atol=1e-5)


def test_batches_come_back_in_order(runner: Runner, expected: Any) -> None:
    sent: list[Rows] = []
    for seed in range(12):
        while runner.in_flight >= runner.depth:
            np.testing.assert_allclose(runner.collect()["logits"], expected(sent.pop(0)), rtol=1e-4, atol=1e-5)
        batch = rows(1 + seed, seed)
        submit(runner, batch)
        sent.append(batch)
        assert runner.in_flight == len(sent)
    while sent:
        np.testing.assert_allclose(runner.collect()["logits"], expected(sent.pop(0)), rtol=1e-4, atol=1e-5)
    assert runner.in_flight == 0


def test_fewer_rows_than_were_asked_for_may_be_submitted(runner: Runner, expected: Any) -> None:
    batch = rows(3)
    memory = runner.input((16, *ROW))
    assert (memory.dtype, memory.shape) == (np.float32, (16, *ROW))
    memory[:3] = batch
    runner.submit(3)
    np.testing.assert_allclose(runner.collect()["logits"], expected(batch), rtol=1e-4, atol=1e-5)


def test_is_done_becomes_true_while_a_batch_is_in_flight(runner: Runner) -> None:
    assert not runner.is_done()
    submit(runner, rows(2))
    assert any(runner.is_done() for _ in range(10))
    runner.collect()
    assert not runner.is_done()


def test_the_capacity_is_what_input_takes(runner: Runner) -> None:
    assert runner.capacity(ROW) == 40
    assert runner.input((40, *ROW)).shape == (40, *ROW)
    with pytest.raises(ModelError, match="batches of 40 at most, not 41"):
        runner.input((41, *ROW))


def test_calls_out_of_order_are_defects_of_the_caller(runner: Runner) -> None:
    with pytest.raises(RuntimeError, match="no batch is in flight"):
        runner.collect()
    with pytest.raises(RuntimeError, match="submit before input"):
        runner.submit(1)
    submit(runner, rows(2))
    with pytest.raises(RuntimeError, match="in flight"):
        runner.run(rows(2))
    while runner.in_flight < runner.depth:
        submit(runner, rows(2))
    with pytest.raises(RuntimeError, match="in flight"):
        runner.submit(2)


def test_closing_again_is_nothing(runner: Runner) -> None:
    submit(runner, rows(2))
    runner.close()
    runner.close()
