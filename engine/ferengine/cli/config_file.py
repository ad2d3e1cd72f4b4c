"""Reads settings from a TOML file; each error names the line."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from ferengine.cli.settings import RunSettings, SourceTable
from ferengine.errors import UsageError, describe_invalid, invalid_items, known_fields, name_hint
from ferengine.sources.url import hide_credentials

_Path: TypeAlias = tuple[str | int, ...]
_Model = TypeVar("_Model", bound=BaseModel)
_RUN_TABLES: Mapping[str, type[BaseModel]] = {"source": SourceTable}

_DATE = "date or time"
_MAX_BYTES = 1 << 18
_MAX_MISTAKES = 20
_MAX_PARTS = 64
"""Of a key. tomllib takes the square of the time for them: a minute for 30,000."""

_QUOTED = re.compile(r"""\"[^"\n]*\"|'[^'\n]*'""")

_BRANCHES = ("text", "table", "int", "constrained-int", "str")
"""Parts of pydantic's locations that name the branch of a union and not a place in the file."""


def merged(file: RunSettings, options: RunSettings) -> RunSettings:
    """Return the settings of a file with the options of the command line over them; sources there replace the file's."""
    over = {name: getattr(options, name) for name in options.model_fields_set}
    if options.camera or options.source:
        over = {"camera": (), "source": (), **over}
    return file.model_copy(update=over)


def load_settings(path: Path) -> RunSettings:
    """Read the settings of a run from a TOML file, with the keys of the command line. Raises as ``load_model``."""
    return load_model(path, RunSettings, _RUN_TABLES)


def load_model(path: Path, model: type[_Model], tables: Mapping[str, type[BaseModel]]) -> _Model:
    """Read settings from a TOML file.

    Args:
        path: The file. Its keys are the fields of the model, with dashes or underscores.
        model: What the settings are.
        tables: The model of each array of tables in it.

    Raises:
        UsageError: If the file cannot be read or is not TOML, or for unknown keys and invalid values; one line for each
            mistake, with the file and the line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data[:_MAX_BYTES].decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"the settings file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the settings file {path} is not UTF-8 text") from None
    if len(data) > _MAX_BYTES:
        raise UsageError(f"the settings file {path} has more than {_MAX_BYTES:,} bytes, which no settings need")
    long = _line_of_long_key(text)
    if long is not None:
        raise UsageError(f"{path}:{long}: a key of more than {_MAX_PARTS} parts, which no setting has")
    try:
        table = tomllib.loads(text)
        given = json.dumps(table, default=_no_text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(_syntax_error(path, text, str(error))) from None
    except ValueError:
        raise UsageError(f"{path}: it has a number of thousands of digits, which no setting takes") from None
    except RecursionError:
        raise _nested(path) from None
    twice = _given_twice(table, tables)
    if twice is not None:
        raise UsageError(f"{path}:{key_line(text, twice)}: {twice[-1]} is given twice, with a dash and an underscore")
    try:
        # JSON's rules, strictly: a list is a tuple and a string a path, but no string is a number.
        return model.model_validate_json(given, strict=True)
    except ValidationError as error:
        errors: dict[_Path, str] = {}
        for item in invalid_items(error):
            if item["type"] == "json_invalid":  # json.dumps wrote it: only its depth can be wrong
                raise _nested(path) from None
            errors.setdefault(_place(item), sentence(item, model, tables))  # for a union the first branch is enough
        shown = list(errors.items())[:_MAX_MISTAKES]  # to find a line takes several parses
        mistakes = sorted((key_line(text, place), message) for place, message in shown)
        lines = [f"{path}:{line}: {message}" for line, message in mistakes]
        if len(errors) > len(shown):
            lines.append(f"{path}: and {len(errors) - len(shown)} more mistakes")
        raise UsageError("\n".join(lines)) from None


def _nested(path: Path) -> UsageError:
    return UsageError(f"{path}: its tables or lists are nested too deeply")


def sentence(item: Any, model: type[BaseModel] = RunSettings, tables: Mapping[str, type[BaseModel]] = _RUN_TABLES) -> str:
    """Say what is wrong with one value, from one of pydantic's errors.

    Args:
        item: The error.
        model: What was to be made.
        tables: As ``load_model`` takes them.
    """
    place = _place(item)
    in_table = place and place[0] in tables
    where = [str(part) for part in (place[2:] if in_table and len(place) > 2 else place)]
    name = ".".join(where) or ("" if item["type"] == "value_error" else "settings")  # that of several settings names them
    wrong_table = _wrong_table(item, tables)
    if wrong_table is not None:
        return wrong_table
    if item["type"] == "extra_forbidden":
        shown = hide_credentials(repr(name))  # it may be a URL that stands in the wrong place
        outer = tables[str(place[0])] if in_table and len(place) > 1 else model
        known = sorted(field.replace("_", "-") for field in known_fields(outer, where[:-1]))
        return f"unknown setting {shown}: {name_hint(where[-1].replace('_', '-'), known)}"
    return describe_invalid(item, name, lambda value: hide_credentials(repr(value)))


def _no_text(value: Any) -> dict[str, str]:
    """Turn a date or time of TOML into something that no setting accepts, so that it is not taken for a text."""
    return {_DATE: str(value)}


def _line_of_long_key(text: str) -> int | None:
    """The line that has more dots in front of or between equals signs, outside of quotes, than a key may have parts."""
    for number, line in enumerate(text.splitlines(), 1):
        if any(part.count(".") >= _MAX_PARTS for part in _QUOTED.sub("", line.partition("#")[0]).split("=")):
            return number
    return None


def key_line(text: str, where: Iterable[str | int]) -> int:
    """Find the statement that sets a value.

    tomllib reports no lines. But parsing the first n lines, for each n that does not cut a statement in two, shows with which
    statement a value came.

    Args:
        text: The TOML document.
        where: The keys and indices that lead to the value.

    Returns:
        The line, from 1, of the statement that sets the value, or else its closest parent.
    """
    wanted = tuple(where)
    lines = text.splitlines()

    def depth_in(end: int) -> int | None:
        """Of what the first ``end`` lines set; None where they cut a statement in two."""
        try:
            return _depth(tomllib.loads("\n".join(lines[:end])), wanted)
        except tomllib.TOMLDecodeError:
            return None

    whole = depth_in(len(lines)) or 0
    if not whole:
        return 1
    low, high, found = 1, len(lines), len(lines)
    while low <= high:  # with more lines the depth never falls
        middle = end = (low + high) // 2
        while (depth := depth_in(end)) is None and end < high:
            end += 1
        if depth is not None and depth < whole:
            low = end + 1
        else:
            found, high = end if depth is not None else found, middle - 1
    start = next((end for end in range(found - 1, 0, -1) if depth_in(end) is not None), 0)
    return next((n + 1 for n in range(start, found) if lines[n].strip() and not lines[n].lstrip().startswith("#")), start + 1)


def _depth(value: Any, where: _Path) -> int:
    """How many parts of ``where`` lead somewhere in ``value``."""
    depth = 0
    for part in where:
        if isinstance(value, dict):
            name = next((key for key in value if key.replace("_", "-") == str(part).replace("_", "-")), None)
            if name is None:
                break
            value = value[name]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            break
        depth += 1
    return depth


def _place(item: Any) -> _Path:
    """Where in the file a mistake is: pydantic's location without the union branches that it tried."""
    loc = item["loc"]
    return tuple(part for number, part in enumerate(loc) if number == 0 or part not in _BRANCHES)


