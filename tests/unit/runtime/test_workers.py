"""The workers of a run: when a dead one is replaced."""

from __future__ import annotations

from ferengine.runtime.workers import pause_before_replacing


def test_the_pause_doubles_up_to_two_seconds() -> None:
    assert [pause_before_replacing(deaths) for deaths in (1, 2, 3, 4, 5, 6)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6]
    assert {pause_before_replacing(deaths) for deaths in (7, 20, 5000)} == {2.0}
