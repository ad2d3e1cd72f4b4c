"""A model's card, after M. Mitchell et al., "Model Cards for Model Reporting", FAT* 2019: what a model is, how well it does,
where it comes from, what it is for and what it is not for."""

from __future__ import annotations

from dataclasses import dataclass

from ferengine.models.manifest import Accuracy, Head, InputSpec, Manifest, Training
from ferengine.models.registry import DEFAULT, Model

Row = tuple[str, str]
"""A short label and a text of any length."""

_MEASURE = "Measure it on your own images (ferengine evaluate)"
_PROHIBITED = (
    "in the European Union inferring the emotions of people at the workplace or in education is prohibited, except for medical "
    "and safety reasons: Regulation (EU) 2024/1689 (AI Act), article 5(1)(f)"
)
_MUST_BE_INFORMED = "must be informed of it (AI Act, article 50(3)); faces are personal data, and the GDPR applies"

NOT_FOR: dict[str, dict[str, str]] = {
    "expression": {
        "feelings": "it reads perceived expression, the word that people would choose for what a face shows, and not what a "
        "person feels: people smile in anger, and faces at rest are called sad",
        "work, education": _PROHIBITED,
        "decisions": "about people: hiring, credit, insurance, police, borders, health, child care",
        "covert use": f"people who are exposed to emotion recognition {_MUST_BE_INFORMED}",
        "conclusions": "lies, diagnoses and groups of people cannot be inferred from an expression",
    },
    "gender": {
        "identity": "it reads perceived presentation, how a face would be called by onlookers, and not who a person is; it "
        "knows two classes only",
        "work, education": f"it runs beside a network that reads expression, and {_PROHIBITED}",
        "deductions": "sexual orientation, race, religion and the like must not be deduced from faces (article 5(1)(g))",
        "decisions": "about people: access, prices, hiring, police, borders, health",
        "covert use": f"people who are sorted by their faces {_MUST_BE_INFORMED}",
    },
}
"""By task, then by what it is not for."""

LIMITS: dict[str, dict[str, str]] = {
    "expression": {
        "labels": "FER-2013's own agree with the votes of ten people on the same images (FER+) on 64 % of them only",
        "faces": "FER-2013 was collected by web search: faces of Asian, African and older people are rare in it, and so are "
        "children. Expect lower accuracy for them, and measure it on your own images (ferengine evaluate)",
        "classes": "fear, sadness and disgust are read worst: often fear is taken for sadness, sadness for neutral, disgust "
        "for anger; of the training faces 1.5 % show disgust",
        "test images": "8 % of PrivateTest are, pixel for pixel, training images too: see the accuracy without copies",
        "images": "masks, hands, beards, reflecting glasses, profiles and faces smaller than about 30 pixels are read badly",
    },
    "gender": {
        "ages": "children and the old are read badly, the youngest worst",
        "ethnicities": "Asian and Black faces are read less well than White and Indian ones; ferengine evaluate measures ages "
        "and ethnicities on UTKFace",
        "labels": "UTKFace's, two classes and one each for an image; most of its faces are of adults from 20 to 50",
        "images": "UTKFace's end above the brows, a camera's do not; masks, hands, profiles and faces smaller than about 30 "
        "pixels are read badly",
    },
}
"""By task, then by what limits the networks that ship: the data that they are trained on."""

LIMITS_OF_OTHERS: dict[str, str] = {
    "data": f"a network is no better than the faces and labels that it was trained on. {_MEASURE}",
    "images": "masks, hands, beards, reflecting glasses, profiles and faces smaller than about 30 pixels are read badly",
}
"""What limits a network from elsewhere, whose training data is not known here."""

