"""What crosses between workers always fits, and says who is concerned."""

import msgspec
import pytest

from chatd.bus.packets import (
    FEW_NAMES,
    MANY_NAMES,
    OVERHEAD,
    Committed,
    Hostile,
    Noticed,
    Packets,
    committed,
    news,
    noticed,
)
from chatd.bus.postgresql import MAX_BYTES
from chatd.handlers.marks import ConversationDelivered
from chatd.records.logs import Entry, Publication
from chatd.security.sealing import AuthorKey
from tests.kit.delivery import NOON

CONVERSATION = "6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b"
ROOM = MAX_BYTES - OVERHEAD
KEY = AuthorKey("", bytes(32))
LONGEST = ["\U0001f600" * 254 + str(n) for n in range(9)]
DELIVERED = ConversationDelivered(conversation=CONVERSATION, user="bob", seq=1)


def entry(sealed: bytes = b"sealed") -> Entry:
    return Entry(
        conversation=CONVERSATION, seq=7, time=NOON, author="bob", client_id="c", kind="k", sealed=sealed, target=3
    )


def told(**fields: object) -> list[Committed]:
    """What another worker is told of a publication, having come over the bus."""
    fields = {"entry": entry(), "audience": ("alice", "bob"), "content": msgspec.Struct(), **fields}
    here, there = (Packets(sender * 16, KEY, max_bytes=MAX_BYTES) for sender in (b"a", b"b"))
    messages = [*committed(Publication(**fields), ROOM)]
    assert all(len(message) <= ROOM for message in messages)
    found = [message for packet in here.fill(messages) for message in there.open(packet)[1]]
    assert len(found) == len(messages)
    return [message for message in found if isinstance(message, Committed)]


def test_an_entry_arrives_as_it_was() -> None:
    [message] = told(access=4)
    assert news(message).entry == entry()
    assert (message.audience, message.access) == (("alice", "bob"), 4)


def test_what_is_too_large_or_was_found_again_is_a_hint() -> None:
    for [message] in (told(entry=entry(b"x" * ROOM)), told(content=None)):
        assert (message.entry, message.conversation, message.seq) == (None, CONVERSATION, 7)
        assert news(message).audience == ("alice", "bob")


def test_a_large_audience_is_told_by_the_number_of_its_roster() -> None:
    people = [f"user-{n}" for n in range(FEW_NAMES + 1)]
    [message] = told(audience=people, access=4, came=("user-3",), gone=("eve",))
    assert (message.audience, message.access, message.came, message.gone) == (None, 4, ("user-3",), ("eve",))
    assert message.entry is not None


def test_where_many_come_all_are_named_and_the_entry_is_read() -> None:
    people = [f"user-{n}" for n in range(3 * MANY_NAMES)]
    messages = told(audience=people, came=tuple(people), gone=("eve",))
    assert [user for message in messages for user in message.came] == people
    assert [user for message in messages for user in message.gone] == ["eve"]
    assert {message.entry for message in messages} == {None}


def test_the_longest_names_fit() -> None:
    [direct] = told(audience=LONGEST[:2])
    assert direct.audience == tuple(LONGEST[:2])
    [group] = told(audience=LONGEST[:FEW_NAMES])
    assert group.audience is None
    assert [user for message in told(came=tuple(LONGEST)) for user in message.came] == LONGEST


@pytest.mark.parametrize("users", [[], ["alice"], [f"user-{n}" for n in range(150)], LONGEST])
def test_a_notice_names_everybody_whom_it_is_for(users: list[str]) -> None:
    messages = [*noticed(users, DELIVERED)]
    assert all(len(message) <= ROOM for message in messages)
    found = [msgspec.msgpack.decode(message, type=Noticed) for message in messages]
    assert [user for message in found for user in message.users] == users


def test_packets_are_filled_and_keep_their_order() -> None:
    here, there = (Packets(sender * 16, KEY, max_bytes=MAX_BYTES) for sender in (b"a", b"b"))
    messages = [
        message for n in range(100) for message in committed(Publication(entry=entry(), audience=[f"{n}"]), ROOM)
    ]
    packets = [*here.fill(messages)]
    assert all(len(packet) <= MAX_BYTES for packet in packets)
    assert len(packets) <= 3
    found = [message for packet in packets for message in there.open(packet)[1]]
    assert [message.audience for message in found if isinstance(message, Committed)] == [(f"{n}",) for n in range(100)]


def test_ones_own_packets_say_nothing_and_those_of_another_key_are_refused() -> None:
    here = Packets(b"a" * 16, KEY, max_bytes=MAX_BYTES)
    packet = here.wrap([b"\x91\x04"])
    assert here.open(packet) == (b"a" * 16, [])
    with pytest.raises(Hostile, match="key"):
        Packets(b"b" * 16, AuthorKey("", b"x" * 32), max_bytes=MAX_BYTES).open(packet)
