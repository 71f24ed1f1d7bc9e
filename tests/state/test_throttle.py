"""What one worker serves whom: each limit holds for whom it is kept by, and a refusal takes nothing from any."""

from typing import Any

import pytest
from twisted.internet.task import Clock

from chatd.errors import RateLimited
from chatd.handlers.catalogue import DECLARATIONS
from chatd.security.limits import Bucket, OverLimit
from chatd.settings.rates import Rates
from chatd.state.throttle import AUTH_COST, Allowance, Throttle
from chatd.wire.commands import CommandClass

BY_NAME = {declaration.name: declaration for declaration in DECLARATIONS}
SEND, LIST, SEARCH, CREATE = (BY_NAME[n] for n in ("message.send", "device.list", "message.search", "group.create"))
HERE, THERE = "192.0.2.1", "192.0.2.2"
LOOSE = "1000/s burst 1000"


class Worker:
    """A throttle whose rates are loose but for those that are given, and time that stands still."""

    def __init__(self, **rates: str) -> None:
        self.clock = Clock()
        self.throttle = Throttle(Rates(**(dict.fromkeys(Rates.__struct_fields__, LOOSE) | rates)), b"s", self.time)

    def time(self) -> float:
        return self.clock.seconds()

    def caller(self, user: str, client: str = HERE) -> Allowance:
        return self.throttle.allowance(user, client, Bucket())

    def ask(self, allowance: Allowance, declaration: Any = SEND) -> str:
        """The limit that refuses, or nothing."""
        return named(self.throttle.refusal(allowance, declaration))

    def had(self, allowance: Allowance, declaration: Any = SEND) -> int:
        """How often it is carried out before it is refused."""
        for number in range(10_000):
            if self.ask(allowance, declaration):
                return number
        raise AssertionError("there is no limit")


def named(refusal: RateLimited | None) -> str:
    if refusal is None:
        return ""
    assert isinstance(refusal, OverLimit)
    assert refusal.retry_after_ms
    return refusal.standing.limit


def test_a_person_is_limited_on_all_their_connections_together_and_nobody_else_is() -> None:
    worker = Worker(write="1/s burst 5")
    phone, laptop, bob = worker.caller("alice"), worker.caller("alice", THERE), worker.caller("bob")
    assert (worker.had(phone), worker.ask(laptop), worker.had(bob)) == (5, "write", 5)
    worker.clock.advance(1)
    assert (worker.ask(laptop), worker.ask(phone)) == ("", "write")


def test_each_class_of_commands_has_its_own_rate() -> None:
    worker = Worker(write="1/s burst 5", read="1/s burst 7", search="1/s burst 2")
    alice = worker.caller("alice")
    assert [worker.had(alice, each) for each in (SEND, LIST, SEARCH)] == [5, 7, 2]


def test_what_costs_more_is_had_less_often() -> None:
    worker = Worker(write="1/s burst 25")
    assert worker.had(worker.caller("alice"), CREATE) == 25 // CREATE.cost == 2


def test_a_connection_is_limited_whatever_comes_over_it() -> None:
    worker = Worker(connection="1/s burst 6")
    phone, laptop = worker.caller("alice"), worker.caller("alice")
    assert [worker.ask(phone, each) for each in (SEND, LIST, SEND, LIST, SEND, LIST, SEND)] == [""] * 6 + ["connection"]
    assert worker.had(laptop) == 6


def test_an_address_is_limited_whoever_asks_from_there_and_whatever_it_costs() -> None:
    worker = Worker(address="1/s burst 6")
    assert [worker.ask(worker.caller(f"user-{n}"), CREATE) for n in range(7)] == [""] * 6 + ["address"]
    assert worker.ask(worker.caller("user-1", THERE)) == ""


def test_where_the_address_is_not_known_it_limits_nobody() -> None:
    worker = Worker(address="1/s burst 2", failed_auth="1/s burst 2", connects_per_address="1/s burst 2")
    assert [worker.ask(worker.caller("alice", "")) for _ in range(5)] == [""] * 5
    throttle = worker.throttle
    asked = (throttle.request_refusal, throttle.guess_refusal, throttle.connect_refusal)
    assert [refusal("") for refusal in asked for _ in range(5)] == [None] * 15
    throttle.settle_guess("", failed=False)


@pytest.mark.parametrize("limit", ["write", "connection", "address"])
def test_what_is_refused_by_one_limit_takes_nothing_from_the_others(limit: str) -> None:
    worker = Worker(
        **{"write": "1/s burst 50", "connection": "1/s burst 50", "address": "1/s burst 50"} | {limit: "1/s burst 2"}
    )
    alice = worker.caller("alice")
    assert worker.had(alice) == 2
    for _ in range(1000):
        assert worker.ask(alice) == limit
    throttle, now = worker.throttle, 0.0
    assert alice.connection is not None
    left = {
        "write": throttle.classes["write"].standing(throttle.classes["write"].bucket(alice.user, now), now).left,
        "connection": throttle.connection.standing(alice.connection, now).left,
        "address": throttle.address.standing(throttle.address.bucket(alice.client, now), now).left,
    }
    assert left == {"write": 48, "connection": 48, "address": 48} | {limit: 0}


