"""Reads arrays that joblib wrote, without joblib: its import takes 0.1 s and 12 MiB in each process that detects faces."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


class JoblibArrays(pickle._Unpickler):
    """Reads one pickle of joblib that holds NumPy arrays of numbers, in lists, tuples or dictionaries, and nothing else.

    joblib pickles a placeholder for each array (its shape, order and type) and writes the array's bytes behind it, in the
    middle of the pickle. The standard library's unpickler in C reads ahead and would not find them; this is the one in Python.

    Args:
        data: The pickle, uncompressed.

    Raises:
        pickle.UnpicklingError: From ``load``: it names a class that arrays do not need, or ends too early.
    """

    dispatch: ClassVar[dict[int, Callable[[pickle.Unpickler], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]  # of the unpickler, which typeshed leaves out

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        super().__init__(self._file)

    def find_class(self, module: str, name: str, /) -> Any:
        """The few classes that a pickle of arrays names. All others are refused: reading one runs no code of its own."""
        try:
            return _CLASSES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array of numbers") from None

    def _load_build(self) -> None:
        pickle._Unpickler.dispatch[pickle.BUILD[0]](self)  # type: ignore[arg-type]
        if isinstance(self.stack[-1], _Placeholder):
            self.stack[-1] = self.stack[-1].read(self._file)

    dispatch[pickle.BUILD[0]] = _load_build  # type: ignore[assignment]


class _Placeholder:
    """What joblib pickles in the place of an array; its attributes come from the pickle."""

    shape: tuple[int, ...]
    order: str
    dtype: np.dtype[Any]

    def read(self, file: io.BytesIO) -> NDArray[Any]:
        """The array, whose bytes are the next of ``file``, or come after a byte that says how many others lie before them."""
        if self.dtype.hasobject:
            raise pickle.UnpicklingError(f"{self.dtype} is no type of numbers")
        if "numpy_array_alignment_bytes" in vars(self):  # joblib 1.2 and later
            file.read(file.read(1)[0])
        count = int(np.prod(self.shape))
        data = file.read(count * self.dtype.itemsize)
        if len(data) != count * self.dtype.itemsize:
            raise pickle.UnpicklingError("the pickle ends within an array")
        return np.frombuffer(data, self.dtype).reshape(self.shape, order="F" if self.order == "F" else "C")


_CLASSES: dict[tuple[str, str], Any] = {
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _Placeholder,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
