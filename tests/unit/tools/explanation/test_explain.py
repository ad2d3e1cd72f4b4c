"""Grad-CAM and guided back-propagation, and ``ferengine explain``."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")
pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra `train`)")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from ferengine.classification.classifier import Classifier  # noqa: E402
from ferengine.cli.command import call  # noqa: E402
from ferengine.errors import ModelError, SourceError, UsageError  # noqa: E402
from ferengine.models.registry import DEFAULT, SHIPPED, load_model  # noqa: E402
from ferengine.models.settings import FILE_ON_CPU  # noqa: E402
from ferengine.vision import cv2  # noqa: E402
from ferengine_tools.explain import explain as explain_command  # noqa: E402
from ferengine_tools.explanation.attribution import _laid as laid  # noqa: E402
from ferengine_tools.explanation.attribution import explain  # noqa: E402
from ferengine_tools.explanation.faces import ImageFaces  # noqa: E402
from ferengine_tools.explanation.figure import blend, on_photograph  # noqa: E402
from ferengine_tools.explanation.tracing import Lattice, Trace  # noqa: E402
from ferengine_tools.networks.registry import create_network  # noqa: E402

torch.set_num_threads(1)


class Spots(nn.Module):
    """Class 0 sums what is bright, class 1 what is dark, each in a map of its own, 12 x 12."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 4, 4, bias=False)
        self.conv.weight.data[0] = 1 / 16
        self.conv.weight.data[1] = -1 / 16

    def forward(self, x: Any) -> Any:
        return functional.relu(self.conv(x)).sum((2, 3))


def spotted(row: int, column: int, value: float) -> Any:
    batch = np.zeros((1, 1, 48, 48), np.float32)
    batch[0, 0, row : row + 4, column : column + 4] = value
    return batch


def test_the_map_is_hot_where_the_class_was_seen() -> None:
    bright, dark = spotted(8, 32, 2.0), spotted(40, 4, -3.0)
    found = explain(Spots(), np.concatenate([bright + dark, bright + dark]), None)
    assert found.targets.tolist() == [1, 1]
    assert found.cam.shape == found.guided.shape == (2, 48, 48)
    assert np.unravel_index(found.cam[0].argmax(), (48, 48)) in {(r, c) for r in (41, 42) for c in (5, 6)}
    assert found.cam.max() == pytest.approx(1, abs=0.13)  # the centre of a cell lies between pixels
    assert found.cam[0, 8:12, 32:36].max() == 0
    other = explain(Spots(), bright + dark, target=0)
    assert np.unravel_index(other.cam[0].argmax(), (48, 48)) in {(r, c) for r in (9, 10) for c in (33, 34)}
    assert (other.guided[0, 8:12, 32:36] > 0).all()
    assert np.count_nonzero(other.guided) == 16


def test_prior_chooses_the_class_that_is_explained() -> None:
    """A bright and a darker spot: a shift of the logits, as of a prior, makes the bright one win."""
    batch = spotted(8, 32, 2.0) + spotted(40, 4, -3.0)
    assert explain(Spots(), batch).targets.tolist() == [1]
    assert explain(Spots(), batch, shift=np.array([1.5, 0.0])).targets.tolist() == [0]
    assert explain(Spots(), batch, target=1, shift=np.array([1.5, 0.0])).targets.tolist() == [1]


def test_guided_gradients_pass_only_where_all_is_positive() -> None:
    class Two(nn.Module):
        def forward(self, x: Any) -> Any:
            first = torch.relu(x.flatten(1))
            return torch.stack([first[:, 0] - first[:, 1] + first[:, 2], functional.relu(x)[:, 0, 0].sum(1)], 1)

    batch = np.zeros((1, 1, 2, 2), np.float32)
    batch[0, 0] = [[1.0, 1.0], [-1.0, 0.0]]
    found = explain(Two(), batch, target=0)
    assert found.guided[0].tolist() == [[1, 0], [0, 0]]  # a negative gradient, and a negative input, stop
    np.testing.assert_allclose(found.logits, [[0, 2]])


