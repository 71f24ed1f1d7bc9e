"""Two machines with two workers each, one PostgreSQL, one Redis, and links between them that fail."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import pytest
from psycopg2.extensions import make_dsn

from chatd.security.keyring import MasterKeys
from tests.kit.clients import Client
from tests.kit.machines import Machine, MachineServer, why_not
from tests.kit.people import Person
from tests.kit.proxy import Proxy, postgres_address
from tests.kit.redis import RedisServer
from tests.kit.resilient import Reader, Sender, ask, sending
from tests.kit.server import Sections
from tests.kit.settings import private
from tests.kit.talk import as_messages, whole_history
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for
from tests.kit.workers import gone

WORKERS = 2
SOON_S = 3.0
"""Long before any worker would look at the log by itself."""
RETRYABLE = {"unavailable", "outcome_unknown", "overloaded"}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why := why_not()), reason=why)]


@dataclass(frozen=True)
class Place:
    """A machine, and chatd on it."""

    machine: Machine
    server: MachineServer

    def figures(self, name: str) -> list[float]:
        return [*self.server.figures(name).values()]

    @property
    def linked(self) -> bool:
        """Whether all of its workers hear all other workers by the bus."""
        return self.server.ready() and self.figures("chatd_bus_workers") == [2 * WORKERS - 1] * WORKERS


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, database: str, auth: AuthService) -> Iterator[tuple[Place, Place]]:
    """Both see the same, once there is nothing wrong with the links."""
    keys = private(tmp_path_factory.mktemp("keys") / "master-keys", MasterKeys.generate_line("2025-11"))
    with ExitStack() as stack:
        machines = [stack.enter_context(Machine.running()) for _ in range(2)]
        addresses = ["127.0.0.1", *(machine.redis.ours for machine in machines)]
        options = ("--bind", *addresses, "--protected-mode", "no")
        redis = stack.enter_context(RedisServer(tmp_path_factory.mktemp("redis"), *options))
        found = []
        for machine in machines:
            proxy = stack.enter_context(Proxy(postgres_address(database), machine.database.ours))
            dsn = make_dsn(
                database, host=machine.database.ours, port=proxy.port, sslmode="disable", gssencmode="disable"
            )
            settings: Sections = {
                "presence": {"heartbeat": 0.5, "lease": 3.0, "reread": 1.0},
                "bus": {"kind": "redis"},
                "redis": {"url": f"redis://{machine.redis.ours}:{redis.port}"},
                "encryption": {"master_keys_file": str(keys)},
                "database": {"dsn": dsn, "pool_size": 4, "statement_timeout": 2, "connect_timeout": 2},
            }
            server = MachineServer(machine, tmp_path_factory.mktemp("chatd"), dsn, auth, WORKERS, settings)
            stack.callback(server.close)
            found.append(Place(machine, server.start()))
        here, there = found
        wait_for(lambda: here.linked and there.linked)
        yield here, there
    for place in found:
        assert "Traceback" not in place.server.log, place.server.log


@pytest.fixture
def here(places: tuple[Place, Place]) -> Iterator[Place]:
    """Whole again when a test ends."""
    here, there = places
    yield here
    here.machine.database.heal()
    here.machine.redis.heal()
    wait_for(lambda: here.linked and there.linked)


class Pair:
    """Alice is here and bob is there; both are live, and each has written to the other."""

    def __init__(self, stack: ExitStack, alice: Person, bob: Person) -> None:
        self.alice, self.bob = alice, bob
        self.hers, self.his = (stack.enter_context(one.connect()) for one in (alice, bob))
        self.at_hers, self.at_his = (stack.enter_context(one.connect(device="reader")) for one in (alice, bob))
        self.she_reads, self.he_reads = Reader(self.at_hers), Reader(self.at_his)
        self.conversation = str(ask(self.hers, "message.send", client_id="0", to=bob.name, text="0")["conversation"])
        self.count = 1
        for reader in (self.she_reads, self.he_reads):
            reader.sync()

    def say(self, client: Client, to: Person, text: str) -> None:
        """A message that both get to read, whichever way."""
        ask(client, "message.send", client_id=f"say-{self.count}", to=to.name, text=text)
        self.count += 1
        self.read_all()

    def read_all(self, *, within: float = 60.0) -> None:
        for reader in (self.she_reads, self.he_reads):
            reader.read_until(partial(self._has_all, reader), within=within)

    def _has_all(self, reader: Reader) -> bool:
        return len(reader.events.get(self.conversation, ())) >= self.count

    def check(self) -> None:
        """Both have read what there is: each message once, in one order, and nobody was told to look again."""
        history = whole_history(self.his, self.conversation)
        assert len(history) == self.count
        for reader in (self.she_reads, self.he_reads):
            assert as_messages(reader.events[self.conversation]) == history
            assert reader.stale == 0


@pytest.fixture
def pair(here: Place, places: tuple[Place, Place], person: Callable[..., Person]) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack, person("alice", here.server), person("bob", places[1].server))


def status(client: Client, of: Person) -> str:
    return str(ask(client, "presence.get", users=[of.name])["people"][0]["status"])


def test_people_on_two_machines_hear_and_see_each_other_at_once(pair: Pair) -> None:
    for n in range(20):
        client, to = (pair.hers, pair.bob) if n % 2 else (pair.his, pair.alice)
        ask(client, "message.send", client_id=f"both-{n}", to=to.name, text=f"both-{n}")
        pair.count += 1
        pair.read_all(within=SOON_S)
    wait_for(lambda: status(pair.his, pair.alice) == status(pair.hers, pair.bob) == "online")
    pair.check()


def test_a_machine_that_has_lost_redis_goes_on_by_what_the_log_says(here: Place, pair: Pair) -> None:
    here.machine.redis.cut()
    pair.say(pair.his, pair.alice, "he says this before anybody has noticed")
    pair.say(pair.hers, pair.bob, "and she this")
    assert here.server.ready()
    assert here.figures("chatd_bus_linked") == [0.0] * WORKERS
    for n in range(2):
        pair.say(pair.hers, pair.bob, f"she {n}")
        pair.say(pair.his, pair.alice, f"he {n}")
    assert status(pair.his, pair.alice) == "online"
    pair.check()


def test_a_machine_that_has_lost_everything_says_so_and_makes_up_for_it(here: Place, pair: Pair) -> None:
    wait_for(lambda: status(pair.his, pair.alice) == "online")
    sender = Sender(pair.hers, pair.bob.name)
    with sending(sender, window=4) as finish:
        wait_for(lambda: len(sender.acknowledged) > 20)
        for link in (here.machine.database, here.machine.redis):
            link.cut()
        wait_for(lambda: sender.codes)
        assert pair.at_hers.ask("ping")["type"] == "ok"
        wait_for(lambda: status(pair.his, pair.alice) == "offline")
        his = Sender(pair.his, pair.alice.name, prefix="his")
        his.send(range(20))
        acknowledged = len(sender.acknowledged)
        for link in (here.machine.database, here.machine.redis):
            link.heal()
        wait_for(lambda: len(sender.acknowledged) > acknowledged + 20)
        finish()
    assert set(sender.codes) <= RETRYABLE
    wait_for(lambda: status(pair.his, pair.alice) == "online")
    pair.count += len(sender.acknowledged) + len(his.acknowledged)
    pair.read_all()
    pair.check()


def test_a_machine_that_dies_takes_nothing_along_and_its_people_go_on_elsewhere(
    here: Place, places: tuple[Place, Place], pair: Pair, auth: AuthService
) -> None:
    wait_for(lambda: status(pair.his, pair.alice) == "online")
    workers = here.server.workers
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    here.server.kill()
    wait_for(lambda: all(gone(pid) for pid in workers))
    Sender(pair.his, pair.alice.name, prefix="his").send(range(20))
    wait_for(lambda: status(pair.his, pair.alice) == "offline")
    with Client(places[1].server.url, auth.token(pair.alice.name)) as elsewhere:
        pair.count += 20
        pair.she_reads.resume(elsewhere)
        pair.read_all()
        pair.check()
        wait_for(lambda: status(pair.his, pair.alice) == "online")
    here.server.start()
