"""Which package speaks to CUDA, and how pycuda's contexts come and go, on a pycuda that keeps their stacks."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ferengine.errors import DeviceError, ModelError
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.inference.tensorrt import open_device as layers
from ferengine.inference.tensorrt.device import bindings_installed
from ferengine.inference.tensorrt.environment import this_machine


class Stacks:
    """pycuda.driver as far as contexts go: a stack for each thread, and how often the primary context was retained."""

    def __init__(self) -> None:
        self.of: defaultdict[int, list[Any]] = defaultdict(list)
        self.retained = 0

    def module(self) -> Any:
        context = SimpleNamespace(push=lambda: self.of[threading.get_ident()].append(context), pop=self.pop)

        def retain() -> Any:
            self.retained += 1
            return context

        flags = SimpleNamespace(DISABLE_TIMING=2, BLOCKING_SYNC=1)
        device = SimpleNamespace(retain_primary_context=retain)
        driver: Any = ModuleType("pycuda.driver")
        driver.Error, driver.init, driver.Device, driver.event_flags = RuntimeError, lambda: None, lambda number: device, flags
        return driver

    def pop(self) -> None:
        self.of[threading.get_ident()].pop()


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stacks]:
    made = Stacks()
    package: Any = ModuleType("pycuda")
    package.driver = made.module()
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", package.driver)
    monkeypatch.delitem(sys.modules, "ferengine.inference.tensorrt.pycuda_device", raising=False)
    yield made
    sys.modules.pop("ferengine.inference.tensorrt.pycuda_device", None)


def test_each_thread_takes_the_context_off_its_stack(stacks: Stacks) -> None:
    layer = importlib.import_module("ferengine.inference.tensorrt.pycuda_device")
    depths: list[int] = []

    def work() -> None:
        devices = [layer.PycudaDevice() for _ in range(3)]
        for device in devices:
            device.activate()
        depths.append(len(stacks.of[threading.get_ident()]))
        for device in devices:
            device.close()

    work()
    for thread in [threading.Thread(target=work) for _ in range(3)]:
        thread.start()
        thread.join()
    assert depths == [1, 1, 1, 1]
    assert stacks.retained == 1
    layer._leave()  # at the end of the process
    assert not any(stacks.of.values())


def test_a_pycuda_that_does_not_load_is_passed_over(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    find, load = layers.importlib.util.find_spec, importlib.import_module

    def broken(name: str) -> Any:
        if name == "pycuda.driver":
            raise ImportError("libcurand.so.10: cannot open shared object file")
        return load(name)

    found = SimpleNamespace(name="pycuda")
    monkeypatch.setattr(layers.importlib.util, "find_spec", lambda name: found if name == "pycuda" else find(name))
    monkeypatch.setattr(layers.importlib, "import_module", broken)
    monkeypatch.setattr(layers, "bindings_installed", lambda: True)
    layers._pycuda_loads.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert [layers.device_layer(), layers.device_layer()] == ["cuda-bindings"] * 2
    assert ["libcurand.so.10" in record.message for record in caplog.records] == [True]
    layers._pycuda_loads.cache_clear()


def test_without_a_driver_the_bindings_say_so() -> None:
    if not bindings_installed():
        pytest.skip("cuda-bindings is not installed")
    if this_machine().cuda is not None:
        pytest.skip("this machine has an NVIDIA driver")
    from ferengine.inference.tensorrt.bindings_device import BindingsDevice

    with pytest.raises(DeviceError, match=r"opening the GPU: .*driver"):
        BindingsDevice()


def test_onnxruntime_computes_float32_without_tf32_and_finds_its_libraries(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def session(model: bytes, options: Any, providers: Any) -> Any:
        asked.append(providers)
        raise ValueError("no such network")

    def preload() -> None:
        asked.append("preloaded")
        print("libcudnn.so.9 is not found")

    monkeypatch.setattr("onnxruntime.InferenceSession", session)
    monkeypatch.setattr("onnxruntime.preload_dlls", preload)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(ModelError, match="no such network"):
        OrtRunner(b"", provider="ort-cuda")
    assert asked == ["preloaded", [("CUDAExecutionProvider", {"use_tf32": "0"})]]
    assert capsys.readouterr().out == ""
