"""Writes the reference pages of the documentation: commands from their options, the API from its docstrings.

    python -m ferengine_tools.reference docs/

A test compares the committed pages with these; so they cannot rot.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from typer.models import ArgumentInfo, OptionInfo

import ferengine
from ferengine.cli.app import COMMANDS, TOOLS
from ferengine.cli.config import schema_text
from ferengine.cli.options import help_text

_FURTHER = (
    ("ferengine.config", "EngineConfig"),
    ("ferengine.sources", "SourceSpec"),
    ("ferengine.sources", "parse_source"),
    ("ferengine.sources.push", "PushSource"),
    ("ferengine.runtime.push", "Pushed"),
    ("ferengine.runtime.health", "Health"),
    ("ferengine.runtime.health", "CameraHealth"),
    ("ferengine.runtime.health", "WorkerHealth"),
    ("ferengine.runtime.health", "ConsumerHealth"),
    ("ferengine.runtime.consumers", "Results"),
    ("ferengine.runtime.consumers", "CallbackSubscription"),
    ("ferengine.sinks.jsonl", "JsonlWriter"),
    ("ferengine.sinks.csv", "CsvWriter"),
    ("ferengine.sinks.lines", "LineWriter"),
    ("ferengine.sinks.video", "VideoWriter"),
    ("ferengine.sinks.draw", "draw_faces"),
    ("ferengine.sinks.draw", "draw_still"),
    ("ferengine.inference.select", "BackendSettings"),
    ("ferengine.models.registry", "list_models"),
    ("ferengine.models.registry", "load_model"),
    ("ferengine.errors", "UsageError"),
    ("ferengine.errors", "MissingDependencyError"),
    ("ferengine.errors", "SourceError"),
    ("ferengine.errors", "CredentialsError"),
    ("ferengine.errors", "ModelError"),
    ("ferengine.errors", "DeviceError"),
    ("ferengine.errors", "SinkError"),
    ("ferengine.errors", "WorkerError"),
)
"""What users of the API meet beyond the names of the package itself."""


def pages() -> dict[str, str]:
    """The text of each generated page by its name in docs/."""
    return {"commands.md": commands_page(), "api.md": api_page(), "config.schema.json": schema_text()}


# Commands


_COMMANDS_HEAD = """\
# Commands

Made from the commands' own help by `python -m ferengine_tools.reference docs/`.

Exit codes of all of them: 0, 1 for a failure, 2 for wrong usage. Errors and progress go to standard error.
"""
_TOOLS_HEAD = """\
## Tools

Those that need torch, matplotlib or TensorRT name the extra to install where it is missing; `--help` lists their options.
"""


def commands_page() -> str:
    """Every command with its options, as ``--help`` tells them."""
    parts = [_COMMANDS_HEAD]
    for name, entry in COMMANDS.items():
        parts.append(_command(name, getattr(import_module(entry.module), name)))
    tools = "\n".join(f"- `ferengine {name}`: {entry.summary}" for name, entry in TOOLS.items())
    return "\n".join([*parts, _TOOLS_HEAD, tools + "\n"])


def _command(name: str, function: Any) -> str:
    usage = [f"ferengine {name} [OPTIONS]"]
    panels: dict[str, list[str]] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if parameter.annotation is typer.Context:
            continue
        kind, about = get_args(parameter.annotation)
        if isinstance(about, ArgumentInfo):
            placeholder = parameter.name.upper()
            many = "..." if get_origin(kind) is list else ""
            usage.append(placeholder + many if parameter.default is parameter.empty else f"[{placeholder}{many}]")
            panels.setdefault("Arguments", []).append(f"| `{placeholder}` | {_value(kind)} | {_cell(about.help)} |")
        else:
            row = f"| {_flags(about)} | {_value(kind)} | {_cell(about.help)}{_default(parameter.default)} |"
            panels.setdefault(about.rich_help_panel or "General", []).append(row)
    parts = [f"## ferengine {name}\n", f"```\n{' '.join(usage)}\n```\n", _documentation(function)]
    for panel, rows in panels.items():
        parts.append(f"**{panel}**\n\n| option | value | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _default(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return ""
    return f" Default: {' '.join(map(str, value)) if isinstance(value, tuple) else value}."


def _flags(option: OptionInfo) -> str:
    declared = [*([option.default] if isinstance(option.default, str) else []), *(option.param_decls or ())]
    return ", ".join(f"`{flag}`" for text in declared for flag in text.split("/"))


def _value(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _value(parts[0])
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin is list:
        return f"{_value(parts[0])}, repeatable"
    if origin is tuple:
        return " ".join(_value(part) for part in parts)
    return {bool: "", int: "number", float: "number", str: "text", Path: "path"}[kind]


# API


_API_HEAD = """\
# Python API

