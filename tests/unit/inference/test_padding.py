"""Batches on a GPU come in few sizes, and what fills them up does not show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ferengine.inference.base import BATCH_SIZES, padded_size
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.models.registry import load_model
from onnxruntime_help import with_cuda


@given(st.integers(1, 600), st.integers(0, 600))
def test_a_batch_is_padded_to_one_of_few_sizes(count: int, spare: int) -> None:
    largest = count + spare
    size = padded_size(count, largest)
    assert count <= size <= largest
    assert size in (*BATCH_SIZES, largest)
    assert size == min(each for each in (*BATCH_SIZES, largest) if each >= count)


@pytest.mark.parametrize("max_batch", [None, 40])
def test_cuda_sees_fixed_sizes_and_returns_the_rows_of_the_batch(
    monkeypatch: pytest.MonkeyPatch, max_batch: int | None
) -> None:
    seen: list[int] = []

    def compute(rows: NDArray[np.float32]) -> list[Any]:
        seen.append(len(rows))
        return [rows.sum((1, 2, 3))]

    with_cuda(monkeypatch, compute)
    runner = OrtRunner(b"", provider="ort-cuda", max_batch=max_batch)
    random = np.random.default_rng(0)
    for count in (3, 1, 33, 40, 5, 17):
        rows = random.normal(size=(count, 1, 2, 2)).astype(np.float32)
        np.testing.assert_array_equal(runner.run(rows)["sum"], rows.sum((1, 2, 3)))
        runner.input(rows.shape)[:] = rows
        runner.submit(count)
        np.testing.assert_array_equal(runner.collect()["sum"], rows.sum((1, 2, 3)))
    largest = 64 if max_batch is None else 40
    assert seen == [size for size in (4, 1, largest, largest, 8, 32) for _ in range(2)]


def test_the_cpu_computes_the_rows_that_there_are() -> None:
    runner = OrtRunner(load_model("dscnn").onnx, max_batch=8)
    rows = np.zeros((3, 1, 48, 48), np.float32)
    runner.input(rows.shape)[:] = rows
    runner.submit(3)
    assert len(runner.collect()["logits"]) == 3
