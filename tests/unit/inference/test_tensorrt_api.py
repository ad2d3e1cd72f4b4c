"""Every call that ferengine makes exists in each TensorRT that is installed, so that none works with one runtime alone."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from pathlib import Path

import pytest

from ferengine.errors import MissingDependencyError
from ferengine.inference.tensorrt import tensorrt, types
from ferengine.inference.tensorrt.tensorrt import MessageLog, installed_runtimes, load_runtime
from ferengine.pip_hint import install_extra

SHARED = {
    "Tensor": "ITensor", "NetworkDefinition": "INetworkDefinition", "OptimizationProfile": "IOptimizationProfile",
    "BuilderConfig": "IBuilderConfig", "Builder": "Builder", "OnnxParser": "OnnxParser",
    "ExecutionContext": "IExecutionContext", "Engine": "ICudaEngine", "Runtime": "Runtime",
}  # fmt: skip
SPECIAL = {
    "TimingConfig": ("IBuilderConfig", "tensorrt"),
    "PortableConfig": ("IBuilderConfig", "tensorrt-rtx"),
    "JitEngine": ("ICudaEngine", "tensorrt-rtx"),
}
VALUES = {
    "NetworkDefinitionCreationFlag": ["STRONGLY_TYPED"],
    "BuilderFlag": ["TF32"],
    "TensorIOMode": ["INPUT", "OUTPUT"],
    "ExecutionContextAllocationStrategy": ["USER_MANAGED"],
    "ParserError": ["desc", "node_name", "node_operator"],
    "IProgressMonitor": ["phase_start", "step_complete", "phase_finish"],
    "ILogger": ["log"],
}
JIT = {
    "IRuntimeConfig": [
        "create_runtime_cache",
        "set_runtime_cache",
        "cuda_graph_strategy",
        "dynamic_shapes_kernel_specialization_strategy",
    ],
    "IRuntimeCache": ["deserialize", "serialize"],
    "CudaGraphStrategy": ["WHOLE_GRAPH_CAPTURE"],
    "DynamicShapesKernelSpecializationStrategy": ["EAGER", "NONE"],
    "ComputeCapability": ["SM80", "SM120"],
}


def members(protocol: str) -> list[str]:
    kind = getattr(types, protocol)
    return sorted(name for name in {*vars(kind), *inspect.get_annotations(kind)} if not name.startswith("_"))


def test_each_protocol_is_looked_for() -> None:
    protocols = {name for name, kind in vars(types).items() if inspect.isclass(kind) and getattr(kind, "_is_protocol", False)}
    assert protocols - {"Protocol"} == {*SHARED, *SPECIAL}
    assert all(members(name) for name in protocols - {"Protocol"})


@pytest.mark.parametrize("runtime", ["tensorrt", "tensorrt-rtx"])
def test_the_runtime_has_every_name(runtime: str) -> None:
    if runtime not in installed_runtimes():
        pytest.skip(f"{runtime} is not installed")
    api = load_runtime(runtime).api  # type: ignore[arg-type]
    wanted = {real: members(protocol) for protocol, real in SHARED.items()}
    missing = [f"{kind}.{name}" for kind, names in (wanted | VALUES).items() for name in names if not has(api, kind, name)]
    for protocol, (kind, owner) in SPECIAL.items():
        if owner == runtime:
            missing += [f"{kind}.{name}" for name in members(protocol) if not has(api, kind, name)]
    if runtime == "tensorrt-rtx":
        missing += [f"{kind}.{name}" for kind, names in JIT.items() for name in names if not has(api, kind, name)]
    assert not missing


def has(api: object, kind: str, name: str) -> bool:
    return hasattr(getattr(api, kind, None), name)


def test_the_bindings_of_tensorrt_have_every_shared_name() -> None:
    """They cannot be imported without TensorRT's libraries, but every name stands in the extension as a C string."""
    try:
        files = importlib.metadata.files("tensorrt-cu13-bindings") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("tensorrt-cu13-bindings is not installed")
    [extension] = [file for file in files if file.name == "tensorrt.so"]
    data = extension.read_binary()
    wanted = {name for protocol in SHARED for name in members(protocol)} | set(members("TimingConfig"))
    wanted |= {name for names in VALUES.values() for name in names}
    assert not {name for name in wanted if name.encode() + b"\0" not in data}  # the linker keeps one of two equal endings
    assert b"num_compute_capabilities\0" not in data  # the check would see a name that is not there


def test_messages_of_tensorrt_are_kept() -> None:
    log = MessageLog()
    log.add("VERBOSE", "much")
    assert log.errors() == ""
    log.add("WARNING", "careful")
    assert "careful" in log.errors()
    for number in range(9):
        log.add("ERROR", f"broken {number}")
    assert log.errors().splitlines() == [f"  [error] broken {number}" for number in range(4, 9)]
    log.clear()
    assert log.errors() == ""


def test_a_folder_called_tensorrt_is_not_taken_for_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = installed_runtimes()
    (tmp_path / "tensorrt").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_runtimes() == before


def test_without_tensorrt_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "installed_runtimes", list)
    with pytest.raises(MissingDependencyError, match=re.escape(install_extra("trt"))):
        load_runtime()
    with pytest.raises(MissingDependencyError, match=r"tensorrt is not installed: .*install tensorrt"):
        load_runtime("tensorrt")
