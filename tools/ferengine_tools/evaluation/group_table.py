"""Groups of the faces of a folder: ``--groups groups.csv``."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError


def read_groups(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[np.str_]]:
    """A csv with the column ``file`` (as in ``names``: class folder / file name) and one column a grouping, e.g. ``age`` and
    ``ethnicity``. The group of each of the N ``names`` by grouping, str (N,), "" where the table says nothing.

    Raises UsageError for another table, a file named twice, and where not one face is in it.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:  # Excel begins it with a byte-order mark
            reader = csv.DictReader(handle)
            columns = [column for column in reader.fieldnames or () if column != "file"]
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if "file" not in (reader.fieldnames or ()) or not columns:
        raise UsageError(f"{path} must have the column file and at least one more, the groups")
    table: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows, 2):
        if row["file"] in table:
            raise UsageError(f"{path}, row {number}: {row['file']} is named twice")
        table[row["file"]] = row
    if not any(name in table for name in names):
        raise UsageError(f"{path} names none of the faces: its column file must be like {names[0]}")
    return {column: np.array([table.get(name, {}).get(column) or "" for name in names]) for column in columns}
