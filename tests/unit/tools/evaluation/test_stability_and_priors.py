"""``ferengine evaluate``: class frequencies that are measured under, and how steady the labels are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_help import command
from ferengine.classification.classifier import Classifier
from ferengine.errors import UsageError
from ferengine_tools.evaluation import speed
from ferengine_tools.evaluation.ensemble import Ensemble
from ferengine_tools.evaluation.evaluation import evaluate_faces
from ferengine_tools.evaluation.metrics import of_five, softmax
from ferengine_tools.evaluation.network import Network, of_classifier
from ferengine_tools.evaluation.prior_curve import best, curve_table, prior_curve
from ferengine_tools.evaluation.priors import COUNTS, POWERS, known_priors, log_frequencies, log_prior, under
from ferengine_tools.evaluation.sets import fer2013_faces
from ferengine_tools.evaluation.stability import measure_stability

evaluate = command("evaluate")


def bright_at(row: int, column: int) -> Any:
    """Reads whether the pixel is bright."""
    return lambda crops: (crops[:, row, column] > 100).astype(np.intp)


def test_a_label_that_hangs_on_one_pixel_changes_as_that_moves() -> None:
    """A bright pixel at (4, 5) leaves its place in all eight directions; one beside a bright row's stays in two of them."""
    images = np.zeros((2, 10, 10), np.uint8)
    images[0, 4, 5] = 255
    images[1, 4, :] = 255
    found = measure_stability(bright_at(4, 5), images)
    assert found.shift == pytest.approx((8 + 6) / 16)
    assert found.mirror == pytest.approx(1 / 2)


def test_shifts_see_what_lies_around_a_crop() -> None:
    """The bright column just outside the crop comes in when the crop is moved to the right, in three of eight directions;
    repeated borders would never show it."""
    wide = np.zeros((1, 12, 12), np.uint8)
    wide[:, :, 10] = 255
    assert measure_stability(bright_at(4, 7), wide, 2).shift == pytest.approx(3 / 8)
    assert measure_stability(bright_at(4, 7), np.ascontiguousarray(wide[:, 2:10, 2:10])).shift == 0


def test_an_even_face_is_steady() -> None:
    found = measure_stability(lambda crops: crops.mean((1, 2)).astype(np.intp), np.full((3, 8, 8), 7, np.uint8))
    assert (found.shift, found.mirror) == (0, 0)


def test_named_priors_are_frequencies_of_the_models_own_labels() -> None:
    labels = ("neutral", "happy", "disgust")
    everyday = np.exp(log_frequencies("everyday", labels))
    counts = np.array([COUNTS["everyday"][label] + 5 for label in labels])
    np.testing.assert_allclose(everyday, counts / counts.sum())
    tempered = everyday ** POWERS["everyday"]
    np.testing.assert_allclose(np.exp(log_prior("everyday", labels)), tempered / tempered.sum())
    np.testing.assert_allclose(np.exp(log_prior("uniform", labels)), [1 / 3, 1 / 3, 1 / 3])
    with pytest.raises(UsageError, match=r"the prior fer2013 is of angry, .*; the model knows male, female"):
        log_prior("fer2013", ("male", "female"))
    with pytest.raises(UsageError, match=r"there is no prior 'mine'"):
        log_prior("mine", labels)


def test_known_priors_sum_to_one() -> None:
    found = known_priors(("male", "female"))
    assert list(found) == ["uniform", "utkface"]
    assert found["utkface"] == {"male": pytest.approx(9869 / 18886, abs=1e-6), "female": pytest.approx(9017 / 18886, abs=1e-6)}
    for prior in known_priors(tuple(COUNTS["fer2013"])).values():
        assert sum(prior.values()) == pytest.approx(1, abs=5e-6)


def test_a_network_moves_to_another_prior_and_back() -> None:
    labels = tuple(COUNTS["fer2013"])[:7]
    given = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    network = Network("it", "expression", labels, 48, 2.0, lambda crops: given, prior="fer2013")
    crops = np.zeros((4, 48, 48), np.uint8)
    there = under(Ensemble((network,)), "everyday")
    moved = there.logits(crops)[0] - given
    shift = log_prior("everyday", labels) - log_prior("fer2013", labels)
    np.testing.assert_allclose(moved, np.tile(2 * (shift - shift.mean()), (4, 1)), atol=1e-5)
    np.testing.assert_allclose(under(there, "fer2013").logits(crops)[0], given, atol=1e-5)
    cold = replace(network, temperatures={"everyday": 0.5})
    colder = under(Ensemble((cold,)), "everyday")
    found = colder.probabilities(colder.logits(crops))
    np.testing.assert_allclose(colder.networks[0].temperature, 0.5)
    uniform = given.astype(np.float64) - 2.0 * log_prior("fer2013", labels)
    np.testing.assert_allclose(found, softmax(uniform.astype(np.float32), 0.5, log_prior("everyday", labels)), atol=1e-5)
    np.testing.assert_allclose(under(colder, "fer2013").logits(crops)[0], given, atol=1e-5)
    unknown = Ensemble((replace(network, prior=None),))
    assert under(unknown, "everyday").networks[0] is unknown.networks[0]


