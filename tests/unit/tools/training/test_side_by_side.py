"""Several training runs at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from command_help import command
from ferengine.errors import FerengineError
from ferengine_tools.training.plan import Run
from ferengine_tools.training.side_by_side import in_a_process, train_side_by_side

RUNS = (
    Run("a", "fast", 1),
    Run("b", "fast", 1),
    Run("c", "fast", 1, after="a", distil="b"),
    Run("d", "fast", 1, after="c"),
    Run("e", "fast", 1, after="elsewhere"),  # trained before
)


def test_runs_start_after_those_that_they_need_and_never_more_than_asked_for() -> None:
    lock, running, most, order = threading.Lock(), set[str](), 0, []
    both = threading.Barrier(2)

    def start(name: str) -> int:
        nonlocal most
        with lock:
            running.add(name)
            most = max(most, len(running))
            order.append(name)
        if name in ("a", "b"):
            both.wait(timeout=60)  # really at the same time
        with lock:
            running.remove(name)
        return 0

    lines: list[str] = []
    train_side_by_side(RUNS, 2, start, lines.append)
    assert most == 2
    assert sorted(order) == ["a", "b", "c", "d", "e"]
    assert order.index("c") > max(order.index("a"), order.index("b"))
    assert order.index("d") > order.index("c")
    assert lines.index("c starts") > lines.index("a is finished")


def test_a_failure_ends_only_what_needs_it() -> None:
    trained: list[str] = []

    def start(name: str) -> int:
        trained.append(name)
        return 3 if name == "b" else 0

    with pytest.raises(FerengineError, match=r"^b failed; c, d were left out"):
        train_side_by_side(RUNS, 3, start, lambda line: None)
    assert sorted(trained) == ["a", "b", "e"]


def test_each_run_is_a_process_with_a_log(tmp_path: Path) -> None:
    start = in_a_process(["--data", str(tmp_path / "none"), "--out", str(tmp_path)], tmp_path)
    assert start("nothing-of-this-name") == 2
    assert "nothing-of-this-name" in (tmp_path / "nothing-of-this-name.log").read_text()


def test_jobs_train_and_then_the_table_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")
    from ferengine_tools.training import side_by_side, table

    called: list[Any] = []
    monkeypatch.setattr(side_by_side, "train_side_by_side", lambda runs, jobs, *rest: called.append((len(runs), jobs)))
    monkeypatch.setattr(table, "train_all", lambda base, gender, names, console: called.append(names))
    arguments = ["--data", str(tmp_path), "--out", str(tmp_path / "runs"), "--only", "cnn-paper", "--only", "vgg-paper"]
    command("train-all")([*arguments, "--jobs", "2"])
    assert called == [(2, 2), ["cnn-paper", "vgg-paper"]]
    assert (tmp_path / "runs").is_dir()
