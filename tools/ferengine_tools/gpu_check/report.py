"""What a part of the check found: kept in a file that is rewritten after each step, so that a crash loses nothing.

``python -m ferengine_tools.gpu_check.report DIR`` puts the parts' files together, and exits with 1 when a check failed. A part
that had no time left (``--cut``) is incomplete, not failed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ferengine.json_text import json_text


class Part(StrEnum):
    """A part of the check."""

    OTHERS = "others"
    ENGINES = "engines"
    CAMERAS = "cameras"


SUMMARY = "gpu_check.md"


class Report:
    """Tables by title, what did not run and why, and what failed, in the JSON file ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.complete = False
        self.tables: dict[str, dict[str, Any]] = {}
        self.problems: dict[str, str] = {}
        self.failed: list[str] = []
        self._write()

    def row(self, title: str, header: Sequence[str], cells: Sequence[str]) -> None:
        """Add ``cells`` to the table, in place of the row that begins with the same cell."""
        rows = self.tables.setdefault(title, {"header": list(header), "rows": {}})["rows"]
        if cells[0] not in rows:
            print(f"{title}: {cells[0]}", flush=True)
        rows[cells[0]] = list(cells)
        self._write()

    def problem(self, name: str, text: str) -> None:
        """Something that did not run."""
        print(f"{name}: {text}", flush=True)
        self.problems[name] = f"{self.problems[name]}\n{text}" if name in self.problems else text
        self._write()

    def fail(self, what: str) -> None:
        """A check that was not passed."""
        print(f"FAILED: {what}", flush=True)
        self.failed.append(what)
        self._write()

    def adopt(self, path: Path, *, excused: bool) -> bool:
        """Take over what another report found, as far as it came; whether that is complete and nothing failed in it.
        ``excused``: what failed there is no failure of this check."""
        try:
            other = json.loads(path.read_text())
        except FileNotFoundError:
            return False
        for title, table in other["tables"].items():
            self.tables.setdefault(title, {"header": table["header"], "rows": {}})["rows"].update(table["rows"])
        for name, text in other["problems"].items():
            self.problem(name, text)
        for what in other["failed"]:
            self.problem(what, "failed") if excused else self.fail(what)
        self._write()
        return bool(other["complete"] and not other["failed"] and not other["problems"])

    def finish(self) -> None:
        """Write the report."""
        self.complete = True
        self._write()

    def _write(self) -> None:
        found = {
            "complete": self.complete, "tables": self.tables, "problems": self.problems, "failed": self.failed,
        }  # fmt: skip
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json_text(found, indent=2) + "\n")
        temporary.replace(self.path)


def summarise(folder: Path, cut: Collection[str] = ()) -> list[str]:
    """Write ``gpu_check.md`` of the parts whose reports lie in a folder.

    Args:
        folder: Where the reports are.
        cut: Parts whose time was over before their end.

    Returns:
        What failed, parts that crashed included.
    """
    tables: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    failed: list[str] = []
    missing: list[str] = []
    unfinished: list[str] = []
    for part in Part:
        path = folder / f"{part}.json"
        if not path.is_file():
            missing.append(part)
            continue
        found = json.loads(path.read_text())
        for title, table in found["tables"].items():
            tables.setdefault(title, {"header": table["header"], "rows": {}})["rows"].update(table["rows"])
        problems += [f"- {name}: {text}" for name, text in found["problems"].items()]
        failed += found["failed"]
        if not found["complete"]:
            (unfinished if part in cut else failed).append(f"{part} did not come to its end")
    outcome = "FAILED: " + "; ".join(failed) if failed else "incomplete" if missing or unfinished else "passed"
    notes = [*([f"not run: {', '.join(missing)}"] if missing else []), *(f"{what}: its time was over" for what in unfinished)]
    lines = [f"# GPU check: {outcome}" + (f" ({'; '.join(notes)})" if notes else "")]
    lines += [f"## {title}\n\n{markdown(table['header'], list(table['rows'].values()))}" for title, table in tables.items()]
    if problems:
        lines.append("## What did not run\n\n" + "\n".join(problems) + "\n")
    (folder / SUMMARY).write_text("\n\n".join(lines))
    return failed


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"


def main(
    folder: Annotated[Path, typer.Argument(help="Where the parts' reports are.")],
    cut: Annotated[list[str] | None, typer.Option(help="A part whose time was over before its end. May be repeated.")] = None,
) -> None:
    """Put the reports of all parts together."""
    failures = summarise(folder, cut or ())
    typer.echo((folder / SUMMARY).read_text())
    raise typer.Exit(1 if failures else 0)


if __name__ == "__main__":
    typer.run(main)
