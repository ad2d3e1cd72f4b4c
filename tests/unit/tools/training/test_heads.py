"""A network of three heads, from two data sets to one ONNX file with named heads."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from command_help import command  # noqa: E402
from ferengine.classification.classifier import Classifier  # noqa: E402
from ferengine.cli.app import app  # noqa: E402
from ferengine.errors import FerengineError, UsageError  # noqa: E402
from ferengine.models.registry import load_model  # noqa: E402
from ferengine.vision import cv2  # noqa: E402
from ferengine_tools.data.utkface import SPLITS, load_colours, split_of  # noqa: E402
from ferengine_tools.training.heads import (  # noqa: E402
    MAX_AGE,
    Measured,
    ThreeHeads,
    export_heads,
)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """40 coloured squares called as the images of UTKFace: women are red, men are blue."""
    path = tmp_path / "people.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(40):
            image = np.full((64, 64, 3), (200, 40, 20) if number % 2 == 0 else (20, 40, 200), np.uint8)
            name = f"{20 + number}_{number % 2}_0_2017{number:04}.png"
            archive.writestr(name, cv2.imencode(".png", image)[1].tobytes())
        archive.writestr("61_1_20170109.png", b"without a full label")
    return path


def test_colours_are_loaded_in_rgb_with_their_labels(people: Path) -> None:
    faces = load_colours(people, 24)
    assert faces.images.shape == (40, 3, 24, 24)
    assert faces.age.tolist() == sorted(faces.age.tolist())
    for image, gender in zip(faces.images, faces.gender, strict=True):
        red, _, blue = image.reshape(3, -1).mean(axis=1)
        assert (red > blue) == (gender == 1)
    assert faces.split[0] == split_of("20_0_0_20170000.png")
    assert set(faces.split) <= set(range(len(SPLITS)))


def test_the_command_writes_a_model_that_can_be_added(
    bars: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    out = tmp_path / "runs" / "three.onnx"
    arguments = ["train-heads", "--data", bars, "--gender-data", people, "--out", out, "--size", 24, "--epochs", 2]
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0].startswith("epoch 1 of 2: loss ")
    added = CliRunner().invoke(app, ["models", "add", str(out)])
    assert added.output == "added three: expression (7 classes), gender_presentation (2 classes), age (1 values)\n"
    manifest = load_model("three").manifest
    assert (manifest.input.crop, manifest.training.epochs) == ((24, "rgb"), 2)
    assert manifest.training.dataset == f"own faces ({bars.name}) and UTKFace"
    assert manifest.accuracy.dataset == f"own faces ({bars.name})"
    assert f"trained on own faces ({bars.name}), whose owner decides" in manifest.licence
    numbers = Classifier("three").read(load_colours(people, 24).images)
    np.testing.assert_allclose(numbers[:, :7].sum(axis=1), 1, atol=1e-4)
    assert (numbers[:, 9] >= 0).all()
    assert (numbers[:, 9] <= MAX_AGE).all()


def test_what_would_be_of_no_use_is_refused_before_training(bars: Path, people: Path, tmp_path: Path) -> None:
    main, sets = command("train-heads"), ["--gender-data", str(people)]
    with pytest.raises(UsageError, match=r"three must end in \.onnx"):
        main([*sets, "--data", str(bars), "--out", str(tmp_path / "three")])
    rows = [row for row in bars.read_text().splitlines() if not row.endswith("PublicTest")]
    (tmp_path / "few.csv").write_text("\n".join(rows))
    with pytest.raises(UsageError, match="no faces of the PublicTest of FER-2013"):
        main([*sets, "--data", str(tmp_path / "few.csv"), "--out", str(tmp_path / "three.onnx"), "--size", "24"])
    assert not (tmp_path / "three.onnx").exists()


def test_a_place_that_cannot_be_written_is_refused_before_training(
    bars: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ferengine_tools.training.heads.train_heads", lambda *_, **__: pytest.fail("it was trained"))
    main, given = command("train-heads"), ["--data", str(bars), "--gender-data", str(people), "--out"]
    (tmp_path / "three.json").write_text('{"happy": 0.7}')
    with pytest.raises(UsageError, match=r"three\.json, where the manifest is written, is no manifest: choose another --out"):
        main([*given, str(tmp_path / "three.onnx")])
    assert (tmp_path / "three.json").read_text() == '{"happy": 0.7}'
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(UsageError, match=r"folder\.onnx is a folder: choose another --out"):
        main([*given, str(tmp_path / "folder.onnx")])
    with pytest.raises(FerengineError, match=r"three\.onnx cannot be written: .*: choose another --out"):
        main([*given, "/proc/three.onnx"])


def test_images_without_a_full_label_are_counted(people: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_colours(people, 24)
    assert "1 image without a full label is left out, such as 61_1_20170109.png" in caplog.text


def test_the_file_computes_what_the_network_does(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = ThreeHeads(3).eval()
    path = tmp_path / "three.onnx"
    export_heads(network, path, size=16, labels=("a", "b", "c"), training={"command": "none"}, measured=Measured(0.5, 0.5, 9))
    crops = np.random.default_rng(0).integers(0, 256, (6, 3, 16, 16), np.uint8)
    with torch.no_grad():
        expected = network((torch.from_numpy(crops).float() / 255 - 0.5) / 0.25)
    for found, raw in zip(Classifier(path).raw(crops), expected, strict=True):
        np.testing.assert_allclose(found, raw.numpy(), rtol=1e-3, atol=1e-3)
