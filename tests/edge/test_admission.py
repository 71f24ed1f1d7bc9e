"""Who may connect."""

from collections.abc import Callable

import pytest

from chatd.edge.admission import Admission
from chatd.edge.clients import Clients
from chatd.edge.sockets import TOO_MANY_MS, Socket
from chatd.errors import RateLimited
from chatd.settings.limits import Limits
from chatd.settings.model import Settings

MANY = 1000


def admission(
    *,
    total: int = MANY,
    per_address: int = MANY,
    per_user: int = MANY,
    unauthenticated: int = MANY,
    settings: Settings | None = None,
    room: Callable[[int], bool] = lambda connections: True,
) -> Admission:
    limits = Limits(
        max_connections=total,
        max_connections_per_address=per_address,
        max_connections_per_user=per_user,
        max_unauthenticated=unauthenticated,
    )
    return Admission(limits, Clients(settings or Settings()), lambda kind, name: f"{kind} {name}".encode(), room=room)


def counts(admission: Admission) -> tuple[int, int, int]:
    return admission.connections, admission.unauthenticated, admission.refused


def test_so_many_are_admitted_and_no_more() -> None:
    total = admission(total=2)
    assert [total.admit(f"192.0.2.{n}") for n in range(4)] == [True, True, False, False]
    assert counts(total) == (2, 2, 2)


def test_so_many_of_one_address_however_it_is_written() -> None:
    one = admission(per_address=2)
    assert [one.admit(host) for host in ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2")] == [
        True,
        True,
        False,
        True,
    ]
    assert [one.admit(f"2001:db8::{n}") for n in range(3)] == [True, True, False]
    assert one.admit("2001:db8:0:1::")
    assert (one.addresses.refused, one.refused) == (2, 2)


@pytest.mark.parametrize(
    ("settings", "host"), [(Settings(), ""), (Settings(behind_proxy=True), "192.0.2.1")], ids=["unknown", "a proxy"]
)
def test_those_of_whom_nobody_knows_whose_they_are_do_not_count_together(settings: Settings, host: str) -> None:
    one = admission(per_address=1, settings=settings)
    assert [one.admit(host) for _ in range(3)] == [True] * 3
    assert not one.crowded(host)
    one.left(host, was_authenticated=False)
    assert counts(one) == (2, 2, 0)


def test_so_many_that_have_shown_no_token() -> None:
    strangers = admission(unauthenticated=1)
    assert [strangers.admit("192.0.2.1"), strangers.admit("192.0.2.2")] == [True, False]
    strangers.authenticated()
    assert strangers.admit("192.0.2.2")
    assert counts(strangers) == (2, 1, 1)


@pytest.mark.parametrize("limit", ["total", "per_address", "unauthenticated"])
def test_one_that_left_makes_room_for_another(limit: str) -> None:
    full = admission(**{limit: 1})  # type: ignore[arg-type]
    for _ in range(3):
        assert full.admit("2001:db8::1")
        assert not full.admit("2001:db8::2")
        full.left("2001:db8::3", was_authenticated=False)
    assert counts(full) == (0, 0, 3)


def test_one_that_had_shown_a_token_is_not_missed_among_the_others() -> None:
    mixed = admission()
    mixed.admit("192.0.2.1")
    mixed.admit("192.0.2.1")
    mixed.authenticated()
    mixed.left("192.0.2.1", was_authenticated=True)
    assert counts(mixed) == (1, 1, 0)


def test_what_was_refused_leaves_no_trace_by_address() -> None:
    full = admission(total=0)
    for number in range(100):
        full.admit(f"192.0.2.{number}")
    assert not full.addresses.any_here
    assert full.addresses.refused == 0


def test_a_socket_may_come_to_count_for_another_address_if_that_has_room() -> None:
    shared = admission(per_address=1)
    assert all(shared.admit(None) for _ in range(3))
    assert [shared.move(None, "192.0.2.1"), shared.move(None, "192.0.2.1")] == [True, False]
    assert shared.crowded("192.0.2.1")
    assert shared.move("192.0.2.1", "192.0.2.2")
    assert shared.admit("192.0.2.1")
    assert not shared.admit("192.0.2.2")
    shared.left("192.0.2.2", was_authenticated=False)
    shared.left(None, was_authenticated=False)
    assert (shared.crowded("192.0.2.1"), shared.crowded("192.0.2.2")) == (True, False)
    assert (shared.connections, shared.refused) == (2, 2)


def test_to_count_for_another_address_of_the_same_subscriber_needs_no_room() -> None:
    full = admission(per_address=1)
    assert full.admit("2001:db8::1")
    assert full.move("2001:db8::1", "2001:db8::2")
    full.left("2001:db8::2", was_authenticated=False)
    assert not full.crowded("2001:db8::1")


def test_a_person_has_so_many_websockets_from_wherever_and_one_that_ends_makes_room() -> None:
    one = admission(per_user=2)
    sockets = [Socket(one, f"192.0.2.{number}") for number in range(4)]
    for socket in sockets:
        assert one.admit(socket.host)
    sockets[0].count_for_person("alice")
    sockets[0].count_for_person("alice")
    sockets[1].count_for_person("alice")
    sockets[2].count_for_person("bob")
    with pytest.raises(RateLimited) as refused:
        sockets[3].count_for_person("alice")
    assert refused.value.retry_after_ms == TOO_MANY_MS
    assert (one.people.refused, one.refused) == (1, 1)
    sockets[0].left()
    sockets[0].left()
    sockets[3].count_for_person("alice")
    for socket in sockets:
        socket.left()
    assert (one.people.any_here, one.addresses.any_here, one.connections) == (False, False, 0)


def test_a_socket_that_has_gone_does_not_come_to_be_anybodys() -> None:
    one = admission(per_user=1)
    one.admit("192.0.2.1")
    gone = Socket(one, "192.0.2.1")
    gone.left()
    gone.count_for_person("alice")
    assert not one.people.any_here


def test_none_where_the_process_has_no_room_for_it() -> None:
    asked: list[int] = []

    def room(connections: int) -> bool:
        asked.append(connections)
        return connections < 1

    bounded = admission(room=room)
    assert [bounded.admit(f"192.0.2.{n}") for n in range(2)] == [True, False]
    assert counts(bounded) == (1, 1, 1)
    assert asked == [0, 1]
