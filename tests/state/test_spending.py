"""A limit holds for all workers together, but for what they could not know of each other yet."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from chatd.bus.local import LocalBus
from chatd.bus.packets import OVERHEAD, Vocabulary, signalled
from chatd.bus.postgresql import MAX_BYTES
from chatd.handlers.catalogue import DECLARATIONS
from chatd.security.limits import CAPACITY, SHARE, Rate
from chatd.settings.rates import Rates
from chatd.state.exchange import Exchange
from chatd.state.spending import BEAT_SECONDS, MOST, Had, Spending, Spent
from chatd.state.throttle import Throttle
from chatd.workers.rhythm import Rhythm
from tests.kit.signal_line import SignalLine, raised

SEND = next(declaration for declaration in DECLARATIONS if declaration.name == "message.send")
BURST, RATE = 100, 10
RATES = Rates(write=f"{RATE}/s burst {BURST}", connection="off", address="off")
OFFICE = "192.0.2.1"


class Worker:
    """One of those on a line."""

    def __init__(
        self, line: SignalLine[Spent], *, rates: Rates = RATES, secret: bytes = b"s", capacity: int = CAPACITY
    ) -> None:
        self.throttle = Throttle(rates, secret, line.clock.seconds, capacity=capacity)
        exchange = Exchange(raised)
        self.rhythm = Rhythm(line.clock, raised)
        name = len(line.heeds).to_bytes(16)
        self.spending = Spending(self.throttle, line, exchange, self.rhythm, name, line.clock.seconds)  # type: ignore[arg-type]
        line.heeds.append(exchange.heed)
        self.rhythm.startService()

    def send(self, times: int = 1, user: str = "alice") -> int:
        """How many of so many messages are let through."""
        allowance = self.throttle.allowance(user)
        return sum(self.throttle.refusal(allowance, SEND) is None for _ in range(times))


def test_what_was_had_on_one_worker_is_had_on_all() -> None:
    line = SignalLine(Spent)
    first, second = Worker(line), Worker(line)
    assert first.send(BURST) == BURST
    line.clock.advance(BEAT_SECONDS)
    assert second.send(BURST) == 0
    assert second.send(BURST, user="bob") == BURST


def test_a_flooder_on_two_workers_gets_no_more_in_the_long_run_than_on_one() -> None:
    line = SignalLine(Spent)
    workers = [Worker(line), Worker(line)]
    seconds, had = 60, sum(worker.send(BURST) for worker in workers)
    for _ in range(seconds * 10):
        line.clock.advance(0.1)
        had += sum(worker.send(3) for worker in workers)
    assert had <= 2 * BURST + RATE * seconds + RATE * BEAT_SECONDS + BURST * SHARE
    assert had >= BURST + RATE * seconds * 0.9


@settings(max_examples=25)
@given(
    number=st.integers(2, 8),
    late=st.sampled_from((0.0, 0.1, 1.0)),
    moves=st.lists(
        st.tuples(st.integers(0, 7), st.integers(1, 120), st.sampled_from((0.0, 0.0, 0.25, 0.5, 3.0, 20.0))),
        max_size=20,
    ),
)
def test_together_they_let_through_what_the_documentation_says_at_most(
    number: int, late: float, moves: list[tuple[int, int, float]]
) -> None:
    line = SignalLine(Spent)
    line.late = late
    workers = [Worker(line) for _ in range(number)]
    begun, had = line.clock.seconds(), 0
    for where, times, pause in moves:
        had += workers[where % number].send(times)
        elapsed = line.clock.seconds() - begun
        unknown = BURST + RATE * (BEAT_SECONDS + late) + BURST * SHARE
        assert had <= BURST + RATE * elapsed + (number - 1) * unknown + 1e-6
        for _ in range(round(pause * 4)):
            line.clock.advance(0.25)


def test_tokens_that_are_looked_at_for_long_and_hold_cost_nothing_on_other_workers() -> None:
    """An office comes back at once, while the auth service takes its time."""
    line = SignalLine(Spent)
    first, second = Worker(line), Worker(line)
    burst = int(Rate.parse(RATES.failed_auth).burst)
    for _ in range(burst):
        assert first.throttle.guess_refusal(OFFICE) is None
    line.clock.advance(BEAT_SECONDS)
    for _ in range(burst):
        first.throttle.settle_guess(OFFICE, failed=False)
    line.clock.advance(BEAT_SECONDS)
    for worker in (first, second):
        assert [worker.throttle.guess_refusal(OFFICE) for _ in range(burst)] == [None] * burst


def test_guesses_that_failed_count_on_all_workers() -> None:
    line = SignalLine(Spent)
    first, second = Worker(line), Worker(line)
    for failed in [True, False] * (int(Rate.parse(RATES.failed_auth).burst) - 1) + [True]:
        assert first.throttle.guess_refusal(OFFICE) is None
        first.throttle.settle_guess(OFFICE, failed=failed)
    line.clock.advance(BEAT_SECONDS)
    assert second.throttle.guess_refusal(OFFICE) is not None


def test_a_lost_signal_lets_only_a_little_more_through() -> None:
    line = SignalLine(Spent)
    first, second = Worker(line), Worker(line)
    line.cut = True
    first.send(BURST)
    line.clock.advance(BEAT_SECONDS)
    line.cut = False
    assert second.send(BURST) == BURST
    line.clock.advance(BEAT_SECONDS)
    assert first.send(BURST) == 0


def test_nobody_hears_themselves() -> None:
    line = SignalLine(Spent)
    alone = Worker(line)
    alone.send(BURST // 2)
    line.clock.advance(BEAT_SECONDS)
    assert len(line.said) == 1
    assert alone.send(BURST) == BURST // 2 + int(BEAT_SECONDS * RATE)


def test_nothing_is_said_where_nobody_had_much() -> None:
    line = SignalLine(Spent)
    worker = Worker(line)
    for number in range(100):
        worker.send(int(BURST * SHARE) - 1, user=f"user-{number}")
    line.clock.advance(10 * BEAT_SECONDS)
    assert line.said == []


def test_who_has_little_again_and_again_is_told_of_all_the_same() -> None:
    line = SignalLine(Spent)
    worker = Worker(line)
    for _ in range(20):
        worker.send(1)
        line.clock.advance(BEAT_SECONDS)
    told = sum(amount for spent in line.said for had in spent.had for _, amount in had.amounts)
    assert 20 - BURST * SHARE <= told <= 20


def test_what_is_said_fits_into_one_packet_however_many_had_much_of_everything() -> None:
    line = SignalLine(Spent)
    worker = Worker(line, rates=Rates(**dict.fromkeys(Rates.__struct_fields__, "1000000/s burst 10000000")))
    for limit in worker.throttle.shared:
        for number in range(3 * MOST):
            limit.take_for(number.to_bytes(8), 5_000_000 + number, line.clock.seconds())
    line.clock.advance(BEAT_SECONDS)
    [spent] = line.said
    assert [len(had.amounts) for had in spent.had] == [MOST] * len(list(worker.throttle.shared))
    assert all(amount >= 5_000_000 + 2 * MOST for had in spent.had for _, amount in had.amounts)
    assert len(signalled(spent)) <= MAX_BYTES - OVERHEAD


def test_no_user_and_no_address_stands_in_what_is_said() -> None:
    line = SignalLine(Spent)
    worker = Worker(line, rates=Rates(address="1/s burst 100"))
    allowance = worker.throttle.allowance("alice", "192.0.2.1")
    for _ in range(100):
        worker.throttle.refusal(allowance, SEND)
    line.clock.advance(BEAT_SECONDS)
    text = msgspec.msgpack.encode(line.said[0])
    assert {had.limit for had in line.said[0].had} == {"write", "address"}
    assert b"alice" not in text
    assert b"192.0.2.1" not in text


def test_a_limit_of_another_version_and_of_another_installation_changes_nothing() -> None:
    line = SignalLine(Spent)
    worker, stranger = Worker(line), Worker(line, secret=b"another")
    line.signal(Spent(worker=b"newer", had=(Had(limit="sorcery", amounts=((bytes(8), 10),)),)))
    stranger.send(BURST)
    line.clock.advance(BEAT_SECONDS)
    assert worker.send(BURST) == BURST


@pytest.mark.parametrize(
    "had",
    [
        [["write", [[b"short", 1]]]],
        [["write", [[bytes(8), -1]]]],
        [["write", [[bytes(8), 2.5]]]],
        [["write", [[bytes(8), 1]] * (MOST + 1)]],
        [["write", []]] * 65,
    ],
)
def test_what_no_worker_says_is_not_heard(had: list[Any]) -> None:
    unknown: list[str] = []
    raw = msgspec.Raw(msgspec.msgpack.encode({"type": "limits.spent", "worker": b"w", "had": had}))
    assert Vocabulary([Spent], unknown.append).read(raw) is None
    assert unknown == ["limits.spent"]


def test_one_worker_alone_tells_itself_and_is_not_limited_by_it() -> None:
    bus, clock = LocalBus(), Clock()
    exchange, throttle, rhythm = Exchange(raised), Throttle(RATES, b"s", clock.seconds), Rhythm(clock, raised)
    bus.subscribe(lambda publications: None, lambda users, event: None, exchange.heed)
    Spending(throttle, bus, exchange, rhythm, b"w", clock.seconds)
    rhythm.startService()
    allowance = throttle.allowance("alice")
    for _ in range(10):
        assert sum(throttle.refusal(allowance, SEND) is None for _ in range(BURST)) == BURST
        clock.advance(BURST / RATE)