def test_macro_f1_and_recall_of_five() -> None:
    classes = ("neutral", "happy", "sad", "surprise", "angry", "fear")
    confusion = np.diag([8, 6, 4, 2, 2, 1])
    confusion[0, 5] = 2  # neutral read as fear
    confusion[1, 0] = 2  # happy read as neutral
    found = of_five(confusion.tolist(), classes)
    assert found is not None
    assert found[0] == pytest.approx((16 / 20 + 12 / 14 + 1 + 1 + 1) / 5)
    assert found[1] == pytest.approx((0.8 + 0.75 + 1 + 1 + 1) / 5)
    assert of_five(confusion[:4, :4].tolist(), classes[:4]) is None


def test_faces_are_measured_under_their_own_prior_and_both_are_given(bar_models: Any, bars: Path, tmp_path: Path) -> None:
    classifier = Classifier(bar_models.write(tmp_path, gain=0.001))
    faces = fer2013_faces(bars, "public")
    assert (faces.prior, of_classifier(classifier).prior) == ("fer2013", "fer2013")
    own, _ = evaluate_faces(classifier, faces, "public")
    assert evaluate_faces(classifier, faces, "", prior="fer2013")[0].metrics == own.metrics
    everyday, _ = evaluate_faces(classifier, faces, "public", prior="everyday")
    assert (own.prior, everyday.prior) == ("fer2013", "everyday")
    assert own.uniform is not None
    assert everyday.uniform is not None
    assert own.uniform.confusion == everyday.uniform.confusion
    # logits of about 0.1: what is more frequent in everyday faces than in FER-2013 decides
    favoured = np.argmax(log_prior("everyday", classifier.labels) - log_prior("fer2013", classifier.labels))
    assert np.array(everyday.metrics.confusion)[:, favoured].sum() == len(faces)
    unknown, _ = evaluate_faces(classifier, replace(faces, prior=None), "folder")
    assert (unknown.prior, unknown.uniform) == (None, None)
    assert unknown.metrics == own.metrics


def test_a_prior_is_refused_where_nothing_is_known_of_the_models_own(bar_models: Any, bars: Path, tmp_path: Path) -> None:
    model = bar_models.write(tmp_path, labels=("low", "high"))
    faces = replace(fer2013_faces(bars, "public"), prior=None)
    faces = replace(faces.take(np.arange(2)), labels=np.array([0, 1]), classes=("low", "high"))
    assert evaluate_faces(Classifier(model), faces, "folder")[0].prior is None
    with pytest.raises(UsageError, match=r"prior everyday: .* names no priors and answers as it was trained"):
        evaluate_faces(Classifier(model), faces, "folder", prior="everyday")


def test_a_model_need_not_name_the_prior_of_the_data(bar_models: Any, bars: Path, tmp_path: Path) -> None:
    """One that names a prior of its own alone is measured as one that names all: its logits are under a uniform one."""
    labels = tuple(COUNTS["fer2013"])
    office = {label: 0.6 if label == "neutral" else 0.4 / 6 for label in labels}
    faces = fer2013_faces(bars, "public")
    own = Classifier(bar_models.write(tmp_path, name="own", gain=0.001, priors={"office": office}, prior="office"))
    all_known = {**known_priors(labels), "office": office}
    other = Classifier(bar_models.write(tmp_path, name="all", gain=0.001, priors=all_known, prior="office"))
    for prior in (None, "uniform", "everyday", "office"):
        found, expected = (evaluate_faces(each, faces, "public", prior=prior)[0] for each in (own, other))
        assert found.prior == expected.prior == (prior or "fer2013")
        assert found.metrics.confusion == expected.metrics.confusion
        assert found.metrics.nll == pytest.approx(expected.metrics.nll, abs=1e-5)
    with pytest.raises(UsageError, match="has no prior 'nowhere'"):
        evaluate_faces(own, faces, "public", prior="nowhere")


def test_the_order_of_an_ensemble_does_not_choose_the_prior(bar_models: Any, bars: Path, tmp_path: Path) -> None:
    classifier = Classifier(
        bar_models.write(tmp_path, gain=0.001, priors=known_priors(tuple(COUNTS["fer2013"])), prior="everyday")
    )
    model = of_classifier(classifier)
    checkpoint = replace(model, name="a checkpoint", classifier=None)
    faces = replace(fer2013_faces(bars, "public"), prior=None)
    for networks in ((model, checkpoint), (checkpoint, model)):
        assert evaluate_faces(Ensemble(networks), faces, "folder")[0].prior == "everyday"
    priors = known_priors(tuple(COUNTS["fer2013"]))
    other = of_classifier(Classifier(bar_models.write(tmp_path, name="other", priors=priors, prior="fer2013")))
    for networks in ((model, other), (other, model)):
        with pytest.raises(UsageError, match=r"different priors, (everyday and fer2013|fer2013 and everyday): .* --prior$"):
            evaluate_faces(Ensemble(networks), faces, "folder")
        assert evaluate_faces(Ensemble(networks), faces, "folder", prior="fer2013")[0].prior == "fer2013"


