"""``ferengine build-trt`` with the real parser and builder of tensorrt-rtx, which need no GPU."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from command_help import command
from ferengine.errors import ModelError, UsageError
from ferengine.inference.conversion import to_fp16
from ferengine.inference.precision import int8_variant
from ferengine.inference.tensorrt import load as opening
from ferengine.inference.tensorrt.builder import _use_timings, build_engine, known_targets
from ferengine.inference.tensorrt.cache import find_engine
from ferengine.inference.tensorrt.engine_file import EngineFile, digest, list_engines, load_engine
from ferengine.inference.tensorrt.environment import Environment, Gpu
from ferengine.inference.tensorrt.networks import Network, Profile, classifier_network
from ferengine.inference.tensorrt.tensorrt import TensorRT, load_runtime
from ferengine.models.registry import list_models, load_model
from ferengine_tools.trt_networks import choose_networks, parse_batches

main = command("build-trt")

pytest.importorskip("tensorrt_rtx", reason="the extra `trt` is not installed: no engines are built")

TINY = [Profile((1, 1, 48, 48), (2, 1, 48, 48), (4, 1, 48, 48))]
OUTPUTS = {
    "pnet": {"boxes": (-1, 4, -1, -1), "probabilities": (-1, 1, -1, -1)},
    "rnet": {"boxes": (-1, 4), "probabilities": (-1,)},
    "onet": {"boxes": (-1, 4), "landmarks": (-1, 10), "probabilities": (-1,)},
}
INPUTS = {"pnet": (-1, 3, -1, -1), "rnet": (-1, 3, 24, 24), "onet": (-1, 3, 48, 48)}
RTX = Environment("linux-x86_64", "580.1", "13.0", Gpu("GeForce RTX 4090", "8.9", 1 << 34), None)


@pytest.fixture(scope="module")
def trt() -> TensorRT:
    return load_runtime("tensorrt-rtx")


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, EngineFile]:
    """All engines of one precision, by network, as the command writes them."""
    folder = tmp_path_factory.mktemp(request.param)
    main(["--runtime", "tensorrt-rtx", "--precision", request.param, "--batch", "1:2:8,9:16:32", "--out", str(folder)])
    return {file.record.model: file for file in list_engines(folder)}


def test_all_shipped_networks_are_built(built: dict[str, EngineFile]) -> None:
    assert set(built) == {"pnet", "rnet", "onet", *(each.name for each in list_models() if each.source_sha256 is None)}
    for file in built.values():
        plan = load_engine(file)
        for tensor in [*file.record.inputs, *file.record.outputs]:
            assert tensor.name.encode() in plan
        assert {tensor.dtype for tensor in file.record.outputs} == {"FLOAT"}
        [given] = file.record.inputs
        assert given.dtype == ("FLOAT" if file.record.model in OUTPUTS else "UINT8")


def test_records_say_what_the_networks_take_and_give(built: dict[str, EngineFile]) -> None:
    for name, file in built.items():
        [given] = file.record.inputs
        if name in OUTPUTS:
            assert given.shape == INPUTS[name]
            assert {tensor.name: tensor.shape for tensor in file.record.outputs} == OUTPUTS[name]
            continue
        manifest = load_model(name).manifest
        assert given.shape == (-1, 1, manifest.input.size, manifest.input.size)
        assert [tensor.shape for tensor in file.record.outputs] == [(-1, len(manifest.labels))]
        assert [(p.low[0], p.best[0], p.high[0]) for p in file.record.profiles] == [(1, 2, 8), (9, 16, 32)]
        assert file.record.max_batch == 32


def test_records_say_what_was_built_with_what(built: dict[str, EngineFile], trt: TensorRT) -> None:
    for file in built.values():
        record = file.record
        assert (record.runtime, record.runtime_version, record.cuda) == ("tensorrt-rtx", trt.version, trt.cuda)
        assert record.os.startswith("linux-")
        assert record.command.startswith("ferengine build-trt --runtime tensorrt-rtx --precision ")
        assert record.precision in record.command
        mtcnn = record.model in OUTPUTS
        assert record.normalisation == (None if mtcnn else load_model(record.model).manifest.input.normalisation)
        assert (record.onnx_sha256 == record.source_sha256) is (mtcnn and record.precision == "fp32")


def test_the_engine_of_a_network_is_found(built: dict[str, EngineFile], trt: TensorRT) -> None:
    [folder] = {file.path.parent for file in built.values()}
    network, record = classifier_network(load_model("dscnn")), built["dscnn"].record
    found = find_engine([folder], network, record.precision, trt, 32, RTX)
    assert found.file == built["dscnn"]
    wider = find_engine([folder], network, record.precision, trt, 64, RTX)
    assert wider.file is None
    assert "--batch 1:64:64" in wider.reason
    other = find_engine([folder], Network("another", b"network", "another"), record.precision, trt, 1, RTX)
    assert other.file is None
    option = "" if record.precision == "fp16" else f" --precision {record.precision}"
    assert other.reason.endswith(f"ferengine build-trt --model another{option}")
    mine = find_engine([folder], Network("another", b"network", "my networks/another.onnx"), "int8", trt, 1, RTX)
    assert mine.reason.endswith("ferengine build-trt --model 'my networks/another.onnx' --precision int8")


def test_the_same_network_gives_the_same_file_name(tmp_path: Path) -> None:
    for _ in range(2):
        main(["--model", "rnet", "--runtime", "tensorrt-rtx", "--out", str(tmp_path)])
    main(["--model", "rnet", "--runtime", "tensorrt-rtx", "--target", "sm_86", "--out", str(tmp_path)])
    assert sorted(file.record.targets for file in list_engines(tmp_path)) == [(), ("sm_86",)]


def test_run_builds_a_missing_engine_into_the_cache_once(
    trt: TensorRT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened: list[bytes] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(opening, "this_machine", lambda: RTX)
    monkeypatch.setattr(opening, "open_device", lambda: None)
    monkeypatch.setattr(opening, "load_runtime", lambda: trt)

    def runner(trt: TensorRT, device: None, plan: bytes, kernels: Path, **options: object) -> SimpleNamespace:
        opened.append(plan)
        return SimpleNamespace(keep_kernels=lambda: None)

    monkeypatch.setattr(opening, "EngineRunner", runner)
    monkeypatch.setattr(opening, "check_outputs", lambda *arguments: None)  # without a GPU there are none
    network = classifier_network(load_model("dscnn"))
    with pytest.raises(ModelError, match="ferengine build-trt --model dscnn"):
        opening.open_engine(network, "fp16", 16)
    for _ in range(2):
        opening.open_engine(network, "fp16", 16, build=True)
    assert opened[0] == opened[1]
    assert sum("building a TensorRT engine of dscnn" in record.message for record in caplog.records) == 1
    [file] = list_engines(tmp_path / "ferengine" / "engines")
    assert file.record.max_batch == 16
    with pytest.raises(ModelError, match="needs calibration"):
        opening.open_engine(network, "int8", 16, build=True)


def test_int8_is_built_from_a_quantised_file(tmp_path: Path, trt: TensorRT) -> None:
    import numpy as np

    from ferengine.inference.conversion import to_int8

    crops = np.random.default_rng(0).normal(size=(32, 1, 48, 48)).astype(np.float32)
    (tmp_path / "small.onnx").write_bytes(to_int8(load_model("dscnn").onnx, crops))
    arguments = ["--model", str(tmp_path / "small.onnx"), "--runtime", "tensorrt-rtx", "--out", str(tmp_path / "out")]
    main([*arguments, "--precision", "int8", "--target", "sm_86"])
    [file] = list_engines(tmp_path / "out")
    assert file.record.precision == "int8"
    assert file.record.source_sha256 == file.record.onnx_sha256 == digest((tmp_path / "small.onnx").read_bytes())
    with pytest.raises(UsageError, match="quantised already"):
        main([*arguments, "--precision", "fp16"])


def test_int8_takes_the_variant_that_the_model_has(tmp_path: Path, trt: TensorRT) -> None:
    variant = int8_variant(load_model("fast"))
    assert variant is not None
    main(["--model", "fast", "--precision", "int8", "--runtime", "tensorrt-rtx", "--target", "sm_86", "--out", str(tmp_path)])
    [file] = list_engines(tmp_path)
    assert (file.record.precision, file.record.model) == ("int8", "fast-int8")
    assert find_engine([tmp_path], classifier_network(variant), "int8", trt, 32, RTX).file == file


def test_int8_without_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        main(["--model", "dscnn", "--precision", "int8", "--calibration", str(tmp_path / "none")])
    with pytest.raises(UsageError, match="--calibration"):
        main(["--model", "dscnn", "--precision", "int8", "--runtime", "tensorrt-rtx"])


def test_the_builder_is_watched_and_can_be_stopped(trt: TensorRT) -> None:
    steps: list[tuple[str, int, int]] = []
    network = load_model("dscnn").onnx
    build_engine(trt, network, TINY, progress=lambda *step: not steps.append(step))  # type: ignore[func-returns-value]
    assert ("Building engine", 0) in {(phase, done) for phase, done, _ in steps}
    assert all(0 <= done <= total for _, done, total in steps)
    with pytest.raises(ModelError, match=r"(?i)cancel"):
        build_engine(trt, network, TINY, progress=lambda *step: False)


def test_small_networks_get_no_auxiliary_streams_and_fp32_no_tf32(trt: TensorRT) -> None:
    configs: list[Any] = []

    class Builder:
        def __init__(self, logger: Any) -> None:
            self.real = trt.api.Builder(logger)

        def create_builder_config(self) -> Any:
            configs.append(self.real.create_builder_config())
            return configs[-1]

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

    class Api:
        def __getattr__(self, name: str) -> Any:
            return Builder if name == "Builder" else getattr(trt.api, name)

    build_engine(replace(trt, api=Api()), load_model("dscnn").onnx, TINY)
    assert configs[0].max_aux_streams == 0
    assert not configs[0].get_flag(trt.api.BuilderFlag.TF32)


@pytest.mark.parametrize("mode", [0o644, 0o666])
def test_timings_that_others_may_write_are_measured_again(tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    path, used = tmp_path / "timing.cache", list[bytes]()
    path.write_bytes(b"timings")
    path.chmod(mode)
    config = SimpleNamespace(create_timing_cache=bytes, set_timing_cache=lambda data, ignore: used.append(data) or True)
    _use_timings(config, path)  # type: ignore[arg-type]
    assert used == [b"timings" if mode == 0o644 else b""]
    assert ("may be written by other users" in caplog.text) is (mode == 0o666)


def test_error_contains_the_messages_of_the_builder(trt: TensorRT) -> None:
    with pytest.raises(ModelError, match="SM75"):  # Turing has no float32 products in this runtime
        build_engine(trt, load_model("dscnn").onnx, TINY, targets=["sm_75"])
    assert build_engine(trt, to_fp16(load_model("dscnn").onnx), TINY, targets=["sm_75"]).targets == ("sm_75",)


def test_the_parser_names_the_node_that_it_cannot_read(trt: TensorRT) -> None:
    from onnx import TensorProto, helper

    node = helper.make_node("Nonsense", ["x"], ["y"], name="the_node", domain="ai.nobody")
    shape = ["n", 1, 48, 48]
    graph = helper.make_graph(
        [node],
        "odd",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.nobody", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    with pytest.raises(ModelError, match=r"cannot read the network(.|\n)*the_node"):
        build_engine(trt, model.SerializeToString(), TINY)
    with pytest.raises(ModelError, match="cannot read the network"):
        build_engine(trt, b"not ONNX", TINY)


def test_profiles_must_fit_the_input(trt: TensorRT) -> None:
    with pytest.raises(ModelError, match=r"\(1, 3, 48, 48\) does not fit"):
        build_engine(trt, load_model("dscnn").onnx, [Profile(*[(1, 3, 48, 48)] * 3)])


def test_targets_are_checked(trt: TensorRT) -> None:
    assert {"sm_80", "sm_86", "sm_89", "sm_120"} <= set(known_targets(trt))
    with pytest.raises(UsageError, match=r"no target sm_90: choose one of .*sm_89"):
        build_engine(trt, load_model("dscnn").onnx, TINY, targets=["sm_90"])


@pytest.mark.parametrize("text", ["", "32", "1:2", "2:1:3", "0:1:2", "1:2:9999", "a:b:c", "1:2:3,"])
def test_batches_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError, match="--batch"):
        parse_batches(text)


def test_models_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model 'nothing'"):
        choose_networks("nothing", "fp16")
    with pytest.raises(ModelError, match="does not exist"):
        choose_networks(str(tmp_path / "none.onnx"), "fp16")
    (tmp_path / "odd.onnx").write_bytes(b"odd")
    with pytest.raises(ModelError, match="not an ONNX file"):
        main(["--model", str(tmp_path / "odd.onnx"), "--runtime", "tensorrt-rtx", "--precision", "fp32"])


def test_errors_of_the_command_are_one_line_and_an_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ferengine", "build-trt", "--runtime", "tensorrt-rtx", "--out", str(tmp_path)]
    done = subprocess.run([*command, "--batch", "8:4:1"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --batch 8:4:1")
    assert "Traceback" not in done.stderr
    done = subprocess.run(
        [*command, "--model", "dscnn", "--precision", "fp32", "--target", "sm_75"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert "[error] IBuilder" in done.stderr  # brackets are the builder's, not markup
    assert list(tmp_path.glob("*.engine")) == []
