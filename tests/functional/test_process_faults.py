"""What befalls processes and their host: stops, wants and clocks that jump. One server goes through all of it."""

import fcntl
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Thread

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from tests.kit.clients import Client
from tests.kit.people import Person
from tests.kit.placed import connection_on, connections_on_all
from tests.kit.postgres import Cluster
from tests.kit.resilient import Reader, Sender, ask
from tests.kit.server import Sections, Server
from tests.kit.talk import as_messages, of, whole_history
from tests.kit.tokens import AuthService
from tests.kit.traffic import Traffic
from tests.kit.waiting import WITHIN_S, wait_for
from tests.kit.workers import WorkersServer, processor_seconds, stopped

WORKERS = 2
HOUR_S = 3600
LEASE_S = 3.0
MEGABYTE = 1 << 20
MEMORY = 160 * MEGABYTE
"""Twice what a worker takes that has little to do."""
PAGE = 100
TOO_MANY = 400
"""Pages of nearly half a megabyte."""
LARGE = "x" * 4000
ROLE = "crew"
FEW = 120
"""Descriptors, of which a worker needs some thirty for itself."""
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
"""Debian's package faketime: the time of day that a process sees follows a file."""


@pytest.fixture(scope="module")
def settings() -> Sections:
    """Leases that end soon; and whoever does not read may cost much before the connection does something about it."""
    generous = {"event_buffer_bytes": 512 * MEGABYTE, "output_buffer_bytes": 512 * MEGABYTE, "slow_reader_seconds": 600}
    return {
        "presence": {"heartbeat": 0.5, "lease": LEASE_S, "reread": 1.0},
        "limits": {**generous, "memory_bytes": MEMORY},
        "database": {"pool_size": 4},
        "timeouts": {"ping_interval": 600},
    }


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By how many seconds the server's clock is ahead."""
    path = tmp_path_factory.mktemp("clock") / "ahead"
    path.write_text("+0")
    return path


@pytest.fixture(scope="module")
def admin(cluster: Cluster) -> str:
    """The server's own database, as its administrator. The server comes as somebody whose rights can be limited."""
    dsn = cluster.create_database()
    execute(dsn, f"DROP ROLE IF EXISTS {ROLE}")
    execute(dsn, f"CREATE ROLE {ROLE} LOGIN")
    execute(dsn, f"ALTER DATABASE {psycopg2.extensions.parse_dsn(dsn)['dbname']} OWNER TO {ROLE}")
    return dsn


def execute(dsn: str, statement: str) -> None:
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def end_sessions(admin: str) -> None:
    """All of the server's."""
    execute(admin, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, admin: str, auth: AuthService, settings: Sections, clock: Path
) -> Iterator[WorkersServer]:
    server = WorkersServer(tmp_path_factory.mktemp("chatd"), make_dsn(admin, user=ROLE), auth, WORKERS, settings)
    if FAKETIME is not None:
        server.environment = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
    try:
        yield server.start()
    finally:
        server.close()
    assert "Traceback" not in server.log, server.log


@pytest.fixture(autouse=True)
def healed(server: WorkersServer) -> Iterator[None]:
    """Each fault leaves behind what it found: as many workers, ready."""
    yield
    wait_for(server.ready)
    wait_for(lambda: len(server.workers) == WORKERS)


@pytest.fixture
def unharmed(server: WorkersServer) -> Iterator[None]:
    """No worker ends meanwhile."""
    before = server.workers
    yield
    assert server.workers == before


