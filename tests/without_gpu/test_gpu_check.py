"""The parts of tools/gpu_check.sh that need no GPU."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ferengine.errors import DeviceError, SourceError, WorkerError
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.inference.tensorrt.environment import Environment, Gpu, this_machine
from ferengine.models.registry import load_model
from ferengine.vision import cv2
from ferengine_tools.gpu_check import cameras, engines, ort_shapes, probes
from ferengine_tools.gpu_check.__main__ import check_others
from ferengine_tools.gpu_check.cameras import replay
from ferengine_tools.gpu_check.engines import check_engines, run
from ferengine_tools.gpu_check.measure import (
    FP16_AGREEMENT,
    TIMES,
    Contender,
    Parity,
    Queue,
    Sample,
    check,
    compare,
    computing_microseconds,
    in_batches,
    microseconds,
)
from ferengine_tools.gpu_check.one_engine import queued
from ferengine_tools.gpu_check.prune import containers, prune
from ferengine_tools.gpu_check.report import Report, markdown, summarise

ROOT = Path(__file__).parents[2]


def test_parity_is_measured_on_probabilities_and_labels() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, -3.0], [0.0, 0.1]], np.float32)
    moved = logits.copy()
    moved[3] = moved[3, ::-1]
    found = compare(moved, logits)
    assert found.agreement == 0.75
    assert found.difference == pytest.approx(1 / (1 + np.exp(-0.1)) - 1 / (1 + np.exp(0.1)), rel=1e-4)
    assert compare(logits + 1, logits).difference < 1e-6


@pytest.mark.parametrize(
    ("parity", "name", "passes"),
    [
        (Parity(9e-4, 1.0), "tensorrt fp32", True),
        (Parity(1.1e-3, 1.0), "tensorrt fp32", False),
        (Parity(1.1e-3, 1.0), "onnxruntime cuda", False),
        (Parity(float("nan"), 1.0), "tensorrt fp32", False),
        (Parity(0.02, FP16_AGREEMENT), "tensorrt fp16, no graphs", True),
        (Parity(0.02, FP16_AGREEMENT - 1e-4), "tensorrt fp16", False),
        (Parity(0.4, 0.9), "tensorrt int8", True),
        (Parity(float("nan"), 0.9), "tensorrt int8", False),
    ],
)
def test_what_counts_as_equal(parity: Parity, name: str, passes: bool) -> None:
    assert parity.passes(name) is passes


def test_times_are_of_whole_batches() -> None:
    sizes: list[int] = []

    def run(batch: Any) -> Any:
        sizes.append(len(batch))
        return batch[:, 0, 0]

    faces = np.zeros((10, 1, 4, 4), np.float32)
    assert microseconds(run, faces, 32, seconds=0.0) > 0
    assert set(sizes) == {32}
    sizes.clear()
    assert len(in_batches(run, faces, 4)) == 10
    assert sizes == [4, 4, 4]  # a last one of 2 would be compiled for


@pytest.mark.parametrize("dtypes", [("float", "float"), ("uint8", "float")])
@pytest.mark.parametrize("options", [{}, {"graphs": False}])
def test_computing_alone_copies_nothing_and_releases_everything(
    device: Any, fake_trt: Any, profiles: Any, options: dict[str, bool], dtypes: Any
) -> None:
    with queued(fake_trt(device, profiles, dtypes=dtypes).loaded, device, b"plan", 20, **options) as queue:
        assert computing_microseconds(queue, 20, seconds=0.0) > 0
    runs = 1 + 20 + 20  # one before, some while the clocks rise, as many with one wait
    assert device.calls.count("launch" if not options else "execute") == runs - (not options)
    assert device.uploads == [20 * 16 * (1 if dtypes[0] == "uint8" else 4)]  # of what is computed on, before
    assert device.calls.index("upload") < device.calls.index("execute")
    assert device.closed


def test_failure_to_queue_releases_everything(make_device: Any, fake_trt: Any, profiles: Any) -> None:
    whole = make_device()
    with queued(fake_trt(whole, profiles).loaded, whole, b"plan", 20) as queue:
        queue.synchronise()
    for at in range(whole.calls.index("begin")):
        device = make_device()
        device.fail_at = at
        with pytest.raises(DeviceError), queued(fake_trt(device, profiles).loaded, device, b"plan", 20):
            pass
        assert device.closed


def test_warming_up_takes_as_long_as_measuring() -> None:
    """A GPU's clocks rise only after a while."""
    waits: list[int] = []
    count = 0

    def enqueue() -> None:
        nonlocal count
        count += 1

    computing_microseconds(Queue(enqueue, lambda: waits.append(count)), 8, seconds=0.02)
    assert waits[-1] == 2 * waits[-2]  # all of the measured ones before the one wait
    assert waits[-2] >= 20


