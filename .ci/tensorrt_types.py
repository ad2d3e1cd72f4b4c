"""Checks ferengine's calls of TensorRT against the signatures in tensorrt-rtx's own extension module.

Its wheel has no type stubs. pybind11-stubgen makes them from the module as it is installed, which needs no GPU, and mypy reads
them in the place of the protocols in ``ferengine/inference/tensorrt/types.py``.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

MODULE = "tensorrt_rtx_bindings.tensorrt_rtx"
ROOT = Path(__file__).parents[1]
PROTOCOLS = "engine/ferengine/inference/tensorrt/types.py"
CALLERS = "ferengine.inference.tensorrt"

REAL = f"""
from {MODULE} import (
    Builder, IBuilderConfig as BuilderConfig, IBuilderConfig as PortableConfig, IBuilderConfig as TimingConfig,
    ICudaEngine as Engine, ICudaEngine as JitEngine, IExecutionContext as ExecutionContext,
    INetworkDefinition as NetworkDefinition, IOptimizationProfile as OptimizationProfile, ITensor as Tensor, OnnxParser,
    Runtime,
)

__all__ = [
    "Builder", "BuilderConfig", "PortableConfig", "TimingConfig", "Engine", "JitEngine", "ExecutionContext",
    "NetworkDefinition", "OptimizationProfile", "Tensor", "OnnxParser", "Runtime",
]
"""
"""The classes that the protocols stand for."""

WRONG = """
from ferengine.inference.tensorrt.types import Engine, ExecutionContext, OptimizationProfile

def calls(engine: Engine, context: ExecutionContext, profile: OptimizationProfile) -> None:
    profile.set_shape("input", (1,), (2,))  # type: ignore[call-arg]
    context.set_input_shape("input", 3)  # type: ignore[call-overload]
    context.set_optimization_profile_async("0", 0)  # type: ignore[arg-type]
    engine.get_tensor_names()  # type: ignore[attr-defined]
"""
"""Were these not found, mypy would say that their comments are unused."""

REPLACED = {
    r"\bDims\b": "tuple[int, ...]",  # pybind11 makes one of the other without a word in the signature
    r"\bIHostMemory\b": "typing_extensions.Buffer",
    r"\bbool\b": "builtins.bool",  # the module has a constant of that name
}


def corrected(stub: str) -> str:
    """What pybind11-stubgen writes, as far as mypy can read it.

    A signature that is no Python (a parameter called "in", one without a default behind one with) becomes one of anything.
    """
    lines = ["# mypy: ignore-errors", "import builtins"]
    for line in stub.replace("from __future__ import annotations\n", "").splitlines():
        if not line.startswith("class "):
            for pattern, instead in REPLACED.items():
                line = re.sub(pattern, instead, line)
        if line.lstrip().startswith("def "):
            try:
                ast.parse(f"{line.strip()} ...")
            except SyntaxError:
                line = f"{line[: line.index('(')]}(*arguments: typing.Any, **named: typing.Any) -> typing.Any:"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> int:
    """The exit code of mypy."""
    if find_spec("tensorrt_rtx_bindings") is None or find_spec("pybind11_stubgen") is None:
        print("tensorrt-rtx or pybind11-stubgen is not installed: the calls of TensorRT are not checked")
        return 0
    with TemporaryDirectory() as made:
        stubgen = [sys.executable, "-m", "pybind11_stubgen", MODULE, "--ignore-all-errors", "--output-dir", made]
        subprocess.run(stubgen, check=True, capture_output=True)
        folder = Path(made)
        stub = folder.joinpath(*MODULE.split(".")).with_suffix(".pyi")
        stub.write_text(corrected(stub.read_text()))
        stub.with_name("__init__.pyi").touch()
        (folder / "real.py").write_text(REAL)
        (folder / "wrong_calls.py").write_text(WRONG)
        shadow = ["--shadow-file", PROTOCOLS, str(folder / "real.py")]
        options = ["--no-warn-redundant-casts", "--cache-dir", "build/mypy-tensorrt", "-p", CALLERS, "-m", "wrong_calls"]
        mypy = [sys.executable, "-m", "mypy", *shadow, *options]
        return subprocess.run(mypy, cwd=ROOT, env={**os.environ, "MYPYPATH": made}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
