"""The kernels of other machines, which tests run on this one."""

from __future__ import annotations

import pytest

from ferengine._native import instruction_sets, use_instruction_set


def test_the_best_is_in_use_and_any_other_can_be() -> None:
    sets = instruction_sets()
    assert sets == ["baseline", "avx2", "avx512"][: len(sets)]
    assert sets
    before = sets[-1]
    for name in (*sets, before):
        assert use_instruction_set(name) == before
        before = name


@pytest.mark.parametrize("name", ["", "sse2", "AVX2"])
def test_what_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="there is no code for"):
        use_instruction_set(name)
