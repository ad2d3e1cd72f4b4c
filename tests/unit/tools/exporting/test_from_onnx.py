"""ONNX files back in torch: the same logits, whatever the export folded."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from ferengine.errors import ModelError  # noqa: E402
from ferengine.inference.conversion import to_fp16  # noqa: E402
from ferengine.models.registry import DEFAULT, SHIPPED, list_models, load_model  # noqa: E402
from ferengine_tools.exporting.graph import to_onnx  # noqa: E402
from ferengine_tools.networks.from_onnx import calibrate, fill, load_onnx  # noqa: E402
from ferengine_tools.networks.graph_layers import read_layers  # noqa: E402
from ferengine_tools.networks.registry import create_network, deployed  # noqa: E402

torch.set_num_threads(1)


def shake(network: Any) -> Any:
    """Give the normalisations statistics and scales as after a training; ``network``, in ``eval`` mode."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return network.eval()


def write(folder: Path, data: bytes, **changes: Any) -> Path:
    """``data`` with the manifest of dscnn, changed."""
    manifest = json.loads((SHIPPED / "dscnn.json").read_text())
    manifest.update(file="mine.onnx", sha256=hashlib.sha256(data).hexdigest(), **changes)
    (folder / "mine.json").write_text(json.dumps(manifest))
    (folder / "mine.onnx").write_bytes(data)
    return folder / "mine.onnx"


def difference(one: Any, other: Any, count: int = 5) -> float:
    batch = torch.randn(count, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return float((one(batch) - other(batch)).abs().max())


@pytest.mark.parametrize("name", ["dscnn", "fast", "resnet18"])
def test_an_export_loads_back(name: str, tmp_path: Path) -> None:
    network = shake(create_network(name, 7))
    loaded = load_onnx(write(tmp_path, to_onnx(deployed(network)), network=name))
    assert loaded.state_dict().keys() == network.state_dict().keys()
    assert not loaded.training
    assert difference(loaded, network) < 1e-3
    assert difference(create_network(name, 7).eval(), network) > 0.1  # the check can fail


def test_a_file_of_half_precision_loads_back_rounded(tmp_path: Path) -> None:
    network = shake(create_network("dscnn", 7))
    loaded = load_onnx(write(tmp_path, to_fp16(to_onnx(network)), network="dscnn", precision="fp16"))
    assert 1e-6 < difference(loaded, network) < 5e-2


def test_the_shipped_models_load_back() -> None:
    for manifest in list_models():
        if manifest.precision == "fp32":
            assert sum(p.numel() for p in load_onnx(manifest.name).parameters()) >= manifest.parameters


def test_calibration_changes_statistics_and_not_the_network(tmp_path: Path) -> None:
    network = shake(create_network("dscnn", 7))
    path = write(tmp_path, to_onnx(network))
    loaded, kept = load_onnx(path), load_onnx(path)
    faces = torch.randn(24, 1, 48, 48, generator=torch.Generator().manual_seed(2))
    calibrate(loaded, faces)
    assert difference(loaded, network) < 1e-3
    loaded.train()
    kept.train()
    for each in (loaded, kept):
        each.drop.eval()
    with torch.no_grad():
        expected = network(faces)
        assert (loaded(faces) - expected).abs().max() < 0.1 * (kept(faces) - expected).abs().max()


class _Unusual(torch.nn.Module):
    """Two branches of one shape, a normalisation before its convolution, one after a linear bias, and a bare product."""

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.right = nn.Conv2d(1, 4, 3, 2, 1, bias=False)  # not in the order of execution
        self.left = nn.Conv2d(1, 4, 3, 2, 1, bias=True)
        self.after, self.before = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 4, 3, 2, 1, groups=2, bias=True)
        self.fc = nn.Linear(4, 5, bias=False)
        self.out = nn.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        x = self.after(self.left(x)) + self.right(x)
        x = self.last(torch.relu(self.before(x)))
        return self.out(torch.relu(self.fc(x.mean((2, 3)))))


def test_any_topology_is_filled() -> None:
    network = shake(_Unusual())
    layers, half = read_layers(to_onnx(network))
    copy = _Unusual().eval()
    fill(copy, layers, 48)
    assert not half
    assert difference(copy, network) < 1e-5


def test_unfolded_normalisations_are_folded(tmp_path: Path) -> None:
    """As other exporters leave them."""
    rng = np.random.default_rng(0)
    values = {
        "w": rng.normal(size=(4, 1, 3, 3)), "scale": rng.uniform(0.5, 2, 4), "shift": rng.normal(size=4),
        "mean": rng.normal(size=4), "var": rng.uniform(0.5, 2, 4),
    }  # fmt: skip
    graph = onnx.parser.parse_graph(
        "g (float[n, 1, 48, 48] x) => (float[n, 4, 46, 46] y) "
        "{ h = Conv(x, w) y = BatchNormalization <epsilon = 0.001> (h, scale, shift, mean, var) }"
    )
    graph.initializer.extend(numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items())
    [layer], _ = read_layers(onnx.helper.make_model(graph).SerializeToString())
    factor = values["scale"] / np.sqrt(values["var"] + 0.001)
    np.testing.assert_allclose(layer.weight, values["w"] * factor[:, None, None, None], rtol=1e-5)
    np.testing.assert_allclose(layer.bias, values["shift"] - values["mean"] * factor, rtol=1e-4)


def test_an_export_of_another_network_is_refused(tmp_path: Path) -> None:
    data = to_onnx(create_network("dscnn", 7).eval())
    with pytest.raises(ModelError, match=r"mine\.onnx is not an export of the network 'fast'"):
        load_onnx(write(tmp_path, data, network="fast"))
    with pytest.raises(ModelError, match="its network 'other' is none of cnn"):
        load_onnx(write(tmp_path, data, network="other"))


def test_weights_that_compute_something_else_are_refused(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(to_onnx(shake(create_network("dscnn", 7))))
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Abs"
    with pytest.raises(ModelError, match="logits differ from ONNX Runtime's by"):
        load_onnx(write(tmp_path, model.SerializeToString()))


def test_a_quantised_file_is_refused_with_a_remedy() -> None:
    graph = onnx.parser.parse_graph("g (int8[n] x, float s, int8 z) => (float[n] y) { y = DequantizeLinear(x, s, z) }")
    with pytest.raises(ModelError, match="quantised: load the fp32 or fp16 file"):
        read_layers(onnx.helper.make_model(graph).SerializeToString())


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    for suffix in (".onnx", ".json"):
        shutil.copy(SHIPPED / f"{DEFAULT}{suffix}", tmp_path)
    path = tmp_path / f"{DEFAULT}.onnx"
    path.write_bytes(load_model(DEFAULT).onnx[:-1])
    with pytest.raises(ModelError, match="SHA-256 differs"):
        load_onnx(path)
