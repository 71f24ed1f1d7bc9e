"""After a shredding nothing is kept of a person's words, and everything of everybody else's."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import succeed

from chatd.ctl.shredding import SETTLE_SECONDS, Shredded, Shredding
from chatd.records.logs import Page
from chatd.records.recent import Recent
from chatd.state.recent import RecentPages
from chatd.store.erasure import Erased, PostgresErasure
from chatd.store.keys import PostgresKeys
from chatd.store.pool import Pool
from chatd.store.recent import PostgresRecent
from chatd.store.tallies import PostgresReactions
from chatd.wire.types import MAX_INTEGER
from tests.kit.shelves import Shelves

Sql = Callable[..., list[tuple[Any, ...]]]

# Alice writes the odd messages of two conversations, one of which she has left, and reacts to the first. Bob, who puts
# the same emoji there, writes the even ones. All of them are found by a word, and each mentions the other.
TALK = """
CREATE OR REPLACE FUNCTION id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-8000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
INSERT INTO chatd.data_keys (user_id, master, wrapped) VALUES ('alice', '1', 'a'), ('bob', '1', 'b');
INSERT INTO chatd.profiles VALUES ('alice', 1, now(), 'c', 'x'), ('bob', 1, now(), 'c', 'x');
INSERT INTO chatd.conversations (conversation_id, kind, last_seq)
VALUES (id(1), 'direct', 10), (id(2), 'group', 10), (id(3), 'queue', 10);
INSERT INTO chatd.members (conversation_id, user_id, standing)
SELECT id(n), 'alice', CASE n WHEN 2 THEN 'left' ELSE 'member' END FROM generate_series(1, 3) AS n;
INSERT INTO chatd.members (conversation_id, user_id) VALUES (id(1), 'bob'), (id(2), 'bob');
INSERT INTO chatd.messages
SELECT id(n), s, now(), CASE s % 2 WHEN 1 THEN 'alice' ELSE 'bob' END, 'c' || n || '-' || s, 'x'
FROM generate_series(1, 2) AS n, generate_series(1, 7) AS s;
INSERT INTO chatd.search_tokens SELECT conversation_id, 42, at, seq FROM chatd.messages;
INSERT INTO chatd.mentions SELECT conversation_id, CASE author WHEN 'bob' THEN 'alice' ELSE 'bob' END, seq
FROM chatd.messages;
INSERT INTO chatd.changes SELECT id(1), s, now(), 'reaction.added', author, 'r' || s, 1, 'x'
FROM (VALUES (8, 'alice'), (9, 'bob'), (10, 'alice')) AS c (s, author);
INSERT INTO chatd.reactions VALUES
    (id(1), 1, 'alice', 'm1', 8), (id(1), 1, 'bob', 'm1', 9), (id(1), 2, 'alice', 'm2', 10);
