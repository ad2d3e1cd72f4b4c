"""The networks that can be trained."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from ferengine.errors import UsageError  # noqa: E402
from ferengine_tools.networks import NETWORKS, create_network  # noqa: E402


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
    assert sum(p.numel() for p in network.parameters()) * 4 < 8e6


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_gaussian_weights_have_a_deviation_of_004(name: str) -> None:
    torch.manual_seed(3)
    network = create_network(name, 7, "gaussian")
    large = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.weight.numel() > 3000]
    assert large
    for weight in large:
        assert weight.std().item() == pytest.approx(0.04, rel=0.1)
        assert abs(weight.mean().item()) < 0.004
    torch.manual_seed(3)
    plain = create_network(name, 7)
    stds = [m.weight.std().item() for m in plain.modules() if isinstance(m, torch.nn.Conv2d) and m.weight.numel() > 3000]
    assert max(abs(value - 0.04) for value in stds) > 0.01


def test_every_weight_learns() -> None:
    network = create_network("dscnn", 7)
    network(torch.randn(4, 1, 48, 48)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_an_unknown_network_is_named_and_the_known_listed() -> None:
    with pytest.raises(UsageError, match=r"'vgg'.*dscnn"):
        create_network("vgg", 7)
