"""``ferengine config``: the example, the schema and the check of a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ferengine.cli.app import app
from ferengine.cli.config import example_file, schema_text
from ferengine.cli.config_file import load_settings
from ferengine.cli.settings import RunSettings, SourceTable
from ferengine.errors import UsageError


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["config", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_example_loads_and_equals_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(printed("--example"))
    settings = load_settings(path)
    assert settings == RunSettings()
    assert settings.model_fields_set >= {"min_face", "detector", "pyramid_factor", "overwrite"}


def test_what_the_example_leaves_out_can_be_put_in(tmp_path: Path) -> None:
    """Every commented setting, and each key of a source's table with one place."""
    run, table = example_file().split("#[[source]]")
    path = tmp_path / "run.toml"
    path.write_text(re.sub(r"(?m)^#(\S)", r"\1", run))
    settings = load_settings(path)
    assert settings.model_fields_set == set(RunSettings.model_fields)
    assert settings.source == ("talk.mp4", "demo:crossing")
    for place in ("url", "camera", "file", "images", "demo"):
        rest = "|".join({"url", "camera", "file", "images", "demo"} - {place})
        path.write_text("[[source]]" + re.sub(r"(?m)^#(?!\s)", "", re.sub(rf"(?m)^#({rest}) = .*$", "", table)))
        [source] = load_settings(path).source
        assert isinstance(source, SourceTable)
        assert getattr(source, place) is not None
        assert source.name == "door"


def test_every_setting_is_explained_in_the_example() -> None:
    lines = example_file().partition("#[[source]]")[0].splitlines()
    for field in RunSettings.model_fields.values():
        [at] = [number for number, line in enumerate(lines) if re.match(rf"#?{field.alias} = ", line)]
        assert lines[at - 1].startswith("# ")


def test_the_schema_is_printed() -> None:
    assert printed("--schema") == schema_text()


def test_the_schema_knows_names_ranges_and_tables() -> None:
    schema = json.loads(schema_text())
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {field.alias for field in RunSettings.model_fields.values()}
    assert schema["properties"]["min-face"]["minimum"] == 12
    assert set(schema["$defs"]["SourceTable"]["properties"]) == {field.alias for field in SourceTable.model_fields.values()}
    assert all("description" in value for value in schema["properties"].values())


def test_a_file_can_be_checked(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('min-face = 20\n[[source]]\nfile = "a.mp4"\nloop = 0\n')
    assert json.loads(printed("--check", str(path))) == {"min-face": 20.0, "source": [{"file": "a.mp4", "loop": 0}]}
    path.write_text("min-face = 2\n")
    error = CliRunner().invoke(app, ["config", "--check", str(path)]).exception
    assert isinstance(error, UsageError)
    assert "run.toml:1: min-face" in str(error)


def test_check_refuses_what_run_refuses_and_shows_no_password(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('source = ["rtsp://user:secret@host/x?key=secret", "door=http://user:secret@host/y"]\n')
    assert json.loads(printed("--check", str(path))) == {"source": ["rtsp://host/...", "door=http://host/..."]}
    for slip in ('source = "rtsp://user:secret@host/x"', 'camera = ["rtsp://user:secret@host/x"]',
                 'min-face = "rtsp://user:secret@host/x"', '[[source]]\nurl = "user:secret@host/x"',
                 '[[source]]\ncamera = "rtsp://user:secret@host/x"'):  # fmt: skip
        path.write_text(f"{slip}\n")
        error = CliRunner().invoke(app, ["config", "--check", str(path)]).exception
        assert isinstance(error, UsageError)
        assert "secret" not in str(error)
    path.write_text('source = ["demo:nowhere"]\n')
    error = CliRunner().invoke(app, ["config", "--check", str(path)]).exception
    assert isinstance(error, UsageError)
    assert re.search(r"run\.toml: .*'nowhere'", str(error))


@pytest.mark.parametrize("arguments", [(), ("--example", "--schema")])
def test_exactly_one_thing_is_asked_for(arguments: tuple[str, ...]) -> None:
    error = CliRunner().invoke(app, ["config", *arguments]).exception
    assert isinstance(error, UsageError)
    assert error.exit_code == 2
