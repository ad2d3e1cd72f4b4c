"""Several models measured as one: ``ferengine evaluate --model A B``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from command_help import command
from ferengine.classification.classifier import Classifier
from ferengine.errors import UsageError
from ferengine.vision import cv2
from ferengine_tools.data.fer2013 import LABELS, load_fer2013
from ferengine_tools.evaluation.crops import probabilities, views
from ferengine_tools.evaluation.ensemble import Ensemble, open_ensemble
from ferengine_tools.evaluation.network import Network

main = command("evaluate")

TURNED = (*LABELS[1:], LABELS[0])


@pytest.fixture(autouse=True)
def times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speed is another test's."""
    monkeypatch.setattr("ferengine_tools.evaluation.speed.speeds", lambda classifier: {"1": 200.15, "8": 80.0, "32": 60.0})


@pytest.fixture
def pair(bar_models: Any, tmp_path: Path) -> list[str]:
    """Two models of the same classes in different order: the first is always right, the second, less sure, always wrong."""
    right = bar_models.write(tmp_path, name="right", gain=0.05, temperature=0.5)
    wrong = bar_models.write(tmp_path, name="wrong", gain=0.02, temperature=2.0, labels=TURNED)
    return [str(right), str(wrong)]


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    main([str(each) for each in (*arguments, "--json")])
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def both(models: list[str]) -> list[str]:
    """The options that name two models."""
    return ["--model", models[0], "--model", models[1]]


def test_probabilities_are_averaged_at_each_ones_temperature(pair: list[str], bars: Path) -> None:
    images = load_fer2013(bars).images[:6]
    ensemble = open_ensemble(pair)
    assert (ensemble.labels, ensemble.task, ensemble.input_size, ensemble.temperature) == (LABELS, "expression", 48, None)
    first, second = (Classifier(path).scores(images) for path in pair)
    expected = (first + np.roll(second, 1, axis=1)) / 2  # its first label is our second
    np.testing.assert_allclose(ensemble.probabilities(ensemble.logits(images)), expected, atol=1e-6)
    mirrored = ensemble.probabilities(ensemble.logits(list(views(images, 2))[1]))
    np.testing.assert_allclose(probabilities(ensemble, images, 2), (expected + mirrored) / 2, atol=1e-6)


def test_one_model_keeps_its_temperature(pair: list[str]) -> None:
    assert open_ensemble(pair[:1]).temperature == 0.5


def test_a_network_of_smaller_crops_gets_them_smaller() -> None:
    seen: list[tuple[int, ...]] = []

    def logits(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(crops.shape)
        return np.zeros((len(crops), 2), np.float32)

    networks = tuple(Network(f"of {side}", "gender", ("male", "female"), side, 1.0, logits) for side in (24, 48))
    ensemble = Ensemble(networks)
    assert ensemble.input_size == 48
    assert ensemble.probabilities(ensemble.logits(np.zeros((3, 48, 48), np.uint8))).tolist() == [[0.5, 0.5]] * 3
    assert seen == [(3, 24, 24), (3, 48, 48)]


def test_models_that_do_not_go_together(bar_models: Any, pair: list[str], tmp_path: Path, bars: Path) -> None:
    more = str(bar_models.write(tmp_path, name="more", labels=(*LABELS, "contempt")))
    with pytest.raises(UsageError, match=r"right knows angry, .*, more angry, .*contempt: only models of the same classes"):
        open_ensemble([pair[0], more])
    gender = str(bar_models.write(tmp_path, name="gender", task="gender", labels=("male", "female")))
    with pytest.raises(UsageError, match="right reads expression, gender gender: only models of one task"):
        open_ensemble([pair[0], gender])
    with pytest.raises(UsageError, match=r"right\.onnx is named twice"):
        main(["--model", pair[0], "--model", pair[0], "--data", str(bars)])
    for again in (f"{tmp_path}/./right.onnx", str(bar_models.write(tmp_path, name="copy", gain=0.05, temperature=1.0))):
        with pytest.raises(UsageError, match=r"is the same network as .*/right\.onnx: an average takes different ones$"):
            main(["--model", pair[0], "--model", again, "--data", str(bars)])
    with pytest.raises(UsageError, match="--fit-temperature is for one model at a time"):
        main([*both(pair), "--data", str(bars), "--fit-temperature"])


def test_the_json_names_all_models(pair: list[str], bars: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, *both(pair), "--data", bars, "--split", "private", "--crops", 2)
    assert (found["model"], found["models"]) == ("right + wrong", ["right", "wrong"])
    assert found["accuracy"] == 1  # the surer one decides
    assert found["calibrated"] == {"temperature": None, "nll": found["nll"], "ece": found["ece"]}
    assert found["averaged"]["crops"] == 2
    assert found["microseconds"] == {"1": 400.3, "8": 160.0, "32": 120.0}
    repeated = run(capsys, "--model", pair[1], "--model", pair[0], "--data", bars, "--split", "private")
    assert repeated["model"] == "wrong + right"
    assert (repeated["accuracy"], repeated["nll"]) == (1, pytest.approx(found["nll"]))
    assert np.trace(repeated["confusion"]) == 14
    assert run(capsys, "--model", pair[1], "--data", bars, "--split", "private")["accuracy"] == 0


def test_what_a_person_reads(pair: list[str], bars: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*both(pair), "--data", str(bars)])
    printed = capsys.readouterr().out
    assert "right + wrong on public: 14 faces" in printed
    assert "the mean of 2 models' probabilities, each at its own temperature" in printed
    assert "single crop      accuracy 100.00 %" in printed
    assert "  temperature" not in printed
    assert "microseconds per face, the sum of 2 models, one thread: 400.3 at batch 1" in printed


def test_images_and_mistakes_of_a_folder(
    pair: list[str], bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra `train`)")
    data = load_fer2013(bars)
    for row in data.indices("public"):
        folder = tmp_path / "faces" / TURNED[data.labels[row]]  # each in the next one's folder: all are mistakes
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{row}.png"), data.images[row])
    confusion, errors = tmp_path / "confusion.png", tmp_path / "errors"
    arguments = (*both(pair), "--data", tmp_path / "faces", "--split", "folder")
    found = run(capsys, *arguments, "--confusion", confusion, "--errors", errors)
    assert (found["faces"], found["accuracy"]) == (14, 0)
    assert cv2.imread(str(confusion)) is not None
    assert len((errors / "mistakes.csv").read_text().splitlines()) == 15
