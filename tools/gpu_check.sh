#!/usr/bin/env bash
# All checks that need an NVIDIA GPU, from a clean checkout, in a few minutes: the tests marked `gpu`, then parity,
# accuracy, times and the load of whole engines.
#
#   tools/gpu_check.sh --data FER2013 [--python PYTHON] [--out DIR]
#
# Without --python it makes .venv-gpu and installs everything from PyPI, tensorrt as well where its vendor's index can be
# reached. With --python nothing is installed: that interpreter has the package, torch and TensorRT already.
set -euo pipefail
cd "$(dirname "$0")/.."

python="" data="" out="gpu_check"
while [ $# -gt 0 ]; do
    case "$1" in
        --python) python="$2"; shift 2 ;;
        --data) data="$2"; shift 2 ;;
        --out) out="$2"; shift 2 ;;
        *) echo "usage: tools/gpu_check.sh --data FER2013 [--python PYTHON] [--out DIR]" >&2; exit 2 ;;
    esac
done
[ -n "$data" ] || { echo "error: --data FER2013 is needed: parity is measured on real faces" >&2; exit 2; }
[ -e "$data" ] || { echo "error: $data does not exist" >&2; exit 2; }

nvidia-smi || { echo "error: nvidia-smi finds no GPU" >&2; exit 1; }

if [ -z "$python" ]; then
    python=".venv-gpu/bin/python"
    [ -x "$python" ] || python3 -m venv .venv-gpu
    "$python" -m pip install --quiet --disable-pip-version-check ".[test,train,trt]"
    "$python" -m pip install --quiet --disable-pip-version-check tensorrt ||
        echo "tensorrt could not be installed: only tensorrt-rtx is checked"
    "$python" -m pip uninstall --quiet --yes onnxruntime # the wheel with CUDA holds the same module
    "$python" -m pip install --quiet --disable-pip-version-check onnxruntime-gpu
    if command -v nvcc >/dev/null; then
        "$python" -m pip install --quiet --disable-pip-version-check pycuda ||
            echo "pycuda could not be built: cuda-bindings alone is checked"
    fi
fi

status=0
"$python" -m pytest tests/gpu -m gpu -ra || status=1
"$python" -m ferengine_tools.gpu_check --data "$data" --out "$out" || status=1
exit $status
