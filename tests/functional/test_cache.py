"""With a cache in Redis everybody gets what they would get without it, whatever becomes of that Redis."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from chatd.security.keyring import MasterKeys
from tests.kit.clients import Client, Message
from tests.kit.people import Person
from tests.kit.redis import RedisServer
from tests.kit.server import Sections, Server
from tests.kit.settings import private
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for
from tests.kit.workers import WorkersServer, stopped

_numbers = count(1)


class Installation:
    """Two workers with a cache in Redis, and beside them one process without."""

    def __init__(self, cached: WorkersServer, plain: Server, redis: RedisServer) -> None:
        self.cached, self.plain, self.redis = cached, plain, redis

    def figure(self, name: str) -> float:
        return sum(self.cached.figures(f"chatd_cache_{name}").values())

    def kept(self) -> list[str]:
        """The names under which something rests in Redis."""
        return [word for word in self.redis.ask("KEYS", "chatd:cache:*").split("\r\n") if word.startswith("chatd:")]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, database: str, auth: AuthService, redis: RedisServer
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("cached")
    keys = private(folder / "master-keys", MasterKeys.generate_line("2025-11"))
    settings: Sections = {
        "encryption": {"master_keys_file": str(keys)},
        "database": {"dsn": database, "pool_size": 3},
        "bus": {"kind": "postgresql"},
    }
    with_cache = {**settings, "cache": {"kind": "redis"}, "redis": {"url": redis.url}}
    for name in ("cached", "plain"):
        (folder / name).mkdir()
    cached = WorkersServer(folder / "cached", database, auth, 2, with_cache)
    plain = Server(folder / "plain", database, auth, settings)
    try:
        cached.start()
        plain.start()
        installation = Installation(cached, plain, redis)
        wait_for(lambda: installation.figure("linked") == 2)
        yield installation
    finally:
        for server in (cached, plain):
            server.close()
    for server in (cached, plain):
        assert "Traceback" not in server.log, server.log


class Talk:
    """Alice and bob, who talk on the cached workers, and bob's reader without the cache."""

    def __init__(self, installation: Installation, auth: AuthService) -> None:
        number = next(_numbers)
        people = [Person(f"{name}-cached-{number}", installation.cached, auth) for name in ("alice", "bob")]
        self.alice, self.bob = people
        # By chance they are on one worker or on two: enough connections are on both.
        self.clients = [person.connect() for person in people for _ in range(4)]
        self.plain = Person(self.bob.name, installation.plain, auth).connect()
        self.conversation = self.say("the first")["conversation"]

    def say(self, text: str) -> Message:
        return self.ok(self.clients[0], "message.send", to=self.bob.name, text=text)

    def ok(self, client: Client, type: str, **fields: Any) -> Message:
        if type != "history.get" and type != "user.get":
            fields["client_id"] = f"c{next(_numbers)}"
        reply = client.ask(type, **fields)
        assert reply["type"] == "ok", reply
        return reply

    def read(self, client: Client) -> list[Message]:
        page = self.ok(client, "history.get", conversation=self.conversation)
        assert page["newer"] is False
        messages: list[Message] = page["messages"]
        return messages

    def check(self, last: str) -> None:
        """Every device reads what is read without the cache, up to what was acknowledged last."""
        plain = self.read(self.plain)
        assert plain[-1].get("text", "") == last
        for client in self.clients:
            assert [_without_mine(one) for one in self.read(client)] == [_without_mine(one) for one in plain]

    def close(self) -> None:
        for client in (*self.clients, self.plain):
            client.close()


def _without_mine(message: Message) -> Message:
    """Which reactions are one's own is not the same for all."""
    reactions = [{**one, "mine": None} for one in message.get("reactions", [])]
    return {**message, "reactions": reactions}


@pytest.fixture
def talk(installation: Installation, auth: AuthService) -> Iterator[Talk]:
    talk = Talk(installation, auth)
    yield talk
    talk.close()


