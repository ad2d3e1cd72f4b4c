"""``--fuzz-cases N``: so many mutated inputs of each kind; ``--fuzz-seed S``: the number of the first."""

from __future__ import annotations

import pytest


@pytest.fixture
def fuzz_cases(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--fuzz-cases"))


@pytest.fixture
def fuzz_seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--fuzz-seed"))