def test_both_are_those_of_captum() -> None:
    attr = pytest.importorskip("captum.attr", reason="captum is not installed")
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 3),
    ).eval()  # fmt: skip
    batch = np.random.default_rng(0).normal(size=(4, 1, 48, 48)).astype(np.float32)
    found, inputs = explain(network, batch), torch.from_numpy(batch).requires_grad_()
    targets = torch.from_numpy(found.targets)
    cells = attr.LayerGradCam(network, network[4]).attribute(inputs, targets, relu_attributions=True).detach()
    cam = laid(cells[:, 0], Lattice(0, 4), 48)
    np.testing.assert_allclose(found.cam, cam / cam.amax((1, 2), keepdim=True), atol=1e-5)
    with warnings.catch_warnings(action="ignore"):  # it says that it hooks into the ReLUs
        guided = attr.GuidedBackprop(network).attribute(inputs, targets)
    np.testing.assert_allclose(found.guided, guided[:, 0].detach(), atol=1e-6)


def test_faces_of_a_batch_do_not_mix() -> None:
    torch.manual_seed(0)
    network = create_network("dscnn", 7)
    batch = np.random.default_rng(0).normal(size=(3, 1, 48, 48)).astype(np.float32)
    together = explain(network, batch)
    for index in range(3):
        alone = explain(network, batch[index : index + 1])
        np.testing.assert_allclose(alone.cam[0], together.cam[index], atol=1e-4)
        np.testing.assert_allclose(alone.guided[0], together.guided[index], atol=1e-5)
    with torch.no_grad():
        np.testing.assert_allclose(network(torch.from_numpy(batch)).numpy(), together.logits, atol=1e-5)


def test_a_network_without_maps_is_refused() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(48 * 48, 7), nn.ReLU())
    with pytest.raises(ModelError, match="no map of a ReLU"):
        explain(flat, spotted(0, 0, 1.0))


@pytest.mark.parametrize(
    ("layers", "lattice"),
    [
        ([nn.Conv2d(1, 1, 3, 2, 1)], Lattice(0, 2)),
        ([nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 3, 2, 1)], Lattice(0, 4)),
        ([nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(2)], Lattice(0.5, 2)),
        ([nn.Conv2d(1, 1, 7, 2, 3), nn.MaxPool2d(3, 2, padding=1)], Lattice(0, 4)),
        ([nn.AvgPool2d(2), nn.Conv2d(1, 1, 5)], Lattice(4.5, 2)),
        ([nn.Conv2d(1, 1, 3, dilation=3)], Lattice(3, 1)),
    ],
)
def test_the_cells_of_a_map_are_where_their_field_is(layers: list[Any], lattice: Lattice) -> None:
    network = nn.Sequential(*layers, nn.BatchNorm2d(1), nn.ReLU()).eval()
    batch = torch.zeros(1, 1, 48, 48, requires_grad=True)
    with Trace(lambda x: x) as seen:
        network(batch)
    assert seen.lattice == lattice
    assert seen.map is not None
    cell = seen.map.shape[-1] // 2
    for parameter in network.parameters():
        parameter.data.fill_(1.0)
    torch.manual_seed(0)
    touched = torch.zeros(48)
    for _ in range(60):  # a maximum passes its gradient to one pixel at a time
        noise = torch.randn(1, 1, 48, 48, requires_grad=True)
        (slope,) = torch.autograd.grad(network[:-1](noise)[0, 0, cell, cell], noise)
        touched += slope[0, 0].abs().sum(1)
    pixels = torch.nonzero(touched).flatten().double()
    assert (pixels.min() + pixels.max()).item() / 2 == lattice.start + cell * lattice.step


