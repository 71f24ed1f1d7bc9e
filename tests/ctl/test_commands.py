"""What chatctl says of the keys in a real database, and what it does to them."""

import io
import json
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from chatd.ctl.database import database
from chatd.ctl.keys import KeysCommands, check
from chatd.ctl.rotation import Proof
from chatd.ctl.terminal import Terminal, Trouble
from chatd.security.keyring import Keyring, MasterKeys
from chatd.settings.base import Secret
from chatd.settings.model import Database, Settings
from chatd.store.keys import PostgresKeys
from chatd.store.migrate import Migration, load
from chatd.store.pool import Pool

Sql = Callable[..., list[tuple[Any, ...]]]

OLD, NEW = bytes(32), bytes(range(32))
BEFORE = MasterKeys({"old": OLD})
BOTH = MasterKeys({"old": OLD, "new": NEW})
USERS = ("", "alice", "bob")


class Operator:
    """Runs commands, with and without ``--json``."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.keys = PostgresKeys(pool)
        self.errors = ""

    async def run(self, command: str, masters: MasterKeys, *, structured: bool = False, **asked: Any) -> str:
        """What it writes to standard output."""
        out, err = io.StringIO(), io.StringIO()
        terminal = Terminal(lambda: 0.0, structured=structured, out=out, err=err)
        try:
            await KeysCommands(self._pool, masters, terminal, reactor).commands[f"keys {command}"](Namespace(**asked))
        finally:
            self.out, self.errors = out.getvalue(), err.getvalue()
        return self.out

    async def trouble(self, command: str, masters: MasterKeys, **asked: Any) -> str:
        with pytest.raises(Trouble) as caught:
            await self.run(command, masters, **asked)
        assert len(str(caught.value).splitlines()) == 1
        return str(caught.value)


@pytest.fixture
def operator(pool: Pool, sql: Sql) -> Operator:
    return Operator(pool)


async def fill(operator: Operator, masters: MasterKeys = BEFORE, users: tuple[str, ...] = USERS) -> None:
    for user in users:
        await operator.keys.add(Keyring(masters).create(user))


@pytest_twisted.ensureDeferred
async def test_the_status_tells_how_many_keys_each_master_key_wraps(operator: Operator) -> None:
    await fill(operator)
    assert await operator.run("status", BOTH) == "old  3 keys\nnew  0 keys, current\n"
    assert json.loads(await operator.run("status", BOTH, structured=True)) == {
        "versions": [
            {"version": "old", "keys": 3, "current": False, "configured": True},
            {"version": "new", "keys": 0, "current": True, "configured": True},
        ]
    }
    await operator.run("rotate", BOTH)
    assert await operator.run("status", BOTH) == "old  0 keys, no longer needed\nnew  3 keys, current\n"


@pytest_twisted.ensureDeferred
async def test_a_master_key_that_is_not_configured_is_trouble(operator: Operator) -> None:
    await fill(operator, BOTH)
    told = await operator.trouble("status", BEFORE)
    assert told.startswith("3 data keys are wrapped by master keys that are not configured: new;")
    assert operator.out == "old  0 keys, current\nnew  3 keys, not configured\n"


@pytest_twisted.ensureDeferred
async def test_another_master_key_under_the_same_name_is_trouble(operator: Operator) -> None:
    await fill(operator)
    told = await operator.trouble("status", MasterKeys({"old": NEW}))
    assert told.startswith("the server's own data key does not open: the key was wrapped by another master key")


@pytest_twisted.ensureDeferred
async def test_a_rotation_says_that_the_current_master_key_is_enough(operator: Operator) -> None:
    await fill(operator)
    assert await operator.run("rotate", BOTH) == (
        "3 data keys were rewrapped\nall 3 data keys open with master key new alone\n"
    )
    for key in await operator.keys.keys(USERS):
        Keyring(MasterKeys({"new": NEW})).open(key)
    again = json.loads(await operator.run("rotate", BOTH, structured=True))
    assert again == {"current": "new", "rewrapped": 0, "opened": 3, "left": 0, "some": [], "late": []}


@pytest_twisted.ensureDeferred
async def test_a_rotation_names_what_is_left_and_does_not_say_that_all_is_well(operator: Operator) -> None:
    await fill(operator)
    await fill(operator, MasterKeys({"lost": b"x" * 32}), ("carol",))
    told = await operator.trouble("rotate", BOTH, structured=True)
    assert told == (
        "1 data keys do not open with master key new alone; leave the older lines where they are:"
        " 'carol' (the master key of this version is not configured)"
    )
    assert json.loads(operator.out)["some"] == [
        {"user": "carol", "why": "the master key of this version is not configured"}
    ]
    await operator.trouble("rotate", BOTH)
    assert "alone" not in operator.out


def test_a_server_that_still_wraps_by_the_old_one_is_trouble() -> None:
    with pytest.raises(Trouble, match=r"keys were wrapped by old: a chatd still does; .* that end with new, reload it"):
        check(Proof(current="new", opened=3, left=0, some=(), late=("old",)))


@pytest_twisted.ensureDeferred
async def test_nobody_is_shredded_who_is_not_known(operator: Operator) -> None:
    await fill(operator)
    told = await operator.trouble("shred", BEFORE, user="o'brien \x1b[31m")
    assert told == 'nobody with the user id "o\'brien \\x1b[31m" has a data key: nothing was destroyed'
    assert len(await operator.keys.keys(USERS)) == 3


def settings(dsn: str) -> Settings:
    return Settings(database=Database(dsn=Secret(dsn), connect_timeout=1.0))


async def refusal(dsn: str, migrations: list[Migration] | None = None) -> str:
    with pytest.raises(Trouble) as caught:
        async with database(settings(dsn), reactor, migrations):
            pytest.fail("it is not fit for use")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest_twisted.ensureDeferred
async def test_a_database_that_does_not_fit_is_left_alone(cluster: Any, pool: Pool, fresh_dsn: str) -> None:
    assert "the database is at 0, this chatctl wants" in await refusal(cluster.create_database())
    later = Migration(version=len(load()) + 1, name="later", sql="")
    assert "start chatd of this version once" in await refusal(fresh_dsn, [*load(), later])
    assert "use that of chatd" in await refusal(fresh_dsn, load()[:-1])


@pytest_twisted.ensureDeferred
async def test_a_database_that_is_not_there_is_told_with_its_reason(tmp_path: Any) -> None:
    assert "PostgreSQL cannot be reached: " in await refusal(f"host={tmp_path}")
    assert "No such file or directory" in await refusal(f"host={tmp_path}")
    assert "database.dsn is not a connection string" in await refusal("nonsense")


@pytest_twisted.ensureDeferred
async def test_what_fails_in_the_database_is_one_line(fresh_dsn: str, pool: Pool) -> None:
    with pytest.raises(Trouble, match=r"the database failed: .*chatd.nowhere.*; run the same command again to go on"):
        async with database(settings(fresh_dsn), reactor) as own:
            await own.query("SELECT FROM chatd.nowhere")
