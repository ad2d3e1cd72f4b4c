"""The engine runner against a device that checks order, sizes and lifetimes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.errors import DeviceError, ModelError
from ferengine.inference.tensorrt.runner import EngineRunner

Rows = NDArray[np.float32]


def rows(count: int, seed: int = 0) -> Rows:
    return np.random.default_rng([count, seed]).normal(size=(count, 1, 4, 4)).astype(np.float32)


@pytest.fixture
def runner(device: Any, fake_trt: Any, profiles: Any) -> Any:
    made = EngineRunner(fake_trt(device, profiles).loaded, device, b"plan")
    yield made
    made.close()


def send(runner: EngineRunner, batch: Rows) -> None:
    runner.input(batch.shape)[:] = batch
    runner.submit(len(batch))


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 18, 33, 40, 41, 97])
def test_every_batch_size_gives_its_rows(runner: EngineRunner, expected: Any, count: int) -> None:
    np.testing.assert_allclose(runner.run(rows(count))["logits"], expected(rows(count)), rtol=1e-6)


def test_many_batches_of_changing_size(runner: EngineRunner, expected: Any) -> None:
    for seed, count in enumerate(np.random.default_rng(1).integers(1, 41, 60)):
        batch = rows(int(count), seed)
        np.testing.assert_allclose(runner.run(batch)["logits"], expected(batch), rtol=1e-6)


def test_results_of_run_are_the_callers(runner: EngineRunner, expected: Any) -> None:
    first = runner.run(rows(4))["logits"]
    for seed in range(5):
        runner.run(rows(4, seed + 1))
    np.testing.assert_allclose(first, expected(rows(4)), rtol=1e-6)


def test_a_batch_is_copied_run_copied_and_marked_in_this_order(runner: EngineRunner, device: Any) -> None:
    before = len(device.calls)
    send(runner, rows(3))
    assert device.calls[before:] == ["current", "upload", "execute", "download", "record"]
    runner.collect()
    assert device.calls[-2:] == ["current", "wait"]


def test_nothing_is_allocated_after_the_start(runner: EngineRunner, device: Any) -> None:
    before = device.live()
    for seed in range(6):
        for count in (1, 5, 16, 30):
            runner.run(rows(count, seed))
    after = device.live()
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) <= {"graphs"}


def test_two_batches_are_in_flight_on_streams_of_their_own(runner: EngineRunner, device: Any, expected: Any) -> None:
    first, second = rows(5, 1), rows(7, 2)
    send(runner, first)
    send(runner, second)
    assert runner.in_flight == 2
    assert sum(bool(work) for work in device.streams.values()) == 2
    with pytest.raises(RuntimeError, match="collect one first"):
        runner.submit(len(first))
    np.testing.assert_allclose(runner.collect()["logits"], expected(first), rtol=1e-6)
    third = rows(2, 3)
    send(runner, third)
    np.testing.assert_allclose(runner.collect()["logits"], expected(second), rtol=1e-6)
    np.testing.assert_allclose(runner.collect()["logits"], expected(third), rtol=1e-6)
    assert runner.in_flight == 0


def test_is_done_is_whether_collect_does_not_wait(runner: EngineRunner) -> None:
    assert not runner.is_done()
    send(runner, rows(3))
    polls = [runner.is_done() for _ in range(3)]
    assert polls == [False, False, True]
    runner.collect()


def test_run_does_not_swallow_a_batch_in_flight(runner: EngineRunner) -> None:
    send(runner, rows(3))
    with pytest.raises(RuntimeError, match="collect them first"):
        runner.run(rows(2))
    runner.collect()


def test_the_third_batch_of_a_size_is_a_graph(runner: EngineRunner, device: Any, expected: Any) -> None:
    for seed in range(12):
        for count in (8, 3, 24):  # 3 is padded to 4, 24 to 32
            batch = rows(count, seed)
            np.testing.assert_allclose(runner.run(batch)["logits"], expected(batch), rtol=1e-6)
    assert device.calls.count("end") == 6  # three sizes, two batches in flight
    assert device.calls.count("launch") == 3 * 12 - 6 * 2
    assert device.calls.count("context") == 2 * 2 + 6  # a graph is tied to its context: each has its own


@pytest.mark.parametrize("depth", [1, 2])
def test_after_the_warm_up_no_batch_makes_anything(
    device: Any, fake_trt: Any, profiles: Any, expected: Any, depth: int
) -> None:
    """Contexts, shapes and graphs of every fixed size are there before a worker says that it is ready."""
    runner = EngineRunner(fake_trt(device, profiles).loaded, device, b"plan", depth=depth)
    runner.warm_up((1, 4, 4), 40)
    before = len(device.calls)
    for count in (1, 2, 3, 7, 16, 17, 31, 40, 5, 40):
        np.testing.assert_allclose(runner.run(rows(count))["logits"], expected(rows(count)), rtol=1e-6)
    assert set(device.calls[before:]) == {"current", "launch", "record", "wait"}
    runner.close()


@pytest.mark.parametrize(
    ("shapes", "strategy"), [(None, "eager"), ([((1, 3, 12, 12), (8, 3, 20, 20), (16, 3, 90, 90))], "none")]
)
def test_kernels_are_specialised_for_fixed_sizes_alone(
    device: Any, fake_trt: Any, profiles: Any, shapes: Any, strategy: str
) -> None:
    """P-Net's shapes never end: tensorrt-rtx would compile for each."""
    runner = EngineRunner(fake_trt(device, shapes or profiles, name="tensorrt-rtx").loaded, device, b"plan")
    assert runner._engine is not None
    assert runner._engine._config.dynamic_shapes_kernel_specialization_strategy == strategy
    assert runner._engine._config.cuda_graph_strategy == "whole"
    runner.close()


