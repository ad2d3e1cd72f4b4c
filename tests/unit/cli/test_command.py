"""The commands: found without their modules, with help, completion and one-line errors that show no credentials."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from ferengine.cli.app import COMMANDS, TOOLS, app
from ferengine.cli.command import exit_code, make_command
from ferengine.cli.redaction import argument_range, refuse_stray_urls
from ferengine.errors import UsageError

SECRET = "rtsp://me:hunter2@10.0.0.7/live"


def ferengine(*arguments: str, python: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, "-m", "ferengine", *arguments]
    environment = {**os.environ, "COLUMNS": "200", **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


def test_the_help_has_the_tools_in_a_group_of_their_own() -> None:
    done = ferengine("--help")
    assert done.returncode == 0
    commands, tools = done.stdout.partition(" Commands ")[2].split(" Tools ")
    assert all(name in commands for name in COMMANDS)
    assert all(name in tools and name not in commands.split() for name in TOOLS)


def test_no_arguments_print_the_help_and_are_wrong_usage() -> None:
    done = ferengine()
    assert (done.returncode, done.stdout) == (2, ferengine("--help").stdout)


def test_the_help_of_all_commands_loads_none_of_them() -> None:
    code = "import sys; from ferengine.cli.app import app; import typer; typer.main.get_command(app); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert not {"cv2", "numpy", "onnxruntime", "pydantic", "torch"} & set(done.stdout.split())


def test_brackets_in_a_help_are_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def command(
        table: Annotated[str, typer.Option(help='The table [folders], [bold] too: {"box": [x, y]}, [/].')] = "",
    ) -> None:
        """Do something."""

    monkeypatch.setenv("COLUMNS", "200")
    made = make_command(command)
    for _ in range(2):
        assert exit_code(made, "command", ["--help"]) == 0
        assert 'The table [folders], [bold] too: {"box": [x, y]}, [/].' in capsys.readouterr().out


FUNCTIONS = {
    name: entry
    for name, entry in {**COMMANDS, **TOOLS, **TOOLS["data"].commands, **COMMANDS["models"].commands}.items()
    if not entry.commands
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_summary_is_the_first_sentence_of_the_help(name: str) -> None:
    entry = FUNCTIONS[name]
    documentation = getdoc(getattr(import_module(entry.module), name.replace("-", "_")))
    assert documentation is not None
    assert " ".join(documentation.partition("\n\n")[0].split()) == entry.summary


@pytest.mark.parametrize("name", COMMANDS)
def test_help_works_without_docstrings(name: str) -> None:
    done = ferengine(name, "--help", python=("-OO",))
    assert done.returncode == 0, done.stderr
    assert COMMANDS[name].summary in done.stdout


def test_run_has_its_options_without_docstrings() -> None:
    done = ferengine("run", "--help", python=("-OO",))
    assert "Run detection every N frames; track in between." in done.stdout
    assert "Transport of RTSP streams." in done.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ferengine mod", "models"),
        ("ferengine run --detec", "--detect-every"),
        ("ferengine bench --on", "--only"),
        ("ferengine data pre", "prepare"),
    ],
)
def test_shells_complete_commands_and_options(line: str, expected: str) -> None:
    words = line.split()
    done = ferengine(_FERENGINE_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    assert expected in done.stdout.split()


@pytest.mark.parametrize(
    ("arguments", "behind"),
    [
        (("run", "talk.mp4", "--save", ""), " behind --save"),
        (("run", "talk.mp4", "--parquet="), " behind --parquet"),
        (("run", ""), ""),
        (("image", "--json", "face.png", ""), ""),
        (("models", "add", "", "--overwrite"), ""),
    ],
)
def test_an_empty_argument_is_no_path(
    arguments: tuple[str, ...], behind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a path it is the current folder, which ``--save "$VIDEO"`` does not mean where there is no VIDEO."""
    monkeypatch.chdir(tmp_path)
    assert exit_code(typer.main.get_command(app), "ferengine", arguments) == 2
    assert capsys.readouterr().err == f"error: the argument{behind} is empty: is a variable of the shell not set?\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("runn",), "error: No such command 'runn'. Did you mean 'run'? (see ferengine --help)"),
        (("--colour",), "error: No such option: --colour (see ferengine --help)"),
        (("run", "--xyzzy"), "error: No such option: --xyzzy (see ferengine run --help)"),
        (
            ("run", "--detector", "mtccn"),
            (
                "error: Invalid value for '--detector': 'mtccn' is not one of 'auto', 'mtcnn', 'retinaface', 'haar' "
                "(see ferengine run --help)"
            ),
        ),
        (("config", "--check", "gone.toml"), "error: the settings file gone.toml cannot be read: No such file or directory"),
        (("image",), "error: Missing argument 'IMAGE' (see ferengine image --help)"),
    ],
)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], error: str) -> None:
    done = ferengine(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{error}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        (SECRET,),
        ("models", SECRET),
        ("image", SECRET),
        ("run", "--save", SECRET),
        ("run", f"--min-face={SECRET}"),
        ("run", "--min-face", SECRET),
        ("run", "--gender", SECRET),
        ("run", "--thresholds", "0.6", "0.7", SECRET),
        ("run", "--sourc", SECRET),
        ("run", f"door={SECRET}/a b"),
        ("run", "a.mp4", "--min-face", "x", f"door={SECRET}"),
    ],
)
def test_no_usage_error_shows_credentials(arguments: tuple[str, ...]) -> None:
    done = ferengine(*arguments)
    assert done.returncode == 2
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("run", SECRET), ("run", "-s", SECRET), ("run", f"--source={SECRET}"), ("run", "a.mp4", f"b={SECRET}"),
     ("run", "--loop", "2", SECRET), ("run", "--no-display", "--", SECRET)],
)  # fmt: skip
def test_urls_are_sources_of_run(arguments: tuple[str, ...]) -> None:
    refuse_stray_urls(arguments)