INSERT INTO chatd.reaction_counts VALUES (id(1), 1, 'm1', 2), (id(1), 2, 'm2', 1);
"""


class World:
    """``meanwhile`` is called while it is waited for what is under way."""

    def __init__(self, pool: Pool, sql: Sql) -> None:
        self.sql = sql
        self.keys = PostgresKeys(pool)
        self.erasure = PostgresErasure(pool, step=3)
        self.meanwhile: list[Callable[[], object]] = []
        self.waited: list[float] = []
        self.shown: list[tuple[int, int]] = []
        self.told: list[datetime] = []
        sql(TALK)

    async def shred(self, user: str = "alice") -> Shredded | None:
        shredding = Shredding(self.keys, self.erasure, self._pause, lambda *shown: self.shown.append(shown))
        return await shredding.shred(user, self.told.append)

    def _pause(self, seconds: float) -> Any:
        self.waited.append(seconds)
        for call in self.meanwhile:
            call()
        return succeed(None)

    def places(self, table: str, column: str = "seq") -> list[tuple[int, int]]:
        statement = f"SELECT conversation_id, {column} FROM chatd.{table} ORDER BY 1, 2"
        return [(int(conversation[-2:]), seq) for conversation, seq in self.sql(statement)]


@pytest.fixture
def world(pool: Pool, sql: Sql) -> World:
    return World(pool, sql)


BOBS = [(n, seq) for n in (1, 2) for seq in (2, 4, 6)]


@pytest_twisted.ensureDeferred
async def test_their_words_are_found_no_more_and_everybody_elses_still_are(world: World) -> None:
    before = datetime.now(UTC) - timedelta(seconds=60)
    shredded = await world.shred()
    assert shredded is not None
    assert shredded.erased == Erased(messages=8, reactions=2)
    assert before < shredded.at
    assert world.told == [shredded.at]
    assert world.waited == [SETTLE_SECONDS]
    assert world.places("search_tokens") == world.places("mentions") == BOBS
    assert world.sql("SELECT user_id FROM chatd.profiles") == [("bob",)]
    assert world.sql("SELECT user_id FROM chatd.data_keys WHERE wrapped IS NOT NULL") == [("bob",)]


@pytest_twisted.ensureDeferred
async def test_their_reactions_are_taken_back_and_counted_no_more(world: World) -> None:
    """The mark of an emoji is under the server's key: whoever has that could find it by trying all."""
    await world.shred()
    assert world.sql("SELECT target_seq, user_id FROM chatd.reactions") == [(1, "bob")]
    assert world.sql("SELECT target_seq, reactors FROM chatd.reaction_counts") == [(1, 1)]


@pytest_twisted.ensureDeferred
async def test_a_page_that_a_worker_keeps_counts_their_reactions_no_more(world: World, pool: Pool) -> None:
    shelves = Shelves()
    shelf = shelves.make(Recent)
    shelf._max_bytes = 100_000
    store, conversation = PostgresReactions(pool), "00000000-0000-8000-8000-000000000001"
    pages = RecentPages(store, PostgresRecent(pool), shelf)
    page = Page(conversation=conversation, reader="bob", low=0, high=MAX_INTEGER, limit=50, newest=True)
    for _ in range(2):
        _, tallies = await pages.page(page)
        assert [one.count for one in tallies] == [2, 1]
    assert shelf.hits == 1
    await world.shred()
    found = await pages.page(page)
    assert found == await store.page(page)
    assert [one.count for one in found[1]] == [1]


@pytest_twisted.ensureDeferred
async def test_only_where_they_had_reacted_does_a_conversation_count_as_changed(world: World) -> None:
    ends = "SELECT conversation_id, last_seq, last_at FROM chatd.conversations ORDER BY 1"
    before = world.sql(ends)
    await world.shred()
    (first, *_), *others = world.sql(ends)
    assert others == before[1:]
    assert world.sql(ends)[0] == (first, 10, before[0][2] + timedelta(microseconds=1))


@pytest_twisted.ensureDeferred
async def test_it_goes_on_where_it_was_interrupted(world: World) -> None:
    at = await world.keys.destroy("alice")
    await world.erasure.erase("alice", "00000000-0000-8000-8000-000000000001", 0, at + timedelta(seconds=1))
    shredded = await world.shred()
    assert shredded == Shredded(at=at, erased=Erased(messages=6, reactions=0))
    assert world.places("search_tokens") == BOBS
    assert await world.shred() == Shredded(at=at, erased=Erased())


@pytest_twisted.ensureDeferred
async def test_what_was_committed_last_under_the_old_key_goes_too(world: World) -> None:
    def commit() -> None:
        world.sql("UPDATE chatd.conversations SET last_seq = 11 WHERE conversation_id = id(1)")
        world.sql("INSERT INTO chatd.messages VALUES (id(1), 11, now(), 'alice', 'late', 'x')")
        world.sql("INSERT INTO chatd.search_tokens VALUES (id(1), 42, now(), 11)")

    world.meanwhile.append(commit)
    await world.shred()
    assert world.places("search_tokens") == BOBS


