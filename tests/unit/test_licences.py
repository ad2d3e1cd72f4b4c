"""The page of licences names what is installed, and the notices hold the texts."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pages" / "reference" / "licences.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOOLS = {"test", "docs", "dev"}
"""Extras of those who work on ferengine."""


def names(requirements: list[str]) -> list[str]:
    found = [re.match(r"[\w.-]+", text) for text in requirements]
    return [match[0] for match in found if match is not None and match[0] != "ferengine"]


def table(heading: str) -> dict[str, str]:
    """The rows of the first table behind ``heading``: what is in the first cell, and the rest."""
    rows = PAGE.partition(heading)[2].partition("\n\n|")[2].partition("\n\n")[0]
    return dict(re.findall(r"(?m)^\|? ?`([\w-]+)` \| (.*)$", rows))


@pytest.mark.parametrize("name", names(PROJECT["dependencies"]))
def test_every_dependency_has_its_licence(name: str) -> None:
    shown = table("# Licences")[name].partition(" |")[0]
    installed = metadata(name)
    texts = [installed.get("License-Expression"), installed.get("License"), *(installed.get_all("Classifier") or [])]
    kind = re.split(r"[-\s]", shown)[0]  # BSD, MIT, Apache
    assert any(kind in text for text in texts if text), (shown, texts)


def test_every_extra_is_named_with_its_packages() -> None:
    shown = table("## Extras")
    assert set(shown) == set(PROJECT["optional-dependencies"]) - TOOLS
    for extra, rest in shown.items():
        for name in names(PROJECT["optional-dependencies"][extra]):
            assert f"`{name}`" in rest, (extra, name)


def test_notices_hold_the_licences_of_a_plain_installation(tmp_path: Path) -> None:
    out = tmp_path / "build" / "THIRD-PARTY.txt"
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "notices.py"), str(out)], capture_output=True, text=True, timeout=300, check=False
    )
    if "PackageNotFoundError" in done.stderr and "ferengine" in done.stderr:
        pytest.skip("ferengine is not installed, but used from its checkout")
    assert done.returncode == 0, done.stderr
    text = out.read_text(encoding="utf-8")
    summary = text.partition("=====")[0]
    for name in names(PROJECT["dependencies"]):
        assert re.search(rf"(?mi)^{re.escape(name).replace('_', '[-_]')} \d", summary), name
    assert "libx264, libx265" in text  # what PyAV's wheel brings along
    assert "GNU GENERAL PUBLIC LICENSE" in text or "Permission is hereby granted" in text
