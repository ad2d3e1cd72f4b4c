"""Resources that the system refuses, and a Ctrl-C before the run starts: one line each, never a traceback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FERENGINE = (sys.executable, "-m", "ferengine")
DEMO = ("run", "--source", "demo", "--max-frames", "3", "--no-display")


def in_shell(preparation: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'{preparation} exec "$@"', "sh", *FERENGINE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("arguments", [("models",), ("models", "--json"), ("config", "--schema"), ("config", "--example")])
def test_a_full_disk_behind_standard_output(arguments: tuple[str, ...]) -> None:
    done = in_shell("exec >/dev/full;", *arguments)
    assert done.returncode == 1
    assert done.stderr == "error: standard output cannot be written: No space left on device\n"


def test_a_closed_standard_output_is_no_place_for_events() -> None:
    done = in_shell("exec >&-;", *DEMO, "--events", "-")
    assert done.returncode == 1
    assert "error: standard output is closed: name a file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("limit", "hint"), [("-n 18", "ulimit -n"), ("-n 24", "ulimit -n"), ("-f 100", "ulimit -f"), ("-f 3000", "ulimit -f")]
)
def test_a_limit_that_is_too_low_is_named(limit: str, hint: str) -> None:
    done = in_shell(f"ulimit {limit};", *DEMO)
    assert done.returncode in (1, 2)
    assert "error: " in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare (util-linux) is not installed")
@pytest.mark.parametrize("folder", ["/dev/shm", "/tmp"])
def test_full_shared_memory_does_not_matter(folder: str) -> None:
    """Containers give /dev/shm 64 MiB, and some none: the rings do not lie there."""
    fill = f"mount -t tmpfs -o size=4k tmpfs {folder} && head -c 4k /dev/zero > {folder}/full"
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{fill} && exec "$@"', "sh", *FERENGINE, *DEMO]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode and "ferengine" not in done.stderr and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip("this machine allows no mounts")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_a_read_only_home_and_no_cache_do_not_matter(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    done = in_shell(f"export HOME={home} XDG_CACHE_HOME=/proc/none;", *DEMO)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("limit", [3, 6])
def test_too_few_processes_are_named(limit: int) -> None:
    """The limit counts threads, and does not hold for root: another user, who has none yet, tries. It may read all files, as
    the interpreter may lie in root's home."""
    become: tuple[str, ...] = ()
    if os.getuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv (util-linux) is not installed")
        capability = "-all,+dac_read_search"
        become = ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups")
        become += (f"--inh-caps={capability}", f"--ambient-caps={capability}")
    command = ["bash", "-c", f'ulimit -u {limit}; exec "$@"', "bash", *become, *FERENGINE, *DEMO]
    environment = {**os.environ, "HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    if "setpriv: " in done.stderr:
        pytest.skip("this container's root may not give the capability to read all files")
    assert done.returncode == 1
    assert "ulimit -u" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "place",
    ["ferengine.cli.redaction.hide_arguments", "ferengine.cli.run_options.load_settings", "ferengine.cli.session.Engine"],
)
def test_control_c_before_the_run_ends_it_without_a_word(place: str) -> None:
    module, _, name = place.rpartition(".")
    script = (
        f"import os, signal, sys; import {module} as place; from ferengine.__main__ import main\n"
        f"place.{name}; place.{name} = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.argv[1:] = ['run', '--source', 'demo', '--no-display']"
        + (" + ['--config', 'x.toml']" if name == "load_settings" else "")
        + "\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job of a shell has it ignored
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
