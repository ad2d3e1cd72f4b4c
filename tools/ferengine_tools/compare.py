"""``ferengine compare``: one table of all models beside the document's figures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import track

from ferengine.classification.classifier import Classifier
from ferengine.errors import UsageError
from ferengine.models.backends import FILE_ON_CPU
from ferengine.models.manifest import Accuracy, Manifest
from ferengine.models.registry import list_models, load_model
from ferengine_tools.data.fer2013 import load_fer2013
from ferengine_tools.evaluation import document
from ferengine_tools.evaluation.comparison import NOTE, Row, of_document, to_markdown, to_tables
from ferengine_tools.evaluation.evaluation import evaluate_faces
from ferengine_tools.evaluation.faces import LabelledFaces
from ferengine_tools.evaluation.graph_cost import multiply_adds
from ferengine_tools.evaluation.sets import split_faces, utkface_faces
from ferengine_tools.evaluation.speed import machine, speeds

Measure = Callable[[Classifier], Accuracy | None]
"""The figures of a classifier, ``None`` where the data at hand are not its own."""


def compare(models: Sequence[str], measure: Measure | None = None, *, timed: bool = True) -> list[Row]:
    """A row for each of ``models`` (names or ``.onnx`` files), then one for each network of the document. Raises what
    ``load_model`` raises.

    ``measure`` gives the figures; without it, and where it gives none, they are those of the manifest.
    """
    rows = []
    for name in track(models, "models", console=Console(stderr=True), transient=True):
        loaded, classifier = load_model(name), Classifier(name, backend=FILE_ON_CPU)
        manifest, measured = loaded.manifest, None if measure is None else measure(classifier)
        accuracy = measured or manifest.accuracy
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
                document=_documented(manifest),
                parameters=manifest.parameters,
                mmac=round(multiply_adds(loaded.onnx) / 1e6, 2),
                megabytes=round(len(loaded.onnx) / 1e6, 2),
                microseconds=speeds(classifier) if timed else {},
                epochs=manifest.training.epochs,
                seed=manifest.training.seed,
                seeds=accuracy.seeds,
                trained_on=manifest.training.machine,
            )
        )
    return rows + of_document()


def _documented(manifest: Manifest) -> float | None:
    return document.ACCURACY.get(manifest.network) if manifest.task == "expression" else None


def measuring(data: Path | None, gender_data: Path | None, cache: Path | None = None) -> Measure:
    """Measures models of FER-2013's classes on both test splits of ``data``, models of gender on UTKFace's validation and test
    split, ``gender_data``, whose cut faces are kept in ``cache`` (default: the user's). Raises what the loaders raise, and
    UsageError where a split is empty."""
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


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ferengine compare", description=(__doc__ or "").partition(": ")[2])
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL", help="shipped models' names or .onnx files (default: all that are shipped)")
    add("--measure", action="store_true", help="measure the accuracies on both test splits of --data, --gender-data or both; "
        "models of other classes keep their manifests' figures, and each row says which it has")  # fmt: skip
    add("--data", type=Path, help="FER-2013, for --measure")
    add("--gender-data", type=Path, metavar="UTKFACE", help="UTKFace, for --measure: measures the models of gender")
    add("--cache", type=Path, metavar="FOLDER", help="where UTKFace's cut faces are kept (default: the user's cache)")
    add("--no-speed", action="store_true", help="do not measure the time of a face")
    add("--json", action="store_true", help="print a JSON object instead of tables")
    add("--markdown", action="store_true", help="print one table in Markdown")
    options = parser.parse_args(arguments)
    if options.measure != (options.data is not None or options.gender_data is not None):
        raise UsageError("--measure needs --data (FER-2013), --gender-data (UTKFace) or both, and they need --measure")
    if options.json and options.markdown:
        raise UsageError("choose either --json or --markdown")
    models = options.models or [manifest.name for manifest in list_models()]
    measure = measuring(options.data, options.gender_data, options.cache)
    rows = compare(models, measure, timed=not options.no_speed)
    if options.json:
        written = {
            "models": [asdict(row) for row in rows if row.source != "document"],
            "document": {"accuracy": document.ACCURACY, "microseconds": document.MICROSECONDS},
            "machine": machine(),
        }
        print(json.dumps(written, indent=2))
        return
    notes = f"{NOTE}\nus: microseconds a face, one thread, at that batch, on {machine()}."
    if options.markdown:
        print(f"{to_markdown(rows)}\n\n{notes}")
        return
    console = Console(highlight=False)
    for table in to_tables(rows):
        console.print(table)
    console.print(notes)


if __name__ == "__main__":
    main()