def test_tables_are_markdown() -> None:
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def sample(reference: bool = True) -> Sample:
    faces = np.random.default_rng(0).integers(0, 256, (300, 1, 4, 4), np.uint8)
    return Sample(faces, logits_of(faces).argmax(axis=1), logits_of(faces) if reference else None)


def logits_of(faces: Any) -> Any:
    return faces[:, 0, 0].astype(np.float32) / 20


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path / "others.json")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferengine_tools.gpu_check.measure.SIZES", (1, 8))


def test_a_contender_is_judged_and_timed(report: Report, short: None) -> None:
    check(report, Contender("one fp32", logits_of), sample())
    assert report.tables["Accuracy on PrivateTest"]["rows"]["one fp32"][1] == "100.00 %"
    assert all(float(cell) > 0 for cell in report.tables[TIMES]["rows"]["one fp32"][1:])
    check(report, Contender("two fp32", lambda faces: np.zeros((len(faces), 4), np.float32)), sample())
    assert report.failed == ["parity of two fp32"]
    assert "two fp32" not in report.tables[TIMES]["rows"]


def test_one_that_fails_takes_nothing_with_it(report: Report, short: None) -> None:
    def broken(*_: object) -> Any:
        raise OSError("the driver is gone")

    check_others(report, sample(reference=False), {
        "cpu": lambda: Contender("cpu", logits_of, on_gpu=False),
        "unopened": broken,
        "unrun": lambda: Contender("unrun", broken),
        "unclosed": lambda: Contender("unclosed", logits_of, close=broken),
        "last": lambda: Contender("last", logits_of),
    })  # fmt: skip
    assert set(report.problems) == {"unopened", "unrun", "unclosed"}
    assert all("the driver is gone" in text for text in report.problems.values())
    assert set(report.tables[TIMES]["rows"]) == {"unclosed", "last"}
    assert report.failed == []


def test_without_a_reference_nothing_is_claimed(report: Report) -> None:
    check_others(report, sample(reference=False), {})
    assert report.failed == ["ONNX Runtime does not run on the CPU"]


def test_what_was_found_before_a_crash_is_kept(tmp_path: Path) -> None:
    whole = Report(tmp_path / "others.json")
    whole.row("Times", ["", "1"], ["torch", "3"])
    whole.finish()
    crashed = Report(tmp_path / "engines.json")
    crashed.row("Times", ["", "1"], ["engine", "2"])
    assert summarise(tmp_path) == ["engines did not come to its end"]
    assert summarise(tmp_path, cut=["engines"]) == []
    text = (tmp_path / "gpu_check.md").read_text()
    assert text.startswith("# GPU check: incomplete (not run: cameras; engines did not come to its end: its time was over)")
    summarise(tmp_path)
    text = (tmp_path / "gpu_check.md").read_text()
    assert text.startswith("# GPU check: FAILED: engines did not come to its end (not run: cameras)")
    assert "| torch | 3 |\n| engine | 2 |" in text
    crashed.problem("engine", "refused")
    crashed.finish()
    assert summarise(tmp_path) == []
    assert "- engine: refused" in (tmp_path / "gpu_check.md").read_text()


