"""What was written while search was off is indexed as if it had been on, whatever people do meanwhile."""

import io
import json
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import pytest_twisted

from chatd.ctl.reindexing import Reindexing
from chatd.ctl.search import SearchCommands
from chatd.ctl.terminal import Terminal, Trouble
from chatd.handlers.catalogue import KINDS
from chatd.handlers.indexing import hashes
from chatd.handlers.kinds import Reader
from chatd.handlers.messages import MessageContent
from chatd.handlers.words import tokens
from chatd.security.keyring import Keyring, MasterKeys
from chatd.settings.model import Search
from chatd.state.authors import SERVER, Authors
from chatd.store.keys import PostgresKeys
from chatd.store.pool import Pool
from chatd.store.reindexing import Indexed, PostgresReindexing

Sql = Callable[..., list[tuple[Any, ...]]]

MASTERS = MasterKeys({"1": bytes(range(32))})
ONE, OTHER, QUEUE = (f"00000000-0000-8000-8000-{n:012}" for n in (1, 2, 3))
MAX_TOKENS = 16


class World:
    """Two conversations and an event queue."""

    def __init__(self, pool: Pool, sql: Sql) -> None:
        self._pool = pool
        self.sql = sql
        self.keys = PostgresKeys(pool)
        self.store = PostgresReindexing(pool)
        self.authors = Authors(self.keys, Keyring(MASTERS))
        for conversation, kind in ((ONE, "direct"), (OTHER, "group"), (QUEUE, "queue")):
            sql("INSERT INTO chatd.conversations (conversation_id, kind) VALUES (%s, %s)", conversation, kind)

    async def say(self, conversation: str, text: str, *, author: str = "alice", edits: int | None = None) -> int:
        """A message, or an edit of one; where it stands."""
        [[seq]] = self.sql(
            "UPDATE chatd.conversations SET last_seq = last_seq + 1 WHERE conversation_id = %s RETURNING last_seq",
            conversation,
        )
        key = await self.authors.writing(author)
        sealed = key.seal(msgspec.msgpack.encode(MessageContent(text=text)), conversation, f"c{seq}")
        row = {"conversation": conversation, "seq": seq, "author": author, "client_id": f"c{seq}", "sealed": sealed}
        if edits is None:
            self._insert("messages", row)
        else:
            self._insert("changes", {**row, "kind": "message.edited", "target_seq": edits})
            self._set(conversation, edits, "edited_seq", seq)
        return int(seq)

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        row["conversation_id"] = row.pop("conversation")
        names = ", ".join(row)
        places = ", ".join(["%s"] * len(row))
        self.sql(f"INSERT INTO chatd.{table} ({names}, at) VALUES ({places}, now())", *row.values())

    def _set(self, conversation: str, seq: int, column: str, value: int) -> None:
        statement = f"UPDATE chatd.messages SET {column} = %s WHERE conversation_id = %s AND seq = %s"
        self.sql(statement, value, conversation, seq)

    def delete(self, conversation: str, seq: int) -> None:
        self._set(conversation, seq, "deleted_seq", seq + 1000)
        self.sql("UPDATE chatd.messages SET sealed = '' WHERE deleted_seq IS NOT NULL")

    def index_of(self, conversation: str) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        statement = "SELECT t.seq, t.token FROM chatd.search_tokens AS t JOIN chatd.messages AS m USING"
        for seq, token in self.sql(f"{statement} (conversation_id, seq, at) WHERE conversation_id = %s", conversation):
            found.setdefault(seq, set()).add(token)
        return found

    async def hashed(self, conversation: str, text: str) -> set[int]:
        return set(hashes(await self.authors.writing(SERVER), conversation, tokens(text, MAX_TOKENS)))

    async def reindex(self, masters: MasterKeys = MASTERS, *, enabled: bool = True) -> dict[str, int]:
        out = io.StringIO()
        terminal = Terminal(lambda: 0.0, structured=True, out=out, err=io.StringIO())
        search = Search(enabled=enabled, max_tokens=MAX_TOKENS)
        commands = SearchCommands(self._pool, masters, search, terminal).commands
        try:
            await commands["search reindex"](Namespace())
        finally:
            self.result: dict[str, int] = json.loads(out.getvalue() or "{}")
        return self.result


@pytest.fixture
def world(pool: Pool, sql: Sql) -> World:
    return World(pool, sql)


@pytest_twisted.ensureDeferred
async def test_every_message_is_indexed_as_it_would_have_been(world: World) -> None:
    for conversation in (ONE, OTHER):
        for n in range(1, 4):
            await world.say(conversation, f"hello number {n}")
    assert await world.reindex() == {"indexed": 6, "unreadable": 0}
    for conversation in (ONE, OTHER):
        assert world.index_of(conversation) == {
            n: await world.hashed(conversation, f"hello number {n}") for n in range(1, 4)
        }


