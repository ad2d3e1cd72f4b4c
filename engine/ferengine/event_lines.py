"""Reads what ``ferengine run --events`` or ``--parquet`` wrote, as a table."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from ferengine.errors import MissingDependencyError, UsageError, shown
from ferengine.pip_hint import install_extra, pip_install

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

_PARTS = {"box": ("x", "y", "width", "height")}
_WRITTEN = {"camera", "timestamp", "event", "frame", "latency_ms", "scene_cut", "track", "x", "y", "width", "height", "score",
            "track_confidence", "reason", "smoothed_label", "sharpness", "brightness", "yaw", "seconds", "prior"}  # fmt: skip
_LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
_COLUMNS: dict[str, type] = {
    "camera": str, "frame": int, "timestamp": float, "latency_ms": float, "scene_cut": bool, "track": int, "x": float,
    "y": float, "width": float, "height": float, "score": float, "track_confidence": float, "origin": str,
    **{f"{point}_{axis}": float for point in _LANDMARKS for axis in "xy"}, "label": str, "smoothed_label": str, "reason": str,
    "changed_from": str, "zones": str, "yaw": float, "pitch": float, "roll": float, "pose_age": float, "size": float,
    "sharpness": float, "brightness": float, "contrast": float, "prior": str,
}  # fmt: skip
"""Those that every table has."""
_GENDER_REASON = "gender_reason"
"""A text that tables with genders have, also where no face has one."""
_TOO_LARGE = 2**1023
"""From here on an integer may be none of 64-bit floating point."""

log = logging.getLogger(__name__)


@overload
def read_events(path: str | Path, library: Literal["pandas"] = "pandas") -> pd.DataFrame: ...
@overload
def read_events(path: str | Path, library: Literal["polars"]) -> pl.DataFrame: ...
def read_events(path: str | Path, library: Literal["pandas", "polars"] = "pandas") -> Any:
    """The faces in a file of ``--events``, or in a file or folder of ``--parquet``, one row each.

    Columns are named as in ``--csv``: ``camera``, ``frame``, ``timestamp``, ``track``, ``x``, ``y``, ``width``, ``height``,
    ``label``, ``smoothed_label``, ``score_happy``, ``smoothed_happy`` and so on; landmarks are ``nose_x``, ``nose_y`` and so
    on. Numbers are 64-bit floats, but ``frame`` and ``track`` integers and ``scene_cut`` a boolean, from lines and from
    Parquet alike; but for the columns of labels and of heads, all are there in any file. A value that a face does not have is
    missing in its row. Frames without faces, and the lines of cameras that start and end, have no rows. A last line that is
    cut off, as where a run was killed, is left out with a warning.

    What ``--events`` does not write, but another program may have added, is a column under its own name: of floats if all its
    values are numbers, else of the values as they are.

    Args:
        path: The file, whose name ends in .parquet where it is one, or a folder of Parquet files, which are read in the order
            of their names.
        library: What to make the table with; it has to be installed.

    Returns:
        A ``pandas.DataFrame`` or ``polars.DataFrame``.

    Raises:
        UsageError: The file cannot be read, or a line of it is not one of ``--events``; the message has its number.
        MissingDependencyError: The library, or for Parquet pyarrow, is not installed.
    """
    if library not in ("pandas", "polars"):
        raise UsageError(f"read_events makes tables with pandas or polars, not {library!r}")
    try:
        where = Path(path)
    except TypeError:
        raise UsageError(f"read_events reads a file by its path, not {type(path).__name__}") from None
    is_parquet = is_parquet_path(where)
    found = _parquet_faces(where) if is_parquet else list(_rows(where))
    try:
        return _polars_table(found) if library == "polars" else _pandas_table(found)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise MissingDependencyError(f"read_events needs the package {library}: {pip_install(library)}") from None


def _pandas_table(found: list[dict[str, Any]] | pa.Table) -> pd.DataFrame:
    import pandas

    table = pandas.DataFrame(found) if isinstance(found, list) else found.to_pandas()
    columns: dict[str, Any] = {}
    for name in dict.fromkeys((*_COLUMNS, *table.columns)):
        column = table[name] if name in table else pandas.Series([None] * len(table), table.index, object)
        kind = _COLUMNS.get(name) or (float if _are_numbers(column.dropna()) and name != _GENDER_REASON else object)
        if kind is bool:
            columns[name] = column.eq(True)
        elif kind in (str, object):
            columns[name] = column.astype(object).where(column.notna(), None)
        else:
            columns[name] = column.astype("float64" if kind is float else "Int64" if column.hasnans else "int64")
    return pandas.DataFrame(columns, table.index)


def _polars_table(found: list[dict[str, Any]] | pa.Table) -> pl.DataFrame:
    import polars

    kinds = {str: polars.String, float: polars.Float64, int: polars.Int64, bool: polars.Boolean}
    if isinstance(found, list):
        names = dict.fromkeys(name for row in found for name in row)
        table = polars.DataFrame([_polars_column(name, [row.get(name) for row in found]) for name in names])
    else:
        table = cast("pl.DataFrame", polars.from_arrow(found))
    columns = []
    for name in dict.fromkeys((*_COLUMNS, *table.columns)):
        column = polars.col(name) if name in table.columns else polars.lit(None).alias(name)
        if name in _COLUMNS:
            column = column.cast(kinds[_COLUMNS[name]])
        elif table.schema[name].is_numeric() or table.schema[name] == polars.Null:
            column = column.cast(polars.Float64)
        columns.append(column.fill_null(value=False) if _COLUMNS.get(name) is bool else column)
    return table.select(columns) if table.width else polars.DataFrame(schema={name: kinds[_COLUMNS[name]] for name in _COLUMNS})


def _polars_column(name: str, values: list[Any]) -> pl.Series:
    """A column of ``read_events`` out of lines."""
    import polars

    present = [value for value in values if value is not None]
    if _COLUMNS.get(name) is int:
        return polars.Series(name, values, polars.Int64)
    if name == _GENDER_REASON and not present:
        return polars.Series(name, values, polars.String)
    if _are_numbers(present):
        return polars.Series(name, [None if value is None else float(value) for value in values], polars.Float64)
    kinds = {str: polars.String, bool: polars.Boolean}
    [kind, *others] = {type(value) for value in present}
    return polars.Series(name, values, polars.Object if others else kinds.get(kind, polars.Object))


def _are_numbers(values: Iterable[Any]) -> bool:
    """Whether a column may become one of 64-bit floats: booleans stay what they are, and so does a larger integer."""
    return all(type(value) is float or (type(value) is int and abs(value) < _TOO_LARGE) for value in values)


def is_parquet_path(path: Path) -> bool:
    """Whether a path is a folder, or has the name, of Parquet files.

    Raises:
        UsageError: The system refuses the path.
    """
    if "\0" in str(path):
        raise UsageError(f"{shown(str(path))} is no path: it holds a zero byte")
    try:
        return path.is_dir() or path.suffix == ".parquet"
    except OSError as error:  # too long, or below a folder that may not be entered
        raise UsageError(f"{shown(str(path))} cannot be read: {error.strerror}") from None


def read_parquet(path: Path) -> Iterator[pa.Table]:
    """The tables of a file or folder of ``--parquet``, one a file.

    Raises:
        UsageError: A file cannot be read, or there is none.
        MissingDependencyError: pyarrow is not installed.
    """
    try:
        from pyarrow import lib, parquet
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise MissingDependencyError(f"Parquet files need pyarrow: {install_extra('parquet')}") from None
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"{path} holds no file that ends in .parquet")
    for file in files:
        try:
            table = parquet.read_table(file, partitioning=None)
        except (OSError, lib.ArrowException) as error:
            raise UsageError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if not set(table.column_names) >= _WRITTEN:
            raise UsageError(f"{file} is not one that --parquet writes")
        yield table


def _parquet_faces(path: Path) -> pa.Table:
    """The rows of faces in all files, with the columns of any."""
    tables = list(read_parquet(path))
    import pyarrow as pa

    joined = pa.concat_tables(tables, promote_options="default")
    faces = joined.filter(joined["track"].is_valid())
    return faces.drop_columns(["event", "seconds"])


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.isspace():
                    continue
                try:
                    for row in face_rows(json.loads(line)):
                        yield {name: _checked(value, _COLUMNS.get(name)) for name, value in row.items()}
                except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                    if number > 1 and line.startswith(b"{") and not line.endswith(b"\n"):
                        log.warning("the last line of %s is cut off: it is left out", path)
                        return
                    raise UsageError(f"line {number} of {path} is not one that --events writes") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _checked(value: Any, kind: type | None) -> Any:
    """A value of a column that has a type; raises ValueError for what is not of it, OverflowError for what has no room."""
    if kind is None or value is None:
        return value
    given = type(value)
    if kind is int and given in (int, float) and value == int(value) and abs(value) < 2**63:
        return int(value)
    if kind is float and given in (int, float):
        return float(value)
    if kind is not int and given is kind:
        return value
    raise ValueError(f"{value!r} is not of the type {kind.__name__}")


def face_rows(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The faces of one line of ``--events``, each as a row of ``read_events``."""
    if "event" in record:
        return
    frame = {name: value for name, value in record.items() if name not in ("faces", "changes")}
    changed = {change["track"]: change["from"] for change in record.get("changes", ())}
    for face in record["faces"]:
        row = dict(frame)
        for name, value in face.items():
            row.update(_cells(name, value))
        if changed.get(face["track"]) is not None:
            row["changed_from"] = changed[face["track"]]
        yield row


