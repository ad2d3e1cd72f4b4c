"""Nothing is sent, nothing listens, and no file is written but those that were asked for: seen by the system itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ferengine.sources.demo.source import DemoSource

_CALLS = "connect,bind,listen,sendto,sendmsg,openat,open,creat,rename,renameat,renameat2,mkdir,mkdirat,link,linkat,symlink"
_WRITES = re.compile(
    r"(?:openat|open|creat|rename\w*|mkdir\w*|\w*link\w*)\((?P<rest>.*(?:O_WRONLY|O_RDWR|O_CREAT|creat|rename|mkdir|link).*)"
)
_HARMLESS = re.compile(r"/dev/(?:null|tty)$|/proc/")


def _traces() -> bool:
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "-qq", "true"], capture_output=True, check=False).returncode == 0


needs_strace = pytest.mark.skipif(not _traces(), reason="needs strace, and leave to trace")


def traced(folder: Path, *arguments: str | Path) -> list[str]:
    """The system calls of a whole command: its processes and threads, all with an empty home and cache."""
    for name in ("home", "cache", "out"):
        (folder / name).mkdir()
    log = folder / "calls"
    command = ["strace", "-f", "-qq", "-y", "-s", "4096", "-e", f"trace={_CALLS}", "-e", "signal=none", "-o", str(log)]
    environment = {**os.environ, "HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(
        [*command, sys.executable, "-B", "-m", "ferengine", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False, env=environment, cwd=folder / "home",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return log.read_text(errors="backslashreplace").splitlines()


def check(calls: list[str], folder: Path) -> None:
    sent = [line for line in calls if re.search(r"\b(?:connect|bind|listen)\(|sa_family=AF_(?!UNIX|UNSPEC)", line)]
    assert [line for line in sent if "AF_UNIX" not in line] == []
    assert [line for line in sent if "listen(" in line] == []
    wrong = []
    for line in calls:
        found = _WRITES.search(line)
        if found is None or re.search(r"= -1 |O_RDONLY", line):
            continue
        paths = re.findall(r'"((?:[^"\\]|\\.)*)"', found["rest"])
        absolute = [os.path.normpath(folder / "home" / path) for path in paths]
        if any(not _HARMLESS.match(path) and not path.startswith((f"{folder}/cache/", f"{folder}/out/")) for path in absolute):
            wrong.append(line)
    assert wrong == []
    assert list((folder / "home").iterdir()) == []


@needs_strace
def test_a_run_sends_nothing_and_writes_what_was_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "out"
    calls = traced(
        tmp_path, "run", "--source", "demo", "--max-frames", "12", "--no-display", "--gender",
        "--events", out / "events.jsonl", "--csv", out / "rows.csv", "--save", out / "video.mp4", "--summary", out / "s.json",
    )  # fmt: skip
    check(calls, tmp_path)
    assert any("video.mp4" in line for line in calls)  # the workers were traced too


@needs_strace
def test_images_are_read_without_a_connection(tmp_path: Path) -> None:
    source = DemoSource(frames=1)
    source.open()
    frame = source.read()
    assert frame is not None
    path = tmp_path / "demo.png"
    cv2.imwrite(str(path), np.asarray(frame.image))
    calls = traced(tmp_path, "image", path, "--json", "--save", tmp_path / "out" / "copies")
    check(calls, tmp_path)
    assert any("copies" in line for line in calls)


@needs_strace
def test_the_check_finds_what_it_looks_for(tmp_path: Path) -> None:
    line = f'1 openat(AT_FDCWD<{tmp_path}>, "/var/tmp/x", O_WRONLY|O_CREAT, 0600) = 3</var/tmp/x>'
    (tmp_path / "home").mkdir()
    for bad in (line, "1 connect(3<UDP:[1]>, {sa_family=AF_INET, sin_port=htons(53)}, 16) = 0", "1 listen(3<x>, 5) = 0"):
        with pytest.raises(AssertionError):
            check([bad], tmp_path)
