"""Arrays that joblib wrote, read without it."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from ferengine.detection.joblib_arrays import JoblibArrays


def dumped(value: object) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file)
    return file.getvalue()


ARRAYS = [
    np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4)),
    np.array(2.5),
    np.zeros((0, 3), np.uint8),
    np.arange(3, dtype=">f8"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_each_kind_of_array_as_joblib_reads_it(array: np.ndarray[Any, Any]) -> None:
    found = JoblibArrays(dumped({"one": [array, array.copy("K")], "two": (1, "text", ARRAYS[3])})).load()
    assert found["two"][:2] == (1, "text")
    assert found["two"][2].shape == (0, 3)
    for read in found["one"]:
        assert read.dtype == array.dtype
        assert read.flags.f_contiguous == array.flags.f_contiguous
        np.testing.assert_array_equal(read, array)


class Bomb:
    """A pickle that leaves a trace when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.trace,)


def test_code_is_refused(tmp_path: Path) -> None:
    trace = tmp_path / "exploded"
    data = dumped([ARRAYS[0], Bomb(trace)])
    with pytest.raises(pickle.UnpicklingError, match="is no part of an array of numbers"):
        JoblibArrays(data).load()
    assert not trace.exists()
    joblib.load(io.BytesIO(data))
    assert trace.exists()  # so the pickle would have done it


def test_arrays_of_objects_are_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="object is no type of numbers"):
        JoblibArrays(dumped([np.array([{}, []], dtype=object)])).load()


def test_a_file_that_is_cut_off_within_an_array() -> None:
    with pytest.raises(pickle.UnpicklingError, match="ends within an array"):
        JoblibArrays(dumped(ARRAYS[0])[:-80]).load()
