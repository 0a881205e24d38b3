"""The circuit breaker, on a clock of its own."""

from __future__ import annotations

from workers.insights.breaker import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_after_failures_in_a_row_and_lets_one_try_after_the_rest() -> None:
    clock = Clock()
    breaker = CircuitBreaker(failures=3, rest_s=30, clock=clock)
    for _ in range(2):
        assert breaker.admit()
        breaker.failed()
    breaker.succeeded()
    for _ in range(3):
        assert breaker.admit()
        breaker.failed()
    assert not breaker.admit()
    assert breaker.wait_s() == 30
    clock.now += 30
    assert breaker.admit()
    assert not breaker.admit()
    breaker.succeeded()
    assert breaker.admit()
    assert breaker.admit()


def test_each_failed_try_doubles_the_rest_up_to_a_limit() -> None:
    clock = Clock()
    breaker = CircuitBreaker(failures=1, rest_s=30, max_rest_s=100, clock=clock)
    rests: list[float] = []
    for _ in range(4):
        assert breaker.admit()
        breaker.failed()
        rests.append(breaker.wait_s())
        clock.now += breaker.wait_s()
    assert rests == [30, 60, 100, 100]


def test_a_server_that_names_a_time_is_left_alone_for_it() -> None:
    breaker = CircuitBreaker(failures=5, rest_s=30, clock=Clock())
    breaker.failed(rest_s=120)
    assert breaker.wait_s() == 120


def test_an_abandoned_try_leaves_the_next_one_free() -> None:
    clock = Clock()
    breaker = CircuitBreaker(failures=1, rest_s=30, clock=clock)
    breaker.failed()
    clock.now += 30
    assert breaker.admit()
    breaker.abandoned()
    assert breaker.admit()
