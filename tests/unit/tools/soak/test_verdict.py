"""The verdict of a long run, on made-up samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import pytest

from ferengine.errors import UsageError
from ferengine_tools.soak.samples import FrameSample, ProcessSample, Sampler, read_samples, sample_process
from ferengine_tools.soak.verdict import check_processes


def samples(change: Callable[[ProcessSample], ProcessSample] = lambda sample: sample) -> Iterator[ProcessSample]:
    """Ten minutes of three processes: within the first, memory settles."""
    for second in range(0, 600, 10):
        for index, name in enumerate(("engine", "detect-0", "classify")):
            settling = 20.0 if second < 60 else 0.0
            wobble = 0.3 * (second % 7)
            yield change(ProcessSample(second, name, 100 + index, 80.0 + settling + wobble, 40.0, 12, 3))


def failed(change: Callable[[ProcessSample], ProcessSample]) -> list[str]:
    return [check.subject for check in check_processes(list(samples(change)), 60, 2) if not check.passed]


def grown(sample: ProcessSample, mb_per_minute: float) -> ProcessSample:
    slope = mb_per_minute * sample.seconds / 60 if sample.process == "detect-0" else 0
    return replace(sample, memory_mb=sample.memory_mb + slope)


def test_a_flat_run_passes() -> None:
    checks = list(check_processes(list(samples()), 60, 2))
    assert all(check.passed for check in checks)
    assert [check.subject for check in checks] == [
        "memory of engine, MiB", "memory of detect-0, MiB", "memory of classify, MiB", "memory of the rings, MiB",
        "memory of all processes, MiB", "descriptors of all processes", "threads of all processes", "processes",
    ]  # fmt: skip


def test_a_leak_fails() -> None:
    assert failed(lambda sample: grown(sample, 0.5)) == ["memory of detect-0, MiB"]
    assert failed(lambda sample: grown(sample, 2.0)) == ["memory of detect-0, MiB", "memory of all processes, MiB"]
    assert failed(lambda sample: grown(sample, 0.05)) == []


def test_rings_are_judged_as_a_whole() -> None:
    def change(sample: ProcessSample, classify: float) -> ProcessSample:
        moved = {"detect-0": 6.0, "engine": -3.0, "classify": classify}[sample.process] if sample.seconds > 300 else 0.0
        return replace(sample, rings_mb=sample.rings_mb + moved)

    assert failed(lambda sample: change(sample, -3.0)) == []  # pages that another process has looked at since
    assert failed(lambda sample: change(sample, 3.0)) == ["memory of the rings, MiB"]


def test_memory_that_shrinks_passes() -> None:
    assert failed(lambda sample: grown(sample, -2.0)) == []


@pytest.mark.parametrize("subject", ["descriptors", "threads"])
def test_descriptors_and_threads_are_constant(subject: str) -> None:
    def change(sample: ProcessSample) -> ProcessSample:
        return replace(sample, **{subject: 20}) if sample.process == "engine" and sample.seconds > 300 else sample

    assert failed(change) == [f"{subject} of engine", f"{subject} of all processes"]


def test_a_replaced_worker_fails() -> None:
    assert failed(lambda sample: replace(sample, pid=7) if sample.seconds > 550 else sample) == ["processes"]


def test_a_short_run_has_no_verdict() -> None:
    with pytest.raises(UsageError, match="too short"):
        list(check_processes(list(samples()), 580, 2))


def test_samples_come_back_as_they_were_taken(tmp_path: Path) -> None:
    import os
    import time

    frames = FrameSample(1.5, 10, 2, 3.25, 8.5)
    sampler = Sampler(lambda: {"engine": os.getpid(), "gone": 2**22 + 1}, lambda now: frames, lambda: 1.5, 0.01, tmp_path)
    while len(read_samples(tmp_path / "frames.csv", FrameSample)) < 3:
        time.sleep(0.01)
    sampler.close()
    assert set(read_samples(tmp_path / "frames.csv", FrameSample)) == {frames}
    taken = read_samples(tmp_path / "processes.csv", ProcessSample)
    assert {(sample.seconds, sample.process, sample.pid) for sample in taken} == {(1.5, "engine", os.getpid())}
    assert all(sample.memory_mb > 5 and sample.descriptors >= 3 and sample.threads >= 2 for sample in taken)
    assert sample_process(0, "gone", 2**22 + 1) is None


def test_an_error_of_the_sampler_reaches_its_owner(tmp_path: Path) -> None:
    def fails(now: float) -> FrameSample:
        raise KeyError("odd")

    sampler = Sampler(dict, fails, lambda: 0.0, 0.001, tmp_path)
    wait([sampler._running], timeout=30)
    with pytest.raises(KeyError, match="odd"):
        sampler.close()