Made from the docstrings by `python -m ferengine_tools.reference docs/`. Names are imported from the module given below
each.
"""


def api_page() -> str:
    """Every public class and function with its docstring."""
    parts = [_API_HEAD]
    names = sorted(name for name in ferengine.__all__ if not name.startswith("__"))
    shown = [("ferengine", name) for name in names] + [item for item in _FURTHER if item[1] not in names]
    parts.extend(_entry(module, name, getattr(import_module(module), name)) for module, name in shown)
    return "\n".join(parts)


def _entry(module: str, name: str, thing: Any) -> str:
    heading = f"## {name}\n\n`from {module} import {name}`\n"
    if not inspect.isclass(thing):
        return f"{heading}\n```python\n{name}{_signature(thing)}\n```\n\n{_documentation(thing)}"
    if issubclass(thing, BaseModel):
        rows = "\n".join(
            f"| `{field}` | `{info.default!r}` | {_cell(help_text(info))} |" for field, info in thing.model_fields.items()
        )
        return f"{heading}\n{_documentation(thing)}\n| setting | default | meaning |\n|---|---|---|\n{rows}\n"
    parts = [heading]
    if not issubclass(thing, BaseException) and not getattr(thing, "_is_protocol", False):
        parts.append(f"```python\n{name}{_signature(thing)}\n```\n")
    parts.append(_documentation(thing))
    parts.extend(_member(*member) for member in _members(thing))
    return "\n".join(parts)


def _members(thing: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties with a docstring, in the order of the source."""
    hidden = {field.name for field in fields(thing)} if is_dataclass(thing) else set()
    for name, member in vars(thing).items():
        documented = getattr(member, "__func__", member)
        if name.startswith("_") or name in hidden or not getattr(documented, "__doc__", None):
            continue
        if isinstance(member, property) or inspect.isroutine(documented):
            yield name, member


def _member(name: str, member: Any) -> str:
    function = getattr(member, "__func__", member)
    shown = f"`{name}`" if isinstance(member, property) else f"`{name}{_signature(function)}`"
    return f"**{shown}**\n\n{_documentation(function)}"


class _Written:
    """An annotation or a default as it is written in the source."""

    def __init__(self, text: Any) -> None:
        self._text = text if isinstance(text, str) else inspect.formatannotation(text)

    def __repr__(self) -> str:
        return self._text


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    shown = [_as_written(parameter) for parameter in signature.parameters.values() if parameter.name != "self"]
    returned = signature.return_annotation
    if inspect.isclass(function) or returned is signature.empty:
        return str(signature.replace(parameters=shown, return_annotation=signature.empty))
    return str(signature.replace(parameters=shown, return_annotation=_Written(returned)))


def _as_written(parameter: inspect.Parameter) -> inspect.Parameter:
    if parameter.annotation is not parameter.empty:
        parameter = parameter.replace(annotation=_Written(parameter.annotation))
    if inspect.isroutine(parameter.default):
        name = f"{parameter.default.__module__}.{parameter.default.__name__}"
        parameter = parameter.replace(default=_Written(name))
    return parameter


def _documentation(thing: Any) -> str:
    return _markdown(inspect.cleandoc(thing.__doc__ or "")) + "\n"


def _markdown(text: str) -> str:
    """reStructuredText's ``literals`` as Markdown's."""
    return re.sub(r"``([^`]+)``", r"`\1`", text)


def _cell(text: str | None) -> str:
    return _markdown(text or "").replace("|", "\\|").replace("\n", " ")


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python -m ferengine_tools.reference DOCS_FOLDER", file=sys.stderr)
        return 2
    for name, text in pages().items():
        (Path(arguments[0]) / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