@contextmanager
def limited(which: int, soft: int, *pids: int) -> Iterator[None]:
    """These processes have so much of a resource meanwhile."""
    before = {pid: resource.prlimit(pid, which) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, which, (soft, hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, which, limits)


# -- a worker is stopped, or told to end --


@pytest.mark.usefixtures("unharmed")
def test_a_worker_that_stood_still_for_longer_than_its_lease_writes_nothing_stale(
    server: WorkersServer, alice: Person, bob: Person, person: Callable[..., Person]
) -> None:
    """What was on its way when it stopped is older than what was said elsewhere meanwhile."""
    carol = person("carol", server)
    with ExitStack() as stack:
        asleep = connection_on(server, 1, alice, stack, device="phone")
        carols = connection_on(server, 1, carol, stack)
        his, hers = (connection_on(server, 2, one, stack, device="phone") for one in (bob, alice))
        carols.ask("message.send", client_id="hi", to=bob.name, text="hi")
        reader = Reader(asleep)
        for n in range(4):
            conversation = ask(his, "message.send", client_id=f"{n}", to=alice.name, text=f"{n}")["conversation"]
        reader.sync()
        his.ask("presence.subscribe", users=[carol.name])
        wait_for(lambda: statuses(his, carol) == ["online"])
        with stopped(server.worker(1)):
            for command in ("read", "ack"):
                asleep.send(command, conversation=conversation, seq=1)
                assert hers.ask(command, conversation=conversation, seq=3)["type"] == "ok"
            wait_for(lambda: statuses(his, carol) == ["offline"])
            later = [ask(his, "message.send", client_id=f"later-{n}", to=alice.name, text="x") for n in range(20)]
        wait_for(lambda: statuses(his, carol) == ["online"])
        reader.read_until(lambda: reader.cursors[conversation] == later[-1]["seq"])
        assert as_messages(reader.events[conversation]) == whole_history(hers, conversation)
        mine = hers.ask("conversation.get", conversation=conversation)
        assert (mine["read"], mine["delivered"]) == (3, 3)
        again = connection_on(server, 1, alice, stack, device="phone")
        assert of(conversation, again.sync())[0]["seq"] == 4


def statuses(client: Client, *people: Person) -> list[str]:
    reply = ask(client, "presence.get", users=[person.name for person in people])
    return [person["status"] for person in reply["people"]]


def test_a_worker_that_is_told_to_end_under_load_refuses_nobody_and_loses_nothing(
    server: WorkersServer, alice: Person, bob: Person
) -> None:
    traffic = Traffic(server, alice, bob)
    with traffic.flowing():
        traffic.wait_for_more(100)
        leaves = server.worker(1)
        os.kill(leaves, signal.SIGTERM)
        wait_for(lambda: server.worker(1) != leaves)
        traffic.wait_for_more(100)
    traffic.check()
    assert traffic.cut == 0, "a request was not answered"


# -- descriptors --


@pytest.mark.usefixtures("unharmed")
def test_clients_never_take_the_descriptors_that_the_database_is_reached_by(
    server: WorkersServer, admin: str, alice: Person, bob: Person
) -> None:
    workers = server.workers
    with ExitStack() as stack:
        hers = stack.enter_context(alice.connect())
        with limited(resource.RLIMIT_NOFILE, FEW, *workers), ExitStack() as crowd:
            answers = [_answer(crowd, server) for _ in range(WORKERS * FEW)]
            assert set(answers) == {b"HTTP/1.1 200", b"HTTP/1.1 503"}
            assert answers.count(b"HTTP/1.1 200") <= WORKERS * FEW * 2 / 3
            begun, used = time.monotonic(), [processor_seconds(pid) for pid in workers]
            end_sessions(admin)
            for n in range(20):
                assert ask(hers, "message.send", client_id=f"{n}", to=bob.name, text="still here")["type"] == "ok"
            wait_for(lambda: all(server.figures("chatd_bus_linked").values()))
            wait_for(lambda: time.monotonic() - begun > 1.0)
            busy = sum(processor_seconds(pid) for pid in workers) - sum(used)
            assert busy < 0.8 * (time.monotonic() - begun), "somebody accepts in vain, again and again"
        wait_for(lambda: all(_answer(stack, server) == b"HTTP/1.1 200" for _ in range(10)))
        assert hers.ask("ping")["type"] == "ok"


def _answer(stack: ExitStack, server: WorkersServer) -> bytes:
    """The beginning of what a socket is answered that stays open afterwards."""
    raw = stack.enter_context(closing(socket.create_connection(("127.0.0.1", server.port), WITHIN_S)))
    raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    return raw.recv(12)


# -- memory --


@pytest.mark.usefixtures("unharmed")
def test_when_memory_runs_short_who_holds_most_of_it_is_dropped_and_may_come_back(
    server: WorkersServer, alice: Person, bob: Person, person: Callable[..., Person]
) -> None:
    carol = person("carol", server)
    with ExitStack() as stack:
        hers = stack.enter_context(alice.connect())
        Sender(hers, bob.name, text=LARGE).send(range(PAGE))
        conversation = hers.ask("conversation.list")["conversations"][0]["conversation"]
        others = connections_on_all(server, carol, stack)
        slow, greedy = (stack.enter_context(bob.raw(device=name, receive_buffer=65536)) for name in ("slow", "greedy"))
        for raw in (slow, greedy):
            raw.message()
        asked = {"type": "history.get", "conversation": conversation, "limit": PAGE}
        slow.say({"id": 1, **asked})
        for id in range(TOO_MANY):
            greedy.say({"id": id, **asked})
        wait_for(lambda: sum(server.figures("chatd_memory_dropped").values()))
        wait_for(greedy.broken)
        assert len(slow.message()["messages"]) == PAGE
        for clients in others.values():
            assert clients[0].ask("ping")["type"] == "ok"
        wait_for(lambda: not any(server.figures("chatd_memory_short").values()))
        again = stack.enter_context(bob.connect())
        assert len(again.ask(**asked)["messages"]) == PAGE


# -- time --


@pytest.mark.skipif(FAKETIME is None, reason="needs Debian's package faketime")
@pytest.mark.usefixtures("unharmed")
def test_a_clock_that_jumps_an_hour_either_way_costs_nobody_the_connection_and_no_order(
    server: WorkersServer, clock: Path, alice: Person, bob: Person, auth: AuthService
) -> None:
    with ExitStack() as stack:
        lasting = auth.token(alice.name, lifetime=3 * HOUR_S)
        hers = stack.enter_context(Client(server.url, lasting))
        his = Reader(stack.enter_context(Client(server.url, auth.token(bob.name, lifetime=3 * HOUR_S))))
        his.sync()
        seqs = [_say(hers, bob, "now")]
        lifetimes = [hers.hello["token_expires_in_ms"]]
        for ahead in (HOUR_S, -HOUR_S, 0):
            clock.write_text(f"{ahead:+d}")
            # The sweeps over connections, the heartbeats and the leases have come round.
            begun = time.monotonic()
            wait_for(lambda begun=begun: time.monotonic() - begun > LEASE_S)
            seqs += [_say(hers, bob, f"{ahead}-{n}") for n in range(5)]
            assert statuses(hers, bob) == ["online"]
            if ahead >= 0:
                lifetimes.append(stack.enter_context(Client(server.url, lasting)).hello["token_expires_in_ms"])
        assert lifetimes[0] - lifetimes[1] > HOUR_S * 900, "the clock did not jump"
        assert seqs == list(range(1, len(seqs) + 1))
        his.read_until(lambda: any(len(events) == len(seqs) for events in his.events.values()))
        assert his.stale == 0


def _say(client: Client, to: Person, text: str) -> int:
    seq = ask(client, "message.send", client_id=text.replace(" ", "-"), to=to.name, text=text)["seq"]
    assert isinstance(seq, int)
    return seq


# -- the database has no more connections for us --


@pytest.mark.usefixtures("unharmed")
def test_fewer_database_connections_than_wanted_make_it_slower_and_nothing_else(
    server: WorkersServer, admin: str, alice: Person, bob: Person
) -> None:
    with alice.connect() as hers:
        # One less than both want, the bus's included, and so many that whoever comes late gets one to write with.
        execute(admin, f"ALTER ROLE {ROLE} CONNECTION LIMIT 7")
        try:
            seen = len(server.log)
            end_sessions(admin)
            Sender(hers, bob.name).send(range(200))
            assert sum(server.figures("chatd_database_connections").values()) <= 7
            assert server.log[seen:].count("\n") < 100, "every refusal is logged"
        finally:
            execute(admin, f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")
        wait_for(lambda: sum(server.figures("chatd_database_connections").values()) == 4 * WORKERS)
        wait_for(lambda: all(server.figures("chatd_bus_linked").values()))


# -- the log cannot be written --


@pytest.mark.usefixtures("unharmed")
def test_a_log_that_cannot_grow_keeps_nobody_from_talking_and_goes_on_when_it_can(
    server: WorkersServer, settings: Sections, alice: Person, bob: Person
) -> None:
    """A limit on the size of files fails a write as a full disk does."""
    refused = "not reloaded, everything goes on as it is"
    server.configure({**settings, "limits": {"max_text_chars": 0}})
    try:
        with alice.connect() as hers:
            full = server.log_file.stat().st_size
            with limited(resource.RLIMIT_FSIZE, full, server.pid):
                for n in range(20):
                    server.reload()
                    assert _say(hers, bob, f"{n}") == n + 1
                wait_for(lambda: server.overview.get("/readyz").status == 200)
                assert server.log_file.stat().st_size == full
            server.reload()
            wait_for(lambda: refused in server.log)
    finally:
        server.configure(settings)


class PipedServer(Server):
    """A server whose log goes into a pipe, which is read into ``log`` until it is left alone."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.log_file.unlink()
        os.mkfifo(self.log_file)
        self._read = b""
        self._reading = True
        self._thread = Thread(target=self._follow)
        self._thread.start()

    @property
    def log(self) -> str:
        return self._read.decode()

    def _follow(self) -> None:
        with self.log_file.open("rb", buffering=0) as pipe:
            self._pipe = pipe.fileno()
            while self._reading and (data := pipe.read(4096)):
                self._read += data
            # Nobody reads, and nobody hangs up.
            self._kept_open = os.dup(pipe.fileno())

    def leave_the_log_alone(self) -> None:
        fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, 4096)
        self._reading = False

    def close(self) -> None:
        super().close()
        self._thread.join()
        os.close(self._kept_open)


def test_a_log_that_nobody_reads_keeps_nobody_from_talking(
    tmp_path: Path, dsn: str, auth: AuthService, person: Callable[..., Person]
) -> None:
    """Nor from ending the server, which has no parent here that would write the log."""
    server = PipedServer(tmp_path, dsn, auth, {"": {"log_level": "debug"}})
    try:
        server.start()
        alice, bob = person("alice", server), person("bob", server)
        with alice.connect() as hers:
            server.leave_the_log_alone()
            for n in range(100):
                assert alice.http().get("/v1/ping").status == 200
                assert _say(hers, bob, f"{n}") == n + 1
        assert server.stop() == 0
    finally:
        server.close()
