"""A second head that learns how FER+'s crowd voted: E. Barsoum et al., "Training Deep Networks for Facial Expression
Recognition with Crowd-Sourced Label Distribution", ICMI 2016. It shapes the features beside the labels' own head, and is never
exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ferengine_tools.training.origin import last_layer


class CrowdHead(nn.Module):
    """Beside the last layer of ``network``, on the features that layer reads.

    ``shares`` float32 (N, C): of each face's votes, rows of zeros where nobody voted. Its weights are no part of the network.
    """

    def __init__(self, network: nn.Module, shares: Tensor, device: torch.device) -> None:
        super().__init__()
        last = last_layer(network)
        self.layer = nn.Linear(last.in_features, shares.shape[1], device=device)
        self._shares = [shares.to(device)]  # in a list: no part of the module's state
        self._features = torch.empty(0)
        last.register_forward_pre_hook(self._keep)

    def _keep(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        self._features = inputs[0]

    def loss(self, chosen: Tensor) -> Tensor:
        """Cross-entropy of the votes, nats, mean over the batch of ``chosen`` faces that the network has just read; those
        without votes add nothing. The crowd's own frequencies are learnt with it, so nothing is adjusted here."""
        logits = self.layer(self._features.float())
        return -(self._shares[0][chosen] * torch.log_softmax(logits, 1)).sum(1).mean()