def test_urls_behind_other_options_are_refused() -> None:
    for arguments in (("run", "--events", SECRET), ("run", f"--csv={SECRET}"), ("image", SECRET), (SECRET,)):
        with pytest.raises(UsageError, match=r"10\.0\.0\.7/\.\.\. is not expected here") as caught:
            refuse_stray_urls(arguments)
        assert "hunter2" not in str(caught.value)


def test_an_emulator_that_says_nothing_of_the_arguments_hides_none() -> None:
    """QEMU's /proc/self/stat, in a container for another processor, has 44 fields instead of 52."""
    program = (  # in a process of its own: a test runner may have renamed this one
        "from pathlib import Path; from ferengine.cli.redaction import argument_range\n"
        "start, end = argument_range(Path('/proc/self/stat').read_bytes())\n"
        "print(end - start == len(Path('/proc/self/cmdline').read_bytes()))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "True\n"
    assert argument_range(b"1135 (a ) b) R 1124 1124" + b" 0" * 39) == (0, 0)


def test_a_required_package_that_is_missing_is_one_line() -> None:
    program = (
        "import importlib.metadata, sys; sys.modules['rich'] = None; sys.argv[1:] = ['run']\n"
        "importlib.metadata.requires = lambda name: ['av<20,>=17.1', 'rich>=13.8', 'plotly>=6; extra == \"report\"']\n"
        "from ferengine.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: the package rich is not installed: ")
    assert line.endswith("install 'rich>=13.8'")


def test_a_path_that_the_system_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()

    @app.command()
    def read(path: str) -> None:
        Path(path).stat()

    assert exit_code(typer.main.get_command(app), "read", ["x" * 300]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("xxx: file name too long")


def test_no_folder_for_temporary_files_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()

    @app.command()
    def build() -> None:
        tempfile.mkdtemp()

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/none"])
    assert exit_code(typer.main.get_command(app), "build", []) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("free space in /tmp, or name another folder in TMPDIR)")


@pytest.mark.parametrize("columns", ["60", "80"])
def test_help_cuts_no_word(columns: str) -> None:
    for arguments in (["--help"], ["run", "--help"], ["serve", "--help"]):
        done = CliRunner().invoke(app, arguments, env={"COLUMNS": columns})
        assert done.exit_code == 0
        assert "\N{HORIZONTAL ELLIPSIS}" not in done.output
        assert max(map(len, done.output.splitlines())) <= int(columns)


def test_help_shows_types_as_people_write_them() -> None:
    output = CliRunner().invoke(app, ["image", "--help"], env={"COLUMNS": "80"}).output
    assert "Usage: ferengine image [OPTIONS] IMAGE..." in output
    lines = [re.sub(r"[\u2500-\u257f]", "", line).split() for line in output.splitlines()]
    for name, kind in (
        ("--json", "Print"),
        ("--draw", "<str>"),
        ("--blur", "Make"),
        ("--no-blur", "annotated"),
        ("--detector", "<auto|"),
    ):
        [words] = [words for words in lines if words[:1] == [name]]
        assert words[1] == kind
    assert ["haar>"] in [words[:1] for words in lines]  # choices that need a line each get one


@pytest.mark.parametrize(("arguments", "code"), [(("--version",), 0), (("run", "--no-such-option"), 2)])
def test_a_command_ends_without_a_search_for_garbage(arguments: tuple[str, ...], code: int) -> None:
    """The interpreter's takes a fifth of the time of a short command; what is frozen is left out of it."""
    watch = "import atexit, gc, sys; atexit.register(lambda: print('frozen', gc.get_freeze_count(), file=sys.stderr))"
    program = f"{watch}; sys.argv[1:] = {list(arguments)}; from ferengine.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code
    assert int(done.stderr.split()[-1]) > 10_000
