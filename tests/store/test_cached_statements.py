"""What the cache spares PostgreSQL, in statements of each request."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import pytest_twisted
from twisted.internet import reactor

from chatd.cache.wiring import build_caching
from chatd.records.recent import Recent
from chatd.security.keyring import Keyring
from chatd.settings.model import Cache, Settings
from chatd.state.authors import Authors
from chatd.store.connection import Connection
from chatd.store.pool import Pool
from chatd.store.recent import read_recent
from chatd.store.transaction import Cursor
from tests.kit.stores import migrated, new_client_id, new_user, open_one, postgres_stores, say
from tests.kit.world import COMMANDS, MASTERS, Chat


class Counted:
    """A worker over PostgreSQL. ``run`` are the statements of the last request."""

    def __init__(self, pool: Pool, run: list[str], **settings: Any) -> None:
        stores = postgres_stores(pool, lambda error: None)
        authors = Authors(stores.keys, Keyring(MASTERS))
        cache = Settings(cache=Cache(**settings))
        caching = build_caching(cache, reactor, stores, authors, reactor.seconds, lambda: "an-epoch")
        self.chat = Chat(stores=caching.stores)
        caching.listen(self.chat.exchange)
        self._run = run

    async def ask(self, user: str, name: str, /, **fields: Any) -> Any:
        command = msgspec.convert({"id": 1, "type": name, **fields}, COMMANDS)
        self._run.clear()
        return await self.chat.router.dispatch(self.chat.http(user), command)

    async def statements(self, user: str, name: str, /, **fields: Any) -> int:
        """How many a request takes that was made before."""
        await self.ask(user, name, **fields)
        await self.ask(user, name, **fields)
        return len(self._run)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All statements from here on, but for those that look for people's keys, which are then at hand."""
    statements: list[str] = []
    plain = Connection.run

    async def counted(self: Connection, sql: str, params: Any = None) -> Any:
        if "chatd.data_keys" not in sql:
            statements.append(sql)
        return await plain(self, sql, params)

    monkeypatch.setattr(Connection, "run", counted)
    return statements


@pytest_twisted.ensureDeferred
async def test_the_last_page_takes_one_small_statement(
    start_pool: Callable[..., Pool], shared_dsn: str, run: list[str]
) -> None:
    pool = await migrated(start_pool(shared_dsn))
    plain, cached = Counted(pool, run), Counted(pool, run, kind="memory")
    alice, bob = new_user("alice"), new_user("bob")
    for n, worker in enumerate((plain, cached, plain)):
        # Whoever sends knows who is in the conversation, and need not look that up to read it.
        sent = await worker.ask(alice, "message.send", client_id=new_client_id(), to=bob, text=f"{n}")
    page = {"conversation": sent.conversation}
    assert await plain.statements(bob, "history.get", **page) == 2
    assert await cached.statements(bob, "history.get", **page) == 1
    # Whoever else reads it finds it there too.
    assert (await cached.ask(alice, "history.get", **page)).messages[-1].text == "2"
    assert run == ["EXECUTE chatd_outlook (%s, %s)"]
    # With reactions, it is looked up which are the reader's own.
    await plain.ask(bob, "reaction.add", client_id=new_client_id(), conversation=sent.conversation, seq=1, emoji="👍")
    assert (await cached.ask(bob, "history.get", **page)).messages[0].reactions[0].mine is True
    assert len(run) == 4, "a page that is not in the cache takes one more than without it, and here another"
    assert await cached.statements(alice, "history.get", **page) == 2
    assert await plain.statements(alice, "history.get", **page) == 2


@pytest_twisted.ensureDeferred
async def test_a_profile_that_another_worker_has_read_takes_no_statement(
    start_pool: Callable[..., Pool], shared_dsn: str, run: list[str]
) -> None:
    pool = await migrated(start_pool(shared_dsn))
    plain, cached = Counted(pool, run), Counted(pool, run, kind="memory")
    alice, bob = new_user("alice"), new_user("bob")
    await plain.ask(alice, "user.update", client_id=new_client_id(), name="Alice")
    await cached.ask(bob, "user.get", users=[alice])
    # A worker keeps what it has read: so this is another one, with the same cache.
    other = Counted(pool, run)
    other.chat = Chat(stores=cached.chat.stores)
    assert [profile.name for profile in (await other.ask(bob, "user.get", users=[alice])).profiles] == ["Alice"]
    assert not [statement for statement in run if "chatd.profiles" in statement]


class Interrupted:
    """A cursor. Behind its first statement, somebody writes."""

    def __init__(self, cursor: Cursor, write: Callable[[], Any]) -> None:
        self._cursor, self._write = cursor, write

    async def query(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        rows = await self._cursor.query(sql, params)
        write, self._write = self._write, _nothing
        await write()
        return rows


async def _nothing() -> None:
    pass


@pytest_twisted.ensureDeferred
async def test_reactions_of_another_moment_than_their_messages_are_not_kept(
    start_pool: Callable[..., Pool], shared_dsn: str
) -> None:
    pool = await migrated(start_pool(shared_dsn))
    stores = postgres_stores(pool, lambda error: None)
    conversation = await open_one(stores)
    await say(stores, conversation, "a")

    async def reading(cursor: Cursor, write: Callable[[], Any]) -> Recent | None:
        interrupted: Any = Interrupted(cursor, write)
        return await read_recent(interrupted, conversation, 5)

    assert await pool.several(reading, lambda: say(stores, conversation, "b")) is None
    recent = await pool.several(reading, _nothing)
    assert recent is not None
    assert [one.entry.seq for one in recent.messages] == [1, 2]
