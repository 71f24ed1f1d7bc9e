"""Who may connect."""

import pytest

from chatd.edge.admission import Admission, address_group

MANY = 1000


def admission(*, total: int = MANY, per_address: int = MANY, unauthenticated: int = MANY) -> Admission:
    return Admission(max_connections=total, max_per_address=per_address, max_unauthenticated=unauthenticated)


def counts(admission: Admission) -> tuple[int, int, int]:
    return admission.connections, admission.unauthenticated, admission.refused


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:0201", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/chatd.sock", "/run/chatd.sock"),
        ("", ""),
    ],
)
def test_sockets_count_together_by_ipv4_address_and_by_64_bits_of_ipv6(host: str, group: str) -> None:
    assert address_group(host) == group


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


def test_so_many_that_have_shown_no_token() -> None:
    strangers = admission(unauthenticated=1)
    assert [strangers.admit("192.0.2.1"), strangers.admit("192.0.2.2")] == [True, False]
    strangers.authenticated()
    assert strangers.admit("192.0.2.2")
    assert counts(strangers) == (2, 1, 1)


@pytest.mark.parametrize("limit", ["total", "per_address", "unauthenticated"])
def test_one_that_left_makes_room_for_another(limit: str) -> None:
    full = admission(**{limit: 1})
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
    assert len(full._by_address) == 0


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
    assert (dict(shared._by_address), shared.connections, shared.refused) == ({"192.0.2.1": 1}, 2, 2)


def test_none_where_the_process_has_no_room_for_it() -> None:
    asked: list[int] = []

    def room(connections: int) -> bool:
        asked.append(connections)
        return connections < 1

    bounded = Admission(max_connections=MANY, max_per_address=MANY, max_unauthenticated=MANY, room=room)
    assert [bounded.admit(f"192.0.2.{n}") for n in range(2)] == [True, False]
    assert counts(bounded) == (1, 1, 1)
    assert asked == [0, 1]
