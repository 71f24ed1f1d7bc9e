"""Events find everybody whom they concern, each once, and nobody else."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from chatd.records.logs import Entry, Publication
from chatd.state import hub as hub_module
from chatd.state.delivery import Delivery, Start
from chatd.state.hub import Follower, Hub
from chatd.state.outbox import Outbox
from chatd.wire.events import ConversationStale, EphemeralEvent, LogEvent
from tests.kit.delivery import Packet, Packets

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FORM = Packets()


class Happened(LogEvent, frozen=True, kw_only=True, tag="happened"):
    text: str


class Typing(EphemeralEvent, frozen=True, kw_only=True, tag="typing"):
    """A passing notice."""


class Told(msgspec.Struct, frozen=True):
    """A content."""

    text: str


HELLO = Told("hello")


class Device:
    """A connection that is live, and what it was sent."""

    def __init__(self) -> None:
        self.sent: list[Packet] = []
        self.outbox: Outbox[Packet] = Outbox(self.sent.append, self.sent.clear, event_bytes=0, total_bytes=1000)
        self.delivery: Delivery[Packet] = Delivery(self.outbox, FORM)
        self.delivery.gather()
        self.delivery.settle([])

    def sync_from(self, seq: int) -> None:
        """Start anew, from where the log is known to stand."""
        self.sent.clear()
        self.delivery.gather()
        self.delivery.settle([Start(conversation="c", seq=seq, last_seq=seq, recent=False)])

    @property
    def got(self) -> list[int | str]:
        """Seqs, and the names of other events."""
        messages = [message for packet in self.sent for message in packet.messages]
        return [message.seq if isinstance(message, LogEvent) else type(message).__name__ for message in messages]


def happened(entry: Entry, content: object) -> LogEvent:
    assert isinstance(content, Told)
    return Happened(conversation=entry.conversation, seq=entry.seq, time=entry.time, text=content.text)


def publication(
    seq: int,
    *,
    conversation: str = "c",
    audience: Sequence[str] = ("alice", "bob"),
    doubtful: bool = False,
    content: Told | None = HELLO,
) -> Publication:
    entry = Entry(
        conversation=conversation, seq=seq, time=NOON, author="bob", client_id=str(seq), kind="happened", sealed=b""
    )
    return Publication(entry=entry, audience=tuple(audience), content=content, doubtful=doubtful)


@pytest.fixture
def hub() -> Hub:
    return Hub(happened)


@pytest.fixture
def alice(hub: Hub) -> Device:
    device = Device()
    hub.attach("alice", device.delivery)
    return device


def test_an_event_reaches_all_devices_of_all_members_and_nobody_else(hub: Hub, alice: Device) -> None:
    tablet, bob, eve = Device(), Device(), Device()
    hub.attach("alice", tablet.delivery)
    hub.attach("bob", bob.delivery)
    hub.attach("eve", eve.delivery)
    hub.receive([publication(1), publication(2)])
    assert [device.got for device in (alice, tablet, bob, eve)] == [[1, 2], [1, 2], [1, 2], []]


def test_an_event_is_encoded_once_for_all_of_one_form(hub: Hub) -> None:
    devices = [Device() for _ in range(5)]
    for device in devices:
        hub.attach("alice", device.delivery)
    before = FORM.made
    hub.receive([publication(1)])
    assert FORM.made == before + 1
    assert len({id(device.sent[0]) for device in devices}) == 1


def test_an_event_that_nobody_is_there_for_is_not_made(hub: Hub) -> None:
    hub.receive([publication(1, audience=("nobody",), content=None)])
    hub.receive([publication(2, audience=("nobody",))])


def test_who_has_gone_is_sent_nothing(hub: Hub, alice: Device) -> None:
    tablet = Device()
    hub.attach("alice", tablet.delivery)
    hub.detach("alice", alice.delivery)
    hub.receive([publication(1)])
    assert (alice.got, tablet.got) == ([], [1])
    hub.detach("alice", tablet.delivery)
    hub.detach("alice", tablet.delivery)
    hub.receive([publication(2)])
    assert tablet.got == [1]


def test_a_bus_that_repeats_is_not_passed_on(hub: Hub, alice: Device) -> None:
    hub.receive([publication(n) for n in (4, 5, 4, 5)])
    hub.receive([publication(5, doubtful=True)])
    hub.receive([publication(6)])
    assert alice.got == [4, 5, 6]


@pytest.mark.parametrize("arrivals", [[4, 6], [4, 5, 3], [4, 2]])
def test_what_comes_out_of_turn_makes_the_log_stale(hub: Hub, alice: Device, arrivals: list[int]) -> None:
    """What is missing may be lost or late: either way it stands in the log."""
    hub.receive([publication(n) for n in arrivals])
    assert alice.got == [*arrivals[:-1], "ConversationStale"]
    hub.receive([publication(n) for n in (1, 2, 3, 4, 5, 6, 7)])
    assert alice.got == [*arrivals[:-1], "ConversationStale"], "it is silent until it is synced"


@pytest.mark.parametrize("arrivals", [[4, 6], [4, 5, 3], [4, 2]])
def test_what_was_out_of_turn_is_dealt_with_by_whoever_has_synced_since(
    hub: Hub, alice: Device, arrivals: list[int]
) -> None:
    """By then all of it was committed, so all of it was read."""
    hub.receive([publication(n) for n in arrivals])
    alice.sync_from(max(arrivals))
    hub.receive([publication(n) for n in range(min(arrivals), max(arrivals) + 3)])
    assert alice.got == [max(arrivals) + 1, max(arrivals) + 2]


def test_one_log_out_of_turn_leaves_the_others_alone(hub: Hub, alice: Device) -> None:
    hub.receive([publication(1), publication(3), publication(1, conversation="d"), publication(2, conversation="d")])
    assert alice.got == [1, "ConversationStale", 1, 2]
    assert alice.sent[1].messages == (ConversationStale(conversation="c"),)


def test_a_doubtful_publication_is_believed_where_the_log_was_seen_up_to_it(hub: Hub, alice: Device) -> None:
    hub.receive([publication(4), publication(5, doubtful=True)])
    assert alice.got == [4, 5]


def test_a_doubtful_publication_is_not_believed_where_nothing_was_seen_of_the_log(hub: Hub, alice: Device) -> None:
    """It may be as old as the log, or follow what nobody has published."""
    hub.receive([publication(5, doubtful=True)])
    assert alice.got == ["ConversationStale"]


def test_where_the_content_is_not_at_hand_the_log_is_read(hub: Hub, alice: Device) -> None:
    hub.receive([publication(1), publication(2, content=None)])
    assert alice.got == [1, "ConversationStale"]


def test_what_is_remembered_of_logs_is_bounded(hub: Hub, alice: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that was forgotten is one of which nothing was seen: the first is believed again."""
    monkeypatch.setattr(hub_module, "REMEMBERED_LOGS", 2)
    hub.receive([publication(1, conversation=name) for name in "abc"])
    hub.receive([publication(2, conversation="b"), publication(5, conversation="a"), publication(2, conversation="b")])
    hub.receive([publication(3, conversation="b")])
    assert alice.got == [1, 1, 1, 2, 5, 3], "the log that was heard of last is not the one to be forgotten"
    hub.receive([publication(7, conversation="c")])
    assert alice.got[-1] == 7