def test_whoever_waits_as_told_is_served() -> None:
    worker = Worker(write="3/s burst 5")
    alice = worker.caller("alice")
    worker.had(alice)
    refusal = worker.throttle.refusal(alice, CREATE)
    assert refusal is not None
    assert refusal.retry_after_ms is not None
    worker.clock.advance(refusal.retry_after_ms / 1000)
    assert worker.ask(alice, CREATE) == ""


def test_tokens_that_hold_cost_nothing_and_those_that_do_not_are_soon_not_looked_at() -> None:
    worker = Worker(failed_auth="1/s burst 3")
    throttle = worker.throttle
    for _ in range(50):
        assert throttle.guess_refusal(HERE) is None
        throttle.settle_guess(HERE, failed=False)
    guesses = [named(throttle.guess_refusal(HERE)) for _ in range(4)]
    assert guesses == ["", "", "", "failed_auth"]
    assert throttle.guess_refusal(THERE) is None
    worker.clock.advance(1)
    assert throttle.guess_refusal(HERE) is None


def test_many_tokens_shown_at_once_are_not_looked_at_all_at_once() -> None:
    throttle = Worker(failed_auth="1/s burst 3").throttle
    assert sum(throttle.guess_refusal(HERE) is None for _ in range(100)) == 3


def test_connects_are_limited_by_address_and_for_the_worker() -> None:
    worker = Worker(connects_per_address="1/s burst 3", connects="1/s burst 4")
    throttle = worker.throttle
    assert [named(throttle.connect_refusal(HERE)) for _ in range(4)] == ["", "", "", "connects_per_address"]
    assert [throttle.has_turn() for _ in range(5)] == [True] * 4 + [False]
    worker.clock.advance(1)
    assert [throttle.has_turn() for _ in range(2)] == [True, False]


def test_showing_tokens_on_a_living_connection_costs_as_much_as_many_commands() -> None:
    worker = Worker(connection=f"1/s burst {3 * AUTH_COST}")
    bucket = Bucket()
    shown = [named(worker.throttle.auth_refusal(bucket)) for _ in range(4)]
    assert shown == ["", "", "", "connection"]


def test_patience_ends_and_comes_back() -> None:
    worker = Worker(refused="1/s burst 3")
    bucket = Bucket()
    assert [worker.throttle.insists(bucket) for _ in range(4)] == [False, False, False, True]
    worker.clock.advance(1)
    assert not worker.throttle.insists(bucket)


def test_standing_is_told_of_what_is_limited_only() -> None:
    worker = Worker(write="1/s burst 5", read="off")
    alice = worker.caller("alice")
    worker.ask(alice)
    standing = worker.throttle.standing(alice, SEND)
    assert standing is not None
    assert (standing.limit, standing.left, standing.next_in) == ("write", 4, 1)
    assert worker.throttle.standing(alice, LIST) is None
    assert {worker.ask(alice, LIST) for _ in range(100)} == {""}


def test_keys_are_the_same_for_all_workers_and_tell_nothing_without_the_secret() -> None:
    clock = Clock().seconds
    one, other, stranger = (Throttle(Rates(), secret, clock) for secret in (b"s", b"s", b"t"))
    assert one.key("user", "alice") == other.key("user", "alice") != stranger.key("user", "alice")
    assert one.key("user", HERE) != one.key("address", HERE)
    assert one.key("user", "\ud800")


def test_each_refusal_is_counted_where_it_was_refused() -> None:
    worker = Worker(write="1/s burst 2", connects="1/s burst 1")
    worker.had(worker.caller("alice"))
    for _ in range(3):
        worker.throttle.has_turn()
    counted = {limit.name: limit.refused for limit in worker.throttle.limits}
    assert counted == dict.fromkeys(Rates.__struct_fields__, 0) | {"write": 1, "connects": 2}


def test_a_command_counts_as_its_route_says_unless_its_declaration_says_otherwise() -> None:
    by_class: dict[CommandClass, set[str]] = {name: set() for name in ("read", "write", "passing", "search")}
    for declaration in DECLARATIONS:
        by_class[declaration.counts_as].add(declaration.name)
        assert declaration.cost >= 1
    assert by_class["search"] == {"message.search"}
    assert {"typing.start", "read", "ack", "ping", "presence.subscribe"} <= by_class["passing"]
    assert {"sync", "history.get", "presence.get"} <= by_class["read"]
    assert {"message.send", "group.create", "user.block"} <= by_class["write"]
