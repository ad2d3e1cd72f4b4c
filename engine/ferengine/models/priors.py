"""Class priors: how frequent each class is taken to be, before a face is seen.

A network that ships answers under a uniform prior. The probabilities of faces whose classes are not equally frequent are
softmax(logits / temperature + log prior): A. K. Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, section 4.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ferengine.errors import ModelError, UsageError, shown
from ferengine.json_text import parse_json
from ferengine.models.manifest import Manifest
from ferengine.models.registry import read_file
from ferengine.models.settings import ADAPT, PRIOR_TOLERANCE, Prior

_SUFFIXES = (".json", ".toml")
_MAX_BYTES = 1 << 16
_MAX_VALUE = 1e9
"""Below it, what is no probability may be a percentage or a count, for which there is a hint."""


def choose_prior(manifest: Manifest, chosen: str | Path | Prior | None = None, *, follows: bool = False) -> Prior | None:
    """Find the prior to read faces under.

    Args:
        manifest: Of the model.
        chosen: The name of one of the manifest's priors, or the path of a ``.json`` or ``.toml`` file with the probability of
            each label, or a prior of the model's labels in any order. By default the manifest's own choice. ``adapt`` for a
            prior that is estimated for each camera, which starts from the manifest's choice.
        follows: Whether the caller follows cameras, as ``adapt`` needs.

    Returns:
        The prior; None for a model that names no priors, where none is chosen: it answers as it was trained.

    Raises:
        UsageError: There is no such prior or file, its probabilities are wrong, of other labels or not those that the manifest
            has under that name, or nothing follows cameras for ``adapt``.

    Example:
        >>> from ferengine.models.registry import load_model
        >>> choose_prior(load_model("standard").manifest, "uniform").name
        'uniform'
    """
    if chosen is None and manifest.prior is None:
        return None
    if isinstance(chosen, os.PathLike):
        chosen = os.fspath(chosen)
    if not isinstance(chosen, str | Prior | None):
        raise UsageError(f"a prior is a name, the path of a file or a Prior, not {type(chosen).__name__}")
    name = chosen.name if isinstance(chosen, Prior) else chosen
    if not manifest.labels:
        raise UsageError(f"prior {name}: the model {manifest.name} has no head {manifest.task}, which a prior is of")
    if not manifest.priors:
        raise UsageError(
            f"prior {name}: the model {manifest.name} names no priors and answers as it was trained: export it again "
            "(ferengine export-onnx)"
        )
    if isinstance(chosen, Prior):
        return _in_order(chosen, manifest)
    if chosen == ADAPT:
        if not follows:
            raise UsageError(
                f"prior {ADAPT} is estimated from a camera as time passes, for ferengine run and serve: choose one of "
                f"{', '.join(manifest.priors)}, or a .json or .toml file"
            )
        return replace(_named(manifest, str(manifest.prior)), name=ADAPT, start=manifest.prior)
    return _named(manifest, chosen if chosen is not None else str(manifest.prior))


def _in_order(prior: Prior, manifest: Manifest) -> Prior:
    if set(prior.labels) != set(manifest.labels):
        raise UsageError(
            f"prior {prior.name} is of {', '.join(prior.labels)}; the model {manifest.name} knows {', '.join(manifest.labels)}"
        )
    by_label = dict(zip(prior.labels, prior.probabilities, strict=True))
    named = manifest.priors.get(prior.fitted, by_label)
    if any(abs(by_label[label] - named[label]) > PRIOR_TOLERANCE for label in manifest.labels):
        raise UsageError(
            f"prior {prior.fitted}: the model {manifest.name} has one of that name, with other probabilities: rename yours"
        )
    return replace(prior, labels=manifest.labels, probabilities=tuple(by_label[label] for label in manifest.labels))


def _named(manifest: Manifest, name: str) -> Prior:
    if name in manifest.priors:
        values = manifest.priors[name]
    elif name.endswith(_SUFFIXES):
        values = _read(Path(name), manifest.labels)
    else:
        raise UsageError(
            f"the model {manifest.name} has no prior {name!r}: choose one of {', '.join(manifest.priors)}, or a .json or .toml "
            "file with the probability of each label"
        )
    return Prior(name, manifest.labels, tuple(values[label] for label in manifest.labels))


def _read(path: Path, labels: tuple[str, ...]) -> dict[str, float]:
    """The probabilities that a file holds, divided by their sum. Raises UsageError, which names it."""
    try:
        text = read_file(path, _MAX_BYTES).decode("utf-8-sig")
    except ModelError as error:
        raise UsageError(f"prior {error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"prior {path} is not UTF-8 text") from None
    except ValueError:
        raise UsageError(f"prior {str(path)!r} is no path: it holds a zero byte") from None
    try:
        found: Any = tomllib.loads(text) if path.suffix == ".toml" else parse_json(text)
    except RecursionError:
        raise UsageError(f"prior {path} is not TOML: it is nested too deeply") from None
    except ValueError as error:  # TOML's numbers of thousands of digits, too
        raise UsageError(f"prior {path} is not {path.suffix[1:].upper()}: {error}") from None
    if not isinstance(found, Mapping):
        raise UsageError(f"prior {path} holds no table: give the probability of each label ({', '.join(labels)})")
    if set(found) != set(labels):
        missing, unknown = [label for label in labels if label not in found], sorted(set(found) - set(labels))
        wrong = [f"has no {', '.join(missing)}"] * bool(missing) + [f"names {', '.join(unknown)}"] * bool(unknown)
        raise UsageError(f"prior {path} {' and '.join(wrong)}: the labels of the model are {', '.join(labels)}")
    for label, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MAX_VALUE:
            raise UsageError(f"prior {path}: {label} must be a probability above 0, not {shown(value)}")
    total = math.fsum(found.values())
    if abs(total - 1) > PRIOR_TOLERANCE:
        raise UsageError(f"prior {path}: the probabilities sum to {total:g}, not to 1: divide each by the sum")
    return {label: value / total for label, value in found.items()}
