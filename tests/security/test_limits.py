"""Token buckets: never more than the burst and what has come since, and never less than was promised."""

from fractions import Fraction
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.security.limits import DEBT, TOLERANCE, Bucket, KeyedLimit, Limit, OverLimit, Rate

ALICE, BOB = b"alice", b"bob"

# Steps of 1/64 s and rates that are powers of two: floats hold these exactly, so that nothing is owed to rounding.
steps = st.integers(0, 640).map(lambda number: number / 64)
costs = st.integers(1, 12)
exact_rates = st.builds(
    Rate, burst=st.sampled_from((1.0, 2.0, 8.0, 10.0)), per_second=st.sampled_from((0.25, 1.0, 8.0))
)
any_rates = st.builds(Rate, burst=st.integers(1, 1000).map(float), per_second=st.floats(0.001, 1e6))
asked = st.lists(st.tuples(steps, costs), max_size=60)


class Model:
    """A bucket as one would explain it: it holds tokens, to which time adds."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.tokens = Fraction(rate.burst)
        self.at = Fraction(0)

    def pass_to(self, now: float) -> None:
        gained = (Fraction(now) - self.at) * Fraction(self.rate.per_second)
        self.tokens, self.at = min(Fraction(self.rate.burst), self.tokens + gained), Fraction(now)

    def take(self, cost: int, now: float) -> Fraction:
        """The seconds to wait, 0 where the tokens were there."""
        self.pass_to(now)
        cost = min(cost, int(self.rate.burst))
        if self.tokens >= cost:
            self.tokens -= cost
            return Fraction(0)
        return (cost - self.tokens) / Fraction(self.rate.per_second)


@given(rate=exact_rates, asked=asked)
def test_it_does_what_a_bucket_of_tokens_does(rate: Rate, asked: list[tuple[float, int]]) -> None:
    limit, bucket, model, now = Limit("write", rate), Bucket(), Model(rate), 0.0
    for step, cost in asked:
        now += step
        assert limit.take(bucket, cost, now) == model.take(cost, now)
        standing = limit.standing(bucket, now)
        assert standing.left == int(model.tokens)


@given(rate=any_rates, asked=asked, start=st.floats(0, 1e8))
def test_in_no_time_more_is_had_than_the_burst_and_what_came_meanwhile(
    rate: Rate, asked: list[tuple[float, int]], start: float
) -> None:
    limit, bucket, had, now = Limit("write", rate), Bucket(), list[tuple[float, float]](), start
    for step, cost in asked:
        now += step
        if not limit.take(bucket, cost, now):
            had.append((now, min(cost, rate.burst)))
    for first in range(len(had)):
        total = 0.0
        for at, cost in had[first:]:
            total += cost
            # Each take may be early by what floats lose.
            assert total <= rate.burst + rate.per_second * (at - had[first][0] + TOLERANCE) * (1 + 1e-9)


@given(rate=any_rates, cost=costs, drained=st.integers(0, 2000), start=st.floats(0, 1e8))
def test_whoever_waits_as_long_as_they_are_told_gets_it_and_nobody_gets_it_much_earlier(
    rate: Rate, cost: int, drained: int, start: float
) -> None:
    limit, bucket = Limit("write", rate), Bucket()
    for _ in range(drained):
        if limit.take(bucket, 1, start):
            break
    wait = limit.take(bucket, cost, start)
    if not wait:
        return
    told = limit.refusal("Too much", bucket, wait, start).retry_after_ms
    assert told is not None
    if wait > 0.01:
        assert limit.take(bucket, cost, start + wait - 0.002) > 0
    assert limit.take(bucket, cost, start + told / 1000) == 0.0


def test_what_costs_more_than_a_bucket_holds_takes_a_full_one() -> None:
    limit, bucket = Limit("write", Rate(burst=5, per_second=1)), Bucket()
    assert limit.take(bucket, 10, 0) == 0.0
    assert limit.take(bucket, 10, 4) == pytest.approx(1)
    assert limit.take(bucket, 10, 5) == 0.0


def test_what_is_given_back_was_never_taken() -> None:
    limit, bucket = Limit("write", Rate(burst=5, per_second=1)), Bucket()
    for _ in range(20):
        assert limit.take(bucket, 10, 0) == 0.0
        limit.give_back(bucket, 10)
    assert limit.standing(bucket, 0).left == 5


def test_what_was_had_elsewhere_is_owed_up_to_a_bound() -> None:
    limit, bucket = Limit("write", Rate(burst=5, per_second=1)), Bucket()
    limit.charge(bucket, 7, 0)
    assert limit.take(bucket, 1, 0) == pytest.approx(3)
    limit.charge(bucket, 10**9, 0)
    assert limit.take(bucket, 1, 0) == pytest.approx(1 + 5 * DEBT)
    assert limit.standing(bucket, 0).left == 0


def test_refusals_are_counted_and_tell_what_is_left() -> None:
    limit, bucket = Limit("write", Rate(burst=4, per_second=0.5)), Bucket()
    limit.take(bucket, 3, 0)
    wait = limit.take(bucket, 3, 0)
    refusal = limit.refusal("Too many commands", bucket, wait, 0)
    assert isinstance(refusal, OverLimit)
    assert (refusal.code, refusal.retry_after_ms, limit.refused) == ("rate_limited", 4001, 1)
    standing = refusal.standing
    assert (standing.limit, standing.left, standing.next_in) == ("write", 1, 2)
    assert limit.standing(Bucket(), 0).next_in == 0


@pytest.mark.parametrize(
    ("text", "burst", "per_second"),
    [("100/s burst 500", 500, 100), ("0.5/s burst 1", 1, 0.5), ("10.25/s burst 7", 7, 10.25), ("off", inf, inf)],
)
def test_rates_are_read_as_they_are_written(text: str, burst: float, per_second: float) -> None:
    assert Rate.parse(text) == Rate(burst=burst, per_second=per_second)


@pytest.mark.parametrize("text", ["", "100", "0/s burst 5", "0.000/s burst 5", "1/s burst 0", "-1/s burst 5", "off\n"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        Rate.parse(text)


def test_without_bounds_nobody_waits() -> None:
    limit, bucket = KeyedLimit("write", Rate.parse("off")), Bucket()
    assert {limit.take(bucket, 1000, 0) for _ in range(1000)} == {0.0}
    assert {limit.take_for(ALICE, 1000, 0) for _ in range(1000)} == {0.0}
    assert limit.tell(10) == []


# -- tables --


def test_everybody_has_a_bucket_of_their_own() -> None:
    limit = KeyedLimit("write", Rate(burst=1, per_second=1))
    assert limit.take_for(ALICE, 1, 0) == 0.0
    assert limit.take_for(ALICE, 1, 0) > 0
    assert limit.take_for(BOB, 1, 0) == 0.0


@given(asked=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 200), costs), max_size=120))
def test_a_table_with_room_forgets_nobody_who_is_not_full(asked: list[tuple[int, int, int]]) -> None:
    limit, buckets, now = KeyedLimit("write", Rate(burst=8, per_second=0.25)), dict[bytes, Bucket](), 0.0
    for who, step, cost in asked:
        now += step / 4
        key = bytes([who])
        assert limit.take_for(key, cost, now) == limit.take(buckets.setdefault(key, Bucket()), cost, now)


def test_whoever_rests_is_forgotten() -> None:
    limit = KeyedLimit("write", Rate(burst=4, per_second=1))
    for number in range(100):
        limit.take_for(number.to_bytes(8), 1, number / 100)
    lifetime = 4 * (1 + DEBT)
    limit.take_for(ALICE, 1, 2 + lifetime)
    limit.take_for(BOB, 1, 3 + 2 * lifetime)
    assert len(limit) == 2


def test_however_many_come_the_table_does_not_grow_and_those_who_come_often_stay_limited() -> None:
    limit = KeyedLimit("write", Rate(burst=2, per_second=0.001), capacity=100)
    had = 0
    for number in range(10_000):
        assert limit.take_for(number.to_bytes(8), 1, 0) == 0.0
        if number % 10 == 0:
            had += not limit.take_for(ALICE, 1, 0)
        assert len(limit) <= 100
    assert had == 2
    assert len(limit.tell(10_000)) <= 50, "what is to be told has grown"


def test_what_was_had_is_told_once_the_most_first_and_small_amounts_not_at_all() -> None:
    limit = KeyedLimit("write", Rate(burst=100, per_second=1))
    for number in range(10):
        limit.take_for(bytes([number]), 3 + number, 0)
    told = limit.tell(3)
    assert told == [(b"\x09", 12), (b"\x08", 11), (b"\x07", 10)]
    assert limit.tell(100) == []
    # Those that were left out are not forgotten, nor are the small amounts.
    limit.take_for(b"\x06", 1, 0)
    limit.take_for(b"\x00", 2, 0)
    limit.take_for(b"\x09", 1, 0)
    assert limit.tell(100) == [(b"\x06", 10), (b"\x00", 5)]


def test_what_is_given_back_is_not_told() -> None:
    limit = KeyedLimit("write", Rate(burst=100, per_second=1))
    limit.take_for(ALICE, 10, 0)
    limit.give_back_for(ALICE, 6, 0)
    assert limit.tell(10) == [(ALICE, 4)]
    assert limit.take_for(ALICE, 96, 0) == 0.0
