"""Alarms, and what becomes of those behind one that goes wrong."""

from __future__ import annotations

import pytest

from media_gateway.protocols.sip.timers import Timers


def test_alarms_ring_once_the_soonest_first() -> None:
    timers, rung = Timers(), list[str]()
    for name, due_s in (("late", 2.0), ("soon", 1.0), ("never", None), ("later", 3.0)):
        timers.alarm(lambda _now_s, name=name: rung.append(name)).set(due_s)  # type: ignore[misc]
    timers.fire(2.5)
    timers.fire(2.5)
    assert (rung, timers.next_due_s) == (["soon", "late"], 3.0)


def test_alarms_behind_one_that_raises_are_still_due() -> None:
    timers, rung = Timers(), list[str]()

    def fail(_now_s: float) -> None:
        raise RuntimeError

    put_off = timers.alarm(lambda _now_s: rung.append("put off"))
    timers.alarm(lambda _now_s: put_off.set(9.0)).set(0.5)
    timers.alarm(fail).set(1.0)
    for number in range(3):
        timers.alarm(lambda _now_s, number=number: rung.append(str(number))).set(2.0)  # type: ignore[misc]
    put_off.set(2.0)
    with pytest.raises(RuntimeError):
        timers.fire(5.0)
    assert (rung, timers.next_due_s) == ([], 2.0)
    timers.fire(5.0)
    assert (rung, timers.next_due_s) == (["0", "1", "2"], 9.0)
