"""How large frame rings are made: fewer slots of large frames, and never more than the memory that is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ferengine import Engine, PushSource
from ferengine.config import make_config
from ferengine.errors import UsageError
from ferengine.ipc import machine
from ferengine.ipc.frame_loans import FrameReader
from ferengine.ipc.machine import MemoryLeft, memory_left, processor_quota, processors, refusal
from ferengine.models.manifest import CropFormat
from ferengine.runtime import rings
from ferengine.runtime.cameras import Cameras
from ferengine.runtime.topology import RingSize, Topology, make_plan

HD, UHD, UHD4 = 1920 * 1080 * 3, 3840 * 2160 * 3, 15360 * 8640 * 3


def size(slot_bytes: int, *, live: bool = False, outputs: int = 0, readers: tuple[FrameReader, ...] = ()) -> RingSize:
    config = make_config(detect_every=6)
    plan = make_plan(1, config, outputs=outputs, cores=1)
    topology = Topology(
        Cameras((), (), config, 1), config, plan, (CropFormat(48, "grey"),), None, {}, False, outputs > 0, outputs > 1
    )
    try:
        return topology.ring_size(slot_bytes, live, readers)
    finally:
        topology.close()


def test_slots_by_the_size_of_a_frame() -> None:
    assert size(HD) == RingSize(10, 2, 4)
    assert size(HD, live=True, outputs=2) == RingSize(18, 6, 4)
    assert size(UHD) == RingSize(10, 2, 4)
    assert size(UHD, live=True, outputs=2) == RingSize(10, 6, 3)
    assert size(UHD4) == RingSize(2, 2, 4)
    assert size(UHD4, outputs=1) == RingSize(3, 3, 1)
    assert size(UHD4, live=True, outputs=2) == RingSize(6, 6, 1)
    assert size(UHD4, readers=(FrameReader(5, 2, None),)) == RingSize(5, 5, 4)


@pytest.mark.parametrize("slots", [2, 3])
def test_results_of_a_file_do_not_depend_on_the_slots(slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def boxes() -> list[tuple[int, tuple[float, ...]]]:
        with Engine("demo", max_frames=30) as engine:
            return [(result.frame, face.box) for result in engine.results() for face in result.faces]

    expected = boxes()
    monkeypatch.setattr(rings, "_affordable", lambda name, wanted, slot_bytes: slots)
    assert boxes() == expected != []


def test_a_ring_gets_as_many_slots_as_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "memory_left", lambda: MemoryLeft(164 << 20, "the container's memory limit of 256 MiB"))
    assert rings._affordable("door", RingSize(10, 2, 4), 10 << 20) == 10
    assert rings._affordable("door", RingSize(10, 2, 4), 25 << 20) == 4
    with pytest.raises(UsageError, match=r"door: 2 frames of 60.0 MiB .* limit of 256 MiB, of which 164 MiB are left"):
        rings._affordable("door", RingSize(10, 2, 4), 60 << 20)


def test_a_camera_that_memory_does_not_hold_ends_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "memory_left", lambda: MemoryLeft(65 << 20, "the container's memory limit of 128 MiB"))
    with Engine("demo") as engine, pytest.raises(UsageError, match="container's memory limit of 128 MiB"):
        engine.wait(60)


def lay_out(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    lay_out(tmp_path, {"proc/meminfo": "MemTotal:  4096000 kB\nMemAvailable:  2048000 kB\n"})
    return tmp_path


def test_memory_without_a_control_group(system: Path) -> None:
    assert memory_left() == MemoryLeft(2048000 * 1024, "the machine's memory of 4000 MiB")


def test_memory_in_cgroup_v2(system: Path) -> None:
    """The parent's limit is the lower one; the container itself has none."""
    lay_out(system, {
        "proc/self/cgroup": "0::/pod/box\n",
        "cgroup/pod/memory.max": f"{512 << 20}\n", "cgroup/pod/memory.current": f"{200 << 20}\n",
        "cgroup/pod/memory.stat": f"anon 1\ninactive_file {50 << 20}\n",
        "cgroup/pod/box/memory.max": "max\n", "cgroup/pod/box/memory.current": "1\n",
    })  # fmt: skip
    assert memory_left() == MemoryLeft(362 << 20, "the container's memory limit of 512 MiB")


def test_memory_in_cgroup_v1(system: Path) -> None:
    """A container sees its own group as the root, whatever its path is outside."""
    lay_out(system, {
        "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n",
        "cgroup/memory/memory.limit_in_bytes": f"{256 << 20}\n", "cgroup/memory/memory.usage_in_bytes": f"{100 << 20}\n",
        "cgroup/memory/memory.stat": f"total_inactive_file {20 << 20}\n",
    })  # fmt: skip
    assert memory_left() == MemoryLeft(176 << 20, "the container's memory limit of 256 MiB")
    lay_out(system, {"cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n"})
    assert memory_left().limit == "the machine's memory of 4000 MiB"


def test_processors_in_cgroup_v2(system: Path) -> None:
    """The parent's quota is the lower one."""
    lay_out(system, {"proc/self/cgroup": "0::/pod/box\n", "cgroup/pod/box/cpu.max": "max 100000\n"})
    assert (processor_quota(), processors()) == (None, len(os.sched_getaffinity(0)))
    lay_out(system, {"cgroup/pod/cpu.max": "150000 100000\n", "cgroup/pod/box/cpu.max": "6400000 100000\n"})
    assert (processor_quota(), processors()) == (1.5, 1)
    lay_out(system, {"cgroup/pod/cpu.max": "50000 100000\n"})
    assert (processor_quota(), processors()) == (0.5, 1)


def test_processors_in_cgroup_v1(system: Path) -> None:
    lay_out(system, {
        "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n",
        "cgroup/cpu/cpu.cfs_quota_us": "-1\n", "cgroup/cpu/cpu.cfs_period_us": "100000\n",
    })  # fmt: skip
    assert processor_quota() is None
    lay_out(system, {"cgroup/cpu/cpu.cfs_quota_us": "200000\n"})
    assert processor_quota() == 2.0


def test_what_the_machine_refuses_is_no_fault_of_the_program() -> None:
    assert "ulimit -u" in str(refusal(RuntimeError("can't start new thread")))
    assert "free memory" in str(refusal(MemoryError()))
    assert "too many open files" in str(refusal(OSError(23, "Too many open files in system")))
    assert "TMPDIR" in str(refusal(FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")))
    assert refusal(FileNotFoundError(2, "No such file or directory", "x")) is None
    assert refusal(RuntimeError("other")) is None
    assert refusal(ValueError()) is None


def test_no_thread_for_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise RuntimeError("can't start new thread")

    engine = Engine(PushSource("door"))
    monkeypatch.setattr("threading.Thread.start", refuse)
    with pytest.raises(Exception, match="ulimit -u"):
        engine.start()
    engine.close()
