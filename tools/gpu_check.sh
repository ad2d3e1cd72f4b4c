#!/usr/bin/env bash
# All checks that need an NVIDIA GPU, from a clean checkout, in a few minutes: the tests marked `gpu`, then parity,
# accuracy, times and the load of whole engines, and last what only measures: probes of the driver, new shapes in ONNX Runtime's
# CUDA provider, training steps, the tests under the memory checker.
#
#   tools/gpu_check.sh --data FER2013 [--python PYTHON] [--out DIR] [--video FILE] [--short]
#
# DIR (default: gpu_check) gets gpu_check.md and the measurements as JSON, no engines, and what was printed as *.log. --short ends
# within eight minutes, whatever is not done by then is cut off, and leaves out what only measures; without it tensorrt, which
# measures kernels while it builds, has time for all its engines.
# Without --python it makes .venv-gpu and installs everything from PyPI, tensorrt as well where its vendor's index can be
# reached. With --python nothing is installed: that interpreter has the package, torch and TensorRT already.
set -euo pipefail
cd "$(dirname "$0")/.."

python="" data="" out="gpu_check" video=()
tests=600 others=300 engines=1200 cameras=300 measure=1
while [ $# -gt 0 ]; do
    case "$1" in
        --python) python="$2"; shift 2 ;;
        --data) data="$2"; shift 2 ;;
        --out) out="$2"; shift 2 ;;
        --video) video=(--video "$2"); shift 2 ;;
        --short) tests=60 others=150 engines=150 cameras=100 measure=0; shift ;;
        *) echo "usage: tools/gpu_check.sh --data FER2013 [--python PYTHON] [--out DIR] [--video FILE] [--short]" >&2; exit 2 ;;
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
    "$python" -m pip install --quiet --disable-pip-version-check "onnxruntime-gpu[cuda,cudnn]"
    if command -v nvcc >/dev/null; then
        "$python" -m pip install --quiet --disable-pip-version-check pycuda ||
            echo "pycuda could not be built: cuda-bindings alone is checked"
    fi
fi

# Each part is a separate process with a time limit, so a part that crashes or hangs does not affect the others.
export NVIDIA_TF32_OVERRIDE=0 # fp32 is fp32 in cuBLAS and cuDNN too, for every caller
# One that is cut off by its limit is incomplete, which is no failure of the GPU.
status=0 cut=()
limited() {
    local part="$1" seconds="$2" code=0
    shift 2
    timeout -k 5 "$seconds" "$@" || code=$?
    case "$code" in
        0) ;;
        124 | 137) echo "$part: cut off after $seconds s" >&2; cut+=(--cut "$part") ;;
        *) echo "ended with $code: $*" >&2; status=1 ;;
    esac
}
# What only measures: nothing that ends it is a failure, but it is said.
measured() {
    local name="$1" seconds="$2" code=0
    shift 2
    timeout -k 5 "$seconds" "$@" >"$out/$name.log" 2>&1 || code=$?
    echo "== $name: $([ "$code" = 0 ] && echo "done" || echo "ended with $code"), $out/$name.log"
    tail -n 20 "$out/$name.log"
}
mkdir -p "$out"
rm -f "$out"/{others,engines,cameras}.json
limited tests "$tests" "$python" -m pytest tests/gpu -m gpu -ra -p no:cacheprovider -o addopts=--import-mode=importlib
limited others "$others" "$python" -m ferengine_tools.gpu_check --data "$data" --out "$out" --part others --limit "$((others / 2))"
limited engines "$engines" "$python" -m ferengine_tools.gpu_check --data "$data" --out "$out" --part engines
limited cameras "$cameras" "$python" -m ferengine_tools.gpu_check --data "$data" --out "$out" "${video[@]}" --part cameras
"$python" -m ferengine_tools.gpu_check.report "$out" "${cut[@]}" || status=1
if [ "$measure" = 1 ]; then
    measured probes 60 "$python" -m ferengine_tools.gpu_check.probes
    measured ort-shapes 90 "$python" -m ferengine_tools.gpu_check.ort_shapes
    measured train-speed 120 "$python" -m ferengine_tools.gpu_check.train_speed --jobs 4
    measured memcheck 120 compute-sanitizer --tool memcheck --report-api-errors no "$python" -m pytest -q tests/gpu/test_device.py \
        -m gpu -p no:cacheprovider -o addopts=--import-mode=importlib
fi
exit $status
