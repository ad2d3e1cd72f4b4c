"""Fills the reference pages from the program itself while the site is built: commands, settings, the settings schema.

mkdocs calls the functions named ``on_...``. Commands run as ``python -m ferengine ...`` in a process of their own, so a
page shows what a terminal shows.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).parents[1]
SCHEMA = "config.schema.json"


def command_names() -> list[str]:
    """Every visible command in the order of the help, sub-commands as ``"group command"``."""
    from ferengine.cli.app import app

    return list(_names(typer.main.get_command(app)))


def _names(group: Any, prefix: str = "") -> Iterator[str]:
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if not command.hidden:
            yield prefix + name
            if hasattr(command, "list_commands"):
                yield from _names(command, f"{prefix}{name} ")


@functools.cache
def output_of(*arguments: str) -> str:
    """What ``ferengine`` prints when called with ``arguments``, without colours and at most 80 columns wide.

    Raises:
        RuntimeError: The command failed; the message holds its standard error.
    """
    return _python("-m", "ferengine", *arguments, name=" ".join(["ferengine", *arguments]))


@functools.cache
def help_texts() -> dict[str, str]:
    """The help of every command by its name, as ``output_of`` gives it, but all from one process: thirty take half a minute."""
    texts: dict[str, str] = json.loads(_python("-c", _PRINT_HELP, *command_names(), name="ferengine --help"))
    return texts


_PRINT_HELP = """
import contextlib, io, json, sys, typer
from ferengine.cli.app import app
from ferengine.cli.command import exit_code

texts = {}
for name in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as text:
        code = exit_code(typer.main.get_command(app), "ferengine", [*name.split(), "--help"])
    if code:
        sys.exit(code)
    texts[name] = text.getvalue()
print(json.dumps(texts))
"""


def _python(*arguments: str, name: str) -> str:
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TYPER_USE_RICH": "0"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "engine"), str(ROOT / "tools"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.strip()}")
    return done.stdout


def commands_text() -> str:
    """The help of every command, a section each."""
    return "\n".join(
        f"## ferengine {name} {{#{name.replace(' ', '-')}}}\n\n```text\n{text.strip()}\n```\n"
        for name, text in help_texts().items()
    )


def settings_text() -> str:
    """One table of all settings of a run, and one of the keys of a source table, from the JSON schema."""
    schema = json.loads(output_of("config", "--schema"))
    parts = [_table(schema, schema["$defs"])]
    for definition in schema["$defs"].values():
        if definition.get("type") == "object":
            parts.append(f"## Keys of `[[source]]` {{#source}}\n\n{definition.get('description', '')}\n")
            parts.append(_table(definition, schema["$defs"]))
    return "\n".join(parts)


def _table(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    rows = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    for name, setting in schema["properties"].items():
        default = setting.get("default")
        shown = "" if default is None or default == [] else f"`{json.dumps(default, ensure_ascii=False)}`"
        meaning = setting.get("description", "").replace("|", "\\|").replace("\n", " ")
        rows.append(f"| `{name}` | {_values(setting, definitions)} | {shown} | {meaning[:1].upper()}{meaning[1:]} |")
    return "\n".join(rows) + "\n"


def _values(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The type of a setting and its limits, in words."""
    if "$ref" in schema:
        return _values(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_values(each, definitions) for each in schema[key] if each != {"type": "null"}))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "")
    if kind == "array":
        items = schema.get("prefixItems") or [schema["items"]]
        count = schema.get("maxItems")
        return f"{count} times {_values(items[0], definitions)}" if count else f"list of: {_values(items[0], definitions)}"
    words = {"boolean": "`true`, `false`", "number": "number", "integer": "integer", "string": "text", "object": "table"}[kind]
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    ranges = [f"{sign} {schema[key]:g}" for key, sign in limits.items() if key in schema]
    return " ".join(filter(None, [words, ", ".join(ranges)]))


FILLED: dict[str, Callable[[], str]] = {
    "<!-- filled: commands -->": commands_text,
    "<!-- filled: settings -->": settings_text,
    "<!-- filled: example settings -->": lambda: f"```toml\n{output_of('config', '--example').strip()}\n```",
}
"""What a page may hold, on a line of its own, and what replaces it."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks of ``FILLED``."""
    for mark, text in FILLED.items():
        if mark in markdown:
            markdown = markdown.replace(mark, text())
    return markdown


def on_files(files: Any, config: Any) -> Any:
    """Publish the JSON schema of the settings file beside the pages."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, SCHEMA, content=output_of("config", "--schema")))
    return files
