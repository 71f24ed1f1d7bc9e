"""What a worker among others does about people who leave while it looks away; see the models for everything else."""

import pytest

from chatd.records.bus import News, Reach, Tail
from chatd.records.logs import Cursor
from chatd.state import shared
from chatd.state.delivery import Start
from chatd.state.directory import Directory
from chatd.state.shared import SharedHub
from chatd.store.memory.conversations import MemoryConversations
from chatd.store.memory.database import MemoryDatabase
from tests.state.test_hub import HELLO, NOON, happened
from tests.state.test_shared_model import Device, Group


@pytest.fixture
def group() -> Group:
    """Bob and carol are in it."""
    group = Group("g")
    group.append(comes="bob")
    group.append(comes="carol")
    return group


@pytest.fixture
def hub() -> SharedHub:
    return SharedHub(happened, lambda entry: HELLO, Directory(MemoryConversations(MemoryDatabase(lambda: NOON))))


def connect(hub: SharedHub, user: str, group: Group) -> Device:
    device = Device(user, {"g": group})
    hub.attach(user, device.delivery)
    device.delivery.gather()
    hub.begin(user, device.delivery)
    return device


def settle(hub: SharedHub, device: Device, last_seq: int, since: int = 0, *, present: bool = True) -> list[Cursor]:
    device.began({"g": last_seq})
    start = Start(conversation="g", seq=last_seq, last_seq=last_seq, recent=False, since=since, present=present)
    return hub.settle(device.user, device.delivery, [start])


def read(hub: SharedHub, group: Group) -> None:
    [gap] = hub.gaps(10)
    entries = tuple(group.entries[gap.seq :])
    tail = Tail(conversation="g", last_seq=len(group.entries), access=group.roster.access, entries=entries)
    hub.fill(gap, tail, [HELLO] * len(entries), group.roster)


def test_who_left_while_they_connected_has_it_read_how(hub: SharedHub, group: Group) -> None:
    assert settle(hub, connect(hub, "bob", group), 2) == []
    carol = connect(hub, "carol", group)
    group.append()
    group.append(goes="carol")
    group.append()
    hub.hear(News(conversation="g", seq=5, access=group.roster.access))
    read(hub, group)
    assert settle(hub, carol, 2, since=1) == [Cursor(conversation="g", seq=2)]


def test_who_left_unheard_is_told_that_there_is_something_to_read(hub: SharedHub, group: Group) -> None:
    carol = connect(hub, "carol", group)
    assert settle(hub, carol, 2, since=1) == []
    group.append(goes="carol")
    hub.reached([Reach(user="carol", conversation="g", last_seq=3, since=1, present=False)])
    read(hub, group)
    assert carol.due == {"g": None}
    hub.reached([Reach(user="carol", conversation="g", last_seq=3, since=1, present=False)])
    assert hub.gaps(10) == []


def test_what_is_heard_again_after_they_went_is_nothing_to_them(hub: SharedHub, group: Group) -> None:
    carol = connect(hub, "carol", group)
    assert settle(hub, carol, 2, since=1) == []
    group.append(goes="carol")
    for _ in range(2):
        hub.hear(group.news[-1])
    assert carol.due == {"g": 4}
    assert hub.gaps(10) == []


def test_who_came_back_while_their_positions_were_read_has_it_read(
    hub: SharedHub, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "LONGEST_GAP", 2)
    carol = connect(hub, "carol", group)
    assert settle(hub, carol, 2, since=1) == []
    group.append(goes="carol")
    carol.delivery.gather()
    hub.begin("carol", carol.delivery)
    group.append(comes="carol")
    group.append()
    hub.hear(News(conversation="g", seq=5, access=group.roster.access))
    read(hub, group)
    assert settle(hub, carol, 3, since=1, present=False) == [Cursor(conversation="g", seq=3)]


def test_who_came_back_is_not_taken_for_gone_by_late_news(hub: SharedHub, group: Group) -> None:
    assert settle(hub, connect(hub, "bob", group), 2) == []
    group.append()
    group.append(goes="carol")
    hub.hear(group.news[3])
    group.append(comes="carol")
    assert settle(hub, connect(hub, "carol", group), 5, since=4) == []
    hub.hear(group.news[2])
    assert hub.interest.follows("carol", "g")


