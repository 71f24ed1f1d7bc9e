"""Two workers on one database: whoever is connected to one hears at once what is done on the other."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from chatd.security.keyring import MasterKeys
from tests.kit.people import Person
from tests.kit.redis import RedisServer
from tests.kit.resilient import Reader, Sender, ask, sending
from tests.kit.server import Sections, Server
from tests.kit.settings import private
from tests.kit.talk import as_messages, whole_history
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for
from tests.kit.workers import stopped

Pair = tuple[Server, Server]

SOON_S = 3.0
"""Long before any worker would look at the log by itself."""


class Carried:
    """What carries the bus: its settings, whether both workers are linked, and a way to break it."""

    settings: Sections

    def linked(self) -> bool:
        raise NotImplementedError

    def interrupt(self) -> None:
        raise NotImplementedError


class ByPostgres(Carried):
    """The sessions of the workers' own database."""

    settings: Sections = {"bus": {"kind": "postgresql"}}

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def linked(self) -> bool:
        return self._sessions("pid") == 2

    def interrupt(self) -> None:
        assert self._sessions("pg_terminate_backend(pid)") == 2

    def _sessions(self, what: str) -> int:
        """How many sessions carry the bus, having done something to each."""
        with closing(psycopg2.connect(self._dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(
                f"SELECT count({what}) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND (query LIKE 'LISTEN%' OR query LIKE '%pg_notify%')"
            )
            row = cursor.fetchone()
            assert row is not None
            return int(row[0])


class ByRedis(Carried):
    """A Redis that is killed and comes back."""

    def __init__(self, redis: RedisServer) -> None:
        self.settings = {"bus": {"kind": "redis"}, "redis": {"url": redis.url}}
        self.redis = redis

    def linked(self) -> bool:
        return self.redis.ask("PUBSUB", "NUMSUB", "chatd:all").endswith(":2\r\n")

    def interrupt(self) -> None:
        self.redis.kill()
        self.redis.start()


@pytest.fixture(scope="module", params=["postgresql", "redis"])
def carried(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, database: str
) -> Iterator[Carried]:
    if request.param == "postgresql":
        yield ByPostgres(database)
    else:
        with RedisServer(tmp_path_factory.mktemp("redis")) as redis:
            yield ByRedis(redis)


@pytest.fixture(scope="module")
def master_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return private(tmp_path_factory.mktemp("keys") / "master-keys", MasterKeys.generate_line("2025-11"))


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, database: str, master_keys: Path, auth: AuthService, carried: Carried
) -> Iterator[Pair]:
    """Workers of one installation: they have the same database and the same master keys."""
    folder = tmp_path_factory.mktemp("workers")
    settings: Sections = {
        **carried.settings,
        "encryption": {"master_keys_file": str(master_keys)},
        "database": {"dsn": database, "pool_size": 4},
    }
    pair = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        pair.append(Server(folder / name, database, auth, settings))
    try:
        for server in pair:
            server.start()
        wait_for(carried.linked)
        yield pair[0], pair[1]
    finally:
        for server in pair:
            server.close()
    for server in pair:
        assert "Traceback" not in server.log, server.log


def test_what_is_done_on_one_worker_is_heard_on_the_other(servers: Pair, person: Callable[..., Person]) -> None:
    alice, bob = person("alice", servers[0]), person("bob", servers[1])
    with alice.connect() as hers, bob.connect() as his:
        hers.sync()
        his.sync()
        sent = hers.ask("message.send", client_id="1", to=bob.name, text="hello")
        created, message = his.event(within=SOON_S), his.event(within=SOON_S)
        assert (created["type"], message["text"], message["seq"]) == ("conversation.created", "hello", 1)
        his.ask("message.send", client_id="1", to=alice.name, text="yes?")
        assert [hers.event(within=SOON_S)["type"] for _ in range(3)][-1] == "message.created"
        place = {"conversation": sent["conversation"], "seq": sent["seq"]}
        assert hers.ask("message.edit", client_id="2", text="hello!", **place)["type"] == "ok"
        edited = [his.event(within=SOON_S) for _ in range(2)][-1]
        assert (edited["type"], edited["seq"]) == ("message.edited", 3)
        his.ask("ack", conversation=sent["conversation"], seq=3)
        assert [hers.event(within=SOON_S)["type"] for _ in range(2)][-1] == "conversation.delivered"


def test_both_write_at_once_and_both_read_all_of_it_in_one_order(servers: Pair, person: Callable[..., Person]) -> None:
    alice, bob = person("alice", servers[0]), person("bob", servers[1])
    with alice.connect() as hers, bob.connect() as his, alice.connect() as sends, bob.connect() as answers:
        readers = [Reader(hers), Reader(his)]
        for reader in readers:
            reader.sync()
        one, other = Sender(sends, bob.name, prefix="a"), Sender(answers, alice.name, prefix="b")
        with sending(one, window=8) as finish_one, sending(other, window=8) as finish_other:
            wait_for(lambda: len(one.acknowledged) > 300 and len(other.acknowledged) > 300)
            finish_one()
            finish_other()
        conversation = ask(sends, "conversation.list")["conversations"][0]["conversation"]
        history = whole_history(sends, conversation)
        assert len(history) == len(one.acknowledged) + len(other.acknowledged)
        for reader in readers:
            reader.read_until(lambda reader=reader: len(reader.events.get(conversation, ())) == len(history))
            assert as_messages(reader.events[conversation]) == history
            assert reader.stale == 0


def test_a_bus_that_breaks_again_and_again_costs_time_and_nothing_else(
    servers: Pair, carried: Carried, person: Callable[..., Person]
) -> None:
    alice, bob = person("alice", servers[0]), person("bob", servers[1])
    with alice.connect() as hers, bob.connect() as his:
        sender, reader = Sender(hers, bob.name), Reader(his)
        reader.sync()
        with sending(sender, window=4) as finish:
            for _ in range(5):
                before = len(sender.acknowledged)
                wait_for(lambda before=before: len(sender.acknowledged) > before + 50)
                wait_for(carried.linked)
                carried.interrupt()
            finish()
        conversation = ask(hers, "conversation.list")["conversations"][0]["conversation"]
        reader.read_until(lambda: len(reader.events.get(conversation, ())) == len(sender.acknowledged))
        assert as_messages(reader.events[conversation]) == whole_history(hers, conversation)


def test_a_redis_that_repeats_stands_still_and_forgets_costs_time_and_nothing_else(
    servers: Pair, carried: Carried, person: Callable[..., Person]
) -> None:
    if not isinstance(carried, ByRedis):
        pytest.skip("Redis alone")
    redis = carried.redis
    alice, bob = person("alice", servers[0]), person("bob", servers[1])
    with alice.connect() as hers, bob.connect() as his:
        sender, reader = Sender(hers, bob.name), Reader(his)
        reader.sync()
        with redis.repeating("chatd:*"):
            sender.send(range(100))
            with stopped(redis.pid):
                sender.send(range(100, 200))
            assert redis.ask("FLUSHALL") == "+OK\r\n"
            sender.send(range(200, 300))
            for kind in ("pubsub", "normal"):
                redis.ask("CLIENT", "KILL", "TYPE", kind)
                sender.send(range(len(sender.acknowledged), len(sender.acknowledged) + 100))
            conversation = ask(hers, "conversation.list")["conversations"][0]["conversation"]
            reader.read_until(lambda: len(reader.events.get(conversation, ())) == len(sender.acknowledged))
        assert as_messages(reader.events[conversation]) == whole_history(hers, conversation)
        assert sender.codes == {}
    wait_for(carried.linked)
