"""Engine files: their records, what is refused, and who may write."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ferengine.errors import ModelError
from ferengine.inference.files import locked, read_code, write_atomically
from ferengine.inference.tensorrt.engine_file import (
    EngineFile,
    EngineRecord,
    ProfileRecord,
    TensorRecord,
    digest,
    find_mismatches,
    list_engines,
    load_engine,
    read_record,
    write_engine,
)
from ferengine.inference.tensorrt.environment import Environment, Gpu
from ferengine.inference.tensorrt.tensorrt import rtx_supports
from ferengine.models.manifest import Normalisation

PLAN, SOURCE = b"a plan", digest(b"a network")
RECORD = EngineRecord(
    model="tiny", source_sha256=SOURCE, onnx_sha256=SOURCE, engine_sha256=digest(PLAN), precision="fp16", tf32=False,
    runtime="tensorrt", runtime_version="11.4.0", cuda="13", driver="580.1", gpu="H100", capability="9.0", targets=(),
    os="linux-x86_64", inputs=(TensorRecord(name="x", shape=(-1, 4), dtype="FLOAT"),), outputs=(),
    profiles=(ProfileRecord(low=(1, 4), best=(8, 4), high=(32, 4)),), command="ferengine build-trt", built="now",
)  # fmt: skip
HERE = Environment("linux-x86_64", "580.1", "13.0", Gpu("H100", "9.0", 1 << 36), None)
ASKED: dict[str, Any] = {
    "source_sha256": SOURCE, "normalisation": None, "precision": "fp16", "runtime": "tensorrt",
    "runtime_version": "11.4.0", "max_batch": 32, "here": HERE,
}  # fmt: skip
PORTABLE = RECORD.model_copy(update={"runtime": "tensorrt-rtx", "gpu": None, "capability": None, "driver": None})


def stored(folder: Path) -> EngineFile:
    file = EngineFile(folder / "tiny.engine", RECORD)
    write_engine(file.path, PLAN, RECORD)
    return file


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = stored(tmp_path)
    assert list(list_engines(tmp_path)) == [file]
    assert load_engine(file) == PLAN
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.engine", "tiny.json"]


def test_an_engine_that_was_changed_is_not_loaded(tmp_path: Path) -> None:
    file = stored(tmp_path)
    file.path.write_bytes(PLAN + b"!")
    with pytest.raises(ModelError, match=r"SHA-256 differs.*build it again"):
        load_engine(file)


def test_an_engine_that_everybody_can_write_is_not_loaded(tmp_path: Path) -> None:
    file = stored(tmp_path)
    file.path.chmod(0o666)
    with pytest.raises(ModelError, match="chmod go-w"):
        load_engine(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_an_engine_of_another_user_is_not_loaded(tmp_path: Path) -> None:
    file = stored(tmp_path)
    os.chown(file.path, 65534, 65534)
    with pytest.raises(ModelError, match="another user"):
        load_engine(file)


@pytest.mark.parametrize("text", ["", "{}", "[]", RECORD.model_dump_json().replace('"fp16"', '"fp8"')])
def test_broken_records_are_named_and_passed_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"broken\.json is not the record"):
        read_record(path)
    file = stored(tmp_path)
    assert list(list_engines(tmp_path)) == [file]


def test_engine_without_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="only with its record"):
        read_record(tmp_path / "no.json")


def test_one_that_normalises_serves_for_the_same_crops_alone(tmp_path: Path) -> None:
    record = RECORD.model_copy(update={"normalisation": Normalisation(129.5, 65.0)})
    write_engine(tmp_path / "tiny.engine", PLAN, record)
    [file] = list_engines(tmp_path)
    assert file.record == record
    assert find_mismatches(file.record, **{**ASKED, "normalisation": Normalisation(129.5, 65.0)}) == []
    for other in (None, Normalisation(129.5, 64.0), Normalisation(0.0, 65.0)):
        [mismatch] = find_mismatches(file.record, **{**ASKED, "normalisation": other})
        assert "the engine's uint8 crops, mean 129.5 and std 65: build it again" in str(mismatch)


def test_it_serves_where_it_was_built() -> None:
    assert find_mismatches(RECORD, **ASKED) == []


@pytest.mark.parametrize(
    ("changes", "what", "hint"),
    [
        ({"source_sha256": digest(b"other")}, "the network's SHA-256", "build-trt"),
        ({"normalisation": Normalisation(129.5, 65.0)}, "the input", "build-trt"),
        ({"precision": "fp32"}, "the precision", "build-trt"),
        ({"runtime": "tensorrt-rtx"}, "the runtime", "install tensorrt"),
        ({"runtime_version": "11.5"}, "the version of tensorrt", "install tensorrt==11.4.0"),
        ({"max_batch": 64}, "the largest batch", "--batch 1:64:64"),
        ({"here": replace(HERE, os="linux-aarch64")}, "the operating system", "build-trt"),
        ({"here": replace(HERE, cuda="12.8")}, "the driver's CUDA", "driver for CUDA 13"),
        ({"here": replace(HERE, gpu=Gpu("H100", "8.0", 1))}, "the compute capability", "build-trt"),
        ({"here": replace(HERE, gpu=Gpu("H200", "9.0", 1))}, "the GPU", "build-trt"),
        ({"here": replace(HERE, gpu=None, unavailable_reason="no driver is installed")}, "the GPU", "no driver is installed"),
    ],
)
def test_each_mismatch_is_named_with_its_hint(changes: dict[str, Any], what: str, hint: str) -> None:
    [mismatch] = find_mismatches(RECORD, **{**ASKED, **changes})
    assert mismatch.what == what
    assert hint in str(mismatch)
    assert mismatch.built in str(mismatch)
    assert mismatch.here in str(mismatch)


@pytest.mark.parametrize(
    ("targets", "capability", "serves"),
    [
        ((), "8.0", False),
        ((), "8.6", True),
        ((), "9.0", False),
        ((), "10.0", False),
        ((), "12.0", True),
        ((), "7.5", False),
        (("sm_86",), "8.6", True),
        (("sm_86",), "8.9", True),
        (("sm_86",), "8.0", False),
        (("sm_86",), "12.0", False),
        (("sm_75", "sm_120"), "12.1", True),
    ],
)
def test_portable_engines_serve_their_targets(targets: tuple[str, ...], capability: str, serves: bool) -> None:
    record = PORTABLE.model_copy(update={"targets": targets})
    here = replace(HERE, gpu=Gpu("a card", capability, 1))
    found = find_mismatches(record, **{**ASKED, "runtime": "tensorrt-rtx", "here": here})
    assert (not found) is serves
    if not serves:
        made_for = capability not in ("8.0", "9.0", "10.0")
        hint = f"sm_{capability.replace('.', '')}" if made_for else "tensorrt-rtx is not made for this GPU"
        assert hint in found[0].hint


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(ModelError, match="cannot be written"):
        write_atomically(target, b"data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder"]


HOLD = """
import sys
from pathlib import Path
from ferengine.inference.files import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_keeps_others_out_and_dies_with_its_holder(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    waiting = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.7)
        holder.kill()
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == b"held\n"
    finally:
        for process in (holder, waiting):
            process.kill()
            process.communicate()
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("capability", ["7.5", "8.6", "8.9", "12.0", "12.1"])
def test_tensorrt_rtx_is_made_for_the_cards_of_its_support_matrix(capability: str) -> None:
    assert rtx_supports(capability)


@pytest.mark.parametrize("capability", ["7.0", "8.0", "8.7", "9.0", "10.0", "10.3", "11.0"])
def test_tensorrt_rtx_is_not_made_for_data_centre_cards(capability: str) -> None:
    assert not rtx_supports(capability)


def test_code_of_another_user_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled kernels and timing caches choose what runs as engines do."""
    path = tmp_path / "any.kernels"
    assert read_code(path, "a kernel") is None
    path.write_bytes(b"kernels")
    assert read_code(path, "a kernel") == b"kernels"
    for mode in (0o646, 0o664):
        path.chmod(mode)
        with pytest.raises(ModelError, match=r"may be written by other users .* because a kernel is code: chmod go-w"):
            read_code(path, "a kernel")
    path.chmod(0o644)
    os.chown(path, 4711, -1) if os.geteuid() == 0 else monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(ModelError, match="belongs to another user"):
        read_code(path, "a kernel")
