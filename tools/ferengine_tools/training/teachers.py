"""Networks that teach another: their answers to the very crops that it sees."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ferengine_tools.networks.registry import deployed
from ferengine_tools.training.config import Prior
from ferengine_tools.training.dataset import TrainingSet
from ferengine_tools.training.origin import answers_under, load_network
from ferengine_tools.training.priors import moved


class Teachers:
    """The mean answer of some networks.

    Args:
        sources: Checkpoints, names of shipped models or ``.onnx`` files.
        faces: What is taught: the classes, and the class frequencies of each set.
        device: Where they run.
        prior: "uniform": they answer under the class frequencies of each face's own set, which the pupil's adjusted logits are
            compared with; "data": under those of the first set.
        bf16: Whether they compute in bfloat16.

    Raises:
        UsageError: A network has other classes, or reads other crops.
        ModelError: A file is damaged, or torch cannot rebuild its network.
    """

    def __init__(self, sources: Sequence[str], faces: TrainingSet, device: torch.device, prior: Prior, bf16: bool) -> None:
        self._heads, self._device, self._bf16 = faces.heads, device, bf16
        own = torch.stack([part.prior for part in faces.parts]).log().to(device)
        self._own = own if prior == "uniform" else own[:1].expand_as(own)
        self._part_of = faces.part_of.to(device)
        self._networks = [self._load(source, faces, own[0]) for source in sources]

    def _load(self, source: str, faces: TrainingSet, first: Tensor) -> tuple[nn.Module, Tensor]:
        """A network and the logarithm of the prior that it answers under, (C,)."""
        network = deployed(load_network(source, faces.labels)[1]).to(self._device, memory_format=torch.channels_last)
        return network.eval(), torch.zeros_like(first) if answers_under(source) == "uniform" else first

    def __len__(self) -> int:
        return len(self._networks)

    @torch.no_grad()
    def __call__(self, batch: Tensor, rows: Tensor) -> Tensor:
        """Return probabilities, float32 (n, C), for crops, float32 (n, 1, S, S), of the faces ``rows``, int64 (n,)."""
        own = self._own[self._part_of[rows.to(self._device)]]
        batch = batch.to(self._device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16, cache_enabled=False):
            answers = [(network(batch), prior) for network, prior in self._networks]
        return torch.stack([moved(logits.float(), prior, own, self._heads).exp() for logits, prior in answers]).mean(0)
