"""``ferengine models``."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ferengine.cli import models as command
from ferengine.cli.app import app
from ferengine.models import registry


@pytest.mark.parametrize("columns", ["40", "60"])
def test_a_narrow_terminal_shows_fewer_columns_and_every_name(columns: str) -> None:
    done = CliRunner().invoke(app, ["models"], env={"COLUMNS": columns, "FORCE_COLOR": "1", "NO_COLOR": "1"})
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.output)
    for manifest in registry.list_models():
        [line] = [line for line in plain.splitlines() if line.split()[:1] == [manifest.name]]
        assert f"{100 * manifest.accuracy.public:.2f}" in line
    assert "parameters" not in plain
    assert max(map(len, plain.splitlines())) <= int(columns)


@pytest.mark.parametrize("columns", ["40", "80", "120"])
def test_the_table_has_every_model_with_its_figures(columns: str) -> None:
    done = CliRunner().invoke(app, ["models"], env={"COLUMNS": columns})
    assert done.exit_code == 0, done.output
    for manifest in registry.list_models():
        [line] = [line for line in done.output.splitlines() if line.split()[:1] == [manifest.name]]
        assert f"{manifest.parameters:,}" in line
        assert str(len(manifest.labels)) in line
        if manifest.accuracy.private is not None:
            assert f"{100 * manifest.accuracy.private:.2f}" in line
    assert f"{registry.DEFAULT} *" in done.output


def test_json_holds_the_manifests() -> None:
    listed = json.loads(CliRunner().invoke(app, ["models", "--json"]).output)
    assert [record["name"] for record in listed] == [manifest.name for manifest in registry.list_models()]
    [default] = [record for record in listed if record["default"]]
    assert default["name"] == registry.DEFAULT
    assert default["bytes"] == (registry.SHIPPED / default["file"]).stat().st_size
    assert {"labels", "training", "accuracy", "licence", "intended_use", "problem"} <= set(default)
    assert default["problem"] is None


def test_damaged_and_missing_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in registry.SHIPPED.iterdir():
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(registry, "SHIPPED", tmp_path)
    monkeypatch.setattr(command, "SHIPPED", tmp_path)
    file = tmp_path / registry.list_models()[0].file
    file.write_bytes(file.read_bytes()[:-1])
    damaged = CliRunner().invoke(app, ["models"])
    assert damaged.exit_code == 1
    assert "SHA-256 differs" in damaged.stderr
    file.unlink()
    missing = CliRunner().invoke(app, ["models", "--json"])
    assert missing.exit_code == 1
    assert "No such file" in json.loads(missing.stdout)[0]["problem"]
    assert json.loads(missing.stdout)[0]["bytes"] is None
