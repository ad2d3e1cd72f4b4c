"""How the help of a command looks: as typer prints it, but for terminals of 80 columns and for people who read no Python."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

_OPTION_CELLS = 6
"""In a row of an option: its name, one-letter name, negation, the negation's one-letter name, type and help. Before them is a
mark where an option of the panel is required."""
_LONG_TYPE = 16
"""Characters."""
_MARKUP = re.compile(r"(?<!\\)\[")
"""What rich would read as the beginning of a style, and leave out: no help has any."""


class HelpfulCommand(TyperCommand):
    """A command whose help fits narrow terminals."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        _prepare(self, ctx)
        super().format_help(ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line."""
        return _without_braces(super().collect_usage_pieces(ctx))


class HelpfulGroup(TyperGroup):
    """A group of commands whose help fits narrow terminals."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        _prepare(self, ctx)
        super().format_help(ctx, formatter)


def _without_braces(pieces: list[str]) -> list[str]:
    """Usage by the usual convention: what may be left out is in brackets, and what is required stands alone."""
    return [piece.replace("{", "").replace("}", "") for piece in pieces]


def _prepare(command: TyperCommand | TyperGroup, ctx: Any) -> None:
    _use_folded_tables()
    parameters: list[Any] = command.get_params(ctx)
    for parameter in parameters:
        text = _type_text(parameter, ctx)
        parameter.display_type_rich = lambda ctx, text=text: text
        if getattr(parameter, "help", None):
            parameter.help = _MARKUP.sub(r"\[", parameter.help)


def _type_text(parameter: Any, ctx: Any) -> str:
    """What kind of value a parameter takes: nothing for a switch, and the kind of one value where there may be several."""
    if getattr(parameter, "is_flag", False):
        return ""
    text: str = parameter.display_type_rich(ctx) or ""
    return f"<{text[len('<list[') : text.rindex(']')].lower()}>" if text.startswith("<list[") else text


def _use_folded_tables() -> None:
    """Let long words of the help go on in the next line: typer cuts names of options on terminals of 80 columns, and has no
    setting for it."""
    from rich.columns import Columns  # these are slow to import, and needed for help only
    from rich.table import Table
    from rich.text import Text
    from typer import rich_utils

    class FoldedTable(Table):
        def add_row(self, *cells: Any, **options: Any) -> None:
            if len(cells) >= _OPTION_CELLS:
                *mark, name, short, negation, short_negation, kind, text = cells
                if negation.plain:  # below the name: a column of its own would take the width from the texts of all others
                    name, negation = Text(f"{name.plain}\n{negation.plain}", rich_utils.STYLE_OPTION), Text("")
                if len(kind.plain) > _LONG_TYPE:
                    kind = Text(re.sub(r"([|,])", r"\1\n", kind.plain), rich_utils.STYLE_TYPES)  # one choice below the other
                cells = (*mark, name, short, negation, short_negation, kind, text)
            for cell in cells:
                for piece in cell.renderables if isinstance(cell, Columns) else [cell]:
                    if isinstance(piece, Text):
                        piece.overflow = "fold"
            super().add_row(*cells, **options)

    rich_utils.Table = FoldedTable  # type: ignore[attr-defined]
