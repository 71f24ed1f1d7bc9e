"""Who comes near a conversation: its members, those who were or may become members, and nobody else (fault 59)."""

from datetime import UTC, datetime

import pytest

from chatd.errors import NotFound
from chatd.handlers.access import Access
from chatd.records.rosters import Membership, Roster
from chatd.state.directory import Directory
from chatd.store.memory.conversations import MemoryConversations
from chatd.store.memory.database import MemoryDatabase
from tests.kit.at_once import at_once

GONE = Membership(standing="left", since=3, until=7)
STANDINGS = {
    "member": Membership(),
    "left": GONE,
    "banned": Membership(standing="banned", since=3, until=7),
    "invited": Membership(standing="invited", until=0),
    "asking": Membership(standing="asking", until=0),
    "stranger": None,
}
HELD = ("roster", "shared", "check_reader")


class World(MemoryConversations):
    """A group of alice's and bob's, and the questions that the store is asked."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase(lambda: datetime.now(UTC)))
        self.asked: list[str] = []
        self._database.create("group", "group", ("alice", "bob"))
        self._database.create("pair", "direct", ("alice", "bob"))
        self.directory = Directory(self)
        self.access = Access(self.directory, self)

    def stand(self, user: str, membership: Membership | None) -> None:
        """From now on they stand to the group so, and this worker has not heard of it."""
        if membership is not None:
            self._database.logs["group"].people[user] = membership

    async def roster(self, conversation: str) -> Roster | None:
        self.asked.append("roster")
        return await super().roster(conversation)

    async def membership(self, conversation: str, user: str) -> Membership | None:
        self.asked.append("membership")
        return await super().membership(conversation, user)

    def let_in(self, way: str, conversation: str, user: str) -> bool:
        self.asked.clear()
        try:
            at_once(getattr(self.access, way)(conversation, user))
        except NotFound:
            return False
        return True


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("way", "who"),
    [
        ("roster", {"member", "left", "banned", "invited", "asking"}),
        ("check_reader", {"member", "left", "banned"}),
    ],
)
def test_these_are_let_in_and_no_others(way: str, who: set[str], known: bool, world: World) -> None:
    if known:
        at_once(world.directory.roster("group"))
    for name, membership in STANDINGS.items():
        world.stand(name, membership)
    assert {name for name in STANDINGS if world.let_in(way, "group", name)} == who


@pytest.mark.parametrize("name", STANDINGS)
def test_a_group_is_shared_by_whoever_is_a_member_now_whatever_was_known(name: str, world: World) -> None:
    at_once(world.directory.roster("group"))
    log = world._database.logs["group"]
    world.stand("alice", STANDINGS[name] or Membership(standing="left"))
    assert world.let_in("shared", "group", "alice") is (name == "member")
    log.people["carol"] = Membership()
    log.roster = Roster(conversation="group", kind="group", members={**log.roster.members, "carol": Membership()})
    assert world.let_in("shared", "group", "carol")


@pytest.mark.parametrize("way", HELD)
@pytest.mark.parametrize("conversation", ["group", "pair"])
def test_a_stranger_costs_the_same_question_whether_it_is_there_or_not(
    conversation: str, way: str, world: World
) -> None:
    """Or whoever measures the time could tell who writes to whom."""
    for _ in range(2):
        assert not world.let_in(way, conversation, "eve")
        assert world.asked == ["membership"]
        assert not world.let_in(way, "absent", "eve")
        assert world.asked == ["membership"]
        at_once(world.directory.roster(conversation))


@pytest.mark.parametrize("way", HELD)
def test_what_its_people_were_never_told_of_is_not_there(way: str, world: World) -> None:
    log = world._database.logs["pair"]
    log.roster = Roster(conversation="pair", kind="direct", members=log.roster.members, opened=False)
    for _ in range(2):
        assert not world.let_in(way, "pair", "alice")
        at_once(world.directory.roster("pair"))


@pytest.mark.parametrize("way", HELD)
def test_members_of_what_is_at_hand_cost_no_question(way: str, world: World) -> None:
    at_once(world.directory.roster("pair"))
    assert world.let_in(way, "pair", "alice")
    assert world.asked == []
