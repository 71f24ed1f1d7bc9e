"""Several workers and their parent: whichever of them goes, and however, clients lose nothing."""

import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg2
import pytest

from tests.kit.people import Person
from tests.kit.placed import connections_on_all
from tests.kit.talk import whole_history
from tests.kit.tokens import AuthService
from tests.kit.traffic import Traffic
from tests.kit.waiting import WITHIN_S, wait_for
from tests.kit.workers import WorkersServer, gone, processor_seconds, stopped

WORKERS = 2
CONNECTS = 400
ALL_WORKERS = 4
FEWEST = 60


@pytest.fixture
def server(start_workers: Callable[..., WorkersServer]) -> WorkersServer:
    return start_workers()


# -- all of them --


def test_connects_are_spread_evenly(start_workers: Callable[..., WorkersServer]) -> None:
    server = start_workers(ALL_WORKERS)
    with ExitStack() as stack:
        for _ in range(CONNECTS):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        counts = wait_for(lambda: _all(server.figures("chatd_connections")))
        assert min(counts) >= FEWEST, counts
        assert server.figures("chatd_worker_ready") == dict.fromkeys(range(1, ALL_WORKERS + 1), 1.0)


def _all(connections: dict[int, float]) -> list[float]:
    """How many each worker has, once they have accepted all."""
    return [*connections.values()] if sum(connections.values()) == CONNECTS else []


def test_what_one_worker_has_committed_all_know(server: WorkersServer, alice: Person, bob: Person) -> None:
    with ExitStack() as stack:
        clients = [clients[0] for clients in connections_on_all(server, alice, stack).values()]
        for number, client in enumerate(clients):
            assert client.ask("message.send", client_id=f"{number}", to=bob.name, text=f"{number}")["seq"] == number + 1
        for client in clients:
            again = client.ask("message.send", client_id="0", to=bob.name, text="0")
            assert again["seq"] == 1
            conversation = again["conversation"]
            assert [m["text"] for m in whole_history(client, conversation)] == [str(n) for n in range(len(clients))]


def test_every_line_of_the_log_is_whole_and_says_whose_it_is(server: WorkersServer) -> None:
    server.stop()
    for number in range(1, WORKERS + 1):
        assert f"[worker {number} chatd.service#info] worker {number} listens\n" in server.log
    assert not [line for line in server.log.splitlines() if not line.startswith(("2", "\t"))]


# -- one of them --


def test_a_worker_that_is_killed_costs_its_own_connections_only_and_comes_back(
    server: WorkersServer, alice: Person, bob: Person
) -> None:
    with ExitStack() as stack:
        clients = connections_on_all(server, alice, stack)
        victim = server.worker(1)
        os.kill(victim, signal.SIGKILL)
        for client in clients[2]:
            assert client.ask("ping")["type"] == "ok"
        for client in clients[1]:
            assert client.read_until_end() == []
        wait_for(lambda: server.ready() and server.worker(1) != victim)
        assert server.figures("chatd_worker_restarts_total") == {1: 1.0, 2: 0.0}
        connections_on_all(server, alice, stack)


def test_connects_to_a_worker_that_was_killed_wait_for_the_next(
    start_workers: Callable[..., WorkersServer], person: Callable[..., Person]
) -> None:
    server = start_workers(1)
    alice = person("alice", server)
    os.kill(server.worker(1), signal.SIGKILL)
    wait_for(lambda: not server.workers)
    assert alice.http().get("/v1/ping").status == 200


def test_nothing_acknowledged_is_lost_and_nothing_doubled_when_workers_are_killed_in_turn(
    server: WorkersServer, alice: Person, bob: Person
) -> None:
    traffic = Traffic(server, alice, bob)
    with traffic.flowing():
        for number in (1, 2, 1, 2):
            traffic.wait_for_more(200)
            victim = server.worker(number)
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda number=number, victim=victim: server.ready() and server.worker(number) != victim)
    traffic.check()


def test_while_a_worker_is_stopped_the_others_serve_and_on_waking_it_goes_on(
    server: WorkersServer, alice: Person, bob: Person
) -> None:
    with ExitStack() as stack:
        clients = connections_on_all(server, alice, stack)
        hers, held = clients[2][0], clients[1][0]
        with stopped(server.worker(1)):
            late = held.send("message.send", client_id="late", to=bob.name, text="late")
            for n in range(10):
                assert hers.ask("message.send", client_id=f"{n}", to=bob.name, text=f"{n}")["seq"] == n + 1
            # The same was sent again elsewhere: it is there already when the sleeper gets to it.
            assert hers.ask("message.send", client_id="late", to=bob.name, text="late")["seq"] == 11
            wait_for(lambda: not server.ready())
            assert server.overview.get("/readyz").status == 503
        assert held.reply(late)["seq"] == 11
        wait_for(server.ready)
        assert server.figures("chatd_worker_restarts_total") == {1: 0.0, 2: 0.0}


