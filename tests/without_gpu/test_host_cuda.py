"""The package's calls of the CUDA driver, through the real bindings, against a driver whose device is host memory.

It checks every handle and argument that it is given, and that nothing is left when the context goes. The tests are those
of tests/gpu: what passes here on any machine is what runs there on a GPU.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ferengine.inference.tensorrt.device import bindings_installed
from ferengine.inference.tensorrt.tensorrt import installed_runtimes

HERE = Path(__file__).parent
CHECK = """
import json
from dataclasses import asdict
from ferengine.inference.tensorrt.environment import this_machine
print(json.dumps(asdict(this_machine())))
"""
ENGINE = """
import json, sys
from ferengine import Engine
from ferengine.errors import ModelError
with Engine("demo", backend="auto"):
    pass
try:
    Engine("demo", backend="ort-cuda")
    refusal = ""
except ModelError as error:
    refusal = str(error)
names = ("libcuda", "libcudart", "nvinfer", "tensorrt", "onnxruntime", "libnvidia")
mapped = open("/proc/self/maps").read()
print(json.dumps([[name for name in names if name in mapped], refusal]))
"""
RUN = """
import logging, sys
from ferengine import Engine
logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(message)s")
def mapped(pid):
    return any(name in open(f"/proc/{pid}/maps").read() for name in ("libcuda", "tensorrt"))
with Engine("demo", backend="tensorrt", model="dscnn", max_frames=12) as engine:
    results = engine.results()
    next(results)
    on_gpu = [name for name, pid in engine.worker_pids().items() if mapped(pid)]
    print(1 + sum(1 for _ in results), engine.summary()["backend"], *on_gpu)
"""
CONTEXT = """
from ctypes import CDLL, byref, c_int
from ferengine.inference.tensorrt.bindings_device import BindingsDevice
driver, number = CDLL("libcuda.so.1"), c_int()
def show():  # 201: no context is current, as the caller left it
    print(driver.cuCtxGetDevice(byref(number)), number.value)
device = BindingsDevice()
show()
with device.current():
    assert driver.cuCtxGetDevice(byref(number)) == 0
    with device.current():
        device.free(device.allocate(64))
show()
try:
    with device.current():
        device.allocate(1 << 40)
except Exception:
    show()
"""
TESTS = """
import os, sys, pytest
sys.setdlopenflags(os.RTLD_LAZY)  # pycuda names the whole driver API; what it does not call here need not be there
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of processes that find this libcuda.so.1 and no other."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("cuda")
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    source = HERE / "data" / "host_cuda.c"
    subprocess.run([compiler, *flags, "-o", folder / "libcuda.so.1", source, "-ldl"], check=True, timeout=300)
    return {**os.environ, "LD_LIBRARY_PATH": str(folder)}


def test_the_machine_is_asked_without_any_package(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    found = json.loads(done.stdout)
    assert found["gpu"] == {"name": "Host 0", "capability": "8.6", "memory": 1 << 30}
    assert (found["cuda"], found["unavailable_reason"]) == ("13.0", None)


@pytest.mark.parametrize("package", ["pycuda", "cuda-bindings"])
def test_the_device_tests_pass(environment: dict[str, str], package: str) -> None:
    if not (bindings_installed() if package == "cuda-bindings" else find_spec("pycuda")):
        pytest.skip(f"{package} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", TESTS, "-q", "-p", "no:cacheprovider", "-k", package, "tests/gpu/test_device.py"],
        env=environment, cwd=HERE.parents[1], capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    assert "skipped" not in done.stdout


def test_the_program_that_embeds_an_engine_maps_neither_cuda_nor_onnxruntime(environment: dict[str, str]) -> None:
    """CUDA does not work in a process that was forked after it was initialised, which is for the embedding program to do."""
    done = subprocess.run(
        [sys.executable, "-c", ENGINE], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    mapped, refusal = json.loads(done.stdout)
    assert mapped == []
    if refusal:  # the wheel of this machine may have CUDA
        assert "the installed onnxruntime cannot do ort-cuda" in refusal


def test_the_callers_context_is_current_again_after_each_call(environment: dict[str, str]) -> None:
    if not bindings_installed():
        pytest.skip("cuda-bindings is not installed")
    done = subprocess.run([sys.executable, "-c", CONTEXT], env=environment, capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.returncode) == ("201 0\n" * 3, 0), done.stderr


def test_a_gpu_that_no_engine_runs_on_leaves_a_whole_run_to_the_cpu(environment: dict[str, str], tmp_path: Path) -> None:
    """The real TensorRT, its real engine, and a driver that has no device to run it."""
    if "tensorrt-rtx" not in installed_runtimes() or not bindings_installed():
        pytest.skip("tensorrt-rtx or cuda-bindings is not installed")
    own = {**environment, "XDG_CACHE_HOME": str(tmp_path)}
    command = [
        sys.executable,
        "-m",
        "ferengine",
        "build-trt",
        "--model",
        "dscnn",
        "--batch",
        "1:8:32",
        "--runtime",
        "tensorrt-rtx",
    ]
    built = subprocess.run(
        command, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=300
    )
    assert built.returncode == 0, built.stderr
    done = subprocess.run([sys.executable, "-c", RUN], env=own, capture_output=True, text=True, timeout=300)
    assert done.stdout == "12 ort classify\n", done.stderr  # the detectors, by default, load no CUDA
    [line] = [line for line in done.stderr.splitlines() if line.startswith("classify runs ")]
    assert line.startswith(
        "classify runs the model dscnn in 32-bit floats on the CPU with ONNX Runtime, not on the GPU: tensorrt-rtx"
    )