def test_pages_come_from_the_cache_and_follow_every_change(installation: Installation, talk: Talk) -> None:
    first, alice, bob = talk.conversation, talk.clients[0], talk.clients[4]
    seq = talk.say("the second")["seq"]
    talk.check("the second")

    def all_from_the_cache() -> bool:
        hits = installation.figure("messages_hits")
        talk.check("the second")
        return installation.figure("messages_hits") == hits + len(talk.clients)

    wait_for(all_from_the_cache)
    for client, command, fields in (
        (alice, "message.edit", {"text": "the other"}),
        (bob, "reaction.add", {"emoji": "\U0001f44d"}),
        (alice, "message.pin", {}),
        (bob, "reaction.remove", {"emoji": "\U0001f44d"}),
    ):
        talk.ok(client, command, conversation=first, seq=seq, **fields)
        talk.check("the other")
    assert talk.read(alice)[-1]["pinned"] is True
    talk.ok(alice, "message.delete", conversation=first, seq=seq)
    talk.check("")
    talk.ok(bob, "message.hide", conversation=first, seq=seq - 1)
    assert talk.read(bob) == talk.read(talk.plain)
    assert talk.read(bob)[0]["hidden"] is True
    assert talk.read(alice)[0]["text"] == "the first"


def kill(installation: Installation) -> None:
    installation.redis.kill()


def restart(installation: Installation) -> None:
    installation.redis.kill()
    installation.redis.start()


def flush(installation: Installation) -> None:
    installation.redis.ask("FLUSHALL")


def swap(installation: Installation) -> None:
    """Every value is another one's."""
    keys = installation.kept()
    for key, other in zip(keys, keys[1:] + keys[:1], strict=True):
        installation.redis.ask("COPY", key, f"aside:{other}", "REPLACE")
    for key in keys:
        installation.redis.ask("RENAME", f"aside:{key}", key)


def flip(installation: Installation) -> None:
    for key in installation.kept():
        installation.redis.ask("SETRANGE", key, "40", "flip")


def put_back(installation: Installation) -> None:
    """What was kept first is there again."""
    for key in installation.redis.ask("KEYS", "old:*").split("\r\n"):
        if key.startswith("old:"):
            installation.redis.ask("COPY", key, key.removeprefix("old:"), "REPLACE")


def fill(installation: Installation) -> None:
    for key in installation.kept()[:20]:
        installation.redis.ask("SET", key, b"x" * 10_000_000)


@pytest.mark.parametrize("fault", [restart, flush, swap, flip, put_back, fill, kill])
def test_redis_gone_flushed_or_lying_costs_time_only(
    installation: Installation, talk: Talk, fault: Callable[[Installation], None]
) -> None:
    redis = installation.redis
    talk.check("the first")
    for key in installation.kept():
        redis.ask("COPY", key, f"old:{key}")
    talk.say("the second")
    talk.check("the second")
    fault(installation)
    talk.check("the second")
    talk.say("the third")
    if fault is put_back:
        put_back(installation)
    talk.check("the third")
    if fault is kill:
        redis.start()
    redis.ask("FLUSHALL")

    def used_again() -> bool:
        hits = installation.figure("messages_hits")
        talk.check("the third")
        return installation.figure("messages_hits") > hits

    wait_for(used_again)


def test_what_was_altered_in_redis_is_counted_and_told(installation: Installation, talk: Talk) -> None:
    refused = installation.figure("messages_refusals")

    def noticed() -> bool:
        talk.check("the first")
        flip(installation)
        talk.check("the first")
        return installation.figure("messages_refusals") > refused

    wait_for(noticed)
    assert "somebody else writes to the cache of messages" in installation.cached.log


def test_a_redis_that_stands_still_is_done_without(installation: Installation, talk: Talk) -> None:
    talk.check("the first")
    with stopped(installation.redis.pid):
        for n in range(3):
            talk.say(str(n))
            talk.check(str(n))
        assert installation.figure("failures") > 0
    hits = installation.figure("messages_hits")

    def used_again() -> bool:
        talk.check("2")
        return installation.figure("messages_hits") > hits

    wait_for(used_again)


def test_a_changed_profile_is_seen_on_every_worker(installation: Installation, talk: Talk) -> None:
    for name in ("Alice", "Alice B", "Alice C"):
        talk.ok(talk.clients[0], "user.update", name=name)

        def seen(name: str = name) -> bool:
            replies = [talk.ok(client, "user.get", users=[talk.alice.name]) for client in talk.clients]
            return all(reply["profiles"][0].get("name") == name for reply in replies)

        wait_for(seen)
    assert installation.figure("profiles_misses") > 0


def test_what_lies_in_redis_says_nothing(installation: Installation, talk: Talk) -> None:
    talk.say("a secret")
    talk.check("a secret")
    keys = installation.kept()
    assert keys
    rests = " ".join(installation.redis.ask("GET", key) for key in keys) + " ".join(keys)
    for secret in ("a secret", talk.alice.name, talk.conversation):
        assert secret not in rests
