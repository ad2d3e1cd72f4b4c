"""A worker that loses the GPU ends once, for its successor to use the GPU again, and runs on the CPU the second time."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from ferengine.config import make_config
from ferengine.errors import DeviceError
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.ipc.channel import ControlChannel
from ferengine.ipc.machine import GPU_LOST, killed_by
from ferengine.models.settings import BackendSettings
from ferengine.runtime.topology import Topology
from ferengine.stages import worker as program
from onnxruntime_help import with_cuda


@pytest.mark.parametrize(("losses", "limit", "restarts"), [(0, 5, True), (1, 5, False), (2, 5, False), (0, 0, False)])
def test_a_worker_may_end_for_a_lost_gpu_once(losses: int, limit: int, restarts: bool) -> None:
    topology = SimpleNamespace(_config=make_config(restart_limit=limit))
    worker = SimpleNamespace(gpu_losses=losses)
    settings = Topology._once_more(topology, BackendSettings("tensorrt"), worker)  # type: ignore[arg-type]
    assert (settings.backend, settings.restarts) == ("tensorrt", restarts)


@pytest.mark.parametrize(("lost", "code"), [(True, GPU_LOST), (False, 3)])
def test_the_exit_code_says_that_the_gpu_was_lost(
    monkeypatch: pytest.MonkeyPatch, lost: bool, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    def run(self: Any) -> None:
        raise DeviceError("waiting: an illegal memory access (CUDA_ERROR_ILLEGAL_ADDRESS)", lost=lost)

    monkeypatch.setattr(program.Worker, "run", run)
    monkeypatch.setattr(program, "die_with_parent", lambda pid: None)
    monkeypatch.setattr(program, "setproctitle", lambda title: None)
    monkeypatch.setattr(program.signal, "signal", lambda number, handler: None)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    engine = ControlChannel(ours)
    assert program.main([str(theirs.detach()), "1", "classify"]) == code
    assert ("worker classify lost the GPU" in caplog.text) is lost
    assert bool(engine.receive() if not lost else []) is not lost  # what is reported is not started again
    engine.close()
    assert killed_by(GPU_LOST) == "it lost the GPU"


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; expr=cudaMemcpyAsync", True),
        ("CUDA failure 2: out of memory ; GPU=0", False),
        ("the driver is shutting down", False),
    ],
)
def test_the_code_of_cudas_provider_is_read(monkeypatch: pytest.MonkeyPatch, said: str, lost: bool) -> None:
    def compute(rows: Any) -> list[Any]:
        raise RuntimeError(said)

    with_cuda(monkeypatch, compute)
    with pytest.raises(DeviceError) as caught:
        OrtRunner(b"", provider="ort-cuda").warm_up((1, 2, 2), 4)
    assert caught.value.lost is lost
