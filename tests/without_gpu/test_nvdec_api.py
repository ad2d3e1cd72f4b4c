"""What ``--decoder nvdec`` calls exists in the real PyNvVideoCodec, which loads with substitutes for the driver's libraries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ferengine.sources.nvdec import _CODECS

CALLS = """
import ctypes, importlib.util, json, os, sys
sys.setdlopenflags(os.RTLD_LAZY)  # what is not called need not be there
spec = importlib.util.spec_from_file_location("_PyNvVideoCodec", sys.argv[1])
api = importlib.util.module_from_spec(spec)
spec.loader.exec_module(api)
packet, memory = api.PacketData(), ctypes.create_string_buffer(b"abc", 3)
packet.bsl_data, packet.bsl, packet.pts = ctypes.addressof(memory), 3, 7
found = {"packet": [packet.bsl_data == ctypes.addressof(memory), packet.bsl, packet.pts]}
found["codecs"] = [name for name in json.loads(sys.argv[2]) if hasattr(api.cudaVideoCodec, name)]
found["frame"] = [name for name in ("shape", "framesize", "GetPtrToPlane", "getPTS") if hasattr(api.DecodedFrame, name)]
found["decoder"] = hasattr(api.PyNvDecoder, "Decode")
for settings in ({"gpuid": 0, "codec": api.cudaVideoCodec.H264, "usedevicememory": False}, {"nothing": 1}):
    try:
        api.CreateDecoder(**settings)
    except Exception as error:
        found[", ".join(settings)] = type(error).__name__
print(json.dumps(found))
"""


def test_the_real_package_has_what_is_called(tmp_path: Path) -> None:
    package = find_spec("PyNvVideoCodec")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if package is None or package.origin is None:
        pytest.skip("PyNvVideoCodec is not installed")
    if compiler is None:
        pytest.skip("there is no C compiler")
    empty = tmp_path / "empty.c"
    empty.write_text("int ferengine_nothing;\n")
    driver = Path(__file__).parent / "data" / "host_cuda.c"
    for name, source in (("libcuda.so.1", driver), ("libnvcuvid.so.1", empty), ("libnvidia-encode.so.1", empty)):
        command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", tmp_path / name, source, "-ldl"]
        subprocess.run(command, check=True, timeout=300)
    extension = sorted(Path(package.origin).parent.glob("PyNvVideoCodec_*.so"))[-1]  # of the newest CUDA
    done = subprocess.run(
        [sys.executable, "-c", CALLS, extension, json.dumps(list(_CODECS.values()))],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "packet": [True, 3, 7],
        "codecs": list(_CODECS.values()),
        "frame": ["shape", "framesize", "GetPtrToPlane", "getPTS"],
        "decoder": True,
        "gpuid, codec, usedevicememory": "PyNvVCException",  # there is no driver; the arguments are taken
        "nothing": "TypeError",
    }