def test_a_process_that_crashes_or_hangs_is_an_answer() -> None:
    assert run(["-c", "pass"], 60) is None
    assert run(["-c", "import os; os.kill(os.getpid(), 11)"], 60) == "signal 11: "
    assert run(["-c", "raise SystemExit('no kernel')"], 60) == "exit code 1: no kernel"
    assert run(["-c", "import time; time.sleep(60)"], 0.5) == "did not end within 0.5 s"
    hidden = ["-c", "import os; raise SystemExit(len(os.environ['CUDA_VISIBLE_DEVICES']))"]
    assert run(hidden, 60, visible=False) is None


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Engines that are neither built nor measured; ``behave(target)`` says what became of each."""

    def pretend(capability: str, behave: Any) -> list[list[str]]:
        asked: list[list[str]] = []

        def fake(arguments: list[str], seconds: float, *, visible: bool = True) -> str | None:
            asked.append(arguments)
            target = "sm_80" if any("sm_80" in word for word in arguments) else None
            assert visible is (target is None or "build-trt" not in arguments)
            if "build-trt" in arguments:
                return None if behave(target) != "unbuilt" else "exit code 1: not for this GPU"
            if behave(target) == "crash":
                return "signal 11: "
            measured = Report(Path(arguments[5]))
            measured.row(TIMES, ["", "1"], [arguments[2], "1.0"])
            if behave(target) == "zeros":
                measured.fail(f"parity of {arguments[2]}")
            measured.finish()
            return None

        gpu = Environment("linux-x86_64", "1", "13.0", Gpu("a card", capability, 1), None)
        monkeypatch.setattr(engines, "this_machine", lambda: gpu)
        monkeypatch.setattr(engines, "installed_runtimes", lambda: ["tensorrt-rtx"])
        monkeypatch.setattr(engines, "list_engines", lambda place: place.mkdir() or [SimpleNamespace(path=place / "e.engine")])
        monkeypatch.setattr(engines, "run", fake)
        return asked

    return pretend


def test_an_engine_that_works_is_not_built_twice(attempts: Any, report: Report, tmp_path: Path) -> None:
    asked = attempts("8.9", lambda target: "fine")
    check_engines(report, load_model("dscnn"), tmp_path / "s.npz", tmp_path, None)
    assert set(report.tables[TIMES]["rows"]) == {
        "tensorrt-rtx fp32", "tensorrt-rtx fp32, no graphs", "tensorrt-rtx fp16", "tensorrt-rtx fp16, no graphs",
    }  # fmt: skip
    assert len(asked) == 2 * 3
    assert report.failed == []


@pytest.mark.parametrize("fault", ["unbuilt", "crash", "zeros"])
def test_one_that_does_not_work_is_tried_again_for_sm_80(attempts: Any, report: Report, tmp_path: Path, fault: str) -> None:
    attempts("9.0", lambda target: "fine" if target else fault)
    check_engines(report, load_model("dscnn"), tmp_path / "s.npz", tmp_path, None)
    assert {"tensorrt-rtx fp32 for sm_80", "tensorrt-rtx fp16 for sm_80, no graphs"} <= set(report.tables[TIMES]["rows"])
    assert report.problems
    assert report.failed == []  # this GPU is none of its own


@pytest.mark.parametrize(("capability", "failed"), [("9.0", []), ("8.9", ["no TensorRT engine worked"])])
def test_report_when_no_engine_works(attempts: Any, report: Report, tmp_path: Path, capability: str, failed: list[str]) -> None:
    attempts(capability, lambda target: "crash")
    check_engines(report, load_model("dscnn"), tmp_path / "s.npz", tmp_path, None)
    assert report.problems["tensorrt-rtx fp16"] == report.problems["tensorrt-rtx fp16 for sm_80"] == "signal 11: "
    assert report.problems["TensorRT"] == "no engine worked"
    assert report.failed == failed


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["standard", "dscnn"])
def test_torch_runs_the_network_as_it_is_exported(name: str, half: bool) -> None:
    torch = pytest.importorskip("torch")
    from ferengine_tools.gpu_check.contenders import PinnedRun, deployed_network

    model = load_model(name)
    network = deployed_network(model, half=half)
    normalisations = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    branches = [module for module in network.modules() if type(module).__name__ == "RepConv"]
    assert (len(branches), name == "dscnn" or not normalisations) == (0, True)
    faces = np.random.default_rng(0).integers(0, 256, (5, 1, 48, 48), np.uint8)
    run_torch, run_ort = PinnedRun(network, "cpu"), OrtRunner(model.onnx, normalisation=model.manifest.input.normalisation).run
    for batch in (faces, faces[:2], faces):
        np.testing.assert_allclose(run_torch(batch), run_ort(batch)["logits"], atol=0.2 if half else 1e-3)


def test_cameras_are_replayed_from_memory() -> None:
    frames = list(np.random.default_rng(0).integers(0, 256, (3, 96, 128, 3), np.uint8))
    load = replay(frames, 2, 0.5, warm_up=0.2, backend="ort")
    assert load.cameras == 2
    assert load.fps > 0
    assert 0 < load.p50 <= load.p99
    assert load.cpu > 0
    assert load.backend in ("ort", "ort (int8)")
    assert load.detector == "the CPU"


def test_cameras_see_a_video(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for level in (20, 220):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    assert [round(float(frame.mean()) / 10) for frame in cameras.load_frames(path)] == [2, 22]
    with pytest.raises(SourceError, match=r"none\.avi is not a video"):
        cameras.load_frames(tmp_path / "none.avi")


def test_cameras_that_give_nothing_end_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "_FIRST_RESULT", 0.2)
    monkeypatch.setattr(cameras, "_feed", lambda *_: None)
    with pytest.raises(WorkerError, match="no result within"):
        replay([np.zeros((96, 128, 3), np.uint8)], 1, 0.2, backend="ort")


def test_a_load_that_fails_does_not_end_the_check(monkeypatch: pytest.MonkeyPatch, report: Report) -> None:
    def broken(frames: object, count: int, seconds: float, *, backend: str, **settings: Any) -> Any:
        if count == 4:
            raise WorkerError("no result within 60 s")
        return cameras.Load(count, 10.0, 1.0, 2.0, 3.0, 4.0, None, backend, backend)

    monkeypatch.setattr(cameras, "replay", broken)
    monkeypatch.setattr(cameras, "choose_backend", lambda: ("tensorrt", ""))
    cameras.check_cameras(report, [], 0.1)
    asked = ["--backend auto", "--backend auto --gpu-detectors 1", "--backend ort"]
    assert report.failed == [f"cameras: {options}, 4" for options in asked]
    assert list(report.tables["Cameras replayed from memory"]["rows"]) == [f"{options}, 1" for options in asked]
    monkeypatch.setattr(cameras, "choose_backend", lambda: ("ort", "no GPU"))
    report.tables.clear()
    cameras.check_cameras(report, [], 0.1, counts=(1,))
    assert set(report.tables["Cameras replayed from memory"]["rows"]) == {"--backend auto, 1"}  # the same twice is of no use


def test_wrong_usage_of_the_script_is_named() -> None:
    script = ROOT / "tools" / "gpu_check.sh"
    for arguments, said in (
        ([], "--data FER2013 is needed"),
        (["--odd"], "usage"),
        (["--data", "/no/where"], "does not exist"),
    ):
        done = subprocess.run(["bash", script, *arguments], capture_output=True, text=True, timeout=300)
        assert done.returncode == 2
        assert said in done.stderr


@pytest.mark.parametrize("short", [False, True])
def test_the_script_runs_every_part_and_says_what_was_cut_off(tmp_path: Path, short: bool) -> None:
    """With programs that only note how they are called: one part is cut off, one that only measures fails."""
    notes = tmp_path / "calls"
    for name, code in {
        "nvidia-smi": "exit 0",
        "python": f'echo "$*" >> {notes}; case "$*" in *"--part cameras"*) exit 124;; *probes*) echo no driver; exit 1;; esac',
        "compute-sanitizer": f'echo "sanitizer $*" >> {notes}',
    }.items():
        program = tmp_path / name
        program.write_text(f"#!/usr/bin/env bash\n{code}\n")
        program.chmod(0o755)
    command = ["bash", str(ROOT / "tools" / "gpu_check.sh"), "--data", str(tmp_path), "--python", str(tmp_path / "python")]
    command += ["--out", str(tmp_path / "out"), *(["--short"] if short else [])]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    assert done.returncode == 0, done.stderr
    calls = notes.read_text().splitlines()
    for wanted, call in zip(("tests/gpu", "--part others", "--part engines", "--part cameras"), calls, strict=False):
        assert wanted in call
    assert calls[4].endswith("--cut cameras")
    measures = [call.split()[1].rpartition(".")[2] if "sanitizer" not in call else "memcheck" for call in calls[5:]]
    assert measures == ([] if short else ["probes", "ort_shapes", "train_speed", "memcheck"])
    assert ("== probes: ended with 1" in done.stdout) is not short
    assert "cameras: cut off after" in done.stderr


def fat_binary(images: list[tuple[int, bytes]]) -> bytes:
    body = b"".join(struct.pack("<HHIQ12xI32x", 2, 0x101, 64, len(code), capability) + code for capability, code in images)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def test_pruning_keeps_the_code_of_one_architecture() -> None:
    code = {capability: bytes([capability]) * 24 for capability in (75, 80, 86, 90)}
    several, others = [(75, code[75]), (80, code[80]), (90, code[90])], [(75, code[75]), (80, code[80])]
    chance = struct.pack("<I", 0xBA55ED50) + b"no container"
    library = b"\x7fELF" + fat_binary(several) + chance + fat_binary(others) + b"text" + fat_binary([(90, code[90])])

    def left(capability: int) -> list[bool]:
        pruned, kept, zeroed = prune(library, capability)
        assert (len(pruned), kept + zeroed) == (len(library), 24 * 6)
        found = [[pruned[image.first : image.end] == code[image.capability] for image in part] for part in containers(library)]
        assert kept == 24 * sum(map(sum, found))
        outside = bytearray(pruned), bytearray(library)
        for image in (image for part in containers(library) for image in part):
            for data in outside:
                data[image.first : image.end] = bytes(24)
        assert outside[0] == outside[1]
        return [each for part in found for each in part]

    assert left(90) == [False, False, True, False, False, False]  # what is for 9.0 alone goes, too
    assert left(86) == [False, True, False, False, True, False]  # 8.0's runs on 8.6
    assert left(75) == [True, False, False, True, False, False]
    assert left(100) == [False] * 6


def test_training_steps_are_measured_on_the_cpu_too() -> None:
    pytest.importorskip("torch")
    from ferengine_tools.gpu_check.train_speed import measure
    from ferengine_tools.training.config import TrainConfig

    config = TrainConfig("dscnn", Path("none"), Path("none"), batch=4, device="cpu", precision="fp32", threads=1)
    assert measure(config, 2).startswith("dscnn, batch 4: ")


def test_without_a_gpu_nothing_is_claimed(tmp_path: Path) -> None:
    if this_machine().gpu is not None:
        pytest.skip("this machine has a GPU")
    command = [sys.executable, "-m", "ferengine_tools.gpu_check", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.startswith("error: nothing can be checked: ")
    assert not (tmp_path / "out").exists()


def test_no_contender_begins_when_the_time_is_over(report: Report) -> None:
    made: list[str] = []

    def make() -> Any:
        made.append("made")
        raise RuntimeError("it takes long")

    check_others(report, sample(), {"torch": make, "torch.compile": make}, limit=-1.0)
    assert made == []
    assert report.problems["torch.compile"].startswith("not begun")
    assert report.failed == []


@pytest.mark.parametrize("module", ["probes", "ort_shapes", "train_speed", "prune", "one_engine", "report", "__main__"])
def test_every_script_shows_its_help(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"ferengine_tools.gpu_check.{module}", "--help"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_new_shapes_are_measured_on_the_cpu_too() -> None:
    line = ort_shapes.measure("dscnn", load_model("dscnn").onnx, [(1, 1, 48, 48), (3, 1, 48, 48)], "ort", None)
    assert line.startswith("dscnn, defaults: opened in ")


def test_probes_of_the_device_layer_give_back_what_they_take(device: Any) -> None:
    with device.current():
        assert len(probes.transfers(device, repeats=2)) == 4
        assert "us to launch" in probes.graph_launches(device, repeats=3)
    device.close()


def test_what_probes_run_in_processes_can_be_compiled() -> None:
    for name, code in probes.IN_PROCESSES.items():
        compile(code, name, "exec")
