"""A backup is restored: nobody misses what is written afterwards, whether chatd was stopped for it or not."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from tests.kit.clients import Client, Message
from tests.kit.ctl import chatctl
from tests.kit.people import Person
from tests.kit.postgres import Cluster
from tests.kit.server import Server
from tests.kit.waiting import wait_for
from tests.kit.workers import WorkersServer

GOING = 1012


class Device:
    """What a client keeps: cursors, and the epoch that they are of."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.epoch: str | None = None
        self.cursors: dict[str, int] = {}
        self.reset: list[str] = []

    def __enter__(self) -> "Device":
        self.client = self.person.connect()
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()

    def sync(self) -> list[str]:
        """What it is told that was said, of which it acknowledges nothing."""
        reply = self.client.ask("sync", cursors=self.cursors, epoch=self.epoch)
        return self._take(reply, self.client.read_events())

    def pull(self) -> list[str]:
        """The same over HTTP."""
        shown: dict[str, Any] = {"cursors": self.cursors} | ({"epoch": self.epoch} if self.epoch else {})
        reply = self.person.http().post("/v1/sync", **shown).body
        return self._take(reply, reply["events"])

    def _take(self, reply: Message, events: list[Message]) -> list[str]:
        self.reset, self.epoch = reply["reset"], reply["epoch"]
        for conversation in self.reset:
            del self.cursors[conversation]
        said = []
        for event in events:
            # What came live stands before what the sync brought.
            if event.get("seq", 0) > self.cursors.get(event.get("conversation", ""), 0):
                self.cursors[event["conversation"]] = event["seq"]
                said += [event["text"]] if event["type"] == "message.created" else []
        return said


def say(client: Client, to: Person, *texts: str) -> None:
    for text in texts:
        reply = client.ask("message.send", client_id=text, to=to.name, text=text)
        assert reply["type"] == "ok", reply


def replaced(server: WorkersServer, before: set[int]) -> bool:
    """Whether others than these serve."""
    now = set(server.workers)
    return bool(now) and not now & before and server.ready()


