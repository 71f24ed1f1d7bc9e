"""What people write rests and travels sealed: whoever reads disks, dumps, logs and the bus finds none of it.

What counts as written is listed below, and so is what is an identifier: a new field has to be thought of.
"""

import base64
import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from chatd.bus.postgresql import CHANNEL
from chatd.handlers.catalogue import DECLARATIONS
from chatd.wire.commands import Declaration
from tests.kit.clients import Client
from tests.kit.people import Person
from tests.kit.postgres import Cluster, execute
from tests.kit.prepared import PREPARED, Prepared
from tests.kit.redis import RedisServer
from tests.kit.samples import is_text, places
from tests.kit.server import Sections
from tests.kit.tokens import AuthService
from tests.kit.traces import forms, traces
from tests.kit.waiting import wait_for
from tests.kit.workers import WorkersServer

MARK = "q" + secrets.token_hex(12)
"""Stands in all that is written. Small letters and digits, so that nothing folds it into something else."""
EMOJI = "\U0001f469\U0001f3fe\u200d\u2764\ufe0f\u200d\U0001f48b\u200d\U0001f468\U0001f3ff"
"""An emoji cannot be marked, but this one is long."""

CONTENT: Mapping[str, Any] = {
    "avatar_url": f"https://example.com/{MARK}.png",
    "description": f"{MARK} describes a group",
    "emoji": EMOJI,
    "metadata": {f"key {MARK}": f"value {MARK}"},
    "name": f"{MARK} is my name",
    "picture": f"https://example.com/{MARK}/group.png",
    "query": MARK,
    "text": f"says {MARK} to them",
    "title": f"{MARK} is what a group is called",
}
"""What people write or look for, each marked."""
IDENTIFIERS = {
    *("client_id", "conversation", "conversation_id", "device", "into", "members", "mentions", "sender", "to"),
    *("token", "token_id", "user", "users"),
}
"""Who and what things are about. They rest as they are: the database finds rows by them."""
STEERING = {"after", "cursor", "cursors", "epoch", "role", "scope", "status"}
"""Where a page or a resumption begins, and choices from a few."""

WRITING = [one for one in DECLARATIONS if CONTENT.keys() & set(one.shape.__struct_fields__)]

Parts = dict[str, bytes]


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A PostgreSQL that writes every statement to its log."""
    with Cluster.start_new(tmp_path_factory.mktemp("postgres"), settings={"log_statement": "all"}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def database(own_cluster: Cluster) -> str:
    return own_cluster.create_database()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


class Listener:
    """Hears everything that a bus carries, in a thread of its own."""

    def __init__(self) -> None:
        self._heard: list[bytes] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    @property
    def heard(self) -> bytes:
        return b"\n".join(self._heard)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _listen(self) -> None:
        raise NotImplementedError


class OfPostgres(Listener):
    """Its payloads as they are, and out of their base64."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg2.connect(dsn)
        self._connection.autocommit = True
        self._connection.cursor().execute(f"LISTEN {CHANNEL}")
        super().__init__()

    def _listen(self) -> None:
        with closing(self._connection):
            while not self._ended.wait(0.05):
                self._connection.poll()
                while self._connection.notifies:
                    payload = self._connection.notifies.pop().payload.encode()
                    self._heard += [payload, base64.b64decode(payload)]


class OfRedis(Listener):
    """All channels, whatever their names."""

    def __init__(self, redis: RedisServer) -> None:
        self._socket = socket.create_connection(("127.0.0.1", redis.port))
        self._socket.sendall(b"PSUBSCRIBE *\r\n")
        self._socket.settimeout(0.05)
        super().__init__()

    def _listen(self) -> None:
        with self._socket:
            while not self._ended.is_set():
                try:
                    self._heard.append(self._socket.recv(1 << 20))
                except TimeoutError:
                    continue


def dump(dsn: str) -> bytes:
    """All tables, as COPY writes them."""
    found = BytesIO()
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'chatd'")
        for (table,) in cursor.fetchall():
            cursor.copy_expert(f"COPY {table} TO STDOUT", found)
    return found.getvalue()


def files(place: Path) -> bytes:
    """What a file holds, or all files of a folder."""
    found = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    return b"\n".join(path.read_bytes() for path in found)


class Installation:
    """A server with two workers that says everything it has to say, what it stands on, and what is left of it."""

    def __init__(self, server: WorkersServer, cluster: Cluster, dsn: str, redis: RedisServer) -> None:
        self._server = server
        self._cluster = cluster
        self._dsn = dsn
        self._redis = redis
        self.listeners = {"PostgreSQL's bus": OfPostgres(dsn), "Redis' bus": OfRedis(redis)}

    def settings(self, bus: str) -> Sections:
        top = {"log_level": "debug"}
        return {"": top, "search": {"enabled": True}, "bus": {"kind": bus}, "redis": {"url": self._redis.url}}

    def left(self) -> Parts:
        """What whoever reads this finds."""
        self._checkpoint()
        assert self._redis.ask("SAVE").startswith("+OK")
        return {
            "a dump": dump(self._dsn),
            "PostgreSQL's files": b"".join(files(one) for one in self._cluster.data.iterdir() if one.name != "pg_wal"),
            "PostgreSQL's write-ahead log": files(self._cluster.data / "pg_wal"),
            "PostgreSQL's log": self._cluster.log.encode(),
            "chatd's log": self._server.log.encode("utf-8", "surrogateescape"),
            "Redis' dump": (self._redis.folder / "dump.rdb").read_bytes(),
            "Redis' log": (self._redis.folder / "redis.log").read_bytes(),
            **{name: listener.heard for name, listener in self.listeners.items()},
        }

    def _checkpoint(self) -> None:
        with closing(psycopg2.connect(self._dsn)) as connection:
            connection.autocommit = True
            connection.cursor().execute("CHECKPOINT")

    def write_in_the_clear(self, text: str) -> None:
        """What must never happen, wherever it could: so it is known that it would be noticed."""
        # Several times, since the head of a page may stand in the middle of one in the write-ahead log.
        execute(self._dsn, f"CREATE TABLE chatd.careless AS SELECT '{text}' AS text FROM generate_series(1, 3)")
        execute(self._dsn, f"NOTIFY {CHANNEL}, '{base64.b64encode(text.encode()).decode()}'")
        self._redis.ask("SET", "careless", text)
        self._redis.ask("PUBLISH", "chatd:all", text)
        with self._server.log_file.open("a") as log:
            log.write(text)
        with (self._redis.folder / "redis.log").open("a") as log:
            log.write(text)
        for listener in self.listeners.values():
            wait_for(lambda listener=listener: text.encode() in listener.heard)

    def close(self) -> None:
        for listener in self.listeners.values():
            listener.close()


