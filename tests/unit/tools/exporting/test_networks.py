"""The networks that can be trained."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from ferengine.errors import UsageError  # noqa: E402
from ferengine_tools.networks import NETWORKS  # noqa: E402
from ferengine_tools.networks.registry import create_network, deployed  # noqa: E402


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("classes", [2, 7])
def test_crops_to_logits(name: str, classes: int) -> None:
    network = create_network(name, classes).eval()
    with torch.no_grad():
        logits = network(torch.randn(3, 1, 48, 48))
        alone = network(torch.ones(1, 1, 48, 48))
    assert logits.shape == (3, classes)
    assert alone.shape == (1, classes)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", ["dscnn", "fast", "standard", "accurate"])
def test_shipped_networks_are_small(name: str) -> None:
    assert sum(p.numel() for p in deployed(create_network(name, 7)).parameters()) < 1.5e6


def kernels(network: torch.nn.Module) -> list[torch.Tensor]:
    """Those of many weights, before branches are merged."""
    return [p for p in network.parameters() if p.ndim == 4 and p.numel() > 3000]


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_gaussian_weights_have_a_deviation_of_004(name: str) -> None:
    torch.manual_seed(3)
    network = create_network(name, 7, "gaussian")
    large = kernels(network)
    assert large
    for weight in large:
        assert weight.std().item() == pytest.approx(0.04, rel=0.1)
        assert abs(weight.mean().item()) < 0.004
    torch.manual_seed(3)
    plain = create_network(name, 7)
    stds = [weight.std().item() for weight in kernels(plain)]
    assert max(abs(value - 0.04) for value in stds) > 0.01


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_weight_learns(name: str) -> None:
    network = create_network(name, 7)
    network(torch.randn(4, 1, 48, 48)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_an_unknown_network_is_named_and_the_known_listed() -> None:
    with pytest.raises(UsageError, match=r"'alexnet'.*dscnn"):
        create_network("alexnet", 7)
