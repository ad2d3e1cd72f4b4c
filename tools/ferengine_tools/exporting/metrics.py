"""The metrics of a manifest, measured through the model file itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ferengine.classification.classifier import Classifier
from ferengine.models.manifest import Accuracy, Manifest
from ferengine.models.settings import FILE_ON_CPU
from ferengine_tools.data import LabelSet
from ferengine_tools.data.fer2013 import LABELS8, load_fer2013
from ferengine_tools.data.fer2013 import NAME as FER2013
from ferengine_tools.evaluation.evaluation import Evaluation, evaluate_faces
from ferengine_tools.evaluation.faces import LabelledFaces
from ferengine_tools.evaluation.sets import fer2013_faces, utkface_faces, wild_faces
from ferengine_tools.evaluation.temperature import fitted


def measured(
    model: Path,
    manifest: Manifest,
    data: Path,
    *,
    private: bool,
    cache: Path | None = None,
    everyday: Path | None = None,
) -> Manifest:
    """Fit the temperatures and measure the accuracy of a model.

    Args:
        model: The ``.onnx`` file with its manifest, which gets the temperatures.
        manifest: The manifest.
        data: FER-2013, or UTKFace for gender.
        private: Whether to measure on the split that is looked at once (PrivateTest; UTKFace's test), too.
        cache: Folder of UTKFace's crops; the user's cache if None.
        everyday: wild_faces: a temperature under their prior is fitted on its validation faces.

    Returns:
        The manifest with the temperatures and with the accuracy on the split to choose on (PublicTest; UTKFace's validation).

    Raises:
        UsageError: The data cannot be read, or the model lacks a class of theirs.
    """
    classifier = Classifier(model, backend=FILE_ON_CPU)
    labels: LabelSet = "ferplus8" if len(manifest.labels) == len(LABELS8) else "fer2013"
    chosen, final = _splits(manifest, data, labels, cache)
    faces = chosen().sized(classifier.input_size)
    sets = [faces] if everyday is None else [faces, wild_faces(everyday, "validation").sized(classifier.input_size)]
    for each in sets:
        temperature, prior = fitted(classifier, each)
        manifest = manifest.with_temperature(round(temperature, 4), prior)
    classifier = _warm(model, manifest)
    name = "UTKFACE --split test" if manifest.task == "gender" else "FER2013 --split private"
    if labels != "fer2013":
        name += f" --labels {labels}"
    accuracy = Accuracy(
        public=round(evaluate_faces(classifier, faces, "")[0].accuracy, 5),
        command=f"ferengine evaluate --model {manifest.name} --data {name}",
        dataset=None if manifest.task == "gender" or (measured_on := load_fer2013(data).name) == FER2013 else measured_on,
    )
    if private:
        accuracy = _final(accuracy, classifier, final)
    return manifest.model_copy(update={"accuracy": accuracy})


def _splits(
    manifest: Manifest, data: Path, labels: LabelSet, cache: Path | None
) -> tuple[Callable[[], LabelledFaces], Callable[[bool], LabelledFaces]]:
    """What loads the faces to choose on, and those of the end, without exact copies of training faces where asked."""
    if manifest.task == "gender":
        return lambda: utkface_faces(data, "validation", cache), lambda _: utkface_faces(data, "test", cache)

    def final(without_copies: bool) -> LabelledFaces:
        return fer2013_faces(data, "private", labels=labels, without_copies="exact" if without_copies else None)

    return lambda: fer2013_faces(data, "public", labels=labels), final


def _warm(model: Path, manifest: Manifest) -> Classifier:
    """The classifier with its temperatures, on which its labels depend where a prior is added to the logits."""
    model.with_suffix(".json").write_text(manifest.model_dump_json())
    return Classifier(model, backend=FILE_ON_CPU)


def _final(accuracy: Accuracy, classifier: Classifier, final: Callable[[bool], LabelledFaces]) -> Accuracy:
    whole: Evaluation = evaluate_faces(classifier, final(False), "")[0]
    metrics = {"private": whole.accuracy, "macro_f1": whole.metrics.macro_f1, "ece": whole.calibrated.ece}
    if classifier.manifest.task == "expression":
        metrics["private_without_copies"] = evaluate_faces(classifier, final(True), "")[0].accuracy
    return accuracy.model_copy(update={name: round(value, 5) for name, value in metrics.items()})
