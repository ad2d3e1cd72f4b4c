"""The commands in hints install into the environment that runs, whatever a plain ``pip`` would be."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from importlib import metadata
from pathlib import Path

import pytest

from ferengine import pip_hint
from ferengine.pip_hint import install_extra, missing_in, missing_package, pip_install, pip_replace

CHECKOUT = Path(pip_hint.__file__).parents[2]


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o755)
    return path


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bin folder of an environment with a Python and a pip, which is in the PATH."""
    python = program(tmp_path / "my env/.venv/bin/python")
    program(python.with_name("pip"))
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", str(python.parent))
    return python.parent


def test_the_pip_of_an_activated_environment_is_plain(env: Path) -> None:
    assert pip_install("lap") == "pip install lap"
    assert pip_install("--no-deps", "opencv-contrib-python<5") == "pip install --no-deps 'opencv-contrib-python<5'"
    assert pip_replace("one two", "three[gpu]") == "pip uninstall -y one two && pip install 'three[gpu]'"


def test_an_environment_that_is_not_activated_is_named(env: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(program(tmp_path / "usr/bin/pip").parent))
    assert shlex.split(pip_install("lap")) == [str(env / "pip"), "install", "lap"]
    monkeypatch.chdir(env.parents[1])
    assert pip_install("lap") == ".venv/bin/pip install lap"


def test_an_environment_without_pip(env: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (env / "pip").unlink()
    monkeypatch.setenv("PATH", str(program(tmp_path / "usr/bin/pip").parent))
    found = {"pip": object()}
    monkeypatch.setattr(importlib.util, "find_spec", found.get)
    assert shlex.split(pip_install("lap")) == [str(env / "python"), "-m", "pip", "install", "lap"]
    found.clear()  # uv made it, wherever that is
    assert shlex.split(pip_install("lap")) == ["uv", "pip", "install", "--python", str(env / "python"), "lap"]
    program(tmp_path / "usr/bin/uv")
    monkeypatch.chdir(env)
    assert pip_install("lap") == "uv pip install --python ./python lap"
    assert pip_replace("one", "two") == "uv pip uninstall --python ./python one && uv pip install --python ./python two"


def test_an_extra_of_an_installed_ferengine(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: name)
    assert install_extra("heic") == "pip install 'ferengine[heic]'"


def test_an_extra_of_a_checkout_that_is_not_installed(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    if not (CHECKOUT / "pyproject.toml").is_file():  # these tests run against an installed package
        assert install_extra("heic") == "pip install 'ferengine[heic]'"
        return
    monkeypatch.chdir(CHECKOUT)
    assert install_extra("heic") == "pip install '.[heic]'"
    monkeypatch.chdir(CHECKOUT.parent)  # without ./ it would be the name of a package
    assert install_extra("heic") == f"pip install './{CHECKOUT.name}[heic]'"
    monkeypatch.chdir(env)
    assert install_extra("heic") == f"pip install '{CHECKOUT}[heic]'"


def test_the_current_folder_is_no_part_of_the_path(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(env)
    assert pip_install("lap") == "./pip install lap"


def test_any_path_is_one_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = program(tmp_path / "o'brien/bin/python")
    program(python.with_name("pip"))
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", "/nowhere")
    assert shlex.split(pip_install("lap")) == [str(python.with_name("pip")), "install", "lap"]


def test_a_current_folder_that_was_deleted(env: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv("PATH", "/nowhere")
    assert shlex.split(pip_install("lap")) == [str(env / "pip"), "install", "lap"]


def test_only_what_every_installation_has_is_missing(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = ["av<20,>=17.1", "lap>=0.5.12", "lap-other>=1", 'plotly>=6; extra == "report"']
    monkeypatch.setattr(metadata, "requires", lambda name: listed)
    monkeypatch.setenv("PATH", str(env))
    said = "the package lap is not installed: pip install 'lap>=0.5.12'"
    assert missing_package(ModuleNotFoundError(name="lap")) == missing_package(ModuleNotFoundError(name="lap.part")) == said
    assert missing_in("ModuleNotFoundError: No module named 'lap'") == said
    for name in ("plotly", "la", None):
        assert missing_package(ModuleNotFoundError(name=name)) is None
    for line in ("ModuleNotFoundError: No module named 'plotly'", "exit code 1", ""):
        assert missing_in(line) == line
