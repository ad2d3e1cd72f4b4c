"""``ferengine evaluate`` on synthetic faces that a linear network reads without a mistake."""

from __future__ import annotations

import csv
import json
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from command_help import command
from ferengine.classification.classifier import Classifier
from ferengine.errors import UsageError
from ferengine.models.registry import load_model
from ferengine.vision import cv2
from ferengine_tools.data.fer2013 import LABELS, load_fer2013
from ferengine_tools.evaluation import speed
from ferengine_tools.evaluation.crops import probabilities, views
from ferengine_tools.evaluation.ensemble import Ensemble
from ferengine_tools.evaluation.evaluation import Evaluation, evaluate_faces
from ferengine_tools.evaluation.mapping import LabelMap
from ferengine_tools.evaluation.network import of_classifier
from ferengine_tools.evaluation.paper import TABLE_ONE
from ferengine_tools.evaluation.priors import known_priors
from ferengine_tools.evaluation.sets import copies, fer2013_faces
from ferengine_tools.evaluation.speed import microseconds

main = command("evaluate")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speed is another test's."""
    monkeypatch.setattr(speed, "microseconds", lambda classifier, batch: 1.0)


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    main([str(each) for each in (*arguments, "--json")])
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_a_split_of_fer2013(bar_models: Any, bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = bar_models.write(tmp_path, gain=0.05, temperature=0.01)
    found = run(capsys, "--model", model, "--data", bars, "--split", "private")
    assert (found["split"], found["faces"], found["crops"], found["averaged"]) == ("private", 14, 1, None)
    assert found["accuracy"] == found["macro_f1"] == 1
    assert found["recall"] == dict.fromkeys(LABELS, 1.0)
    assert found["confusion"] == (2 * np.eye(7, dtype=int)).tolist()
    # unsure at a temperature of 1, sure at that of the manifest
    assert found["ece"] > 0.8
    assert found["nll"] > 1.8
    assert found["calibrated"]["temperature"] == 0.01
    assert found["calibrated"]["ece"] < 0.05
    assert found["table_one"]["paper"] == TABLE_ONE.tolist()
    assert found["table_one"]["ours"] == np.eye(7).tolist()
    assert found["microseconds"].keys() == {"1", "8", "32"}
    assert "ONNX Runtime" in found["machine"]


def test_the_order_of_labels_is_the_models_own(bar_models: Any, bars: Path, tmp_path: Path) -> None:
    def evaluate(path: Path) -> Evaluation:
        return evaluate_faces(Classifier(path), fer2013_faces(bars, "public"), "public")[0]

    straight = evaluate(bar_models.write(tmp_path))
    rotated = evaluate(bar_models.write(tmp_path, labels=(*LABELS[1:], LABELS[0]), name="rotated"))
    assert straight.accuracy == 1
    assert rotated.accuracy == 0
    assert rotated.classes == LABELS
    assert rotated.metrics.confusion == np.roll(2 * np.eye(7, dtype=int), 1, axis=1).tolist()


def test_views_are_reported_separately(bar_models: Any, bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = bar_models.write(tmp_path)
    alone = run(capsys, "--model", model, "--data", bars)
    for crops in (2, 10):
        both = run(capsys, "--model", model, "--data", bars, "--crops", crops)
        averaged = both.pop("averaged")
        assert averaged["crops"] == crops
        assert averaged["accuracy"] == 1
        assert both == {key: value for key, value in alone.items() if key != "averaged"}


def test_ten_views_are_five_places_and_their_mirror_images() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8)
    ten = list(views(images, 10))
    assert len(ten) == 10
    assert all(view.shape == images.shape for view in ten)
    np.testing.assert_array_equal(ten[0], images)
    for first, second in zip(ten[::2], ten[1::2], strict=True):
        np.testing.assert_array_equal(first, second[:, :, ::-1])
    np.testing.assert_array_equal(ten[2][:, 2:, 2:], images[:, :-2, :-2])  # moved right and down
    np.testing.assert_array_equal(ten[2][:, 0, 2:], images[:, 0, :-2])  # borders are repeated
    assert len({view.tobytes() for view in ten}) == 10
    assert [view.tobytes() for view in views(images, 2)] == [view.tobytes() for view in ten[:2]]
    assert [view.tobytes() for view in views(images, 1)] == [images.tobytes()]


def test_averaged_probabilities(bar_models: Any, bars: Path, tmp_path: Path) -> None:
    classifier = Classifier(bar_models.write(tmp_path))
    images = load_fer2013(bars).images[:4]
    mean = np.mean([classifier.scores(view) for view in views(images, 10)], axis=0)
    np.testing.assert_allclose(probabilities(Ensemble((of_classifier(classifier),)), images, 10), mean, atol=1e-6)


def test_copies_of_training_images_are_left_out(
    bar_models: Any, bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(csv.reader(bars.open()))
    first = next(row for row in rows if row[2] == "PrivateTest")
    path = tmp_path / "fer2013.csv"
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([*rows, [first[0], first[1], "Training"]])
    model = bar_models.write(tmp_path)
    found = run(capsys, "--model", model, "--data", path, "--split", "private", "--without-copies", "exact")
    assert found["faces"] == 13
    assert run(capsys, "--model", model, "--data", path, "--split", "private")["faces"] == 14
    data = load_fer2013(path)
    assert copies(data.images[data.indices("private")], data.images[data.indices("training")]).sum() == 1


def test_a_fitted_temperature_is_kept(
    bar_models: Any, bars: Path, wild: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = bar_models.write(tmp_path)
    found = run(capsys, "--model", model, "--data", bars, "--split", "private", "--fit-temperature")
    kept = load_model(model).manifest.temperature
    assert found["calibrated"]["temperature"] == kept
    assert 0.05 <= kept < 0.1  # the smallest: nothing is ever wrong here
    assert found["calibrated"]["nll"] < found["nll"]
    known = bar_models.write(tmp_path, name="known", priors=known_priors(LABELS), prior="everyday")
    run(capsys, "--model", known, "--data", bars, "--split", "private", "--fit-temperature")
    assert list(load_model(known).manifest.temperatures) == ["fer2013"]
    everyday = run(capsys, "--model", known, "--data", wild, "--fit-temperature")
    temperatures = load_model(known).manifest.temperatures
    assert list(temperatures) == ["fer2013", "everyday"]
    assert everyday["calibrated"]["temperature"] == temperatures["everyday"]
    with pytest.raises(UsageError, match="dscnn is an installed model"):
        main(["--model", "dscnn", "--data", str(bars), "--fit-temperature"])
    before = known.with_suffix(".json").read_bytes()
    with pytest.raises(UsageError, match="--groups needs --split folder"):
        main(["--model", str(known), "--data", str(bars), "--fit-temperature", "--groups", "groups.csv"])
    assert known.with_suffix(".json").read_bytes() == before


def write_folder(folder: Path, bars: Path, names: dict[str, str]) -> None:
    data = load_fer2013(bars)
    for row in data.indices("public"):
        name = names.get(LABELS[data.labels[row]])
        if name is not None:
            (folder / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name / f"{row}.png"), data.images[row])


def test_any_folder_with_a_map_and_groups(
    bar_models: Any, bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = tmp_path / "faces"
    write_folder(faces, bars, {"happy": "joy", "sad": "grief", "fear": "contempt"})
    model = bar_models.write(tmp_path)
    command = ("--model", model, "--data", faces, "--split", "folder")
    with pytest.raises(UsageError, match=r"the class 'contempt', the model angry, .*--map labels\.toml"):
        main([str(each) for each in command])
    label_map = tmp_path / "labels.toml"
    label_map.write_text('[folders]\njoy = "happy"\ngrief = "neutral"\ncontempt = false\n')
    names = sorted(path.relative_to(faces).as_posix() for path in faces.glob("*/*.png") if path.parent.name != "contempt")
    groups = tmp_path / "groups.csv"
    groups.write_text("\n".join(["file,age", *(f"{name},{'old' if 'joy' in name else 'young'}" for name in names)]))
    found = run(capsys, *command, "--map", label_map, "--groups", groups)
    assert found["faces"] == 4
    assert found["accuracy"] == 0.5  # the grief that was called neutral is read as sad
    assert found["recall"]["happy"] == 1
    assert found["recall"]["neutral"] == 0
    assert found["recall"]["angry"] is None
    assert found["macro_f1"] == 0.5  # over the classes that are there
    assert [(each["group"], each["correct"], each["faces"]) for each in found["groups"]["age"]] == [
        ("old", 2, 2),
        ("young", 0, 2),
    ]
    label_map.write_text('[folders]\njoy = "happy"\ngrief = "neutral"\ncontempt = false\n[outputs]\nsad = "neutral"\n')
    assert run(capsys, *command, "--map", label_map)["accuracy"] == 1
    label_map.write_text('[folders]\njoi = "happy"\n')
    with pytest.raises(UsageError, match="the map's folders name 'joi'; the data have contempt, grief, joy"):
        run(capsys, *command, "--map", label_map)


def test_an_eighth_class_counts_unless_it_is_left_out(bar_models: Any, bars: Path, tmp_path: Path) -> None:
    model = Classifier(bar_models.write(tmp_path, labels=(*LABELS, "contempt")))
    result, predictions = evaluate_faces(model, fer2013_faces(bars, "public"), "public")
    assert result.classes == (*LABELS, "contempt")
    assert "table_one" not in result.to_dict()
    assert predictions.scores.shape == (14, 8)
    assert result.accuracy == 1


def test_options_that_do_not_go_together(bar_models: Any, bars: Path, tmp_path: Path) -> None:
    model = str(bar_models.write(tmp_path))
    common = ["--model", model, "--data", str(bars)]
    with pytest.raises(UsageError, match="--groups needs --split folder"):
        main([*common, "--groups", "groups.csv"])
    with pytest.raises(UsageError, match="--without-copies and --labels need a split of FER-2013"):
        main(["--model", model, "--data", str(tmp_path), "--split", "folder", "--without-copies", "exact"])
    with pytest.raises(UsageError, match="--without-copies is for public and private: it leaves out what is in train"):
        main([*common, "--split", "train", "--without-copies", "exact"])
    with pytest.raises(UsageError, match="for a model of expression choose one of train"):
        main([*common, "--split", "test"])
    with pytest.raises(UsageError, match="--fit-temperature is for a model's own classes"):
        main([*common, "--fit-temperature", "--map", "labels.toml"])
    (tmp_path / "happy").mkdir()
    with pytest.raises(UsageError, match="other folders of faces are read by ferengine evaluate --split folder"):
        main(["--model", model, "--data", str(tmp_path)])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("kept")
    with pytest.raises(UsageError, match="full is not an empty folder"):
        main([*common, "--errors", str(tmp_path / "full")])
    for inside in (tmp_path / "mistakes", tmp_path / "happy" / ".." / "happy" / "deep"):
        with pytest.raises(UsageError, match=r"lies in .*, and would be taken for a class of it: choose a folder elsewhere"):
            main(["--model", model, "--data", str(tmp_path), "--split", "folder", "--errors", str(inside)])
    with pytest.raises(UsageError, match="there is no model 'nothing'"):
        main(["--model", "nothing", "--data", str(bars)])


def test_what_a_person_reads(bar_models: Any, bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--model", str(bar_models.write(tmp_path)), "--data", str(bars), "--crops", "10"])
    printed = capsys.readouterr().out
    assert "bars on public: 14 faces" in printed
    assert "single crop      accuracy 100.00 %, macro F1 100.00 %" in printed
    assert "mean of 10 crops accuracy 100.00 %" in printed
    assert "0.59" in printed  # of Table I
    assert "1.0 at batch 32" in printed


def test_speed_is_reported_per_face(bar_models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier(bar_models.write(tmp_path))
    clock = count(0, 0.004)  # every look at it is 4 ms later
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert microseconds(classifier, 8, seconds=0.1) == pytest.approx(500)
    monkeypatch.setattr(speed, "microseconds", lambda classifier, batch: 1000 / batch)
    assert speed.speeds(classifier) == {"1": 1000.0, "8": 125.0, "32": 31.2}


def test_outputs_that_a_map_adds_up_count_alike_everywhere(bar_models: Any, bars: Path, tmp_path: Path) -> None:
    """Which class is read can depend on the temperature then: a run's is that of the manifest."""
    classifier = Classifier(bar_models.write(tmp_path, gain=0.05, temperature=0.01))
    label_map = LabelMap(dict.fromkeys(LABELS[1:], "other"), dict.fromkeys(LABELS[1:], "other"))
    faces = fer2013_faces(bars, "private").renamed(label_map)
    found, predictions = evaluate_faces(classifier, faces, "private", label_map=label_map)
    assert found.accuracy == predictions.right.mean() == 1
    assert found.metrics.confusion == [[2, 0], [0, 12]]
    assert found.metrics.nll > 0.3 > found.calibrated.nll  # at temperature 1 all are read as the other classes together


def test_names_of_groups_are_shown_as_they_are(
    bar_models: Any, bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "faces", bars, {name: name for name in LABELS})
    file = sorted((tmp_path / "faces").glob("*/*"))[0]
    (tmp_path / "groups.csv").write_text(f"file,[site]\n{file.relative_to(tmp_path / 'faces')},[/lab]\n")
    main(["--model", str(bar_models.write(tmp_path)), "--data", str(tmp_path / "faces"), "--split", "folder",
          "--groups", str(tmp_path / "groups.csv")])  # fmt: skip
    shown = capsys.readouterr().out
    assert "| [site] |" in shown
    assert "| [/lab] |" in shown


@pytest.mark.parametrize("option", ["--curve", "--confusion"])
def test_a_drawing_that_is_no_figure_is_refused_before_anything_is_measured(
    option: str, bar_models: Any, bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra `train`)")
    monkeypatch.setattr("ferengine_tools.evaluation.evaluation.evaluate_faces", lambda *given, **more: pytest.fail("measured"))
    out = tmp_path / "drawing.docx"
    with pytest.raises(UsageError, match=r"drawing.docx must end in one of .*\.pdf, .*\.png, .*\.svg"):
        main(["--model", str(bar_models.write(tmp_path)), "--data", str(bars), option, str(out)])
    assert not out.exists()
