"""The documentation says what the program does: its commands, options, names and code exist and run.

`make docs` checks the rest, with every warning an error: links, anchors, pages without a place in the navigation.
"""

from __future__ import annotations

import doctest
import inspect
import json
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import ferengine
from ferengine.models.registry import list_models, load_model

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "pages"
PAGES = [ROOT / "README.md", *sorted((ROOT / ".github").rglob("*.md")), *sorted(SITE.rglob("*.md"))]
RUN = [*sorted((SITE / "how-to").glob("add-*.md")), SITE / "tutorial" / "first-program.md"]
"""Pages whose Python blocks are one program, which is run here."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def load_hooks() -> ModuleType:
    """docs/hooks.py, which mkdocs loads by its path as well."""
    spec = spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hooks = load_hooks()


@cache
def options(*command: str) -> frozenset[str]:
    """The long options in the help of ``ferengine command``."""
    return frozenset(re.findall(r"--[a-z][a-z0-9-]*", hooks.help_texts()[" ".join(command)]))


@cache
def all_options() -> frozenset[str]:
    """The options of all commands and of tools/gpu_check.sh."""
    commands = [tuple(name.split()) for name in hooks.command_names()]
    script = re.findall(r"--[a-z]+", (ROOT / "tools" / "gpu_check.sh").read_text(encoding="utf-8"))
    return frozenset(script).union(*(options(*command) for command in commands))


def blocks(text: str, language: str) -> list[str]:
    """The contents of the fenced blocks of one language; "" stands for blocks without one."""
    fences = re.findall(r"(?ms)^```([^\n]*)\n(.*?)^```$", text)
    return [body for name, body in fences if name == language]


def outside_blocks(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"(?ms)^```[^\n]*\n.*?^```$", "", text)


def calls(text: str) -> Iterator[list[str]]:
    """The calls of ferengine in the blocks and in the running text, as words."""
    lines = [line.partition("  #")[0] for block in blocks(text, "") for line in block.splitlines()]
    inline = re.findall(r"`(ferengine [^`]+)`", outside_blocks(text))
    for line in [*lines, *inline]:
        words = line.partition(" > ")[0].split()
        if words[:1] == ["ferengine"]:
            yield words[1:]


@each_page
def test_commands_and_options_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for words in calls(text):
        name = words[0]
        if name.startswith("-") or name.isupper():
            continue
        assert name in hooks.command_names(), words
        command = words[:2] if " ".join(words[:2]) in hooks.command_names() else words[:1]
        assert {word for word in words if word.startswith("--")} <= options(*command), words
    for option in re.findall(r"`(--[a-z][a-z-]*)", outside_blocks(text)) if page.stem != "changelog" else ():
        assert option in all_options(), option


def test_every_command_is_shown() -> None:
    shown = {words[0] for page in PAGES for words in calls(page.read_text(encoding="utf-8"))}
    assert shown >= {name.split()[0] for name in hooks.command_names()}


def test_the_readme_shows_how_to_begin() -> None:
    shown = {words[0] for words in calls((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert shown >= {"run", "image", "doctor", "config", "cameras"}


@each_page
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", outside_blocks(page.read_text(encoding="utf-8"))):
        path = target.partition("#")[0]
        if path and "://" not in target and path != f"../{hooks.SCHEMA}":  # the schema is made when the site is built
            assert (page.parent / path).exists(), target


def test_the_architecture_names_files_that_exist() -> None:
    text = (SITE / "explanation" / "architecture.md").read_text(encoding="utf-8")
    for path in re.findall(r"`([a-z_/]+\.(?:py|hpp|cpp))`", text):
        base = ROOT if path.split("/")[0] in ("csrc", "tests", "tools", "docs") else ROOT / "engine" / "ferengine"
        assert (base / path).is_file(), path


def test_the_architecture_shows_the_layers_that_are_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = [each for each in project["tool"]["importlinter"]["contracts"] if each["type"] == "layers"]
    layers = [sorted(re.findall(r"\w+", layer)) for layer in contract["layers"]]
    text = (SITE / "explanation" / "architecture.md").read_text(encoding="utf-8")
    [shown] = [block for block in blocks(text, "") if block.startswith("cli\n")]
    assert [sorted(re.findall(r"\w+", line)) for line in shown.splitlines()] == layers


def test_the_readme_links_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    only_on_the_site = {SITE / "index.md", SITE / "reference" / "commands.md", SITE / "reference" / "settings.md"}
    pages = {page for page in SITE.rglob("*.md") if page.parent.name != "api"} - only_on_the_site
    assert {page for page in pages if f"]({page.relative_to(ROOT)})" not in readme} == set()


def test_each_mark_is_filled_on_one_page() -> None:
    texts = [page.read_text(encoding="utf-8") for page in SITE.rglob("*.md")]
    for mark in hooks.FILLED:
        assert sum(text.count(mark) for text in texts) == 1, mark
    assert sum(text.count("<!-- filled") for text in texts) == len(hooks.FILLED)


def test_the_filled_pages_are_complete() -> None:
    commands = hooks.on_page_markdown("<!-- filled: commands -->")
    for name in hooks.command_names():
        assert f"## ferengine {name} " in commands
    assert len(re.findall(r"(?mi)^usage: ferengine", commands)) == len(hooks.command_names())
    settings = hooks.on_page_markdown("<!-- filled: settings -->")
    schema = json.loads(hooks.output_of("config", "--schema"))
    for name in schema["properties"]:
        assert f"| `{name}` | " in settings
    assert "min-face = 40.0" in hooks.on_page_markdown("<!-- filled: example settings -->")


def test_the_help_is_what_a_terminal_shows() -> None:
    assert hooks.help_texts()["data prepare"] == hooks.output_of("data", "prepare", "--help")


def test_a_command_that_fails_fails_the_build() -> None:
    with pytest.raises(RuntimeError, match=r"ferengine config failed: .*--example"):
        hooks.output_of("config")


def test_every_public_name_is_in_the_reference() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (SITE / "reference" / "api").glob("*.md"))
    for name in ferengine.__all__:
        assert name.startswith("__") or f"::: ferengine.{name}\n" in text, name


def test_functions_in_the_reference_describe_their_arguments() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (SITE / "reference" / "api").glob("*.md"))
    checked = 0
    for name in re.findall(r"(?m)^::: (\S+)$", text):
        if name.startswith("ferengine.fleet."):
            pytest.importorskip("cryptography", reason="the extra `fleet` is not installed")
        found = pkgutil.resolve_name(name)
        members = vars(found).items() if inspect.isclass(found) else [("", found)]
        for member, value in members:
            function = getattr(value, "__func__", value)
            if member.startswith("_") or not inspect.isfunction(function):
                continue
            arguments = set(inspect.signature(function).parameters) - {"self", "cls"}
            described = inspect.getdoc(function) or ""
            assert described, f"{name}.{member}"
            missing = {each for each in arguments if not re.search(rf"(?m)^    \*{{0,2}}{each}: ", described)}
            assert not missing, f"{name}.{member}: {missing}"
            checked += 1
    assert checked > 50


@each_page
def test_blocks_of_code_are_valid(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in blocks(text, "python"):
        compile(block, str(page), "exec")
    for block in blocks(text, "toml"):
        tomllib.loads(block)
    for block in blocks(text, "json"):
        rest = block.strip()
        while rest:
            _, end = json.JSONDecoder().raw_decode(rest)
            rest = rest[end:].strip()


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_programs_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = "\n".join(blocks(page.read_text(encoding="utf-8"), "python"))
    assert program
    exec(compile(program, str(page), "exec"), {"__name__": page.stem})


def documented_modules() -> list[str]:
    """The modules of the package with examples in their docstrings."""
    package = Path(ferengine.__file__).parent
    found = [path for path in sorted(package.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]
    return [".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__") for path in found]


@pytest.mark.parametrize("name", documented_modules())
def test_examples_in_docstrings(name: str) -> None:
    if name.startswith("ferengine.fleet."):
        pytest.importorskip("cryptography", reason="the extra `fleet` is not installed")
    done = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert done.attempted > 0
    assert done.failed == 0


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]  # the build reads it from the package
    source = ROOT / project["tool"]["scikit-build"]["metadata"]["version"]["input"]
    assert f'__version__ = "{ferengine.__version__}"' in source.read_text(encoding="utf-8")
    assert f"\nversion: {ferengine.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (SITE / "reference" / "changelog.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^## \[(\d[^]]*)\]", changelog)[0] == ferengine.__version__


def test_the_accuracy_of_shipped_models_is_that_of_their_manifests() -> None:
    name = r"(?m)^\| `([\w-]+)`(?: \(default\))? \|"
    models, readme = (page.read_text(encoding="utf-8") for page in (SITE / "reference" / "models.md", ROOT / "README.md"))
    number = r" ([\d.,]+)? ?\|"
    measured = {row[0]: row[1:] for row in re.findall(name + r" [^|]*\|[^|]*\|" + 7 * number, models)}
    assert set(measured) >= {manifest.name for manifest in list_models()}
    for manifest in list_models():
        accuracy = manifest.accuracy
        fractions = (accuracy.public, accuracy.private, accuracy.private_without_copies, accuracy.macro_f1)
        *percents, ece, parameters, mmac = measured[manifest.name]
        for shown_value, fraction, exact in zip(percents, fractions, (0.006, 0.006, 0.006, 0.051), strict=True):
            assert (shown_value == "") == (fraction is None), manifest.name
            assert fraction is None or float(shown_value) == pytest.approx(100 * fraction, abs=exact), manifest.name
        assert float(ece) == pytest.approx(accuracy.ece, abs=0.0006), manifest.name
        assert (int(parameters.replace(",", "")), float(mmac)) == (manifest.parameters, pytest.approx(manifest.mmac, abs=0.051))
    rows = re.findall(name + r" (0[\d.]+), (0[\d.]+) \|(?:[^|]*\|){3} ([\d.]+) / ", models)
    for model, *temperatures in (row[:3] for row in rows):
        fitted = load_model(model).manifest.temperatures
        assert [float(each) for each in temperatures] == pytest.approx([fitted["fer2013"], fitted["everyday"]], abs=6e-4), model
    ordinary = {row[0]: row[3] for row in rows}
    assert set(ordinary) == {manifest.name for manifest in list_models() if manifest.task == "expression"}
    shown = re.findall(name + r" ([\d.]+) % \| ([\d.]+) % \|", readme)
    assert [row[0] for row in shown] == ["fast", "standard", "accurate"]
    for model, everyday, private in shown:
        assert everyday == ordinary[model], model
        assert float(private) == pytest.approx(100 * load_model(model).manifest.accuracy.private, abs=0.051), model


def test_the_speed_in_the_readme_is_that_of_the_page() -> None:
    page, readme = (path.read_text(encoding="utf-8") for path in (SITE / "reference" / "performance.md", ROOT / "README.md"))
    ours = re.search(r"full scans / near search, frames/s \| (\S+ / \S+) \| (\S+ / \S+) \|", readme)
    assert ours is not None
    assert f"| {ours[1]} | {ours[2]} |" in page
    loop = re.search(r"a simple loop: MTCNN in ONNX Runtime on every frame \| (\S+) \| (\S+) \|", readme)
    assert loop is not None
    assert re.search(rf"(?m)^\| a simple loop: MTCNN in ONNX Runtime[^|]*\| {loop[1]} \| {re.escape(loop[2])} \|$", page)
    found = re.findall(r"(?m)^\| (ferengine|\[fer\])[^|]*\|(?:[^|]*\|){3} (\d+) \| (\S+) ms \|$", readme)
    compared = {name: (frames, cpu) for name, frames, cpu in found}
    assert compared["ferengine"][0] == ours[1].partition(" ")[0]
    assert f"Of `woman2` a frame takes {compared['ferengine'][1]} milliseconds in all processes" in page
    assert re.search(rf"(?m)^\| `fer` [\d.]+, Haar \| {compared['[fer]'][0]} \|", page)
    assert f"OpenCV 4.14 took {compared['[fer]'][1]} (" in page
    camera = re.search(r"takes (\S+) ms \(p99\) with one face and (\S+) cores in all", readme)
    assert camera is not None
    row = re.search(r"(?m)^\| woman2, `standard` in int8 .*$", page)
    assert row is not None
    assert re.search(rf"\| {camera[1]} \([\d.]+\) \| 0 \| {camera[2]} \(", row[0])


def test_the_paper_is_cited() -> None:
    title = 'Zhao, "Facial Expression Recognition Based on Various Deep Neural Networks"'
    for page in (ROOT / "README.md", SITE / "reference" / "models.md"):
        assert " ".join(page.read_text(encoding="utf-8").split()).count(title) == 1
