"""Command-line options made from pydantic models: name, type, default and help of a setting exist once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Protocol, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic.fields import FieldInfo

from ferengine.cli.config_file import sentence
from ferengine.errors import UsageError
from ferengine.models.registry import model_names

_Model = TypeVar("_Model", bound=BaseModel)

_LONG = 100_000
"""From this number on, digits are grouped."""


class Options(Protocol):
    """Options that are made from the fields of a record."""

    def parameters(self) -> list[inspect.Parameter]:
        """One keyword parameter for each option, as typer reads them."""
        ...


@dataclass(frozen=True, slots=True)
class OptionSet:
    """The fields of a pydantic model as command-line options.

    Attributes:
        model: The model. Each field's description is the help of its option.
        without: Fields that are no options.
        panels: The fields under each heading of the help; fields that are in none of them stand under ``rest``.
        rest: The heading of the other fields.
        short: One-letter options by field, such as ``{"source": "-s"}``.
    """

    model: type[BaseModel]
    without: frozenset[str] = frozenset()
    panels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rest: str = "Options"
    short: Mapping[str, str] = field(default_factory=dict)

    def by_panel(self) -> dict[str, list[str]]:
        """The names of the fields under each heading, in the order of the help."""
        names = [name for name in self.model.model_fields if name not in self.without]
        placed = {name for inside in self.panels.values() for name in inside}
        found = {panel: [name for name in inside if name in names] for panel, inside in self.panels.items()}
        found[self.rest] = [*found.get(self.rest, []), *(name for name in names if name not in placed)]
        return {panel: inside for panel, inside in found.items() if inside}

    def parameters(self) -> list[inspect.Parameter]:
        """One keyword parameter for each option, as typer reads them."""
        return [self._parameter(name, panel) for panel, names in self.by_panel().items() for name in names]

    def _parameter(self, name: str, panel: str) -> inspect.Parameter:
        info = self.model.model_fields[name]
        flag = f"--{name.replace('_', '-')}"
        plain = plain_type(info.annotation)
        flags = [f"{flag}/--no-{flag[2:]}" if plain is bool else flag, *filter(None, [self.short.get(name)])]
        default = ... if info.is_required() else info.default
        if default is None or default == ():
            plain, default = plain | None, None
        completion = _model_names if name == "model" else None
        option = typer.Option(*flags, help=help_text(info), rich_help_panel=panel, autocompletion=completion)
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[plain, option])


def _model_names(incomplete: str) -> list[str]:
    return [name for name in model_names() if name.startswith(incomplete)]


def parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    """A parameter of a command beside those of a model, for ``with_options``."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def with_options(options: Options, *more: inspect.Parameter) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command so that it takes ``more`` and ``options``; the latter reach it as keywords, only where given."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        made = options.parameters()
        optional = {each.name for each in made}

        def called(context: typer.Context, **values: Any) -> None:
            command(**{name: value for name, value in values.items() if name not in optional or _is_given(context, name)})

        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        parameters = [context, *more, *made]
        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        return called

    return decorate


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def checked(model: type[_Model], values: Mapping[str, Any]) -> _Model:
    """Validate the values of a command line.

    Args:
        model: The model to make.
        values: What was given, by field.

    Raises:
        UsageError: Naming the options that are wrong.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        items = error.errors(include_url=False)
        said = (f"--{_dashed(sentence(item))}" if item["loc"] else sentence(item) for item in items)
        raise UsageError("; ".join(said)) from None


def _dashed(text: str) -> str:
    name, colon, rest = text.partition(":")
    option = re.sub(r"^(camera|draw|media_events)\.\d+$", r"\1", name)  # the message says which of several it is
    return f"{option.replace('_', '-')}{colon}{rest}"


def plain_type(annotation: Any) -> Any:
    """Return ``annotation`` as typer takes it.

    Constraints and None are left out, several values become a list, and a value that the model parses itself (with a
    BeforeValidator) is a text.
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return str if any(isinstance(item, BeforeValidator) for item in parts[1:]) else plain_type(parts[0])
    if origin in (Union, UnionType):
        [first, *_] = [plain_type(part) for part in parts if part is not NoneType]
        return first
    if origin is Literal and not isinstance(parts[0], str):
        return type(parts[0])  # typer's choices are texts
    if origin is tuple and parts[-1] is Ellipsis:
        each = plain_type(parts[0])
        return list[str if get_origin(each) is Literal else each]  # type: ignore[misc]  # typer has no lists of choices
    if origin is tuple:
        return tuple[tuple(plain_type(part) for part in parts)]  # type: ignore[misc]
    return annotation


def help_text(info: FieldInfo) -> str:
    """Return the description of a setting with its range."""
    text = (info.description or "").strip()
    text = f"{text[0].upper()}{text[1:]}".rstrip(".") + "."
    range_ = limits(info.metadata)
    return f"{text} {range_}." if range_ else text


def limits(metadata: Iterable[Any]) -> str:
    """Return the range that pydantic's constraints allow, in words; an empty text if there is none."""
    words = []
    for item in metadata:
        for name, sign in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
            bound = getattr(item, name, None)
            if bound is not None:
                words.append(f"{sign} {bound:,}" if bound >= _LONG else f"{sign} {bound:g}")
    return ", ".join(words).capitalize()
