"""Models side by side: a row each, and one for each network of Zhao's paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import track

from ferengine.classification.classifier import Classifier
from ferengine.errors import UsageError
from ferengine.models.manifest import Accuracy, Manifest, Training
from ferengine.models.registry import load_model
from ferengine.models.settings import FILE_ON_CPU
from ferengine_tools.data.fer2013 import load_fer2013
from ferengine_tools.evaluation import paper
from ferengine_tools.evaluation.evaluation import evaluate_faces
from ferengine_tools.evaluation.faces import LabelledFaces
from ferengine_tools.evaluation.graph_cost import multiply_adds
from ferengine_tools.evaluation.sets import split_faces, utkface_faces
from ferengine_tools.evaluation.speed import speeds

Source = Literal["manifest", "measured", "paper"]
Measure = Callable[[Classifier], Accuracy | None]
"""Returns the accuracies of a classifier, or None where the data at hand are not its own."""


@dataclass(frozen=True)
class Row:
    """One model. What is not known is None.

    Attributes:
        model: Its name.
        task: What it reads.
        network: Its network.
        source: Where ``public`` to ``ece`` come from.
        precision: Of its weights.
        public: Accuracies and errors as in the manifest's Accuracy.
        private: As above.
        private_without_copies: As above.
        macro_f1: As above.
        ece: As above.
        paper: The accuracy that Zhao's paper reports for the network.
        parameters: Number of weights.
        mmac: Millions of multiply-adds per face.
        megabytes: Size of the file.
        microseconds: Time per face, one thread, by batch size.
        epochs: Of the training.
        seed: Of the training.
        seeds: How many seeds the metrics are a mean of.
        trained_on: The machine.
    """

    model: str
    task: str
    network: str
    source: Source
    precision: str | None = None
    public: float | None = None
    private: float | None = None
    private_without_copies: float | None = None
    macro_f1: float | None = None
    ece: float | None = None
    paper: float | None = None
    parameters: int | None = None
    mmac: float | None = None
    megabytes: float | None = None
    microseconds: dict[str, float] = field(default_factory=dict)
    epochs: int | None = None
    seed: int | None = None
    seeds: int = 1
    trained_on: str | None = None


def compare_models(models: Sequence[str], measure: Measure | None = None, *, timed: bool = True) -> list[Row]:
    """Return a row for each model, then one for each network of Zhao's paper.

    Args:
        models: Names of shipped models, or ``.onnx`` files.
        measure: Measures the accuracies. Without it, and where it returns None, they are those of the manifest.
        timed: Whether to measure the time of a face.

    Raises:
        ModelError: A model cannot be loaded.
    """
    rows = []
    for name in track(models, "models", console=Console(stderr=True), transient=True):
        loaded, classifier = load_model(name), Classifier(name, backend=FILE_ON_CPU)
        manifest, measured = loaded.manifest, None if measure is None else measure(classifier)
        accuracy = measured or manifest.accuracy
        training = None if manifest.training == Training() else manifest.training
        rows.append(
            Row(
                model=manifest.name,
                task=manifest.task,
                network=manifest.network,
                source="manifest" if measured is None else "measured",
                precision=manifest.precision,
                public=accuracy.public,
                private=accuracy.private,
                private_without_copies=accuracy.private_without_copies,
                macro_f1=accuracy.macro_f1,
                ece=accuracy.ece,
                paper=_in_paper(manifest),
                parameters=manifest.parameters,
                mmac=round(multiply_adds(loaded.onnx) / 1e6, 2),
                megabytes=round(len(loaded.onnx) / 1e6, 2),
                microseconds=speeds(classifier) if timed else {},
                epochs=None if training is None else training.epochs,
                seed=None if training is None else training.seed,
                seeds=accuracy.seeds,
                trained_on=None if training is None else training.machine,
            )
        )
    return rows + rows_of_paper()


def _in_paper(manifest: Manifest) -> float | None:
    return paper.ACCURACY.get(manifest.network) if manifest.task == "expression" else None


def rows_of_paper() -> list[Row]:
    """Return the accuracies of Zhao's paper, which does not name the test split, and its one time, of "the proposed model"."""
    rows = [Row(f"{each}, paper", "expression", each, "paper", paper=value) for each, value in paper.ACCURACY.items()]
    times = {"1": paper.MICROSECONDS}
    return [*rows, Row("dscnn, paper", "expression", "dscnn", "paper", microseconds=times)]


def measuring(data: Path | None, gender_data: Path | None, cache: Path | None = None) -> Measure:
    """Return what measures models on both of their test splits.

    Args:
        data: FER-2013, for models of its classes.
        gender_data: UTKFace, for models of gender: its validation and test split.
        cache: Folder of UTKFace's crops; the user's cache if None.

    Raises:
        UsageError: The data cannot be read, or a split is empty.
    """
    splits: dict[str, tuple[LabelledFaces, LabelledFaces]] = {}
    unseen = frozenset[str]()
    if data is not None:
        fer = load_fer2013(data)
        splits["expression"] = split_faces(fer, "public"), split_faces(fer, "private")
        if not all(map(len, splits["expression"])):
            raise UsageError(f"{data} has no faces of PublicTest, or none of PrivateTest")
        unseen = frozenset(split_faces(fer, "private", "exact").names)
    if gender_data is not None:
        splits["gender"] = utkface_faces(gender_data, "validation", cache), utkface_faces(gender_data, "test", cache)

    def measure(classifier: Classifier) -> Accuracy | None:
        if classifier.manifest.task not in splits:
            return None
        public, private = splits[classifier.manifest.task]
        if not set(public.classes) <= set(classifier.labels):
            return None
        final, predictions = evaluate_faces(classifier, private, "private")
        kept = [name in unseen for name in private.names]
        return Accuracy(
            public=evaluate_faces(classifier, public, "public")[0].accuracy,
            private=final.accuracy,
            private_without_copies=float(predictions.right[kept].mean()) if any(kept) else None,
            macro_f1=final.metrics.macro_f1,
            ece=final.calibrated.ece,
        )

    return measure