def test_a_size_that_cannot_be_captured_goes_on_without(
    device: Any, fake_trt: Any, profiles: Any, expected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fake = fake_trt(device, profiles)
    fake.uncapturable = True
    runner = EngineRunner(fake.loaded, device, b"plan")
    with caplog.at_level(logging.WARNING):
        for seed in range(12):
            batch = rows(8, seed)
            np.testing.assert_allclose(runner.run(batch)["logits"], expected(batch), rtol=1e-6)
    assert [record.message.partition(":")[0] for record in caplog.records] == ["no CUDA graph for batches of 8"] * 2
    assert "launch" not in device.calls
    runner.close()


def test_without_graphs_everything_runs_directly(make_device: Any, fake_trt: Any, profiles: Any, expected: Any) -> None:
    device = make_device(with_graphs=False)
    runner = EngineRunner(fake_trt(device, profiles).loaded, device, b"plan")
    for seed in range(8):
        np.testing.assert_allclose(runner.run(rows(8, seed))["logits"], expected(rows(8, seed)), rtol=1e-6)
    assert "begin" not in device.calls
    runner.close()


def test_close_waits_for_what_is_in_flight(runner: EngineRunner, device: Any) -> None:
    for seed in range(8):
        runner.run(rows(8, seed))  # graphs, too, are given back
    send(runner, rows(4))
    send(runner, rows(8))
    runner.close()
    assert device.closed
    assert device.live() == {}
    runner.close()


def test_too_little_memory_at_any_point_leaks_nothing(make_device: Any, fake_trt: Any, profiles: Any) -> None:
    whole = make_device()
    runner = EngineRunner(fake_trt(whole, profiles).loaded, whole, b"plan")
    steps = len(whole.calls)
    runner.close()
    assert steps > 15
    for at in range(steps):
        device = make_device()
        device.fail_at = at
        with pytest.raises(DeviceError, match="out of memory"):
            EngineRunner(fake_trt(device, profiles).loaded, device, b"plan")
        assert device.closed
        assert device.live() == {}


def test_a_lost_device_is_an_error_and_can_be_closed(make_device: Any, fake_trt: Any, profiles: Any) -> None:
    device = make_device()
    runner = EngineRunner(fake_trt(device, profiles).loaded, device, b"plan")
    send(runner, rows(4))
    device.lost = True
    with pytest.raises(DeviceError, match="lost"):
        runner.collect()
    with pytest.raises(DeviceError, match="lost"):
        runner.run(rows(2))
    runner.close()
    assert device.closed


def test_another_thread_may_close(runner: EngineRunner, device: Any) -> None:
    runner.run(rows(4))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(runner.close).result()
    assert device.closed
    assert device.live() == {}


def test_kernels_that_cannot_be_had_are_not_kept(
    device: Any, fake_trt: Any, profiles: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.kernels"
    runner = EngineRunner(fake_trt(device, profiles, name="tensorrt-rtx").loaded, device, b"plan", path)
    assert runner._engine is not None
    monkeypatch.setattr(type(runner._engine._cache), "lost", True)
    runner.keep_kernels()
    assert not path.exists()
    runner.close()


def test_a_wait_may_let_the_processor_sleep(make_device: Any, fake_trt: Any, profiles: Any) -> None:
    for blocking in (False, True):
        device = make_device()
        EngineRunner(fake_trt(device, profiles).loaded, device, b"plan", depth=1, blocking=blocking).close()
        assert device.blocking == [blocking]


def test_ever_new_shapes_do_not_gather(device: Any, fake_trt: Any) -> None:
    """As a detector's pyramid levels are, of frames of ever new sizes."""
    shapes = [((1, 3, 12, 12), (8, 3, 20, 20), (16, 3, 200, 200))]
    runner = EngineRunner(fake_trt(device, shapes).loaded, device, b"plan", depth=1)
    for side in range(12, 112):
        for _ in range(3):
            runner.run(np.zeros((1, 3, side, 12), np.float32))
    assert device.calls.count("context") == 1 + 16
    assert len(device.executables) == 16
    assert len(runner._executions[0]._seen) <= 64
    runner.close()


def test_shapes_outside_all_profiles_are_refused(runner: EngineRunner) -> None:
    with pytest.raises(ModelError, match=r"no profile for an input of shape \(1, 1, 5, 4\)"):
        runner.input((1, 1, 5, 4))
    with pytest.raises(ModelError, match="no profile"):
        runner.run(np.zeros((2, 1, 5, 4), np.float32))
    with pytest.raises(ModelError, match="batches of 40 at most, not 41"):
        runner.input((41, 1, 4, 4))


def test_refused_engine_gives_the_reason(make_device: Any, fake_trt: Any, profiles: Any) -> None:
    device = make_device()
    fake = fake_trt(device, profiles)
    fake.refuses = True
    with pytest.raises(ModelError, match=r"cannot load the engine:\n.*another version"):
        EngineRunner(fake.loaded, device, b"plan")
    assert device.closed


@pytest.mark.parametrize("dtypes", [("half", "float"), ("float", "half"), ("float", "uint8"), ("uint8", "half")])
def test_other_tensors_are_refused(make_device: Any, fake_trt: Any, profiles: Any, dtypes: Any) -> None:
    device = make_device()
    with pytest.raises(ModelError, match="of float32 or uint8, and float32 outputs"):
        EngineRunner(fake_trt(device, profiles, dtypes=dtypes).loaded, device, b"plan")
    assert device.closed


def run_rtx(make_device: Callable[..., Any], fake_trt: Any, profiles: Any, kernels: Path) -> Any:
    device = make_device()
    runner = EngineRunner(fake_trt(device, profiles, name="tensorrt-rtx").loaded, device, b"plan", kernels)
    for seed in range(6):
        runner.run(rows(8, seed))
    runner.close()
    return device


def test_compiled_kernels_are_kept(make_device: Any, fake_trt: Any, profiles: Any, tmp_path: Path) -> None:
    path = tmp_path / "tiny.kernels"
    for length in (1, 2):  # the fake adds a byte to what it was given
        device = run_rtx(make_device, fake_trt, profiles, path)
        assert path.read_bytes()[64:] == b"k" * length
        assert "begin" not in device.calls  # this runtime captures graphs by itself
        assert "allocate" in device.calls
    path.write_bytes(path.read_bytes() + b"damage")
    run_rtx(make_device, fake_trt, profiles, path)
    assert path.read_bytes()[64:] == b"k"


def test_kernels_that_others_may_write_are_compiled_again(
    make_device: Any, fake_trt: Any, profiles: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tiny.kernels"
    run_rtx(make_device, fake_trt, profiles, path)
    path.chmod(0o666)
    run_rtx(make_device, fake_trt, profiles, path)
    assert path.read_bytes()[64:] == b"k"  # a byte more had it been read
    [record] = caplog.records
    assert "may be written by other users" in record.message
