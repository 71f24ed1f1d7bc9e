"""Whoever asks for too much is limited, on all workers together, and nobody else notices (fault 27)."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest

from tests.kit.clients import Client, HttpClient, Message, Response
from tests.kit.people import Person
from tests.kit.postgres import Cluster
from tests.kit.server import Sections, Server
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for
from tests.kit.workers import WorkersServer

BURST = 100
RATES: Sections = {"rates": {"write": f"1/s burst {BURST}"}}
_names = count(1)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, auth: AuthService) -> Iterator[WorkersServer]:
    """Two workers, on which a person writes little for long."""
    server = WorkersServer(tmp_path_factory.mktemp("chatd"), cluster.create_database(), auth, 2, RATES)
    try:
        yield server.start()
    finally:
        server.close()
    assert "Traceback" not in server.log, server.log


@pytest.fixture
def alice(person: Callable[..., Person], workers: Server) -> Person:
    return person("alice", workers)


@pytest.fixture
def bob(person: Callable[..., Person], workers: Server) -> Person:
    return person("bob", workers)


def write(client: Client, times: int = 1) -> list[Message]:
    """The replies to so many messages that are sent without waiting."""
    sent = [
        client.send("message.send", client_id=f"c{next(_names)}", to="somebody", text="hello") for _ in range(times)
    ]
    return [client.reply(id) for id in sent]


def on_each_worker(stack: ExitStack, person: Person, server: WorkersServer) -> list[Client]:
    """A connection of the person's on each of the two workers."""
    found: dict[int, Client] = {}
    for _ in range(100):
        before = server.figures("chatd_connections")
        client = stack.enter_context(person.connect())
        after = server.figures("chatd_connections")
        # Where another connection has just ended, it may not show which one this is.
        for worker in [number for number in after if after[number] > before[number]]:
            found.setdefault(worker, client)
        if len(found) == 2:
            return [found[1], found[2]]
    raise AssertionError("the system gave all connections to one worker")


def oks(replies: list[Message]) -> int:
    return sum(reply["type"] == "ok" for reply in replies)


def test_a_flooder_is_limited_on_both_workers_together_and_nobody_else_is(
    workers: WorkersServer, alice: Person, bob: Person
) -> None:
    with ExitStack() as stack:
        first, second = on_each_worker(stack, alice, workers)
        begun = time.monotonic()
        had = oks(write(first, 2 * BURST))
        assert BURST <= had <= BURST + 1 + time.monotonic() - begun
        # Not told of yet, the other worker lets a few through; by itself it would let through as many again.
        more = 0
        while oks(write(second)):
            more += 1
            assert more < BURST / 2, "the other worker has not heard of it"
            time.sleep(0.05)
        [refused] = write(second)
        assert refused["type"] == "error"
        error: dict[str, Any] = refused["error"]
        assert (error["code"], error["status"], error["retryable"]) == ("rate_limited", 429, True)
        # What was had before it was heard of is owed.
        assert 0 < error["retry_after_ms"] <= 1000 * BURST
        assert "`write`" in error["detail"]
        # What is limited is writing, and alice.
        assert second.ask("device.list")["type"] == "ok"
        for his in on_each_worker(stack, bob, workers):
            assert oks(write(his, 3)) == 3
        text = workers.metrics()
    assert 'chatd_rate_limited{limit="write",worker="1"}' in text
    assert 'chatd_commands_total{code="rate_limited",command="message.send",worker="2"}' in text


def test_over_http_the_same_limit_is_told_in_headers(alice: Person) -> None:
    http = alice.http()
    fresh = http.post("/v1/messages", client_id="first", to="somebody", text="hello")
    assert fresh.status == 200
    assert header(fresh, "RateLimit-Policy") == f'"write";q={BURST};w={BURST}'
    assert header(fresh, "RateLimit") == f'"write";r={BURST - 1};t=1'
    assert header(http.get("/v1/devices"), "RateLimit-Policy").startswith('"read";')
    with alice.connect() as client:
        write(client, 2 * BURST)
    # Until the worker that answers has heard of it.
    refused = wait_for(lambda: refused_over(http))
    assert refused is not None
    assert refused.body["code"] == "rate_limited"
    assert header(refused, "Content-Type") == "application/problem+json"
    assert header(refused, "RateLimit-Policy") == f'"write";q={BURST};w={BURST}'
    assert header(refused, "RateLimit").startswith('"write";r=0;t=')
    remaining = int(header(refused, "RateLimit").rpartition("=")[2])
    assert int(header(refused, "Retry-After")) >= remaining >= 1


def header(response: Response, name: str) -> str:
    """Names of headers may be written in any case."""
    return {key.lower(): value for key, value in response.headers.items()}[name.lower()]


def refused_over(http: HttpClient) -> Response | None:
    answer = http.post("/v1/messages", client_id=f"c{next(_names)}", to="somebody", text="hello")
    return answer if answer.status == 429 else None


def test_a_reload_changes_the_limits(workers: WorkersServer, alice: Person) -> None:
    """The last test here, since the limits stay as it leaves them."""
    workers.configure({"rates": {"write": "1/s burst 3"}})
    workers.reload_all()
    begun = time.monotonic()
    with alice.connect() as client:
        assert 3 <= oks(write(client, 50)) <= 4 + time.monotonic() - begun