def test_a_log_that_is_to_be_checked_is_read_again_if_it_was_being_read(hub: SharedHub, group: Group) -> None:
    assert settle(hub, connect(hub, "bob", group), 2) == []
    group.append()
    hub.hear(News(conversation="g", seq=3))
    [gap] = hub.gaps(10)
    hub.check(["g"])
    tail = Tail(conversation="g", last_seq=3, access=group.roster.access, entries=tuple(group.entries[2:]))
    hub.fill(gap, tail, [HELLO], group.roster)
    [again] = hub.gaps(10)
    assert again.seq == 3


def test_who_connects_is_told_nothing_of_a_group_that_is_none_of_theirs(hub: SharedHub, group: Group) -> None:
    assert settle(hub, connect(hub, "bob", group), 2) == []
    dave = connect(hub, "dave", group)
    group.append()
    hub.hear(News(conversation="g", seq=3, access=group.roster.access))
    read(hub, group)
    assert hub.settle("dave", dave.delivery, []) == []
    hub.interrupt(dave.delivery)
    assert dave.due == {}


def test_a_conversation_that_is_gone_is_not_asked_for_again(hub: SharedHub, group: Group) -> None:
    settle(hub, connect(hub, "bob", group), 2)
    hub.hear(News(conversation="g", seq=3))
    [gap] = hub.gaps(10)
    hub.fill(gap, None, (), None)
    assert hub.gaps(10) == []


def test_where_the_log_itself_has_a_hole_everybody_reads_it(hub: SharedHub, group: Group) -> None:
    """What was before may have been removed since."""
    bob = connect(hub, "bob", group)
    settle(hub, bob, 2)
    group.append()
    group.append()
    hub.hear(News(conversation="g", seq=4))
    [gap] = hub.gaps(10)
    tail = Tail(conversation="g", last_seq=4, access=group.roster.access, entries=tuple(group.entries[3:]))
    hub.fill(gap, tail, [HELLO], group.roster)
    assert bob.due == {"g": None}
    assert hub.gaps(10) == []


def test_a_connection_that_has_ended_is_no_longer_minded(hub: SharedHub, group: Group) -> None:
    bob = connect(hub, "bob", group)
    bob.delivery.end()
    hub.detach("bob", bob.delivery)
    hub.begin("bob", bob.delivery)
    assert settle(hub, bob, 2) == []
    assert len(hub.interest) == 0


def test_what_nobody_followed_is_read_by_whoever_connected_meanwhile(hub: SharedHub, group: Group) -> None:
    carol = connect(hub, "carol", group)
    group.append()
    hub.hear(News(conversation="g", seq=3, entry=group.entries[2], access=group.roster.access))
    assert settle(hub, carol, 2, since=1) == []
    read(hub, group)
    assert carol.has == {"g": 3}


def test_what_was_heard_for_somebody_who_has_left_is_not_heard_again(hub: SharedHub, group: Group) -> None:
    bob = connect(hub, "bob", group)
    settle(hub, bob, 2)
    carol = connect(hub, "carol", group)
    group.append()
    hub.hear(group.news[2])
    hub.detach("bob", bob.delivery)
    settle(hub, carol, 2, since=1)
    group.append()
    hub.hear(group.news[3])
    assert carol.has == {"g": 4}


def test_what_was_to_be_read_for_somebody_who_has_left_is_read_for_the_next(hub: SharedHub, group: Group) -> None:
    bob = connect(hub, "bob", group)
    settle(hub, bob, 2)
    carol = connect(hub, "carol", group)
    group.append()
    hub.hear(News(conversation="g", seq=3, access=group.roster.access))
    hub.detach("bob", bob.delivery)
    settle(hub, carol, 2, since=1)
    read(hub, group)
    assert carol.has == {"g": 3}


def test_a_short_log_is_not_shown_from_its_middle_to_whom_a_look_finds_in_it(hub: SharedHub, group: Group) -> None:
    bob, alice = connect(hub, "bob", group), connect(hub, "alice", group)
    settle(hub, bob, 2)
    hub.settle("alice", alice.delivery, [])
    group.append(comes="alice")
    group.append()
    hub.hear(News(conversation="g", seq=4, access=group.roster.access))
    [gap] = hub.gaps(10)
    hub.give_up(gap)
    hub.reached([Reach(user="alice", conversation="g", last_seq=4, since=2, present=True)])
    group.append()
    hub.hear(group.news[4])
    assert (alice.due, alice.has) == ({"g": None}, {})
