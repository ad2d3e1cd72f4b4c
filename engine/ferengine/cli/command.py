"""How a function becomes a command: parsed by typer, imported when it is called, its errors one line each.

A command is a function in a module of its own, named after the command with underscores for dashes. Its parameters are
annotated as typer reads them (or made from a pydantic model, see ``options``), and its docstring is the help. The module
imports at its top only what is always installed and quick to load, so that the help of every command works everywhere; the
function imports the rest.
"""

from __future__ import annotations

import errno
import inspect
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from ferengine.cli.help_page import HelpfulCommand, HelpfulGroup
from ferengine.errors import FerengineError, MissingDependencyError, UsageError
from ferengine.ipc.machine import refusal
from ferengine.pip_hint import install_extra
from ferengine.sources.url import hide_credentials, show_path


class Command(Protocol):
    """A command or a group of commands, as typer makes them."""

    def main(self, args: Any = None, prog_name: str | None = None, *, standalone_mode: bool = True) -> Any:
        """Parse the arguments and run."""
        ...


_CONTEXT = {"help_option_names": ["-h", "--help"]}
_PARSE_ERROR: type[Any] = typer.BadParameter.__bases__[0]
"""UsageError of the parser below typer."""

_EXTRAS = {
    "ray": "fleet",
    "cryptography": "fleet",
    "onnx": "onnx",
    "torch": "train",
    "safetensors": "train",
    "scipy": "train",
    "matplotlib": "train",
    "paho": "mqtt",
    "plotly": "report",
    "pyarrow": "parquet",
    "starlette": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "skimage": "demo",
    "tensorrt": "trt",
    "tensorrt_rtx": "trt",
    "cuda": "trt",
    "pycuda": "trt",
}
"""The extra to install for a module that is missing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One command as the list of all commands shows it.

    Attributes:
        summary: One sentence: the first one of the function's docstring.
        module: The module of the function.
        is_tool: Whether it is listed among the tools. Tools may need packages of an extra, and clean up when interrupted.
        commands: The commands of a group, which has no function of its own.
        default: Of a group, the command that takes arguments which begin with no command's name; none if it is empty.
    """

    summary: str
    module: str
    is_tool: bool = False
    commands: Mapping[str, Entry] = field(default_factory=dict)
    default: str = ""

    @property
    def panel(self) -> str:
        """Its heading in the list of all commands."""
        return "Tools" if self.is_tool else "Commands"


class LazyCommand(TyperCommand):
    """A command that imports its module only when it is called, completed or asked for its help."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, help=entry.summary, rich_help_panel=entry.panel)
        self._entry = entry

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Load the command and let it parse ``args``."""
        if self._entry.is_tool and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # tools clean up when they are interrupted
        return self._load().make_context(info_name, args, parent, **extra)

    def _load(self) -> TyperCommand:
        module = import_module(self._entry.module)
        assert self.name is not None
        return make_command(getattr(module, self.name.replace("-", "_")), self._entry.summary)


class CommandGroup(HelpfulGroup):
    """The commands of ``entries``, each loaded when it is needed."""

    entries: Mapping[str, Entry]
    default: str = ""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: _command(name, entry) for name, entry in self.entries.items()}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command before arguments that name none."""
        completing = ctx.resilient_parsing and not args  # then the commands are what may follow
        if (
            self.default
            and not completing
            and not (args and (args[0] in self.entries or args[0] in _CONTEXT["help_option_names"]))
        ):
            args = [self.default, *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def invoke(self, ctx: Any) -> Any:
        """Run a command; a package that is missing becomes an error that names the extra to install."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _EXTRAS:
                raise
            raise MissingDependencyError(
                f"{ctx.command_path} {ctx.invoked_subcommand} needs the package {package}: {install_extra(_EXTRAS[package])}"
            ) from None


def _command(name: str, entry: Entry) -> TyperCommand | TyperGroup:
    if not entry.commands:
        return LazyCommand(name, entry)

    class Group(CommandGroup):
        entries = entry.commands
        default = entry.default

    return Group(name=name, help=entry.summary, rich_help_panel=entry.panel, context_settings=_CONTEXT)


def make_command(function: Callable[..., None], summary: str = "") -> TyperCommand:
    """Return ``function`` as a command that typer parses the arguments of.

    Args:
        function: The function; its docstring is the help.
        summary: The help where docstrings are stripped (``python -OO``).
    """
    paragraphs = (inspect.getdoc(function) or summary).split("\n\n")
    app = typer.Typer(add_completion=False, context_settings=_CONTEXT)
    app.command(cls=HelpfulCommand, help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))(function)
    command = typer.main.get_command(app)
    assert isinstance(command, TyperCommand)
    return command


def run(command: Command, name: str, arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        command: The command or group.
        name: What it is called in its help.
        arguments: Its arguments; ``sys.argv`` without them.

    Raises:
        UsageError: If the arguments are invalid. The message shows no credentials.
        SystemExit: If the command ends with an exit code other than 0.
    """
    _refuse_empty(sys.argv[1:] if arguments is None else arguments)
    try:
        code = command.main(arguments, name, standalone_mode=False)
    except _PARSE_ERROR as error:
        path = name if error.ctx is None else error.ctx.command_path
        text = error.format_message().rstrip(".").replace(": Value error, ", ": ")  # so pydantic introduces each of ours
        raise UsageError(f"{hide_credentials(text)} (see {path} --help)") from None
    if isinstance(code, int) and code:
        sys.exit(code)


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Raise UsageError for an argument that is empty: as a path it would be the current folder."""
    for number, argument in enumerate(arguments):
        if argument and not (argument.startswith("--") and argument.endswith("=")):
            continue
        before = argument[:-1] if argument else arguments[number - 1] if number else ""
        behind = f" behind {before}" if before.startswith("-") else ""
        raise UsageError(f"the argument{behind} is empty: is a variable of the shell not set?")


def call(function: Callable[..., None], name: str, arguments: Sequence[str] | None = None) -> None:
    """Run ``function`` as the command ``name``. Raises as ``run``."""
    run(make_command(function), name, arguments)


def exit_code(command: Command, name: str, arguments: Sequence[str] | None = None) -> int:
    """Run a command as a program does, and return its exit code: a FerengineError becomes one line on standard error."""
    try:
        run(command, name, arguments)
    except FerengineError as error:
        _print_error(str(error))
        return error.exit_code
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise  # not for the path: any file, such as a module, would have been one too many
        if not isinstance(error.filename, str | os.PathLike) or error.strerror is None:
            said = refusal(error) if isinstance(error, FileNotFoundError) else None  # others are of standard output
            if said is None:
                raise
            _print_error(f"the system refuses what the program needs ({said})")
            return FerengineError.exit_code
        _print_error(f"{show_path(os.fspath(error.filename))}: {error.strerror.lower()}")  # a path that the system refuses
        return FerengineError.exit_code
    return 0


def _print_error(text: str) -> None:
    Console(stderr=True).print(f"[bold red]error:[/] {escape(text)}", highlight=False, soft_wrap=True)