@pytest_twisted.ensureDeferred
async def test_once_more_takes_what_was_committed_much_later_under_the_old_key(world: World) -> None:
    """As it may be where the database was out of reach when the workers were to forget the key."""
    await world.shred()
    world.sql("UPDATE chatd.data_keys SET destroyed_at = now() - interval '1 minute' WHERE user_id = 'alice'")
    world.sql("UPDATE chatd.conversations SET last_seq = 11 WHERE conversation_id = id(1)")
    world.sql("INSERT INTO chatd.messages VALUES (id(1), 11, now(), 'alice', 'late', 'x')")
    world.sql("INSERT INTO chatd.search_tokens VALUES (id(1), 42, now(), 11)")
    shredded = await world.shred()
    assert shredded is not None
    assert shredded.erased == Erased(messages=1)
    assert world.places("search_tokens") == BOBS


@pytest_twisted.ensureDeferred
async def test_once_more_spares_what_they_wrote_since_they_came_back(world: World) -> None:
    """They are given another key while it waits for what is under way."""
    await world.shred()
    world.sql("UPDATE chatd.data_keys SET destroyed_at = now() - interval '1 minute' WHERE user_id = 'alice'")

    def come_back() -> None:
        world.sql("UPDATE chatd.data_keys SET master = '1', wrapped = 'n', created_at = now() WHERE user_id = 'alice'")
        world.sql("UPDATE chatd.conversations SET last_seq = 11 WHERE conversation_id = id(1)")
        world.sql("INSERT INTO chatd.messages VALUES (id(1), 11, now(), 'alice', 'back', 'x')")
        world.sql("INSERT INTO chatd.search_tokens VALUES (id(1), 42, now(), 11)")

    world.meanwhile.append(come_back)
    await world.shred()
    assert world.places("search_tokens") == sorted([*BOBS, (1, 11)])


@pytest_twisted.ensureDeferred
async def test_what_they_write_when_they_come_back_stays(world: World) -> None:
    """A message, an edit of an old one, a reaction and a profile, all of them sealed under another key."""
    later = datetime.now(UTC) + timedelta(seconds=2 * SETTLE_SECONDS)

    def come_back() -> None:
        world.sql("UPDATE chatd.conversations SET last_seq = 13 WHERE conversation_id = id(1)")
        world.sql("INSERT INTO chatd.messages VALUES (id(1), 11, %s, 'alice', 'back', 'x')", later)
        world.sql("INSERT INTO chatd.changes VALUES (id(1), 12, %s, 'message.edited', 'alice', 'e', 3, 'x')", later)
        world.sql("UPDATE chatd.messages SET edited_seq = 12 WHERE conversation_id = id(1) AND seq = 3")
        world.sql("INSERT INTO chatd.search_tokens VALUES (id(1), 43, now(), 11)")
        world.sql("INSERT INTO chatd.changes VALUES (id(1), 13, %s, 'reaction.added', 'alice', 'r', 2, 'x')", later)
        world.sql("INSERT INTO chatd.reactions VALUES (id(1), 2, 'alice', 'm3', 13)")
        world.sql("INSERT INTO chatd.reaction_counts VALUES (id(1), 2, 'm3', 1)")
        world.sql("UPDATE chatd.profiles SET at = %s WHERE user_id = 'alice'", later)

    world.meanwhile.append(come_back)
    await world.shred()
    assert world.places("search_tokens") == sorted([*BOBS, (1, 3), (1, 11)])
    assert world.places("reactions", "target_seq") == [(1, 1), (1, 2)]
    assert world.sql("SELECT user_id FROM chatd.profiles ORDER BY 1") == [("alice",), ("bob",)]


@pytest_twisted.ensureDeferred
async def test_somebody_who_never_wrote_anything_is_no_reason_to_delete_anything(world: World) -> None:
    assert await world.shred("carol") is None
    assert (world.told, world.waited, world.shown) == ([], [], [])
    assert len(world.places("search_tokens")) == 14
    assert world.sql("SELECT count(*) FROM chatd.data_keys") == [(2,)]


@pytest_twisted.ensureDeferred
async def test_progress_counts_the_places_of_all_their_conversations(world: World) -> None:
    await world.shred()
    assert world.shown == [(done, 20) for done in (3, 6, 9, 10, 13, 16, 19, 20)]