def test_a_worker_without_descriptors_refuses_new_connections_and_keeps_the_old(
    start_workers: Callable[..., WorkersServer], person: Callable[..., Person]
) -> None:
    server = start_workers(1)
    alice, bob = person("alice", server), person("bob", server)
    worker = server.worker(1)
    with alice.connect() as hers:
        in_use = len(os.listdir(f"/proc/{worker}/fd"))
        soft, hard = _limit_descriptors(worker, in_use + 5, None)
        with ExitStack() as stack:
            refused = 0
            for _ in range(20):
                raw = stack.enter_context(closing(socket.create_connection(("127.0.0.1", server.port), WITHIN_S)))
                raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                refused += not _answer(raw)
            assert refused >= 10
            assert hers.ask("message.send", client_id="1", to=bob.name, text="still here")["type"] == "ok"
        wait_for(lambda: _served(alice))
        assert hers.ask("ping")["type"] == "ok"
        _limit_descriptors(worker, soft, hard)
    assert server.worker(1) == worker


def _limit_descriptors(pid: int, soft: int, hard: int | None) -> tuple[int, int]:
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, before[1] if hard is None else hard))
    return before


def _served(person: Person) -> bool:
    """Whether there is a descriptor again: not before the worker has seen that the others have gone."""
    try:
        return person.http().get("/v1/ping").status == 200
    except ConnectionError:
        return False


def _answer(raw: socket.socket) -> bytes:
    try:
        return raw.recv(4096)
    except ConnectionError:
        return b""


def test_a_crash_loop_turns_readiness_red_leaves_the_parent_calm_and_heals(
    start_workers: Callable[..., WorkersServer], person: Callable[..., Person], dsn: str
) -> None:
    """A database of a later version is what a worker cannot go on with."""
    server = start_workers(1)
    alice = person("alice", server)
    later = "INSERT INTO chatd.migrations (version, name, checksum) VALUES (9999, 'later', 'x')"
    with closing(psycopg2.connect(dsn)) as database, database.cursor() as cursor:
        cursor.execute(later)
        database.commit()
        begun, busy, seen = time.monotonic(), processor_seconds(server.pid), len(server.log)
        os.kill(server.worker(1), signal.SIGKILL)
        wait_for(lambda: "worker 1 has failed 3 times in a row" in server.log)
        assert processor_seconds(server.pid) - busy < 0.5 * (time.monotonic() - begun), "the parent is not calm"
        assert server.log[seen:].count("\n") < 100
        readiness = server.overview.get("/readyz")
        assert (readiness.status, readiness.body["status"]) == (503, "not ready")
        assert server.overview.get("/healthz").status == 200
        assert server.log.count("could not") == 0
        cursor.execute("DELETE FROM chatd.migrations WHERE version = 9999")
        database.commit()
    wait_for(server.ready)
    assert alice.http().get("/v1/ping").status == 200


# -- the parent --


def test_when_the_parent_is_killed_no_worker_stays_and_a_restart_is_clean(
    server: WorkersServer, alice: Person, bob: Person
) -> None:
    orphans = server.workers
    assert len(orphans) == WORKERS
    with alice.connect() as hers:
        sent = hers.ask("message.send", client_id="1", to=bob.name, text="hi")
        server.kill()
        code, _ = hers.closed()
        assert code == 1012
    wait_for(lambda: all(gone(pid) for pid in orphans))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port)).close()
    server.start()
    with alice.connect() as hers:
        assert hers.ask("message.send", client_id="1", to=bob.name, text="hi") == {**sent, "id": 1}


def test_told_to_stop_it_says_when_to_come_back_answers_what_is_under_way_and_ends_with_0(
    server: WorkersServer, alice: Person, bob: Person
) -> None:
    with ExitStack() as stack:
        clients = [client for clients in connections_on_all(server, alice, stack).values() for client in clients]
        ids = [client.send("message.send", client_id=f"{n}", to=bob.name, text="x") for n, client in enumerate(clients)]
        for client, id in zip(clients, ids, strict=True):
            client.reply(id)
        workers = server.workers
        assert server.stop() == 0
        for client in clients:
            assert client.closed()[0] == 1012
            (goaway,) = [event for event in client.read_events() if event["type"] == "goaway"]
            assert 0 <= goaway["retry_after_ms"] <= 1000
    assert all(gone(pid) for pid in workers)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port)).close()


def test_another_chatd_does_not_share_its_port(
    server: WorkersServer, tmp_path: Path, dsn: str, auth: AuthService
) -> None:
    (tmp_path / "other").mkdir()
    other = WorkersServer(tmp_path / "other", dsn, auth, WORKERS)
    other.port = server.port
    try:
        with pytest.raises(AssertionError, match="listen"):
            other.start()
        assert "chatd cannot go on: Couldn't listen on 127.0.0.1:" in other.log
    finally:
        other.close()
    assert server.ready()
