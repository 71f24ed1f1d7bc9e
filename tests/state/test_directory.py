"""Who is in a conversation is known to those who are in it, and looked up once."""

from datetime import UTC, datetime

import pytest

from chatd.errors import NotFound
from chatd.records import Conversation
from chatd.state.directory import Directory
from chatd.store.memory import MemoryConversations, MemoryDatabase
from tests.kit.at_once import at_once


class CountingConversations(MemoryConversations):
    """Conversations in memory; ``asked`` are those that were looked up."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase(lambda: datetime.now(UTC)))
        self.asked: list[str] = []
        for name in "abc":
            self._database.create(name, "direct", ("alice", "bob"))

    async def get(self, conversation: str) -> Conversation | None:
        self.asked.append(conversation)
        return await super().get(conversation)


@pytest.fixture
def store() -> CountingConversations:
    return CountingConversations()


@pytest.fixture
def directory(store: CountingConversations) -> Directory:
    return Directory(store, capacity=2)


def test_members_are_looked_up_once(directory: Directory, store: CountingConversations) -> None:
    assert directory.known("a") is None
    for user in ("alice", "bob"):
        assert at_once(directory.members("a", user)) == ("alice", "bob")
    assert directory.known("a") == ("alice", "bob")
    assert store.asked == ["a"]


@pytest.mark.parametrize("known", [True, False])
def test_other_peoples_conversations_are_not_found_like_those_that_are_not_there(
    directory: Directory, known: bool
) -> None:
    """Fault 59."""
    if known:
        at_once(directory.members("a", "alice"))
    with pytest.raises(NotFound) as foreign:
        at_once(directory.members("a", "eve"))
    with pytest.raises(NotFound) as absent:
        at_once(directory.members("none", "eve"))
    assert foreign.value.detail == absent.value.detail


def test_what_is_not_there_is_looked_for_again(directory: Directory, store: CountingConversations) -> None:
    """It may come into being at any time."""
    for _ in range(2):
        with pytest.raises(NotFound):
            at_once(directory.members("none", "alice"))
    assert store.asked == ["none", "none"]
    assert directory.known("none") is None


def test_what_was_found_out_elsewhere_need_not_be_looked_up(directory: Directory, store: CountingConversations) -> None:
    directory.learn("new", ("alice",))
    assert at_once(directory.members("new", "alice")) == ("alice",)
    assert store.asked == []


def test_the_least_recently_used_goes_first(directory: Directory, store: CountingConversations) -> None:
    for name in ("a", "b", "a", "c"):
        at_once(directory.members(name, "alice"))
    assert [name for name in "abc" if directory.known(name)] == ["a", "c"]
    assert store.asked == ["a", "b", "c"]
