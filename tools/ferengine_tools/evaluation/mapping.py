"""Between the classes of a data set and the labels of a model: ``--map labels.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError, shown

_TABLES = ("folders", "outputs")


@dataclass(frozen=True)
class LabelMap:
    """Classes for the names in the data and for the labels of a model. What is not named keeps its name.

    Attributes:
        folders: The class of a name in the data; None leaves its faces out.
        outputs: The class of a label of the model; None leaves the output out.
    """

    folders: Mapping[str, str | None] = field(default_factory=dict)
    outputs: Mapping[str, str | None] = field(default_factory=dict)

    def classes(self, names: Sequence[str]) -> list[str | None]:
        """Return the class of each name in the data.

        Raises:
            UsageError: ``folders`` has a name that the data do not have.
        """
        unknown = [name for name in self.folders if name not in names]
        if unknown:
            raise UsageError(f"the map's folders name {unknown[0]!r}; the data have {', '.join(names)}")
        return [self.folders.get(name, name) for name in names]

    def matrix(self, labels: tuple[str, ...], classes: tuple[str, ...]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Return how the outputs of a model become classes.

        Args:
            labels: Of the model.
            classes: Of the data.

        Returns:
            float64 (labels, C) with one 1 in a row or none, and the C classes: those of the data, then those that only the
            model has.

        Raises:
            UsageError: No output stands for a class of the data, or ``outputs`` has a label that the model has not.
        """
        unknown = [name for name in self.outputs if name not in labels]
        if unknown:
            raise UsageError(f"the map's outputs name {unknown[0]!r}; the model knows {', '.join(labels)}")
        targets = [self.outputs.get(label, label) for label in labels]
        for name in classes:
            if name not in targets:
                known = ", ".join(dict.fromkeys(target for target in targets if target is not None))
                raise UsageError(
                    f"the data have the class {name!r}, the model {known}: say in a map (--map labels.toml) which of "
                    f"them it is under [folders], e.g. {name} = {labels[0]!r}, or leave it out: {name} = false"
                )
        everything = tuple(dict.fromkeys((*classes, *(target for target in targets if target is not None))))
        matrix = np.zeros((len(labels), len(everything)))
        for row, target in enumerate(targets):
            if target is not None:
                matrix[row, everything.index(target)] = 1
        return matrix, everything


def merge(probabilities: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities of classes, float64 (N, C), from those of labels, (N, labels): added up, and divided by what is
    left.
    """
    merged = probabilities @ matrix
    total = merged.sum(axis=1, keepdims=True)
    result: NDArray[np.float64] = merged / np.maximum(total, np.finfo(np.float64).tiny)
    return result


def load_map(path: Path) -> LabelMap:
    """Read a TOML file with the tables ``[folders]`` and ``[outputs]``, either optional: name = "class", or name = false.

    Raises:
        UsageError: The file cannot be read or holds something else.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    tables: dict[str, dict[str, str | None]] = {name: {} for name in _TABLES}
    for table, entries in content.items():
        if table not in _TABLES or not isinstance(entries, dict):
            raise UsageError(f"{path}: {table!r} is none of the tables [folders] and [outputs]")
        for name, value in entries.items():
            if not (value is False or (isinstance(value, str) and value)):
                raise UsageError(f"{path}: {table}.{name} must be the name of a class in quotes, or false, not {shown(value)}")
            tables[table][name] = value or None
    return LabelMap(tables["folders"], tables["outputs"])
