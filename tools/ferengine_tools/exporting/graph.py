"""From a torch module to an ONNX graph."""

from __future__ import annotations

import io
import warnings

import torch


def to_onnx(network: torch.nn.Module) -> bytes:
    """Return the ONNX file of a network: opset 17, input "input" (N, 1, 48, 48), output "logits" (N, classes), float32.

    Batch normalisation is folded into the convolutions.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the TorchScript exporter is called deprecated, but needs no further package
        torch.onnx.export(
            network, (torch.zeros(1, 1, 48, 48),), buffer, opset_version=17, input_names=["input"],
            output_names=["logits"], dynamic_axes={"input": {0: "n"}, "logits": {0: "n"}}, dynamo=False,
        )  # fmt: skip
    return buffer.getvalue()


@torch.no_grad()
def multiply_adds(network: torch.nn.Module) -> int:
    """Count the multiply-adds of the convolutions and linear layers for one face."""
    counts: list[int] = []

    def count(module: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        counts.append(output[0].numel() * weight[0].numel())

    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    network(torch.zeros(1, 1, 48, 48))
    for handle in handles:
        handle.remove()
    return sum(counts)
