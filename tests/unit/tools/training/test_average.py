"""The mean of checkpoints, with the batch normalisation measured anew."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from ferengine.errors import UsageError  # noqa: E402
from ferengine_tools.average import average, main, measure_normalisation  # noqa: E402
from ferengine_tools.exporting.export import _of_checkpoint  # noqa: E402
from ferengine_tools.networks.registry import create_network  # noqa: E402
from ferengine_tools.training.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from ferengine_tools.training.config import TrainConfig  # noqa: E402
from ferengine_tools.training.dataset import load_training_set, normalise  # noqa: E402
from ferengine_tools.training.origin import restored  # noqa: E402


def test_the_mean_is_weighted(whole: Path, tmp_path: Path) -> None:
    state, network = restored(whole)
    other = {key: value + 1 if value.is_floating_point() else value for key, value in network.state_dict().items()}
    save_checkpoint(tmp_path / "b.safetensors", {**state, "average": other})
    mean = average([(whole, 3.0), (tmp_path / "b.safetensors", 1.0)])[1].state_dict()
    for key, value in network.state_dict().items():
        expected = value + 0.25 if value.is_floating_point() else value
        torch.testing.assert_close(mean[key], expected, rtol=0, atol=1e-6)


def test_the_normalisation_is_that_of_the_faces(config: TrainConfig) -> None:
    network = create_network("dscnn", 7)
    images = load_training_set(config).images
    measure_normalisation(network, images)
    layer = next(module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    layer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.inference_mode():
        network(normalise(images))
    torch.testing.assert_close(layer.running_mean, seen[0].mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.running_var, seen[0].var((0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert not network.training


def test_the_command_writes_a_checkpoint_that_loads(
    config: TrainConfig, whole: Path, wild: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "mean.safetensors"
    arguments = [f"{whole}=2", str(whole), "--data", str(config.data), "--data", str(wild), "--out", str(out)]
    assert main(arguments) == 0
    assert f"dscnn, 2 checkpoints, normalised over {56 + 32} faces" in capsys.readouterr().out
    anew = "The batch normalisation was measured anew on 88 faces (python -m ferengine_tools.average)."
    said = "The weights are the mean of runs/whole/checkpoint.safetensors (0.667), runs/whole/checkpoint.safetensors (0.333)."
    assert load_checkpoint(out)["notes"] == f"{said} {anew}"
    assert _of_checkpoint(out, "Mine.", "uniform").manifest.training.notes == f"{said} {anew} Mine."
    assert load_checkpoint(out)["settings"] == load_checkpoint(whole)["settings"]
    before, after = restored(whole)[1].state_dict(), restored(out)[1].state_dict()
    changed = {key.rpartition(".")[2] for key in before if not torch.allclose(before[key].double(), after[key].double())}
    assert changed == {"running_mean", "running_var", "num_batches_tracked"}
    assert main(arguments) == 2
    assert "exists: name another file" in capsys.readouterr().err


@pytest.mark.parametrize("weight", ["0", "-1", "inf", "nan"])
def test_a_weight_is_above_zero(whole: Path, tmp_path: Path, weight: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{whole}={weight}", "--data", "x", "--out", str(tmp_path / "a.safetensors")]) == 2
    assert "a weight is a number above 0" in capsys.readouterr().err


def test_networks_under_different_priors_are_refused(whole: Path, tmp_path: Path) -> None:
    """One has learnt the class frequencies, the other has not: the mean would answer under neither prior."""
    state, _ = restored(whole)
    save_checkpoint(tmp_path / "b.safetensors", {**state, "settings": {**state["settings"], "prior": "data"}})
    with pytest.raises(UsageError, match="trained with another prior"):
        average([(whole, 1.0), (tmp_path / "b.safetensors", 1.0)])


def test_other_labels_are_refused(whole: Path, tmp_path: Path) -> None:
    state, _ = restored(whole)
    save_checkpoint(tmp_path / "b.safetensors", {**state, "labels": state["labels"][::-1]})
    with pytest.raises(UsageError, match="differ in their labels"):
        average([(whole, 1.0), (tmp_path / "b.safetensors", 1.0)])
