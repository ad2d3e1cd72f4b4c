"""Command-line options made from pydantic models: name, type, default and help of a setting exist once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ferengine.cli.config_file import sentence
from ferengine.cli.settings import PER_SOURCE, RunSettings
from ferengine.config import EngineConfig
from ferengine.errors import UsageError

_Model = TypeVar("_Model", bound=BaseModel)

_SHORT = {"camera": "-c", "source": "-s"}
_PANELS: Mapping[str, tuple[str, ...]] = {
    "Sources": ("camera", "source", *PER_SOURCE, "max_frames"),
    "Outputs": ("events", "csv", "save", "display", "table", "summary", "overwrite", "log_level"),
    "Detection and tracking": (
        "detector",
        "min_face",
        "thresholds",
        "pyramid_factor",
        "detect_every",
        "search",
        "full_scan",
        "tracker",
        "align",
    ),
    "Classification": (),
    "Runtime": ("max_batch", "batch_deadline", "deadline", "queue", "stuck_after", "restart_limit"),
}
"""Where the help shows an option; "Classification" has all that stand nowhere else."""


@dataclass(frozen=True, slots=True)
class OptionSet:
    """The fields of ``model`` as options, but for those in ``without``."""

    model: type[BaseModel]
    without: frozenset[str] = frozenset()

    def panels(self) -> dict[str, list[str]]:
        """The names of the fields, in the order of the help, by panel."""
        names = [name for name in self.model.model_fields if name not in self.without]
        placed = {name: panel for panel, inside in _PANELS.items() for name in inside}
        panels = {panel: [name for name in inside if name in names] for panel, inside in _PANELS.items()}
        panels["Classification"] = [name for name in names if name not in placed]
        return {panel: inside for panel, inside in panels.items() if inside}

    def parameters(self) -> list[inspect.Parameter]:
        """One keyword parameter an option, as typer reads them; all default to None, "not given"."""
        return [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=self._annotation(name, panel))
            for panel, names in self.panels().items()
            for name in names
        ]

    def _annotation(self, name: str, panel: str) -> Any:
        field = self.model.model_fields[name]
        flag = f"--{name.replace('_', '-')}"
        plain = plain_type(field.annotation)
        flags = [f"{flag}/--no-{flag[2:]}" if plain is bool else flag, *filter(None, [_SHORT.get(name)])]
        option = typer.Option(*flags, help=help_text(field), rich_help_panel=panel, show_default=False)
        return Annotated[plain | None, option]


RUN = OptionSet(RunSettings)
"""The options of ``ferengine run``."""

STILL = OptionSet(
    EngineConfig, frozenset({"detect_every", "search", "full_scan", "tracker", "smoothing", "max_frames", *_PANELS["Runtime"]})
)
"""The options that mean something for a still image."""


def with_options(options: OptionSet, *more: inspect.Parameter) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: the command takes ``more`` and ``options``; the latter reach it as keywords, only where given."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def called(**values: Any) -> None:
            command(**{name: value for name, value in values.items() if value is not None or name not in optional})

        made = options.parameters()
        parameters = [*more, *made]
        optional = {parameter.name for parameter in made}
        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return called

    return decorate


def checked(model: type[_Model], values: Mapping[str, Any]) -> _Model:
    """``model`` of the ``values`` from the command line. Raises UsageError, naming the options that are wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError("; ".join(f"--{_dashed(sentence(item))}" for item in error.errors(include_url=False))) from None


def _dashed(text: str) -> str:
    name, colon, rest = text.partition(":")
    option = re.sub(r"^camera\.\d+$", "camera", name)  # which of several it is, the message says
    return f"{option.replace('_', '-')}{colon}{rest}"


def plain_type(annotation: Any) -> Any:
    """``annotation`` as typer takes it: without constraints and ``None``, several values as a list, tables left out."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return plain_type(parts[0])
    if origin in (Union, UnionType):
        [first, *_] = [plain_type(part) for part in parts if part is not NoneType]
        return first
    if origin is Literal and not isinstance(parts[0], str):
        return type(parts[0])  # typer's choices are texts
    if origin is tuple and parts[-1] is Ellipsis:
        return list[plain_type(parts[0])]  # type: ignore[misc]
    if origin is tuple:
        return tuple[tuple(plain_type(part) for part in parts)]  # type: ignore[misc]
    return annotation


def help_text(field: FieldInfo) -> str:
    """The description, with the range and the default of the setting."""
    text = (field.description or "").strip()
    text = f"{text[0].upper()}{text[1:]}".rstrip(".") + "."
    notes = [note for note in (limits(field.metadata), _default(field)) if note]
    return " ".join([text, *(f"{note}." for note in notes)])


def limits(metadata: Iterable[Any]) -> str:
    """The range that pydantic's constraints allow, in words; empty where there is none."""
    words = []
    for item in metadata:
        for name, sign in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
            bound = getattr(item, name, None)
            if bound is not None:
                words.append(f"{sign} {bound:g}")
    return ", ".join(words).capitalize()


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value == () or value is False:
        return ""
    shown = [f"{part:g}" if isinstance(part, float) else str(part) for part in (value if isinstance(value, tuple) else [value])]
    return f"Default: {' '.join(shown)}"
