"""Who is in a conversation is known to those who are in it, and looked up once."""

from datetime import UTC, datetime

import pytest

from chatd.errors import NotFound
from chatd.records.rosters import MEMBER, Roster, plain_roster
from chatd.state.directory import Directory, RosterChanged
from chatd.store.memory.conversations import MemoryConversations
from chatd.store.memory.database import MemoryDatabase
from tests.kit.at_once import at_once


class CountingConversations(MemoryConversations):
    """Conversations in memory; ``asked`` are those that were looked up."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase(lambda: datetime.now(UTC)))
        self.asked: list[str] = []
        for name in "abc":
            self._database.create(name, "direct", ("alice", "bob"))

    async def roster(self, conversation: str) -> Roster | None:
        self.asked.append(conversation)
        return await super().roster(conversation)


@pytest.fixture
def store() -> CountingConversations:
    return CountingConversations()


@pytest.fixture
def directory(store: CountingConversations) -> Directory:
    return Directory(store, capacity=6)


def test_members_are_looked_up_once(directory: Directory, store: CountingConversations) -> None:
    assert directory.known("a") is None
    for _ in range(2):
        assert list(at_once(directory.roster("a")).members) == ["alice", "bob"]
    assert list(directory.known("a").members) == ["alice", "bob"]
    assert store.asked == ["a"]


def test_what_is_not_there_is_looked_for_again(directory: Directory, store: CountingConversations) -> None:
    """It may come into being at any time."""
    for _ in range(2):
        with pytest.raises(NotFound):
            at_once(directory.roster("none"))
    assert store.asked == ["none", "none"]
    assert directory.known("none") is None


def test_what_was_found_out_elsewhere_need_not_be_looked_up(directory: Directory, store: CountingConversations) -> None:
    roster = plain_roster("new", "direct", ("alice",))
    directory.learn(roster)
    assert at_once(directory.roster("new")) is roster
    assert store.asked == []


def test_the_later_of_two_rosters_counts_in_whatever_order_they_are_learned(directory: Directory) -> None:
    rosters = [Roster(conversation="new", kind="group", access=n, members={"alice": MEMBER}) for n in (1, 2, 3)]
    for n in (1, 0, 2, 1):
        directory.learn(rosters[n])
    assert directory.known("new") is rosters[2]


def test_what_is_forgotten_is_looked_up_again(directory: Directory, store: CountingConversations) -> None:
    for _ in range(2):
        at_once(directory.roster("a"))
        directory.forget("a")
        directory.forget("never known")
    assert store.asked == ["a", "a"]


def test_one_large_roster_has_room_however_small_the_directory(directory: Directory) -> None:
    crowd = plain_roster("crowd", "group", [str(n) for n in range(100)])
    directory.learn(plain_roster("pair", "direct", "ab"))
    directory.learn(crowd)
    assert directory.known("pair") is None
    assert directory.known("crowd") is crowd


def test_the_least_recently_used_goes_first(directory: Directory, store: CountingConversations) -> None:
    for name in ("a", "b", "a", "c"):
        at_once(directory.roster(name))
    assert [name for name in "abc" if directory.known(name)] == ["a", "c"]
    assert store.asked == ["a", "b", "c"]


def test_what_is_older_than_what_was_changed_elsewhere_is_looked_up_again(directory: Directory) -> None:
    at_once(directory.roster("a"))
    directory.heed(RosterChanged(conversation="a", access=0))
    directory.heed(RosterChanged(conversation="b", access=1))
    assert directory.known("a") is not None
    directory.heed(RosterChanged(conversation="a", access=1))
    assert directory.known("a") is None
