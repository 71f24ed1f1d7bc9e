"""A search finds exactly what a person finds who reads everything that they may see, word by word."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import pytest_twisted
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from chatd.errors import NotFound
from chatd.handlers import search as searching
from chatd.handlers.words import fold, parse, pieces, tokens
from chatd.settings.model import Search
from chatd.state.ids import direct
from chatd.store.pool import Pool
from tests.contract.test_changes import alter, begun, joining, leaving
from tests.kit.at_once import at_once
from tests.kit.stores import Stores, memory_stores, new_client_id, new_user, postgres_stores
from tests.kit.world import COMMANDS, Chat

MAX_TOKENS = 16
PEOPLE = range(3)

word = st.sampled_from(["a", "b", "Ä", "cat", "猫", "我的", "กิน", "한국", "👍", "x" * 70, "¡b!"])
text = st.lists(word, min_size=1, max_size=20).map(" ".join)
phrase = st.lists(word, min_size=1, max_size=3).map(lambda of: f'"{" ".join(of)}"')
query = st.lists(st.one_of(word, phrase), min_size=1, max_size=3).filter(lambda terms: len(" ".join(terms)) <= 200)
action = st.one_of(
    st.tuples(st.just("direct"), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), text),
    st.tuples(st.just("group"), st.sampled_from(PEOPLE), text),
    st.tuples(st.just("edit"), st.integers(0, 30), text),
    st.tuples(st.just("delete"), st.integers(0, 30)),
    st.tuples(st.just("come or go"), st.sampled_from(PEOPLE[1:])),
)


class People:
    """Some people who talk, and have a group, which the first of them owns."""

    def __init__(self, stores: Stores) -> None:
        self.chat = Chat(stores=stores, search=Search(enabled=True, max_tokens=MAX_TOKENS), max_text_chars=4000)
        self.stores = stores
        self.people = [new_user() for _ in PEOPLE]
        self.sent: list[tuple[str, str, int]] = []
        self.group = ""

    async def begin(self) -> None:
        [place] = await self.stores.log.change([begun(self.people[0])])
        self.group = place.roster.conversation

    async def ask(self, user: str, name: str, **fields: Any) -> Any:
        command = msgspec.convert({"id": 1, "type": name, **fields}, COMMANDS)
        return await self.chat.router.dispatch(self.chat.http(user), command)

    async def act(self, kind: str, *more: Any) -> None:
        """Do it, if that is possible."""
        match kind, more:
            case "direct", (one, other, said):
                await self._send(self.people[one], said, to=self.people[other])
            case "group", (one, said):
                roster = await self.stores.conversations.roster(self.group)
                if self.people[one] in roster.members:
                    await self._send(self.people[one], said, conversation=self.group)
            case "edit", (number, said):
                await self._change(number, "message.edit", text=said)
            case "delete", (number,):
                await self._change(number, "message.delete")
                del self.sent[number : number + 1]
            case "come or go", (one,):
                user = self.people[one]
                roster = await self.stores.conversations.roster(self.group)
                decide = leaving(user) if user in roster.members else joining(user)
                await self.stores.log.change([alter(roster, self.people[0], decide)])

    async def _send(self, user: str, said: str, **where: str) -> None:
        sent = await self.ask(user, "message.send", client_id=new_client_id(), text=said, **where)
        self.sent.append((user, sent.conversation, sent.seq))

    async def _change(self, number: int, name: str, **fields: Any) -> None:
        if number < len(self.sent):
            user, conversation, seq = self.sent[number]
            roster = await self.stores.conversations.roster(conversation)
            membership = roster.members.get(user)
            if membership and seq > membership.since:
                where = {"conversation": conversation, "seq": seq}
                await self.ask(user, name, client_id=new_client_id(), **where, **fields)

    async def find(self, user: str, asked: str, **fields: Any) -> list[tuple[str, int]]:
        """What a search finds."""
        found, cursor = [], None
        for _ in range(500):
            page = await self.ask(user, "message.search", query=asked, cursor=cursor, **fields)
            found += [(message.conversation, message.seq) for message in page.messages]
            cursor = page.next
            if cursor is None:
                return found
        raise AssertionError("the search does not come to an end")

    async def read(self, user: str, asked: str) -> list[tuple[str, int]]:
        """What somebody finds who reads everything, the newest first."""
        found = []
        for conversation in {self.group, *(direct(user, other) for other in self.people)}:
            try:
                history = await self.ask(user, "history.get", conversation=conversation, limit=500)
            except NotFound:
                continue
            found += [
                (message.time, conversation, message.seq)
                for message in history.messages
                if not message.deleted and says(message.text, asked)
            ]
        return [(conversation, seq) for _, conversation, seq in sorted(found, reverse=True)]

    async def compare(self, user: str, asked: str, *, limit: int, ordered: bool) -> None:
        """Find and read. Where few conversations are looked in at once, only these are in one order."""
        expected = await self.read(user, asked)
        found = await self.find(user, asked, limit=limit)
        if ordered:
            assert found == expected
        assert sorted(found) == sorted(expected)
        for conversation in {conversation for conversation, _ in expected}:
            narrowed = await self.find(user, asked, conversation=conversation, limit=limit)
            assert narrowed == [place for place in expected if place[0] == conversation]


def says(said: str, asked: str) -> bool:
    """Whether all words and phrases stand in a text, as far as it is looked at."""
    query, there = parse(asked), [piece.text for piece in pieces(fold(said))]
    known = set(tokens(said, MAX_TOKENS)) >= set(query.tokens)
    return known and all(
        any(tuple(there[at : at + len(term)]) == term for at in range(len(there))) for term in query.terms
    )


drawn = given(
    actions=st.lists(action, min_size=5, max_size=25),
    queries=st.lists(query, min_size=1, max_size=4),
    limit=st.integers(1, 5),
    probes=st.sampled_from([1, 7, 4096]),
)


def test_in_memory_a_search_finds_what_reading_everything_finds() -> None:
    @settings(max_examples=40, deadline=None)
    @drawn
    def holds(**example: Any) -> None:
        at_once(check(memory_stores(lambda: datetime.now(UTC)), **example))

    holds()


@pytest_twisted.ensureDeferred
async def test_in_postgresql_a_search_finds_what_reading_everything_finds(
    pool: Pool, unforeseen: list[BaseException]
) -> None:
    examples: list[dict[str, Any]] = []

    # Only drawn: hypothesis calls a test within the reactor's turn, where nothing can be waited for.
    @settings(max_examples=15, deadline=None, phases=[Phase.generate])
    @drawn
    def draw(**example: Any) -> None:
        examples.append(example)

    draw()
    stores = postgres_stores(pool, unforeseen.append)
    for example in examples:
        await check(stores, **example)


async def check(stores: Stores, actions: list[Any], queries: list[list[str]], limit: int, probes: int) -> None:
    """Let things happen, then search with so little allowed at once."""
    people = People(stores)
    await people.begin()
    for one in actions:
        await people.act(*one)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "PROBES", probes)
        patch.setattr(searching, "OPENED", 5)
        for asked in map(" ".join, queries):
            for user in people.people:
                await people.compare(user, asked, limit=limit, ordered=probes == 4096)
    assert (people.chat.failed, people.chat.unreadable) == ([], [])