def test_contempt_is_as_frequent_as_its_labels() -> None:
    """Of 28,709 training faces 162 are called contempt by FER+, which 8 classes of 5 faces more are added to."""
    labels = (*COUNTS["fer2013"], "contempt")
    found = dict(zip(labels, np.exp(log_frequencies("fer2013", labels)), strict=True))
    assert found["contempt"] == pytest.approx(167 / (28_709 + 40))
    assert found["angry"] == pytest.approx(3941 / (28_709 + 40))
    assert np.exp(log_frequencies("fer2013", labels[:7]))[0] == pytest.approx(4000 / (28_709 + 35))


def test_stability_and_prior_on_the_command_line(
    bar_models: Any, bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "speeds", lambda classifier: {"1": 1.0})
    command = ["--model", str(bar_models.write(tmp_path, gain=100.0)), "--data", str(bars), "--stability"]
    evaluate([*command, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["stability"] == {"shift": 0.0, "mirror": 0.0}  # bars of six rows, read over their whole width
    assert (found["prior"], found["uniform"]["accuracy"]) == ("fer2013", 1.0)
    assert found["five"] == {"macro_f1": 1.0, "mean_recall": 1.0}
    evaluate([*command, "--prior", "everyday"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "under the class frequencies everyday" in printed
    assert "the label changes in 0.00 % under a shift of one pixel, in 0.00 % in the mirror" in printed
    assert printed.count("uniform prior accuracy") == printed.count("uniform prior, of ") == 1
    evaluate([*command, "--prior", "uniform"])
    printed = capsys.readouterr().out
    assert printed.count("uniform") == 2  # what all is measured under, and the line of five classes
    assert "prior uniform, of " in printed


def test_curve_is_drawn(
    bar_models: Any, bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra `train`)")
    monkeypatch.setattr(speed, "speeds", lambda classifier: {"1": 1.0})
    model = bar_models.write(tmp_path, gain=1.0)
    evaluate(["--model", str(model), "--data", str(bars), "--curve", str(tmp_path / "curve.svg")])
    assert (tmp_path / "curve.svg").stat().st_size > 10_000
    with pytest.raises(UsageError, match="--curve needs one model"):
        evaluate(["--model", str(model), "--data", str(bars), "--prior", "uniform", "--curve", str(tmp_path / "no.svg")])
    assert not (tmp_path / "no.svg").exists()


def test_faces_of_a_folder_are_read_under_the_models_own_choice(bar_models: Any, bars: Path, tmp_path: Path) -> None:
    priors = known_priors(tuple(COUNTS["fer2013"]))
    classifier = Classifier(bar_models.write(tmp_path, gain=0.001, priors=priors, prior="everyday"))
    faces = fer2013_faces(bars, "public")
    unknown = evaluate_faces(classifier, replace(faces, prior=None), "folder")[0]
    assert unknown.prior == "everyday"
    assert unknown.calibrated == evaluate_faces(classifier, faces, "", prior="everyday")[0].calibrated
    scores = evaluate_faces(classifier, replace(faces, prior=None), "folder")[1].scores
    np.testing.assert_allclose(scores, classifier.scores(faces.images), atol=1e-6)


def test_the_curve_of_a_prior_chooses_the_power_of_the_best_macro_f1() -> None:
    """Logits that are half of what they should be are read best under the square root of the frequencies."""
    classes = ("angry", "happy", "sad", "surprise", "neutral")
    rng = np.random.default_rng(0)
    frequencies = np.array([0.05, 0.3, 0.05, 0.1, 0.5])
    labels = rng.choice(5, 20_000, p=frequencies)
    evidence = rng.normal(size=(len(labels), 5)) + 1.5 * np.eye(5)[labels]
    sure = 1.5 * evidence  # log p(x | y) of such normal evidence, up to a constant
    curve = prior_curve(0.5 * sure, np.log(frequencies), labels, classes)
    assert [point.power for point in curve] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
    assert max(curve, key=lambda point: point.accuracy).power == pytest.approx(0.5, abs=0.1)
    assert max(curve, key=lambda point: point.mean_recall or 0).power <= 0.1
    assert best(curve).macro_f1 == max(point.macro_f1 or 0 for point in curve)
    few = prior_curve(sure[:, :2], np.log(frequencies[:2]), labels.clip(max=1), classes[:2])
    assert best(few).macro_f1 is None
    assert best(few).accuracy == max(point.accuracy for point in few)
    assert [column.header for column in curve_table(few, "mine").columns] == ["power", "accuracy %"]
    assert len(curve_table(curve, "mine").columns) == 5
