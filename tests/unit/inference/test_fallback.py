"""The fall-back from a GPU to the CPU."""

from __future__ import annotations

import pytest

from ferengine.errors import DeviceError, ModelError
from ferengine.inference.fallback import Fallback


class Part:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_fallback_reports_the_first_failure_once_and_raises_the_second() -> None:
    first, second = Part(), Part()
    reports: list[tuple[str, bool]] = []
    fallback = Fallback(first, lambda: second, lambda reason: reports.append((reason, fallback.current is second)))
    assert fallback.replace(ModelError("the device is lost")) is second
    assert (first.closed, reports) == (1, [("the device is lost", True)])
    with pytest.raises(ModelError, match="the second"):
        fallback.replace(ModelError("the second"))
    assert reports == [("the device is lost", True)]


def test_fallback_reports_the_gpu_also_where_the_cpu_cannot_take_over() -> None:
    reports: list[str] = []

    def refuse() -> Part:
        raise ModelError("no memory")

    with pytest.raises(ModelError, match="no memory"):
        Fallback(Part(), refuse, reports.append).replace(ModelError("the device is lost"))
    assert reports == ["the device is lost"]


@pytest.mark.parametrize(("lost", "restarts", "goes_on"), [(True, True, False), (True, False, True), (False, True, True)])
def test_only_a_process_that_restarts_gives_up_for_a_lost_gpu(lost: bool, restarts: bool, goes_on: bool) -> None:
    first, second = Part(), Part()
    reports: list[str] = []
    fallback = Fallback(first, lambda: second, reports.append, restarts=restarts)
    error = DeviceError("an illegal address", lost=lost)
    if goes_on:
        assert fallback.replace(error) is second
    else:
        with pytest.raises(DeviceError) as caught:
            fallback.replace(error)
        assert caught.value is error
        assert fallback.current is first
    assert bool(reports) is goes_on