class Databases:
    """Copies a database and puts the copy in its place, whoever is connected."""

    def __init__(self, cluster: Cluster, dsn: str) -> None:
        self._admin = cluster.dsn()
        self._name = parse_dsn(dsn)["dbname"]

    def back_up(self) -> None:
        with closing(psycopg2.connect(self._admin)) as connection:
            self._empty(connection)
            self._run(connection, f"CREATE DATABASE {self._name}_backup TEMPLATE {self._name}")
            self._run(connection, f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    def restore(self) -> None:
        with closing(psycopg2.connect(self._admin)) as connection:
            self._empty(connection)
            self._run(connection, f"ALTER DATABASE {self._name} RENAME TO {self._name}_lost")
            self._run(connection, f"ALTER DATABASE {self._name}_backup RENAME TO {self._name}")
            self._run(connection, f"DROP DATABASE {self._name}_lost")

    def _empty(self, connection: Any) -> None:
        """Nobody uses it any more."""
        self._run(connection, f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        self._run(
            connection, f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{self._name}'"
        )

    @staticmethod
    def _run(connection: Any, statement: str) -> None:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.fixture(scope="module")
def databases(cluster: Cluster, database: str) -> Databases:
    return Databases(cluster, database)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, database: str, auth: Any) -> Iterator[WorkersServer]:
    """A worker and its parent."""
    server = WorkersServer(tmp_path_factory.mktemp("chatd"), database, auth, 1)
    try:
        yield server.start()
    finally:
        server.close()
    assert "Traceback" not in server.log, server.log


def test_a_renewed_epoch_reaches_living_workers_and_their_clients_come_back(
    server: WorkersServer, alice: Person, bob: Person
) -> None:
    before = set(server.workers)
    with Device(bob) as his, alice.connect() as hers:
        say(hers, bob, "hello")
        assert his.sync() == ["hello"]
        status = chatctl(server, "epoch", "status")
        assert (status.returncode, status.stdout.split()[0]) == (0, his.client.hello["epoch"])
        renewed = chatctl(server, "epoch", "renew").stdout.splitlines()[0]
        assert his.client.closed()[0] == hers.closed()[0] == GOING
    wait_for(lambda: replaced(server, before))
    with Device(bob) as other:
        assert other.client.hello["epoch"] == renewed != his.epoch
        other.epoch, other.cursors = his.epoch, his.cursors
        shown = set(other.cursors)
        assert other.sync() == ["hello"]
        assert set(other.reset) == shown
        assert other.epoch == renewed
        assert other.sync() == []
        assert other.reset == []


def test_a_database_that_takes_the_place_of_another_beneath_living_workers_is_noticed(
    server: WorkersServer, databases: Databases, alice: Person, bob: Person
) -> None:
    with Device(bob) as his, alice.connect() as hers:
        epoch = his.client.hello["epoch"]
        say(hers, bob, "one", "two")
        assert his.sync() == ["one", "two"]
        databases.back_up()
        wait_for(server.ready)
        # An outage alone ends neither the epoch nor anybody's connection.
        say(hers, bob, "lost", "lost-too")
        assert (his.sync(), his.reset, his.epoch) == (["lost", "lost-too"], [], epoch)
        before, seen = set(server.workers), len(server.log)
        databases.restore()
        assert his.client.closed()[0] == hers.closed()[0] == GOING
    wait_for(lambda: replaced(server, before))
    # The first to use a session with it was a successor, which knew.
    news = server.log[seen:]
    assert news.count("PostgreSQL is within reach") == 1
    assert news.index("this database was restored, moved or promoted") < news.index("PostgreSQL is within reach")
    with alice.connect() as hers:
        say(hers, bob, "three", "four", "five")
    mine, shown = Device(bob), dict(his.cursors)
    mine.epoch, mine.cursors = epoch, dict(shown)
    assert mine.pull() == ["one", "two", "three", "four", "five"]
    assert set(mine.reset) == set(shown)
    with his:
        assert his.client.hello["epoch"] == mine.epoch != epoch
        assert his.sync() == ["one", "two", "three", "four", "five"]
        assert set(his.reset) == set(shown)


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A PostgreSQL of this test's own."""
    with Cluster.start_new(tmp_path) as cluster:
        yield cluster


def test_files_that_were_put_back_need_a_word_and_a_recovery_to_a_point_in_time_none(
    own_cluster: Cluster, tmp_path: Path, start_server: Callable[..., Server], person: Callable[..., Person]
) -> None:
    dsn, backup = own_cluster.create_database(), tmp_path / "backup"
    server = start_server(dsn=dsn)
    alice, his = person("alice", server), Device(person("bob", server))

    def restart(between: Callable[[], object]) -> None:
        server.stop()
        own_cluster.stop()
        between()
        own_cluster.start()

    with alice.connect() as hers:
        say(hers, his.person, "one")
    restart(lambda: subprocess.run(["cp", "-a", own_cluster.data, backup], check=True))
    server.start()
    with alice.connect() as hers:
        say(hers, his.person, "lost")
    assert his.pull() == ["one", "lost"]
    epochs, cursors = [his.epoch], dict(his.cursors)

    def put_back() -> None:
        subprocess.run(["rm", "-r", own_cluster.data], check=True)
        subprocess.run(["cp", "-a", backup, own_cluster.data], check=True)

    restart(put_back)
    assert chatctl(server, "epoch", "renew").returncode == 0
    server.start()
    with alice.connect() as hers:
        say(hers, his.person, "two")
    assert his.pull() == ["one", "two"]
    assert (set(his.reset), his.cursors) == (set(cursors), cursors)
    epochs.append(his.epoch)

    # There is no archive: what there is of the log is replayed, and a new timeline begins.
    restart(lambda: recover(own_cluster.data))
    server.start()
    assert his.pull() == ["one", "two"]
    assert set(his.reset) == set(cursors)
    assert len({*epochs, his.epoch}) == 3
    assert "timeline 00000002" in server.log


def recover(data: Path) -> None:
    subprocess.run(["cp", "-a", data / "PG_VERSION", data / "recovery.signal"], check=True)
    with (data / "postgresql.auto.conf").open("a") as configuration:
        configuration.write("restore_command = 'false'\n")


def test_one_process_without_workers_ends_with_an_error(
    dsn: str, start_server: Callable[..., Server], person: Callable[..., Person]
) -> None:
    """And waits for nothing that takes long."""
    server = start_server({"database": {"statement_timeout": 60.0}})
    with person("alice", server).connect() as client:
        say(client, person("bob", server), "hello")
        with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
            cursor.execute("LOCK TABLE chatd.messages")
            hanging = client.send("message.send", client_id="2", to="bob", text="hello")
            assert chatctl(server, "epoch", "renew").returncode == 0
            assert client.closed()[0] == GOING
        assert not client.has_reply(hanging)
    wait_for(lambda: not server.running)
    assert server.stop() == 1
    assert "chatd: the database is no longer of the epoch" in server.log
