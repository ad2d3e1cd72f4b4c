"""The files of docs/deploy: their commands exist, and what can be checked without Docker is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ferengine.cli.app import app

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
DOCKERFILES = sorted(DEPLOY.rglob("Dockerfile*"))


def options(name: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]*", CliRunner(env={"COLUMNS": "200"}).invoke(app, [name, "--help"]).stdout))


def test_the_commands_take_these_options() -> None:
    served = options("serve")
    commands = [json.loads(found) for path in DOCKERFILES for found in re.findall(r'CMD (\["serve".*\])', path.read_text())]
    commands += [
        re.search(r"ExecStart=\S+ (.*)", (DEPLOY / "ferengine.service").read_text())[1].split(),  # type: ignore[index]
        re.search(r"command: (serve .*)", (DEPLOY / "compose.yaml").read_text())[1].split(),  # type: ignore[index]
    ]
    assert len(commands) == 4
    for words in commands:
        assert words[0] == "serve"
        assert {word for word in words if word.startswith("--")} <= served


def test_the_extras_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    for path in DOCKERFILES:
        for extras in re.findall(r"'\.\[([a-z,]+)\]'", path.read_text()):
            for extra in extras.split(","):
                assert re.search(rf"(?m)^{extra} = \[", project), extra


def test_compose_names_what_it_uses() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert {"image", "build"} & set(service)
        assert set(service.get("depends_on", ())) <= set(services)
    build = services["ferengine"]["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_hadolint_is_content(path: Path) -> None:
    hadolint = shutil.which("hadolint") or str(Path(sys.executable).parent / "hadolint")
    if not Path(hadolint).exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(path)], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_unit_is_valid() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(DEPLOY / "ferengine.service")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if "is not executable" not in line and "ferengine.service" in line]
    assert complaints == []


LINUX_ONLY = re.compile(
    r"memfd_create\(|SYS_futex|prctl\(|SOCK_SEQPACKET|select\.epoll|pidfd|sched_getaffinity|os\.pipe2|F_SETLEASE|/proc/|/sys/fs/|_VIDIOC|VIDIOC_|V4L2_"
)
"""Calls and files that other systems lack."""


def test_what_macos_lacks_names_the_files_that_need_linux() -> None:
    section = (ROOT / "docs" / "pages" / "how-to" / "deploy.md").read_text().partition("{ #macos }")[2].partition("\n## ")[0]
    package = ROOT / "engine" / "ferengine"
    named = {
        ROOT / name if name.startswith("csrc/") else package / name
        for name in re.findall(r"`([\w/]+\.[ch]?pp|[\w/]+\.py)`", section)
    }
    files = [*package.rglob("*.py"), *(path for path in (ROOT / "csrc").rglob("*.?pp"))]
    found = {path for path in files if LINUX_ONLY.search(path.read_text())}
    found.discard(package / "inference" / "tensorrt" / "environment.py")  # NVIDIA's driver, which macOS does not have
    assert {str(path.relative_to(ROOT)) for path in named} == {str(path.relative_to(ROOT)) for path in found}