_SPLITS = {
    "expression": ("FER-2013 PublicTest", "FER-2013 PrivateTest"),
    "gender": ("UTKFace validation", "UTKFace test"),
}
_NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a card.

    Attributes:
        title: Its heading.
        rows: Its contents.
        command: What gives the contents again, in one line; empty where there is none.
    """

    title: str
    rows: tuple[Row, ...]
    command: str = ""


def model_card(model: Model, int8: str = "") -> tuple[Section, ...]:
    """All that is known of a model, for people to read.

    Args:
        model: The model.
        int8: A sentence on its int8 variant; empty where it has none.
    """
    manifest = model.manifest
    training = manifest.training
    described = training != Training()
    return (
        Section("What it is", _what(model, int8)),
        Section(f"Metrics ({_counted(manifest)})", _metrics(manifest), manifest.accuracy.command)
        if manifest.accuracy != Accuracy()
        else Section("Metrics", ((_NOT_MEASURED, _MEASURE),)),
        Section("Training", _trained(training) if described else (("not stated", "in the manifest"),), training.command),
        Section("Intended use", (("for", manifest.intended_use),)),
        Section("What it is not for", tuple(NOT_FOR[manifest.task].items())),
        Section("Known limits", tuple((LIMITS[manifest.task] if model.ships else LIMITS_OF_OTHERS).items())),
    )


def _trained(training: Training) -> tuple[Row, ...]:
    return (
        ("data", f"{training.dataset}, {training.split}"),
        ("epochs", f"{training.epochs} by the command below, seed {training.seed}"),
        ("machine", training.machine),
        *((("notes", training.notes),) if training.notes else ()),
    )


def _what(model: Model, int8: str) -> tuple[Row, ...]:
    manifest, given = model.manifest, model.manifest.input
    size = "" if manifest.parameters is None else f", {manifest.parameters:,} parameters"
    size += "" if manifest.mmac is None else f", {manifest.mmac:g} MMAC a face"
    rows = [
        ("task", _task(manifest)),
        ("network", f"{manifest.network}{size}"),
        ("input", _input(given)),
        *((("classes", ", ".join(manifest.labels)), ("output", _output(manifest))) if manifest.labels else ()),
        *((f"head {head.name}", _head(head)) for head in manifest.further_heads),
        *((f"prior {name}", _shown(values)) for name, values in manifest.priors.items()),
        ("file", f"{manifest.file if model.ships else model.path}, {manifest.precision}, {len(model.onnx) / 1e6:.1f} MB"),
        ("sha256", manifest.sha256),
        ("licence", manifest.licence),
    ]
    if manifest.prior is not None:
        other = "; --prior takes another, or a file" if manifest.task == "expression" else ""
        rows.append(("default prior", manifest.prior + other))
    if manifest.source_sha256 is not None:
        rows.append(("made from", f"the fp32 file with the SHA-256 {manifest.source_sha256}"))
    if int8:
        rows.append(("int8 variant", int8))
    if model.ships and manifest.name == DEFAULT:
        rows.append(("default", "what --model means where it is not given"))
    return tuple(rows)


def _task(manifest: Manifest) -> str:
    if not manifest.labels:
        return "what its heads are called"
    return f"perceived {'gender presentation' if manifest.task == 'gender' else 'facial expression'}"


def _input(given: InputSpec) -> str:
    kind = "grayscale" if given.channels == 1 else given.order.upper()
    mean, std = (", ".join(f"{x:g}" for x in (n if isinstance(n, tuple) else (n,))) for n in (given.mean, given.std))
    value = "intensity" if given.white == 255 else "intensity / 255"
    if "," in mean + std:
        mean, std = f"({mean})", f"({std})"
    return f"{kind} crops of {given.size} x {given.size} pixels, ({value} - {mean}) / {std}"


def _head(head: Head) -> str:
    if head.kind == "values":
        return ", ".join(f"{name} from {low:g} to {high:g}" for name, (low, high) in head.ranges.items())
    under = "" if head.prior is None else f", under the prior {head.prior} ({_shown(head.priors[head.prior])})"
    return f"{'one' if head.kind == 'classes' else 'any'} of {', '.join(head.labels)}{under}"


def _output(manifest: Manifest) -> str:
    scaled = f"logits / {manifest.temperature:g}"
    if not manifest.priors:
        return f"logits; probabilities are softmax({scaled}), under the class frequencies of the training data"
    others = "".join(f", under {name} / {value:g}" for name, value in manifest.temperatures.items())
    return f"logits under a uniform prior; probabilities are softmax({scaled} + log prior){others}"


def _shown(prior: dict[str, float]) -> str:
    return ", ".join(f"{label} {100 * value:.1f} %" for label, value in prior.items())


def _counted(manifest: Manifest) -> str:
    metrics = manifest.accuracy
    crops = "one crop" if metrics.crops == 1 else f"mean over {metrics.crops} crops"
    seeds = "one seed" if metrics.seeds == 1 else f"{metrics.seeds} seeds"
    return f"{crops} a face, {seeds}" + (", under the data's own class frequencies" if manifest.priors else "")


def _metrics(manifest: Manifest) -> tuple[Row, ...]:
    metrics, (chosen, final) = manifest.accuracy, _SPLITS[manifest.task]
    if metrics.dataset is not None:
        chosen, final = f"PublicTest of {metrics.dataset}", f"PrivateTest of {metrics.dataset}"
    rows = [
        ("accuracy", f"{_percent(metrics.public)} on {chosen}, which it was chosen on"),
        ("", f"{_percent(metrics.private)} on {final}, which was kept for the end"),
    ]
    if manifest.task == "expression":
        rows.append(("", f"{_percent(metrics.private_without_copies)} of that without exact copies of training faces"))
    rows.append(("macro F1", f"{_percent(metrics.macro_f1)} on {final}"))
    if metrics.ece is None:
        rows.append(("ECE", _NOT_MEASURED))
    else:
        rows.append(("ECE", f"{metrics.ece:.3f} in 15 bins on {final}; its temperature was fitted on {chosen}"))
    return tuple(rows)


def _percent(fraction: float | None) -> str:
    return _NOT_MEASURED if fraction is None else f"{100 * fraction:.2f} %"