def _wrong_table(item: Any, tables: Iterable[str]) -> str | None:
    """What is wrong with a table, or an array of them, that the settings do not have; None for another mistake."""
    place, value = _place(item), item["input"]
    several = isinstance(value, list) and bool(value) and all(map(_is_table, value))
    one_of_several = len(place) == 2 and isinstance(place[1], int) and _is_table(value)
    alone = len(place) == 1 and _is_table(value)
    if not ((several and len(place) == 1) or one_of_several or alone):
        return None
    name, known = hide_credentials(str(place[0])), " or ".join(f"[[{each}]]" for each in tables)
    if name in tables:
        return f"[{name}] needs double brackets, [[{name}]]: there may be several" if alone else None
    if not alone:
        return f"there are no tables [[{name}]] here: write {known}"
    if item["type"] == "extra_forbidden":
        return f"there is no table [{name}] here: settings stand above all tables, which are {known}"
    return None


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and _DATE not in value


def _given_twice(table: dict[str, Any], arrays: Iterable[str]) -> _Path | None:
    tables: list[tuple[_Path, Any]] = [((), table)]
    for name in arrays:
        found = table.get(name)
        tables += [((name, number), item) for number, item in enumerate(found if isinstance(found, list) else [])]
    for place, item in tables:
        names = [key.replace("_", "-") for key in item] if isinstance(item, dict) else []
        for name in names:
            if names.count(name) > 1:
                return (*place, name)
    return None


def _syntax_error(path: Path, text: str, message: str) -> str:
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", message)
    if found is None:
        return f"{path}: {message}"
    line = found.group(2) or len(text.splitlines())
    return f"{path}:{line}: {found.group(1)[0].lower()}{found.group(1)[1:]}"
