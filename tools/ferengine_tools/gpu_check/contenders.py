"""What can run the classifier's network on this machine besides TensorRT: ONNX Runtime and torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ferengine.errors import MissingDependencyError
from ferengine.inference.base import only_output
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.models.registry import Model
from ferengine_tools.gpu_check.measure import Array, Contender, Crops, Queue, random_crops


def others(model: Model) -> dict[str, Callable[[], Contender]]:
    """How each is opened, by name: ONNX Runtime on the CPU (the reference) first, the one that compiles longest last. Opening
    raises whatever it raises."""
    return {
        "onnxruntime cpu": lambda: _onnxruntime(model, "onnxruntime cpu", on_gpu=False),
        "onnxruntime cuda": lambda: _onnxruntime(model, "onnxruntime cuda", on_gpu=True),
        "torch eager fp32": lambda: _torch(model, "torch eager fp32"),
        "torch eager fp16": lambda: _torch(model, "torch eager fp16"),
        "torch.compile fp32": lambda: _torch(model, "torch.compile fp32"),
        "torch.compile fp16": lambda: _torch(model, "torch.compile fp16"),
    }


def _onnxruntime(model: Model, name: str, *, on_gpu: bool) -> Contender:
    normalisation = model.manifest.input.normalisation
    if on_gpu:
        runner = OrtRunner(model.onnx, provider="ort-cuda", normalisation=normalisation)
    else:
        runner = OrtRunner(model.onnx, threads=4, normalisation=normalisation)
    return Contender(name, lambda batch: only_output(runner.run(batch)), close=runner.close, on_gpu=on_gpu)


def deployed_network(model: Model, *, half: bool = False) -> Any:
    """The torch module that computes what the model's file does, as it is exported: branches merged, batch
    normalisation in the convolutions. It takes crops, uint8 (N, 1, S, S), and gives float32; ``half``: computed in fp16."""
    import torch
    from torch.fx.experimental.optimization import fuse

    from ferengine_tools.networks.from_onnx import load_onnx
    from ferengine_tools.networks.registry import deployed

    kind, normalisation = torch.float16 if half else torch.float32, model.manifest.input.normalisation

    class OfCrops(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = fuse(deployed(load_onnx(model.path)).eval()).to(kind)

        def forward(self, crops: Any) -> Any:
            rows = (crops.float() - normalisation.mean) * float(normalisation.scale)
            return self.network(rows.to(kind)).float()

    return OfCrops().eval()


def _torch(model: Model, name: str) -> Contender:
    try:
        import torch
    except ModuleNotFoundError:
        raise MissingDependencyError("torch is not installed") from None
    if not torch.cuda.is_available():
        raise MissingDependencyError("this torch has no CUDA")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    network = deployed_network(model, half="fp16" in name).cuda()
    if "compile" in name:
        network = torch.compile(network, mode="reduce-overhead", dynamic=False)  # a CUDA graph for each size
    size = model.manifest.input.size
    return Contender(name, PinnedRun(network, "cuda"), lambda count: _queued(network, (count, 1, size, size)))


class PinnedRun:
    """``network`` on ``device``, fed from pinned memory and read into it, as TensorRT's runner does it."""

    def __init__(self, network: Any, device: str) -> None:
        self._network, self._device = network, device
        self._pinned: dict[tuple[Any, ...], Any] = {}

    def __call__(self, batch: Crops) -> Array:
        import torch

        with torch.inference_mode():
            source = self._memory(tuple(batch.shape), torch.uint8)
            source.numpy()[:] = batch
            result = self._network(source.to(self._device, non_blocking=True))
            target = self._memory(tuple(result.shape), torch.float32)
            target.copy_(result, non_blocking=True)
            if self._device == "cuda":
                torch.cuda.current_stream().synchronize()
            logits: Array = target.numpy().copy()
        return logits

    def _memory(self, shape: tuple[int, ...], kind: Any) -> Any:
        import torch

        if (shape, kind) not in self._pinned:
            self._pinned[shape, kind] = torch.empty(shape, dtype=kind, pin_memory=self._device == "cuda")
        return self._pinned[shape, kind]


@contextmanager
def _queued(network: Any, shape: tuple[int, ...]) -> Iterator[Queue]:
    import torch

    with torch.inference_mode():
        crops = torch.from_numpy(random_crops(shape)).to("cuda")
        yield Queue(lambda: network(crops), torch.cuda.synchronize)
