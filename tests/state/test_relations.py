"""Who is apart from whom, as one worker knows it: at once where it is told, and in time where it is not."""

import pytest
from zope.interface.verify import verifyObject

from chatd.contacts.memory import MemoryContacts
from chatd.errors import Forbidden
from chatd.interfaces.people import IRelations
from chatd.records.people import Related, Tie
from chatd.state.exchange import Exchange
from chatd.state.relations import KEPT_SECONDS, Relations, RelationsChanged, Strangers
from chatd.store.entries import placed
from chatd.store.memory.database import MemoryDatabase
from chatd.store.memory.people import MemoryRelations
from tests.kit.at_once import at_once
from tests.kit.stores import draft
from tests.kit.world import NOON


class Town:
    """People, and one worker's view of them."""

    def __init__(self) -> None:
        self.people = MemoryDatabase(lambda: NOON).people
        self.now = 0.0
        self.failed: list[BaseException] = []
        self.exchange = Exchange(self.failed.append)
        self.relations = Relations(
            MemoryRelations(self.people),
            self.exchange,
            lambda: self.now,
            policy="anyone",
            contacts=MemoryContacts(),
        )

    def tie(self, user: str, other: str, tie: Tie) -> None:
        """Change it behind the worker's back."""
        self.people.relate(Related(user=user, other=other, tie=tie), placed(draft("queue"), 1, NOON))

    def apart(self, user: str) -> set[str]:
        return set(at_once(self.relations.apart(user)))


@pytest.fixture
def town() -> Town:
    return Town()


def test_it_is_what_it_says(town: Town) -> None:
    assert verifyObject(IRelations, town.relations)
    assert verifyObject(IRelations, Strangers())


def test_a_block_keeps_both_apart_and_hides_one_of_them(town: Town) -> None:
    town.tie("alice", "bob", Tie(blocks=True))
    town.tie("carol", "alice", Tie(blocks=True))
    assert (town.apart("alice"), town.apart("bob"), town.apart("eve")) == ({"bob", "carol"}, {"alice"}, set())
    hidden = {user: set(at_once(town.relations.blockers(user))) for user in ("alice", "bob", "carol")}
    assert hidden == {"alice": {"carol"}, "bob": {"alice"}, "carol": set()}


def test_what_is_told_is_known_at_once_and_what_is_not_in_time(town: Town) -> None:
    assert (town.apart("alice"), town.apart("bob"), town.apart("eve")) == (set(), set(), set())
    town.tie("alice", "bob", Tie(blocks=True))
    town.tie("alice", "eve", Tie(blocks=True))
    town.exchange.heed(RelationsChanged(users=("alice", "bob")))
    assert (town.apart("alice"), town.apart("bob"), town.apart("eve")) == ({"bob", "eve"}, {"alice"}, set())
    town.now += KEPT_SECONDS
    assert town.apart("eve") == {"alice"}


def test_contact_is_refused_both_ways_without_waiting_for_news(town: Town) -> None:
    at_once(town.relations.check_contact("bob", "alice"))
    town.tie("alice", "bob", Tie(blocks=True))
    for user, other in (("alice", "bob"), ("bob", "alice")):
        with pytest.raises(Forbidden, match="cannot write to each other"):
            at_once(town.relations.check_contact(user, other))


def test_strangers_are_open_to_everybody() -> None:
    strangers = Strangers()
    at_once(strangers.check_contact("alice", "bob", "direct"))
    assert at_once(strangers.apart("alice")) == at_once(strangers.blockers("alice")) == frozenset()
