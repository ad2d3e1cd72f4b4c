"""``ferengine train``."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from ferengine.cli.options import plain_type, with_options
from ferengine_tools.training.config import TrainConfig, paper_preset

_PRESET = Annotated[
    Literal["recipe", "paper"],
    typer.Option(help="paper: the settings of Zhao's paper for all options that are not given."),
]
_DATA = Annotated[
    list[Path],
    typer.Option(
        metavar="PATH",
        help="FER-2013 (fer2013.csv, its image folders or tiles), or with --task gender UTKFace (a folder or zip file). Repeat "
        "for more sets of expressions: the folder of wild_faces, or crops of ferengine data prepare.",
    ),
]
_NO_OPTION = ("data", "beside")
"""Fields that --data gives."""


class _Options:
    """An option for each field of TrainConfig, with its default and help."""

    def parameters(self) -> list[inspect.Parameter]:
        types = get_type_hints(TrainConfig, include_extras=True)
        return [
            _parameter(field.name, types[field.name], field.default)
            for field in fields(TrainConfig)
            if field.name not in _NO_OPTION
        ]


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """Return one parameter as typer reads it; ``annotation`` is the type with the help beside it."""
    kind, (help_text,) = plain_type(annotation.__origin__), annotation.__metadata__
    if default is None or default == ():
        kind, default = kind | None, None
    default = inspect.Parameter.empty if default is MISSING else default
    metavar = "MODEL" if name == "distil" else None
    option = typer.Option(f"--{name.replace('_', '-')}", help=help_text, metavar=metavar)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


@with_options(
    _Options(),
    inspect.Parameter("preset", inspect.Parameter.KEYWORD_ONLY, default="recipe", annotation=_PRESET),
    inspect.Parameter("data", inspect.Parameter.KEYWORD_ONLY, annotation=_DATA),
)
def train(preset: str, data: list[Path], **given: Any) -> None:
    """Train a network on FER-2013, UTKFace or both.

    Each epoch is validated on PublicTest, or on UTKFace's validation split. --out gets the checkpoint, a log with a row for
    each epoch, and the curves. A run that was interrupted continues with --resume.
    """
    config = read_config(preset, data, **given)
    from ferengine_tools.training.run import train as run

    accuracies = run(config).validation_by_head()
    print(f"validation accuracy {' and '.join(f'{100 * accuracy:.2f} %' for accuracy in accuracies)} (single crop)")


def read_config(preset: str, data: list[Path], **given: Any) -> TrainConfig:
    """Return the settings that a command line asks for.

    Args:
        preset: "recipe", or "paper" for the settings of Zhao's paper where ``given`` has no other.
        data: The first set of faces, then those beside it.
        given: The options that were given, by field of TrainConfig.

    Raises:
        UsageError: They do not fit together.
    """
    first, *beside = data
    values = paper_preset(given["model"]) if preset == "paper" else {}
    values |= {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return TrainConfig(data=first, beside=tuple(beside), **values)