@pytest_twisted.ensureDeferred
async def test_a_second_one_adds_only_what_is_missing(world: World) -> None:
    await world.say(ONE, "first")
    await world.reindex()
    before = world.index_of(ONE)
    await world.say(ONE, "second")
    assert await world.reindex() == {"indexed": 1, "unreadable": 0}
    assert world.index_of(ONE) == {**before, 2: await world.hashed(ONE, "second")}
    assert await world.reindex() == {"indexed": 0, "unreadable": 0}


@pytest_twisted.ensureDeferred
async def test_an_edited_message_is_found_by_its_last_edit_and_a_deleted_one_by_nothing(world: World) -> None:
    await world.say(ONE, "first draft")
    await world.say(ONE, "never mind")
    await world.say(ONE, "second draft", edits=1)
    await world.say(ONE, "fair copy", edits=1)
    world.delete(ONE, 2)
    assert await world.reindex() == {"indexed": 1, "unreadable": 0}
    assert world.index_of(ONE) == {1: await world.hashed(ONE, "fair copy")}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("how", ["edited", "deleted", "indexed"])
async def test_what_changes_between_reading_and_writing_is_left_to_whoever_changed_it(world: World, how: str) -> None:
    await world.say(ONE, "old words")
    await world.say(ONE, "others")
    [read, other] = await world.store.unindexed(ONE, 0, 10)
    if how == "edited":
        await world.say(ONE, "new words", edits=1)
    elif how == "deleted":
        world.delete(ONE, 1)
    else:
        world.sql("INSERT INTO chatd.search_tokens VALUES (%s, 7, %s, 1)", ONE, read.entry.time)
    late = [Indexed(seq=one.entry.seq, at=one.entry.time, edited=None, tokens=(5, 6)) for one in (read, other)]
    assert await world.store.index(ONE, late) == 1
    assert world.index_of(ONE) == {2: {5, 6}} | ({1: {7}} if how == "indexed" else {})


@pytest_twisted.ensureDeferred
async def test_what_is_altered_is_told_and_what_is_erased_is_not(world: World) -> None:
    await world.say(ONE, "alice's")
    await world.say(ONE, "bob's", author="bob")
    await world.say(ONE, "carol's", author="carol")
    await world.keys.destroy("alice")
    world.sql("UPDATE chatd.messages SET sealed = 'x' WHERE seq = 2")
    with pytest.raises(Trouble) as caught:
        await world.reindex()
    assert str(caught.value) == (
        f"1 messages cannot be opened and are not found, the first of them {ONE} 2: not a sealed body of a known layout"
    )
    assert world.result == {"indexed": 1, "unreadable": 1}
    assert world.index_of(ONE) == {3: await world.hashed(ONE, "carol's")}


class Shredding(PostgresReindexing):
    """Alice's key is destroyed when the first conversation has been indexed."""

    def __init__(self, pool: Pool, keys: PostgresKeys) -> None:
        super().__init__(pool)
        self._keys = keys

    async def index(self, conversation: str, messages: Any) -> int:
        indexed = await super().index(conversation, messages)
        await self._keys.destroy("alice")
        return indexed


@pytest_twisted.ensureDeferred
async def test_who_is_shredded_while_it_goes_on_is_indexed_no_further(world: World, pool: Pool) -> None:
    """However long ago their key was read: it is kept for no longer than one step."""
    await world.say(ONE, "before")
    await world.say(OTHER, "after")
    told: list[Any] = []
    reader = Reader(KINDS, world.authors, lambda *one: told.append(one))
    key = await world.authors.writing(SERVER)
    reindexing = Reindexing(
        Shredding(pool, world.keys), world.authors, reader, key, MAX_TOKENS, lambda done, total: None
    )
    assert await reindexing.run() == 1
    assert (set(world.index_of(ONE)), set(world.index_of(OTHER)), told) == ({1}, set(), [])


@pytest_twisted.ensureDeferred
async def test_where_search_is_off_or_the_keys_are_wrong_nothing_is_indexed(world: World) -> None:
    await world.say(ONE, "hello")
    await world.authors.writing(SERVER)
    with pytest.raises(Trouble, match=r"search\.enabled is off"):
        await world.reindex(enabled=False)
    with pytest.raises(Trouble, match="the server's own data key does not open"):
        await world.reindex(MasterKeys({"2": bytes(32)}))
    assert world.index_of(ONE) == {}
