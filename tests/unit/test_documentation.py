"""The documentation says what the program does: generated pages are up to date, commands and links in the others exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import ferengine
from ferengine.cli.app import COMMANDS, TOOLS
from ferengine.cli.command import make_command
from ferengine_tools import reference

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", ["api.md", "commands.md", "config.schema.json"])
def test_generated_pages_are_up_to_date(name: str) -> None:
    committed = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert committed == reference.pages()[name], "run python -m ferengine_tools.reference docs/"


def test_every_public_name_and_command_is_in_its_page() -> None:
    api = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in ferengine.__all__:
        assert name.startswith("__") or f"## {name}\n" in api
    assert "<built-in" not in api  # a default is shown as it is written
    commands = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"## ferengine {name}\n" in commands
        for option in options(name) - {"-h"}:
            assert f"`{option}`" in commands
    for name in TOOLS:
        assert f"`ferengine {name}`" in commands


def test_writing_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main([str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(reference.pages())
    assert reference.main([]) == 2
    assert "usage" in capsys.readouterr().err


def options(command: str) -> set[str]:
    """The options that ``ferengine command`` takes."""
    entry = {**COMMANDS, **TOOLS}[command]
    if entry.own_parser:
        return tool_options(command)
    made = make_command(getattr(import_module(entry.module), command.replace("-", "_")))
    return {"--help", *(flag for param in made.params for flag in (*param.opts, *param.secondary_opts))}


def tool_options(tool: str) -> set[str]:
    """The options that the modules of ``ferengine tool`` define, read from their text: some need torch to be imported."""
    spec = find_spec(TOOLS[tool].module)
    assert spec is not None
    assert spec.origin is not None
    written = re.findall(r'"(--[a-z][a-z-]*)"', Path(spec.origin).read_text(encoding="utf-8"))
    if tool == "train":  # each setting is an option
        settings = Path(reference.__file__).with_name("training") / "config.py"
        names = re.findall(r"(?m)^    ([a-z_]+): ", settings.read_text(encoding="utf-8"))
        written += [f"--{name.replace('_', '-')}" for name in names]
    return {"--help", *written}


def split_fences(text: str) -> tuple[list[str], str]:
    """The lines inside fenced blocks without a language, and the text outside of all blocks."""
    inside: list[str] = []
    outside: list[str] = []
    fence: str | None = None
    for line in text.splitlines():
        if line.startswith("```"):
            fence = line[3:] if fence is None else None
        elif fence is None:
            outside.append(line)
        elif fence == "":
            inside.append(line)
    return inside, "\n".join(outside)


def examples(text: str) -> Iterator[list[str]]:
    """The calls of ferengine in the blocks and in the running text, as words."""
    inside, outside = split_fences(text)
    calls = [line.partition("  #")[0] for line in inside]
    for line in [*calls, *re.findall(r"`(ferengine [^`\n]+)`", outside)]:
        words = line.partition(" > ")[0].split()
        if words[:1] == ["ferengine"]:
            yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for words in examples(text):
        assert words[1] in {*COMMANDS, *TOOLS} or words[1].startswith("-"), words
        given = {word for word in words if word.startswith("--")}
        if words[1] in {*COMMANDS, *TOOLS}:
            assert given <= options(words[1]), words
    known = set().union(*map(options, (*COMMANDS, *TOOLS)), {"--overwrite"})
    for option in re.findall(r"`(--[a-z][a-z-]*)", split_fences(text)[1]):
        assert option in known, option


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        linked = page.parent / path if path else page
        assert linked.exists(), target
        headings = re.findall(r"(?m)^#+ (.+)$", linked.read_text(encoding="utf-8")) if anchor else []
        assert not anchor or anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_the_readme_has_examples_that_are_looked_at() -> None:
    found = list(examples((ROOT / "README.md").read_text(encoding="utf-8")))
    assert len(found) >= 12
    assert {words[1] for words in found} >= {"run", "image", "doctor", "config", "cameras"}
