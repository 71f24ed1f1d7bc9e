"""Limits on the connections of an address and of a person hold on all workers together, whatever happens to these."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.kit.clients import JSON, Client, headers
from tests.kit.people import Person
from tests.kit.raw import RawSocket
from tests.kit.redis import RedisServer
from tests.kit.server import Sections
from tests.kit.waiting import wait_for
from tests.kit.workers import WorkersServer

FROM_HERE, OF_ONE = 6, 4
LIMITS: Sections = {
    "limits": {"max_connections_per_address": FROM_HERE, "max_connections_per_user": OF_ONE},
    # These clients do not answer.
    "timeouts": {"ping_interval": 300},
}
HERE, THERE = "127.0.5.1", "127.0.5.2"

SOME = 8
"""Connects in a row, of which each worker gets one but for one time in a hundred, and that is looked at again."""

People = Callable[..., Person]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def over_redis(redis: RedisServer) -> Sections:
    return {**LIMITS, "bus": {"kind": "redis"}, "redis": {"url": redis.url}}


@pytest.fixture(params=["postgresql", "redis"])
def server(
    request: pytest.FixtureRequest, start_workers: Callable[..., WorkersServer], redis: RedisServer
) -> WorkersServer:
    """Two workers, and what carries the bus between them."""
    return start_workers(2, over_redis(redis) if request.param == "redis" else LIMITS)


class Crowd:
    """People who connect from :data:`HERE`, each once, unless all of them are one."""

    def __init__(self, server: WorkersServer, person: People, *, one: bool = False) -> None:
        self._server = server
        self._person = person
        self._one = person("one", server) if one else None
        self.clients: list[RawSocket] = []

    def come(self, address: str = HERE) -> RawSocket | None:
        """One more WebSocket; None where it is refused, as one too many, and told when to come back."""
        who = self._one or self._person("somebody", self._server)
        raw = RawSocket(self._server.url, source=address)
        try:
            raw.send(raw.handshake(headers(who.token(), None) | {"Sec-WebSocket-Protocol": JSON}))
            status, answer = raw.response()
        except (ConnectionError, EOFError):
            # Of a worker that was killed.
            status, answer = 0, {}
        if status == 101:
            return raw
        raw.socket.close()
        assert status in (0, 429)
        assert not status or int(answer["retry-after"]) > 0
        return None

    def fill(self, number: int) -> dict[int, int]:
        """So many connections, which each worker has a part of: how many."""
        for _ in range(20):
            for _ in range(number):
                client = wait_for(self.come)
                self.clients.append(client)
            shares = {worker: int(have) for worker, have in self._server.figures("chatd_connections").items()}
            if min(shares.values()) and sum(shares.values()) == number:
                return shares
            self.leave()
            wait_for(lambda: not any(self._server.figures("chatd_connections").values()))
        raise AssertionError("the system gave all connections to one worker")

    def leave(self) -> None:
        """All of them."""
        while self.clients:
            self.clients.pop().socket.close()

    def refused(self) -> bool:
        """Whether nobody gets in any more, on whichever worker."""
        for _ in range(SOME):
            client = self.come()
            if client is not None:
                client.socket.close()
                return False
        return True

    def comes(self) -> bool:
        """Whether one more gets in, and stays."""
        client = self.come()
        if client is not None:
            self.clients.append(client)
        return client is not None


@pytest.fixture
def crowd(server: WorkersServer, person: People) -> Iterator[Crowd]:
    made = Crowd(server, person)
    yield made
    made.leave()


def test_an_address_has_so_many_on_both_workers_together(server: WorkersServer, crowd: Crowd) -> None:
    shares = crowd.fill(FROM_HERE)
    # Neither has as many by itself: it has heard of the other's.
    assert max(shares.values()) < FROM_HERE
    wait_for(crowd.refused)
    elsewhere = crowd.come(THERE)
    assert elsewhere is not None
    elsewhere.socket.close()
    assert 'chatd_rate_limited{limit="connections_per_address"' in server.metrics()
    # One that goes makes room for one, wherever that comes to be.
    crowd.clients.pop().socket.close()
    wait_for(crowd.comes)
    wait_for(crowd.refused)


def test_those_of_a_worker_that_was_killed_soon_make_room_for_as_many(server: WorkersServer, crowd: Crowd) -> None:
    shares = crowd.fill(FROM_HERE)
    wait_for(crowd.refused)
    os.kill(server.worker(1), signal.SIGKILL)

    def survivor_has_room() -> bool:
        # The new one lets in what it has not heard of yet, so those that come to it say nothing.
        client = crowd.come()
        if client is None:
            return False
        here = server.figures("chatd_connections").get(2, 0)
        client.socket.close()
        return here > shares[2]

    wait_for(survivor_has_room)
    # As many as went, and not those of the other one, which are still there.
    wait_for(lambda: crowd.comes() and len(crowd.clients) >= FROM_HERE + shares[1])
    wait_for(crowd.refused)


def test_a_person_has_so_many_on_both_workers_together_from_wherever(
    server: WorkersServer, person: People, crowd: Crowd
) -> None:
    one = Crowd(server, person, one=True)
    try:
        one.fill(OF_ONE)
        wait_for(one.refused)
        assert one.come(THERE) is None
        others = crowd.come()
        assert others is not None
        others.socket.close()
        assert 'chatd_rate_limited{limit="connections_per_user"' in server.metrics()
        one.clients.pop().socket.close()
        wait_for(one.comes)
    finally:
        one.leave()


def test_a_person_who_shows_the_token_in_a_message_is_told_the_same(server: WorkersServer, person: People) -> None:
    alice = person("alice", server)
    with ExitStack() as stack:
        for _ in range(OF_ONE):
            client = stack.enter_context(Client(server.url))
            assert client.ask("auth", token=alice.token())["type"] == "ok"
        # To show another one on a connection that counts takes no more room.
        assert client.ask("auth", token=alice.token())["type"] == "ok"

        def refused() -> bool:
            with Client(server.url) as one:
                reply = one.ask("auth", token=alice.token())
                if reply["type"] == "ok":
                    return False
                error = reply["error"]
                assert (error["code"], error["status"], error["retryable"]) == ("rate_limited", 429, True)
                assert error["retry_after_ms"] > 0
                assert one.closed()[0] == 1013
                return True

        wait_for(lambda: all(refused() for _ in range(SOME)))


def test_without_redis_each_worker_counts_its_own_until_it_is_back(
    start_workers: Callable[..., WorkersServer], redis: RedisServer, person: People
) -> None:
    crowd = Crowd(start_workers(2, over_redis(redis)), person)
    try:
        crowd.fill(FROM_HERE)
        wait_for(crowd.refused)
        redis.kill()
        # Each worker lets in as many as one address may have in all.
        wait_for(lambda: crowd.comes() and len(crowd.clients) == 2 * FROM_HERE)
        assert crowd.refused()
        redis.start()
        while len(crowd.clients) >= FROM_HERE:
            crowd.clients.pop().socket.close()
        wait_for(crowd.comes)
        wait_for(crowd.refused)
    finally:
        crowd.leave()
