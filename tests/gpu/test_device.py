"""Both ways to speak to CUDA do the same."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ferengine.errors import DeviceError
from ferengine.inference.tensorrt.device import Device, bindings_installed

pytestmark = pytest.mark.gpu


@pytest.fixture(params=["pycuda", "cuda-bindings"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    made: Device
    if request.param == "pycuda":
        if importlib.util.find_spec("pycuda") is None:
            pytest.skip("pycuda is not installed")
        from ferengine.inference.tensorrt.pycuda_device import PycudaDevice

        made = PycudaDevice()
    else:
        if not bindings_installed():
            pytest.skip("cuda-bindings is not installed")
        from ferengine.inference.tensorrt.bindings_device import BindingsDevice

        made = BindingsDevice()
    with made.current():
        yield made
    made.close()


def test_what_goes_in_comes_out(device: Device) -> None:
    nbytes = 1 << 20
    source, target, address = device.pin(nbytes), device.pin(nbytes), device.allocate(nbytes)
    stream, event = device.create_stream(), device.create_event()
    source.raw[:] = np.random.default_rng(0).integers(0, 256, nbytes, np.uint8)
    target.raw[:] = 0
    device.upload(address, source, nbytes, stream)
    device.download(target, address, nbytes // 2, stream)
    device.record(event, stream)
    device.wait(event)
    assert device.is_done(event)
    np.testing.assert_array_equal(target.raw[: nbytes // 2], source.raw[: nbytes // 2])
    assert not target.raw[nbytes // 2 :].any()
    device.destroy_event(event)
    device.destroy_stream(stream)
    device.free(address)
    device.unpin(source)
    device.unpin(target)


def test_a_graph_repeats_its_copies(device: Device) -> None:
    if device.graphs is None:
        pytest.skip("graphs need cuda-bindings")
    source, target, address, stream = device.pin(64), device.pin(64), device.allocate(64), device.create_stream()
    device.graphs.begin(stream)
    device.upload(address, source, 64, stream)
    device.download(target, address, 64, stream)
    graph = device.graphs.end(stream)
    for value in (3, 9):
        source.raw[:] = value
        device.graphs.launch(graph, stream)
        device.synchronize(stream)
        assert (target.raw == value).all()
    device.graphs.destroy(graph)
    device.destroy_stream(stream)
    device.free(address)
    device.unpin(source)
    device.unpin(target)


def test_a_device_serves_another_thread_after_others_were_closed(device: Device) -> None:
    type(device)().close()

    def use() -> None:
        with device.current():
            event = device.create_event(blocking=True)
            device.free(device.allocate(1000))
            device.destroy_event(event)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(use).result()
    device.free(device.allocate(1000))


def test_too_much_memory_is_a_clear_error(device: Device) -> None:
    with pytest.raises(DeviceError, match="out of memory"):
        device.allocate(1 << 50)
