"""``ferengine config``: an example settings file, its JSON schema, or the settings in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from ferengine.cli.config_file import load_settings
from ferengine.cli.options import help_text
from ferengine.cli.run_options import RUN
from ferengine.cli.settings import PER_SOURCE, RunSettings, SourceTable
from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.sources.url import hide_credentials

_HEAD = """\
# Settings of `ferengine run --config FILE`. The names are those of its options, which win over this file.
# Values are the defaults. Settings that are commented out are not set; they show an example or their default.
# Relative paths start from the folder in which ferengine is started.
"""
_SOURCES = """\
# ---- Sources, one table each

# In place of `source`, at the end of the file. Each table has exactly one of url, camera, file, images and demo.
#[[source]]
"""


def config(
    example: Annotated[bool, typer.Option("--example", help="Print a commented TOML file with all defaults.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of the file.")] = False,
    check: Annotated[
        Path | None, typer.Option("--check", help="Print the settings in this file as JSON, or the errors in it.")
    ] = None,
) -> None:
    """Print an example settings file, its JSON schema, or the settings in a file.

    Give exactly one option. For example `ferengine config --example > run.toml`, then `ferengine run --config run.toml`.
    """
    if example + schema + (check is not None) != 1:
        raise UsageError("ferengine config needs exactly one of --example, --schema and --check FILE")
    if example:
        print(example_file(), end="")
    elif schema:
        print(schema_text(), end="")
    else:
        assert check is not None
        settings = load_settings(check)
        try:
            settings.specs()
        except UsageError as error:
            raise UsageError(f"{check}: {error}") from None
        given = settings.model_dump(mode="json", by_alias=True, exclude_unset=True)
        print(json_text(_without_credentials(given), indent=2, ensure_ascii=False))


def _without_credentials(value: Any) -> Any:
    """A value of a JSON document with the URLs in it as they may be shown."""
    if isinstance(value, dict):
        return {key: _without_credentials(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_credentials(item) for item in value]
    return hide_credentials(value) if isinstance(value, str) else value


def example_file() -> str:
    """Return a commented TOML file that sets every setting to its default."""
    parts = [_HEAD]
    for panel, names in RUN.by_panel().items():
        parts.append(f"# ---- {panel}\n")
        for name in names:
            field = RunSettings.model_fields[name]
            parts.append(f"# {help_text(field)}\n{_assignment(field, is_set=name not in PER_SOURCE)}\n")
    table = [f"# {help_text(field)}\n{_assignment(field, is_set=False)}" for field in SourceTable.model_fields.values()]
    return "\n".join([*parts, _SOURCES + "\n".join(table) + "\n"])


def _assignment(field: FieldInfo, *, is_set: bool) -> str:
    """``name = default``; an example where the default is "not set". As a comment without a space unless ``is_set``."""
    if field.default is None or field.default == ():
        return f"#{field.alias} = {_toml((field.examples or [None])[0])}"
    return f"{'' if is_set else '#'}{field.alias} = {_toml(field.default)}"


def schema_text() -> str:
    """Return the JSON schema of the file, as it stands in the documentation."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **RunSettings.model_json_schema()}
    schema["title"] = "Settings of ferengine run"
    return json_text(schema, indent=2, ensure_ascii=False) + "\n"


def _toml(value: Any) -> str:
    """A default as TOML, which writes numbers, strings and booleans like JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json_text(value, ensure_ascii=False)
