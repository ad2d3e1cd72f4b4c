"""ONNX files back into the torch modules that they were exported from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ferengine.errors import ModelError
from ferengine.inference.base import only_output
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.models.registry import load_model
from ferengine_tools.networks import NETWORKS
from ferengine_tools.networks.graph_layers import Convolution, Layer, Normalisation, Product, read_layers
from ferengine_tools.networks.registry import create_network, deployed
from ferengine_tools.networks.rep import RepConv, RepNet

_TOLERANCE, _HALF_TOLERANCE = 1e-3, 5e-2
"""Of the largest logit difference between torch and ONNX Runtime; the second where the file holds 16-bit numbers."""


@dataclass
class _Slot:
    """A layer of torch in the order of execution, and the normalisation that takes its output and no other."""

    module: nn.Module
    norm: nn.BatchNorm2d | None = None

    @property
    def form(self) -> tuple[object, ...]:
        """As of the layers in the file."""
        if isinstance(self.module, nn.Conv2d):
            return ("convolution", tuple(self.module.weight.shape), self.module.stride, self.module.groups)
        if isinstance(self.module, nn.Linear):
            return ("product", tuple(self.module.weight.shape))
        return ("normalisation", (self.module.num_features,))


def load_onnx(model: str | Path) -> nn.Module:
    """Load the weights of an ONNX file into the network that it was exported from.

    Batch normalisations that the export folded into convolutions become identities with the bias (``calibrate`` gives them
    statistics to train on from). The layers of both are matched by shape, in the order of execution, and the result is
    compared with ONNX Runtime on random input.

    Args:
        model: The name of a shipped model, or a ``.onnx`` file with its manifest.

    Returns:
        The network as ``create_network`` makes it, in ``eval`` mode.

    Raises:
        ModelError: The network is not one of ``NETWORKS``, layers do not match, or logits differ by more than 1e-3 (fp16:
            5e-2).
    """
    loaded = load_model(model)
    name, labels, size = loaded.manifest.network, loaded.manifest.labels, loaded.manifest.input.size
    if name not in NETWORKS:
        raise ModelError(f"{loaded.path}: its network {name!r} is none of {', '.join(NETWORKS)}, so torch cannot rebuild it")
    network = create_network(name, len(labels))
    plain = deployed(network).eval()
    layers, half = read_layers(loaded.onnx)
    try:
        fill(plain, layers, size)
        if isinstance(network, RepNet) and isinstance(plain, RepNet):
            _split(network, plain)
        network = network.eval()
        _compare(network, loaded.onnx, size, _HALF_TOLERANCE if half else _TOLERANCE)
    except ModelError as error:
        raise ModelError(f"{loaded.path} is not an export of the network {name!r}: {error}") from None
    return network


def fill(network: nn.Module, layers: list[Layer], size: int) -> None:
    """Put weights into a network.

    Args:
        network: Takes float32 (N, 1, size, size) and is made of Conv2d, Linear and BatchNorm2d in any order.
        layers: The weights.
        size: Side of the crops, pixels.

    Raises:
        ModelError: A layer of one has no match in the other.
    """
    free = list(layers)
    for slot in _execution_order(network, size):
        match = next((layer for layer in free if layer.form == slot.form), None)
        if match is None:
            raise ModelError(f"the file has no {' '.join(map(str, slot.form))} for {slot.module}")
        free = [layer for layer in free if layer is not match]
        _assign(slot, match)
    if free:
        raise ModelError(f"the file has a {' '.join(map(str, free[0].form))} that the network lacks")


@torch.no_grad()
def calibrate(network: nn.Module, batch: Tensor) -> None:
    """Give each batch normalisation the statistics of its input, so that training can go on from there.

    Its scale and shift change so that the network computes the same in ``eval`` mode.

    Args:
        network: What is changed.
        batch: Normalised crops, float32 (N, 1, S, S).
    """

    def adapt(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        shift = norm.bias - norm.running_mean * factor
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_(factor * (variance + norm.eps).sqrt())
        norm.bias.copy_(shift + factor * mean)

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(adapt) for norm in norms]
    try:
        network.eval()(batch)
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _execution_order(network: nn.Module, size: int) -> list[_Slot]:
    slots: list[_Slot] = []
    outputs: list[Tensor] = []  # of the slots; kept, so that no other tensor takes an identity

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.BatchNorm2d):
            for slot, result in zip(slots, outputs, strict=True):
                if result is inputs[0] and isinstance(slot.module, nn.Conv2d):
                    slot.norm = module
                    return
        slots.append(_Slot(module))
        outputs.append(output)

    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    handles = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, kinds)]
    try:
        network(torch.zeros(1, 1, size, size))
    finally:
        for handle in handles:
            handle.remove()
    return slots


@torch.no_grad()
def _assign(slot: _Slot, layer: Layer) -> None:
    module = slot.module
    if isinstance(layer, Normalisation):
        assert isinstance(module, nn.BatchNorm2d)
        _normalise(module, layer.scale, layer.shift)
        return
    assert isinstance(layer, Convolution | Product)
    module.weight.copy_(torch.from_numpy(layer.weight.copy()))
    bias = layer.bias
    if module.bias is not None:
        module.bias.copy_(torch.from_numpy(bias.copy()))
        bias = np.zeros_like(bias)
    if slot.norm is not None:
        _normalise(slot.norm, np.ones_like(bias), bias)
    elif bias.any():
        raise ModelError(f"the file has a bias where {module} has none")


def _normalise(norm: nn.BatchNorm2d, scale: NDArray[np.float32], shift: NDArray[np.float32]) -> None:
    """y = scale * x + shift, by a mean of 0 and a variance of 1."""
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0)
    norm.weight.copy_(torch.from_numpy(scale.copy()) * (1 + norm.eps) ** 0.5)
    norm.bias.copy_(torch.from_numpy(shift.copy()))


@torch.no_grad()
def _split(network: RepNet, plain: RepNet) -> None:
    """Give the layers of ``network`` kernels that amount to those of ``plain``, its merged form."""
    for layer, merged in zip(network.body.children(), plain.body.children(), strict=True):
        assert isinstance(layer, RepConv)
        conv, norm, _ = merged.children()
        layer.square += conv.weight - layer.weight()
        layer.bn.load_state_dict(norm.state_dict())
    network.fc.load_state_dict(plain.fc.state_dict())


@torch.no_grad()
def _compare(network: nn.Module, onnx: bytes, size: int, tolerance: float) -> None:
    batch = np.random.default_rng(0).normal(size=(8, 1, size, size)).astype(np.float32)
    expected = only_output(OrtRunner(onnx).run(batch))
    difference = float(np.abs(network(torch.from_numpy(batch)).numpy() - expected).max())
    if not difference <= tolerance:  # nor NaN
        raise ModelError(f"with its weights torch's logits differ from ONNX Runtime's by {difference:.2g}")