def test_maps_are_laid_back_onto_the_photograph() -> None:
    image = np.full((100, 120, 3), 90, np.uint8)
    cam = np.zeros((1, 48, 48), np.float32)
    cam[0, 36:, :12] = 1  # the lower left of the face
    squares = np.array([[60, 50, 48, 0]], np.float32)
    drawn = on_photograph(ImageFaces(np.zeros((1, 48, 48), np.uint8), image, squares), cam)
    changed = (drawn != 90).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (62, 73, 36, 47)
    turned = np.array([[60, 50, 48, np.pi / 2]], np.float32)  # clockwise: the lower left goes to the upper left
    drawn = on_photograph(ImageFaces(np.zeros((1, 48, 48), np.uint8), image, turned), cam)
    rows, columns = np.nonzero((drawn != 90).any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (26, 37, 36, 47)


def test_what_is_cold_stays_as_it_was() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(blend(image, np.zeros((8, 8), np.float32)), image)
    red, _, blue = blend(np.zeros((1, 1, 3), np.uint8), np.ones((1, 1), np.float32))[0, 0].tolist()
    assert red > 50 > blue


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = pytest.importorskip("skimage.data", reason="the extra `demo` is not installed")
    path = tmp_path_factory.mktemp("images") / "portrait.png"
    cv2.imwrite(str(path), data.astronaut()[..., ::-1])
    return path


def test_a_photograph_is_explained(portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "explained.png"
    call(explain_command, "ferengine explain", [str(portrait), "--out", str(out), "--model", DEFAULT])
    assert capsys.readouterr().out.startswith("happy ")
    image = cv2.imread(str(out))
    assert image is not None
    assert image.shape[0] > image.shape[1] > 1000
    call(explain_command, "ferengine explain", [str(portrait), "--out", str(out), "--label", "sad"])
    assert capsys.readouterr().out.startswith("sad ")


def test_prior_of_an_explanation(portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "explained.png")]
    certain = tmp_path / "sad.json"
    labels = load_model(DEFAULT).manifest.labels
    certain.write_text(json.dumps(dict.fromkeys(labels, 1e-6) | {"sad": 1 - 6e-6}))
    call(explain_command, "ferengine explain", [str(portrait), *out, "--prior", str(certain)])
    told = capsys.readouterr().out
    assert told.startswith("sad ")
    assert f"class prior: {certain}\n" in told
    call(explain_command, "ferengine explain", [str(portrait), *out])
    assert "class prior: everyday\n" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--prior is for models"):
        call(explain_command, "ferengine explain", [str(portrait), "--checkpoint", "a.safetensors", "--prior", "uniform"])


def test_crop_is_explained_from_a_checkpoint(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face = tmp_path / "face.png"
    cv2.imwrite(str(face), np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    arguments = [str(face), "--crop", "--checkpoint", str(whole), "--out", str(tmp_path / "out.png")]
    call(explain_command, "ferengine explain", arguments)
    assert "written to" in capsys.readouterr().out
    assert (tmp_path / "out.png").stat().st_size > 10_000
    with pytest.raises(ModelError, match="is a checkpoint of 'dscnn', not of 'fast'"):
        call(explain_command, "ferengine explain", [str(face), "--crop", "--checkpoint", str(whole), "--model", "fast"])


def test_a_dim_face_is_explained_as_a_run_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crop = np.random.default_rng(3).integers(20, 40, (48, 48), np.uint8)
    cv2.imwrite(str(tmp_path / "dim.png"), crop)
    classifier = Classifier("dscnn", backend=FILE_ON_CPU)
    [scores] = classifier.scores(crop[None])
    arguments = [str(tmp_path / "dim.png"), "--crop", "--model", "dscnn", "--out", str(tmp_path / "out.png")]
    call(explain_command, "ferengine explain", arguments)
    best = int(scores.argmax())
    assert f"{classifier.labels[best]} {100 * scores[best]:.0f} %" in capsys.readouterr().out


def test_images_that_cannot_be_explained(portrait: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent\.png does not exist"):
        call(explain_command, "ferengine explain", [str(tmp_path / "absent.png")])
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(SourceError, match="cannot be read as an image"):
        call(explain_command, "ferengine explain", [str(broken)])
    cv2.imwrite(str(tmp_path / "deep.tif"), np.full((90, 90, 3), 0.5, np.float64))
    with pytest.raises(SourceError, match=r"deep\.tif has pixels of 64-bit floats: save it with 8 or 16 bits a channel$"):
        call(explain_command, "ferengine explain", [str(tmp_path / "deep.tif"), "--crop"])
    cv2.imwrite(str(broken), np.zeros((90, 120, 3), np.uint8))
    with pytest.raises(SourceError, match="no face found: try --min-face 20, or --crop"):
        call(explain_command, "ferengine explain", [str(broken)])
    with pytest.raises(UsageError, match="120 x 90 pixels: --crop takes a square crop of a face"):
        call(explain_command, "ferengine explain", [str(broken), "--crop"])
    with pytest.raises(UsageError, match="--label 'bored' is not a class of the model: angry"):
        call(explain_command, "ferengine explain", [str(portrait), "--label", "bored"])
    for suffix in (".onnx", ".json"):
        shutil.copy(SHIPPED / f"{DEFAULT}{suffix}", tmp_path)
    (tmp_path / f"{DEFAULT}.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        call(explain_command, "ferengine explain", [str(portrait), "--model", str(tmp_path / f"{DEFAULT}.onnx")])
