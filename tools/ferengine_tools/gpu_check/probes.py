"""What only a real driver can tell: a fork after the machine was asked, waits, graph launches, what a sticky error leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Annotated

import numpy as np
import typer

from ferengine.errors import FerengineError, ModelError
from ferengine.inference.tensorrt.device import Device
from ferengine.inference.tensorrt.environment import this_machine

FORK = """
import ctypes, os
from ferengine.inference.tensorrt.environment import this_machine
print(this_machine())
if (child := os.fork()) == 0:
    os._exit(ctypes.CDLL("libcuda.so.1").cuInit(0))
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print("cuInit in a fork of a process that asked this_machine():", code, "(0: works, 3: not initialised)")
"""

CHOICE = """
from ferengine.inference.select_elsewhere import choose_backend_elsewhere
print(choose_backend_elsewhere("auto"))
mapped = open("/proc/self/maps").read()
print("mapped by choosing:", [name for name in ("libcuda", "onnxruntime", "libcudart", "nvinfer") if name in mapped])
"""

STICKY = """
import torch
from ferengine.errors import DeviceError
from ferengine.inference.tensorrt.bindings_device import BindingsDevice
device = BindingsDevice()
torch.zeros(1, device="cuda")  # makes the primary context current
pinned, address = device.pin(64), device.allocate(64)
stream, event = device.create_stream(), device.create_event()
pinned.raw[:] = 7
try:
    torch.zeros(4, device="cuda")[torch.tensor([1 << 20], device="cuda")].sum().item()
except Exception as error:
    print("torch:", type(error).__name__)
print("pinned memory can be read after it:", int(pinned.raw.sum()) == 7 * 64)
for name, step in (
    ("record", lambda: device.record(event, stream)), ("wait", lambda: device.wait(event)),
    ("destroy_event", lambda: device.destroy_event(event)), ("destroy_stream", lambda: device.destroy_stream(stream)),
    ("free", lambda: device.free(address)), ("unpin", lambda: device.unpin(pinned)), ("open", BindingsDevice),
):
    try:
        step()
        print(name, "works")
    except DeviceError as error:
        print(name, "-> DeviceError, lost:", error.lost, error)
"""

CONTEXT = """
import torch
from cuda.bindings import driver
torch.zeros(1, device="cuda")
(code,) = driver.cuInit(0)
_, device = driver.cuDeviceGet(0)
_, own = driver.cuDevicePrimaryCtxRetain(device)
_, before = driver.cuCtxGetCurrent()
from ferengine.inference.tensorrt.bindings_device import BindingsDevice
opened = BindingsDevice()
_, after = driver.cuCtxGetCurrent()
print("the caller's context:", int(before), "after opening a device:", int(after), "primary:", int(own))
"""

IN_PROCESSES = {"fork": FORK, "choice": CHOICE, "sticky": STICKY, "context": CONTEXT}
_BATCH_BYTES = 256 * 48 * 48 * 4
_LOGIT_BYTES = 256 * 7 * 4


def in_process(name: str) -> str:
    """What a probe prints in a process of its own, with its exit code."""
    done = subprocess.run([sys.executable, "-c", IN_PROCESSES[name]], capture_output=True, text=True, timeout=90)
    return f"{name}: {done.stdout.strip()[-1500:]}\n{done.stderr.strip()[-800:]}\nexit {done.returncode}".replace("\n\n", "\n")


def transfers(device: Device, repeats: int = 200) -> list[str]:
    """Microseconds of a batch of crops there and its logits back, as float32 and as uint8, waiting both ways."""
    lines = []
    source, target = device.pin(_BATCH_BYTES), device.pin(_BATCH_BYTES)
    address, stream = device.allocate(_BATCH_BYTES), device.create_stream()
    source.raw[:] = np.random.default_rng(0).integers(0, 256, _BATCH_BYTES, np.uint8)
    for what, nbytes in (("float32", _BATCH_BYTES), ("uint8", _BATCH_BYTES // 4)):
        for blocking in (False, True):
            event, times = device.create_event(blocking=blocking), []
            for _ in range(repeats):
                begun = time.perf_counter()
                device.upload(address, source, nbytes, stream)
                device.download(target, address, _LOGIT_BYTES, stream)
                device.record(event, stream)
                device.wait(event)
                times.append(1e6 * (time.perf_counter() - begun))
            device.destroy_event(event)
            lines.append(
                f"256 crops as {what} there, logits back, blocking={blocking}: "
                f"{np.median(times):.0f} us, p99 {np.percentile(times, 99):.0f}"
            )
    device.destroy_stream(stream)
    device.free(address)
    device.unpin(source)
    device.unpin(target)
    return lines


def graph_launches(device: Device, repeats: int = 500) -> str:
    """Microseconds to queue, and to run, a CUDA graph of ten copies."""
    if device.graphs is None:
        return "this device layer has no graphs"
    pinned, address, stream = device.pin(4096), device.allocate(4096), device.create_stream()
    device.graphs.begin(stream)
    for _ in range(10):
        device.download(pinned, address, 4096, stream)
    graph = device.graphs.end(stream)
    begun = time.perf_counter()
    for _ in range(repeats):
        device.graphs.launch(graph, stream)
    queued = time.perf_counter() - begun
    device.synchronize(stream)
    ran = time.perf_counter() - begun
    device.graphs.destroy(graph)
    device.destroy_stream(stream)
    device.free(address)
    device.unpin(pinned)
    return f"a graph of 10 copies: {1e6 * queued / repeats:.1f} us to launch, {1e6 * ran / repeats:.1f} us to run"


def main(
    probe: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(IN_PROCESSES)}, waits (default: all).")] = None,
) -> None:
    """Probe the driver and the device layer."""
    here = this_machine()
    if here.gpu is None:
        raise ModelError(f"nothing can be probed: {here.unavailable_reason}")
    typer.echo(
        f"{here.gpu.name}, compute capability {here.gpu.capability}, driver {here.driver}, CUDA {here.cuda}, pid {os.getpid()}"
    )
    for name in IN_PROCESSES:
        if not probe or name in probe:
            typer.echo(in_process(name))
    if not probe or "waits" in probe:
        from ferengine.inference.tensorrt.open_device import open_device

        device = open_device()
        with device.current():
            for line in (*transfers(device), graph_launches(device)):
                typer.echo(line)
        device.close()


if __name__ == "__main__":
    try:
        typer.run(main)
    except FerengineError as error:
        raise SystemExit(f"error: {error}") from None