def test_a_passing_notice_reaches_all_devices_of_those_named(hub: Hub, alice: Device) -> None:
    bob, eve = Device(), Device()
    hub.attach("bob", bob.delivery)
    hub.attach("eve", eve.delivery)
    hub.notice(["alice", "bob", "nobody"], Typing())
    assert [device.got for device in (alice, bob, eve)] == [["Typing"], ["Typing"], []]


def test_passing_notices_go_to_nobody_before_the_first_sync_or_after_the_end(hub: Hub) -> None:
    sent: list[Packet] = []
    outbox: Outbox[Packet] = Outbox(sent.append, sent.clear, event_bytes=0, total_bytes=0)
    delivery = Delivery(outbox, FORM)
    hub.attach("alice", delivery)
    hub.notice(["alice"], Typing())
    delivery.gather()
    delivery.end()
    hub.notice(["alice"], Typing())
    assert sent == []


class Diary(Follower):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[object] = []

    def arrived(self, user: str, delivery: Delivery[Packet]) -> None:
        self.lines.append(("arrived", user, delivery))

    def left(self, user: str, delivery: Delivery[Packet]) -> None:
        self.lines.append(("left", user, delivery))

    def received(self, publications: Sequence[Publication]) -> None:
        self.lines.append(publications)


def test_a_follower_hears_who_comes_and_goes_and_what_was_offered() -> None:
    diary, device = Diary(), Device()
    hub = Hub(lambda entry, content: Happened(conversation="c", seq=entry.seq, time=NOON, text=content.text))
    hub.follow(diary)
    hub.follow(Follower())
    hub.attach("alice", device.delivery)
    hub.receive([])
    hub.detach("alice", device.delivery)
    assert diary.lines == [("arrived", "alice", device.delivery), [], ("left", "alice", device.delivery)]
