"""The backend of a run, chosen in a process of its own where there is an NVIDIA driver.

Asking the driver what there is initialises CUDA, and judging ONNX Runtime imports it. Neither may happen in the program that
embeds the engine: CUDA does not work in a process that was forked after that.
"""

from __future__ import annotations

from functools import cache

from ferengine.errors import DeviceError, ModelError
from ferengine.inference.select import choose_backend
from ferengine.inference.tensorrt.environment import driver_in_sight
from ferengine.ipc.child import ask_once
from ferengine.models.settings import BackendName
from ferengine.pip_hint import missing_in

_SECONDS = 60.0
"""A driver that takes longer to start has hung."""

_CODE = """
import json, sys
from ferengine.errors import ModelError
from ferengine.inference.select import choose_backend
try:
    answer = {"name": choose_backend(sys.argv[1])[0]}
except ModelError as error:
    answer = {"refused": str(error)}
print(json.dumps(answer))
"""


def choose_backend_elsewhere(name: BackendName) -> str:
    """As ``choose_backend``, without loading a CUDA library or ONNX Runtime into this process.

    Args:
        name: The backend's, or ``auto``.

    Returns:
        The backend, which is never ``auto``.

    Raises:
        UsageError: There is no backend of that name.
        ModelError: It cannot work here.
        DeviceError: The driver hangs, or crashes the process that asks it.
        WorkerError: There is no Python to ask with.
    """
    if name == "ort" or not driver_in_sight():
        return choose_backend(name)[0]
    return _ask(name)


@cache
def _ask(name: BackendName) -> str:
    hint = "nvidia-smi should say what is wrong; --backend ort uses the CPU alone"
    try:
        answer = ask_once(["-c", _CODE, name], _SECONDS)
    except TimeoutError:
        raise DeviceError(f"the NVIDIA driver does not answer within {_SECONDS:.0f} s: {hint}") from None
    except ChildProcessError as error:
        raise DeviceError(f"asking what GPU there is failed ({missing_in(str(error))}): {hint}") from None
    if "refused" in answer:
        raise ModelError(answer["refused"])
    chosen: str = answer["name"]
    return chosen