def marked(world: Prepared, declaration: Declaration) -> dict[str, Any]:
    """The example of a command with all that it may say, each marked."""
    fields = declaration.shape.__struct_fields__
    said = {name: CONTENT[name] for name in fields if name in CONTENT}
    named = {"client_id": declaration.name} if "client_id" in fields else {}
    return world.fields(declaration) | said | named


def run_through(server: WorkersServer, person: Callable[..., Person]) -> None:
    """Every command that says something, heard by people on all workers, and some of it deleted again."""
    world = Prepared(server, person)
    with ExitStack() as stack:
        for who in ("bob", "bob", "carol", "eve"):
            stack.enter_context(world.connect(who, device="watch")).ask("sync")
        alice = stack.enter_context(world.connect("alice"))
        for declaration in WRITING:
            world.prepare(declaration)
            writer = stack.enter_context(world.connect(PREPARED[declaration.name].who, device="tablet"))
            reply = writer.ask(declaration.name, **marked(world, declaration))
            assert reply["type"] == "ok", (declaration.name, reply)
        place = {"conversation": world.direct, "seq": 1}
        assert MARK in json.dumps(alice.ask("history.get", conversation=world.direct))
        assert alice.ask("message.forward", client_id="forward", to=world.name("bob"), **place)["type"] == "ok"
        assert alice.ask("message.delete", client_id="delete", **place)["type"] == "ok"
    told = person("told", server)
    with Client(server.url, told.token(name=CONTENT["name"], picture=CONTENT["avatar_url"])) as client:
        wait_for(lambda: MARK in json.dumps(client.ask("user.get", users=[told.name])))


@pytest.fixture(scope="module")
def installation(
    own_cluster: Cluster, database: str, redis: RedisServer, auth: AuthService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    server = WorkersServer(tmp_path_factory.mktemp("chatd"), database, auth, 2)
    installation = Installation(server, own_cluster, database, redis)
    numbers = iter(range(1_000_000))
    try:
        for bus in ("postgresql", "redis"):
            server.configure(installation.settings(bus))
            server.start()
            wait_for(lambda: [*server.figures("chatd_bus_linked").values()] == [1.0, 1.0])
            run_through(server, lambda name, server: Person(f"{name}-{next(numbers)}", server, auth))
            server.stop()
        yield installation
    finally:
        installation.close()
        server.close()
    assert "Traceback" not in server.log, server.log


def test_of_every_text_field_it_is_known_whether_people_write_it() -> None:
    found = {path[0] for one in DECLARATIONS for path in places(one.shape, is_text)}
    assert found <= CONTENT.keys() | IDENTIFIERS | STEERING
    assert CONTENT.keys() <= found
    assert len(WRITING) >= 10


def test_nothing_that_people_write_is_left_anywhere(installation: Installation) -> None:
    left = installation.left()
    for name, data in left.items():
        assert data, name
    # It is the right place: the sealed rows of these people are there.
    assert b"alice-" in left["a dump"]
    assert b"alice-" in left["PostgreSQL's files"]
    assert b"alice-" in left["PostgreSQL's write-ahead log"]
    assert b"INSERT INTO chatd.messages" in left["PostgreSQL's log"]
    assert all(len(installation.listeners[bus].heard) > 1000 for bus in installation.listeners)
    assert traces([MARK, EMOJI], left) == []


def test_it_would_be_found_wherever_it_were(installation: Installation) -> None:
    """Otherwise the test above could not fail."""
    careless = "q" + secrets.token_hex(12)
    installation.write_in_the_clear(careless)
    left = installation.left()
    assert {name for name, data in left.items() if traces([careless], {name: data})} == left.keys()


@pytest.mark.parametrize("text", [MARK, EMOJI], ids=["a text", "an emoji"])
@pytest.mark.parametrize("before", [b"", b"x", b"xy", b"xyz"])
def test_each_form_of_a_text_is_recognised(text: str, before: bytes) -> None:
    raw = text.encode()
    ways = {
        "UTF-8": before + raw,
        "UTF-16, little end first": before + text.encode("utf-16-le"),
        "UTF-16, big end first": before + text.encode("utf-16-be"),
        "hexadecimal": before.hex().encode() + raw.hex().encode() + b"00",
        "hexadecimal in capitals": before.hex().encode() + raw.hex().upper().encode(),
        f"base64 behind {len(before) % 3} bytes": base64.b64encode(before + raw + b"behind"),
        f"base64url behind {len(before) % 3} bytes": base64.urlsafe_b64encode(before + raw),
        "JSON": json.dumps({"text": text}).encode(),
    }
    for form, data in ways.items():
        assert form in {found.split(": ")[1] for found in traces([text], {"here": data})}, form
        assert traces([text], {"here": data.replace(forms(text)[form], b"")}) == []
