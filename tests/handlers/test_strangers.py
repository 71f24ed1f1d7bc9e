"""What is other people's is to a stranger as if it were not there: in every byte, and in what it takes to say so.

Ids of direct conversations follow from the names of the two, so whoever could tell a conversation from none could tell
who writes to whom (faults 59 and 63).
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest

from chatd.handlers.assembly import Stores
from chatd.store.memory.database import MemoryDatabase
from chatd.store.stores import memory_stores
from tests.handlers.test_access_matrix import OF_TWO, asked, between_two
from tests.kit.standings import Couples, Standings, by_http, by_websocket, foreign
from tests.kit.world import NOON

Calls = list[tuple[str, str]]


class Overheard:
    """One store; each question that it is asked is noted."""

    def __init__(self, name: str, store: Any, calls: Calls) -> None:
        self._name = name
        self._store = store
        self._calls = calls

    def __getattr__(self, method: str) -> Any:
        self._calls.append((self._name, method))
        return getattr(self._store, method)


def overheard(calls: Calls) -> Stores:
    """Stores in memory, all of one database."""
    stores = memory_stores(MemoryDatabase(lambda: NOON))
    return Stores(**{one.name: Overheard(one.name, getattr(stores, one.name), calls) for one in fields(stores)})


@pytest.fixture(scope="module")
def calls() -> Calls:
    return []


@pytest.fixture(scope="module")
def world(calls: Calls) -> Standings:
    """With a group that nobody comes into but by invitation, and whose rosters are at hand."""
    return Standings(stores=overheard(calls), joining="invitation")


@pytest.fixture(scope="module")
def others(world: Standings) -> Mapping[str, str]:
    world.do("stranger", "user.update", name="with a key")
    return foreign(world.group, world.chat, "stranger", "dot")


@pytest.mark.parametrize("at_hand", [True, False], ids=["at hand", "not at hand"])
@pytest.mark.parametrize("row", OF_TWO)
def test_it_is_answered_like_what_is_not_there_and_after_the_same_questions(
    row: str, at_hand: bool, world: Standings, others: Mapping[str, str], calls: Calls
) -> None:
    said, questions = {}, {}
    for what, conversation in others.items():
        for way in (by_websocket, by_http):
            if not at_hand:
                world.chat.directory.forget(conversation)
            calls.clear()
            heard = way(world.chat, "stranger", *asked(row, between_two(row, conversation)))
            assert heard.outcome == "404", (what, heard)
            said.setdefault(way, []).append(heard.said)
            questions.setdefault(way, []).append([*calls])
    for one in (*said.values(), *questions.values()):
        assert one == [one[0]] * len(others)


def test_a_sync_resets_what_is_others_like_what_is_not_there(world: Standings, others: Mapping[str, str]) -> None:
    for way in (by_websocket, by_http):
        heard = way(world.chat, "stranger", "sync", {"cursors": dict.fromkeys(others.values(), 1)})
        assert heard.outcome == "ok"
        assert all(conversation in str(heard.said) for conversation in others.values())
        assert "words" not in str(heard.said)


@pytest.mark.parametrize("name", ["user.get", "presence.get"])
def test_whoever_hides_from_somebody_is_answered_like_nobody_and_after_the_same_questions(
    name: str, calls: Calls
) -> None:
    """``dot`` blocks ann, and ``zed`` was never seen: that a profile is not had must not tell which it is."""
    chat = Couples(overheard(calls)).chat
    said, questions = [], []
    # What is known of ann herself is kept from here on.
    by_http(chat, "ann", name, {"users": ["another"]})
    for user in ("dot", "zed"):
        calls.clear()
        heard = by_http(chat, "ann", name, {"users": [user]})
        said.append(heard.said.replace(user.encode(), b"?"))
        questions.append([*calls])
    assert said[0] == said[1]
    assert questions[0] == questions[1]
