"""Everything here needs an NVIDIA GPU and is skipped, by name, without one."""

from __future__ import annotations

import pytest

from ferengine.inference.tensorrt.environment import this_machine


@pytest.fixture(autouse=True)
def gpu() -> None:
    here = this_machine()
    if here.gpu is None:
        pytest.skip(f"no GPU: {here.unavailable_reason}")
