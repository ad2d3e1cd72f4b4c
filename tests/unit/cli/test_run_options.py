"""The options of ``ferengine run``: made from the settings' fields, and stronger than a file."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from ferengine.cli import session
from ferengine.cli.app import app
from ferengine.cli.command import call as call_function
from ferengine.cli.config_file import merged
from ferengine.cli.options import OptionSet, checked, help_text, plain_type, with_options
from ferengine.cli.run_options import RUN, STILL
from ferengine.cli.settings import PER_SOURCE, RunSettings, SourceTable
from ferengine.config import EngineConfig
from ferengine.errors import UsageError
from ferengine.sources.options import Size


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[RunSettings]:
    """What ``ferengine run`` would have run with."""
    settings: list[RunSettings] = []

    def note(given: RunSettings, console: Any, config: Path | None = None) -> int:
        settings.append(given)
        return 0

    monkeypatch.setattr(session, "run_session", note)
    return settings


def call(*arguments: str) -> None:
    done = CliRunner().invoke(app, ["run", *arguments])
    assert done.exit_code == 0, done.output


def test_every_setting_is_an_option_with_a_help_and_a_place() -> None:
    names = [name for inside in RUN.by_panel().values() for name in inside]
    assert sorted(names) == sorted(RunSettings.model_fields)
    assert set(EngineConfig.model_fields) <= set(names)
    assert set(PER_SOURCE) <= set(RUN.by_panel()["Sources"])
    for model in (RunSettings, SourceTable):
        for name, field in model.model_fields.items():
            assert field.description, name
            assert field.alias == name.replace("_", "-")


def test_help_shows_ranges_and_defaults() -> None:
    text = help_text(EngineConfig.model_fields["min_face"])
    assert text.startswith("Minimum size of a face to look for")
    assert text.endswith("At least 12, at most 4096.")
    assert help_text(RunSettings.model_fields["parquet_rows"]).endswith("At least 1, at most 10,000,000.")
    output = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output
    for default in ("40.0", "0.709", "no-gender", "fast", "disconnected"):
        assert f"[default: {default}]" in output
    for name in RunSettings.model_fields:
        assert f"--{name.replace('_', '-')}" in output


def test_options_arrive(taken: list[RunSettings]) -> None:
    call("-c", "0", "--camera", "1", "-s", "demo", "--thresholds", "0.1", "0.2", "0.3", "--no-display", "--overwrite",
         "--min-face", "20", "--csv", "out.csv", "--loop", "0")  # fmt: skip
    [settings] = taken
    assert (settings.camera, settings.source, settings.thresholds) == ((0, 1), ("demo",), (0.1, 0.2, 0.3))
    assert (settings.display, settings.overwrite, settings.min_face, settings.csv) == (False, True, 20.0, Path("out.csv"))
    assert [spec.loop for spec in settings.specs()] == [0, 0, 0]


def test_options_win_over_the_file(taken: list[RunSettings], tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('source = ["a.mp4"]\nmin-face = 20\ndetect-every = 3\noverwrite = true\nloop = 2\n')
    call("--config", str(path), "--min-face", "30", "--no-overwrite", "--loop", "1")
    call("--config", str(path), "--camera", "4")
    assert (taken[0].min_face, taken[0].detect_every, taken[0].overwrite, taken[0].loop) == (30.0, 3, False, 1)
    assert taken[0].source == ("a.mp4",)
    assert (taken[1].camera, taken[1].source, taken[1].min_face) == ((4,), (), 20.0)


def test_an_option_at_its_default_wins_too() -> None:
    file, options = RunSettings(detect_every=3), checked(RunSettings, {"detect_every": 6})
    assert merged(file, options).detect_every == 6
    assert merged(file, RunSettings()).detect_every == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--detect-every", "0"), "--detect-every: input should be greater than or equal to 1, not 0"),
        (
            ("--min-face", "3", "--loop", "-1"),
            "--loop: input should be greater than or equal to 0, not -1; --min-face: input should be greater than",
        ),
        (("--thresholds", "0.5", "1.5", "0.5"), "--thresholds.1: input should be less than 1, not 1.5"),
        (("--camera", "-1"), "--camera: a camera is a number or a device"),
    ],
)
def test_wrong_values_are_usage_errors(arguments: tuple[str, ...], expected: str) -> None:
    error = CliRunner().invoke(app, ["run", *arguments]).exception
    assert isinstance(error, UsageError)
    assert str(error).startswith(expected)


@pytest.mark.parametrize("arguments", [("--nonsense",), ("--detector", "yolo"), ("--min-face", "x"), ("--rotate", "x")])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["run", *arguments]).exit_code == 2


def test_stills_take_what_concerns_them() -> None:
    names = {name for inside in STILL.by_panel().values() for name in inside}
    assert {"detector", "min_face", "thresholds", "align", "model"} <= names
    assert not names & {"detect_every", "deadline", "queue", "smoothing", "max_frames"}


def test_a_new_setting_becomes_an_option_by_itself() -> None:
    class Settings(BaseModel):
        brand_new: int | None = Field(None, gt=2, le=9, description="something new")

    [parameter] = OptionSet(Settings, rest="Others").parameters()
    kind, option = get_args(parameter.annotation)
    assert (parameter.name, parameter.default, kind) == ("brand_new", None, int | None)
    assert (option.help, option.rich_help_panel) == ("Something new. Above 2, at most 9.", "Others")
    assert inspect.Signature([parameter])


def test_only_what_was_given_reaches_a_command() -> None:
    class Settings(BaseModel):
        epochs: int = Field(30, description="Number of epochs.")
        rate: float = Field(0.1, description="Learning rate.")
        out: str = Field(description="Where to write.")

    seen: list[dict[str, Any]] = []

    @with_options(OptionSet(Settings))
    def train(**given: Any) -> None:
        """Train."""
        seen.append(given)

    call_function(train, "train", ["--out", "a", "--epochs", "30"])
    assert seen == [{"out": "a", "epochs": 30}]
    with pytest.raises(UsageError, match=r"Missing option '--out'.*see train --help"):
        call_function(train, "train", [])


def test_sources_may_be_given_without_an_option(taken: list[RunSettings]) -> None:
    call("talk.mp4", "door=rtsp://10.0.0.7/live", "--loop", "0", "--source", "demo", "0")
    [settings] = taken
    assert settings.source == ("talk.mp4", "door=rtsp://10.0.0.7/live", "0", "demo")
    assert [spec.kind for spec in settings.specs()] == ["file", "stream", "camera", "demo"]


def test_sources_on_the_command_line_replace_those_of_the_file(taken: list[RunSettings], tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('source = ["a.mp4"]\nsize = "640x360"\n')
    call("b.mp4", "--config", str(path))
    assert taken[0].source == ("b.mp4",)
    assert [spec.size for spec in taken[0].specs()] == [(640, 360)]


@pytest.mark.parametrize(
    ("annotation", "plain"),
    [
        (int | None, int),
        (Size | None, str),
        (tuple[int, ...], list[int]),
        (tuple[float, str], tuple[float, str]),
        (bool, bool),
        (tuple[Literal["a", "b"], ...], list[str]),
    ],
)
def test_types_as_typer_takes_them(annotation: Any, plain: Any) -> None:
    assert plain_type(annotation) == plain
