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
from ferengine.inference.tensorrt.device import bindings_installed, device_error
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


def test_each_thread_has_the_context_for_a_block_and_its_own_afterwards(stacks: Stacks) -> None:
    layer = importlib.import_module("ferengine.inference.tensorrt.pycuda_device")
    seen: list[Any] = []

    def work() -> None:
        stack = stacks.of[threading.get_ident()]
        stack[:] = ["the caller's own"]  # a thread may get the number of one that has ended
        devices = [layer.PycudaDevice() for _ in range(3)]
        seen.append(list(stack))
        with devices[0].current(), devices[1].current():
            seen.append(len(stack))
        with pytest.raises(ValueError, match="inside"), devices[2].current():
            raise ValueError("inside")
        seen.append(list(stack))
        for device in devices:
            device.close()

    work()
    for thread in [threading.Thread(target=work) for _ in range(3)]:
        thread.start()
        thread.join()
    assert seen == [["the caller's own"], 3, ["the caller's own"]] * 4
    assert stacks.retained == 1


def test_pycudas_words_are_found_as_the_drivers_codes(stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = importlib.import_module("ferengine.inference.tensorrt.pycuda_device")
    words = {
        "an illegal memory access was encountered": "CUDA_ERROR_ILLEGAL_ADDRESS",
        "out of memory": "CUDA_ERROR_OUT_OF_MEMORY",
    }
    monkeypatch.setattr(layer, "_names", lambda: words)
    for message, name, lost in (
        ("cuEventSynchronize failed: an illegal memory access was encountered", "CUDA_ERROR_ILLEGAL_ADDRESS", True),
        ("cuMemAlloc failed: out of memory - 5 bytes", "CUDA_ERROR_OUT_OF_MEMORY", False),
        ("something else", "an unknown code", False),
    ):
        with pytest.raises(DeviceError, match=name) as caught, layer._explained("waiting"):
            raise RuntimeError(message)
        assert caught.value.lost is lost


@pytest.mark.parametrize(
    ("name", "text", "hint", "lost"),
    [
        ("CUDA_ERROR_OUT_OF_MEMORY", "out of memory", "--max-batch", False),
        ("CUDA_ERROR_DEINITIALIZED", "driver shutting down", "shutting down", True),
        ("CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid", "compiled for another GPU", False),
        ("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "driver mismatch", "restart the machine", False),
        ("CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered", "failed for this process", True),
        ("CUDA_ERROR_NOT_SUPPORTED", "a driver feature that is not supported", "", False),
    ],
)
def test_an_error_is_explained_by_its_code_and_not_by_its_words(name: str, text: str, hint: str, lost: bool) -> None:
    error = device_error("call", name, text)
    assert str(error).startswith(f"call: {text} ({name})")
    assert hint in str(error)
    assert "update the driver" not in str(error)
    assert error.lost is lost


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
    assert asked == ["preloaded", [("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})]]
    assert capsys.readouterr().out == ""
