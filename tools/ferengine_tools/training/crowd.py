"""A second head that learns how FER+'s crowd voted: E. Barsoum et al., "Training Deep Networks for Facial Expression
Recognition with Crowd-Sourced Label Distribution", ICMI 2016. It shapes the features beside the labels' own head, and is never
exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ferengine_tools.training.origin import last_layer


class CrowdHead(nn.Module):
    """A linear layer beside the last one of a network, on the features which that reads; no part of the network itself."""

    def __init__(self, network: nn.Module, votes: Tensor, device: torch.device) -> None:
        """
        Args:
            network: whose features are read at each call of it.
            votes: float32 (N, C), the fraction of each face's votes for each class; rows of zeros for faces without votes.
            device: of the network.
        """
        super().__init__()
        last = last_layer(network)
        self.layer = nn.Linear(last.in_features, votes.shape[1], device=device)
        self._votes = [votes.to(device)]  # in a list: no part of the module's state
        self._features = torch.empty(0)
        last.register_forward_pre_hook(self._keep)

    def _keep(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        self._features = inputs[0]

    def loss(self, chosen: Tensor) -> Tensor:
        """Cross-entropy of the votes; faces without votes add nothing. The crowd's own frequencies are learnt with it, so
        nothing is adjusted here.

        Args:
            chosen: int64 (n,), the faces of the batch that the network has just read.

        Returns:
            The mean over the batch, nats.
        """
        logits = self.layer(self._features.float())
        return -(self._votes[0][chosen] * torch.log_softmax(logits, 1)).sum(1).mean()