def _cells(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """One value of a face as cells of its row."""
    if name in _PARTS:
        yield from zip(_PARTS[name], value, strict=True)
    elif name == "landmarks":
        for point, (x, y) in zip(_LANDMARKS, value or (), strict=value is not None):
            yield from ((f"{point}_x", x), (f"{point}_y", y))
    elif name in ("expression", "gender"):
        yield from _reading("" if name == "expression" else "gender_", value)
    elif name == "zones":
        yield name, ";".join(value)
    elif name == "heads":
        for head, reading in value.items():
            if "label" in reading:
                yield f"heads.{head}.label", reading["label"]
            for part in ("values", "smoothed"):
                yield from ((f"heads.{head}.{part}.{label}", number) for label, number in reading[part].items())
    elif name in ("pose", "quality") and value is not None:  # their parts name themselves but for the age
        yield from ((f"{name}_{part}" if part == "age" else part, each) for part, each in value.items())
    else:
        yield name, value


def _reading(prefix: str, value: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    """Labels and scores, raw and smoothed; the label of a gender is ``gender``, that of an expression ``label``."""
    if value is None:
        return
    label = prefix.rstrip("_") or "label"
    if "reason" in value or prefix:
        yield f"{prefix}reason", value.get("reason")
    for kind, part in (("", value), ("smoothed_", value["smoothed"])):
        yield f"{kind}{label}", part["label"]
        for each, score in part["scores"].items():
            yield f"{kind or 'score_'}{prefix}{each}", score
