"""One worker's life, with a database that comes and goes as a test says and a clock that it moves."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock

from chatd.edge.websocket import ConnectionFactory
from chatd.errors import Unavailable
from chatd.store.migrate import MigrationError
from chatd.wire.commands import Done
from chatd.workers.worker import ARRIVAL_SECONDS, PARTING_SECONDS, RETRY_SECONDS, Worker
from tests.kit.at_once import Watch
from tests.kit.visitor import WaitingRouter, World, request

DRAIN = 5.0
TAKEN = CannotListenError("127.0.0.1", 8443, OSError("in use"))


class Rows:
    """The answer to a statement."""

    description = ("a column",)

    def __init__(self, *rows: tuple[Any, ...]) -> None:
        self.fetchall = lambda: [*rows]


class Session:
    """A connection to a database with ``applied`` migrations, so far as a migration without files asks."""

    def __init__(self, applied: list[tuple[int, str, str]]) -> None:
        self._applied = applied

    def run(self, sql: str, params: object = None) -> Deferred[Rows]:
        return succeed(Rows(*self._applied) if sql.startswith("SELECT version") else Rows((True,)))

    def end(self, error: Exception) -> None:
        """Nothing to close."""


class Pool(Service):
    """A pool whose database is what ``database`` gives: a session or an error, now or later."""

    def __init__(self, happened: list[str]) -> None:
        self.database: Callable[[], Deferred[Session]] = lambda: succeed(Session([]))
        self.asked = 0
        self.ready = False
        self.prepared: list[str] = []
        self._happened = happened

    async def dedicated(self, *, unbounded: bool) -> Session:
        assert unbounded, "a migration takes as long as it takes"
        self.asked += 1
        return await self.database()

    def prepare(self, statements: list[str]) -> None:
        assert not self.running
        self.prepared += statements

    def startService(self) -> None:
        super().startService()
        self.ready = True

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self.ready = False
        self._happened.append("the pool has stopped")
        return succeed(None)


class Beating(Service):
    """A rhythm, which may take its time to end."""

    def __init__(self, happened: list[str]) -> None:
        self.ending: Deferred[None] = succeed(None)
        self._happened = happened

    def startService(self) -> None:
        super().startService()
        self._happened.append("the rhythm has begun")

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self._happened.append("the rhythm has ended")
        return self.ending


class Bus(Service):
    """What links a worker to others."""

    def __init__(self, happened: list[str]) -> None:
        self._happened = happened

    def startService(self) -> None:
        super().startService()
        self._happened.append("the bus has started")

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self._happened.append("the bus has stopped")
        return succeed(None)


class Port:
    """A port, which may take its time to close."""

    def __init__(self, happened: list[str], name: str, closing: Deferred[None] | None) -> None:
        self._happened = happened
        self._name = name
        self._closing = closing

    def stopListening(self) -> Deferred[None] | None:
        self._happened.append(f"{self._name} has closed")
        return self._closing


class Endpoint:
    """Where a port is opened, unless it is ``taken``."""

    def __init__(self, happened: list[str], name: str = "the port") -> None:
        self.taken = False
        self.closing: Deferred[None] | None = None
        self.factories: list[object] = []
        self._happened = happened
        self._name = name

    def listen(self, factory: object) -> Deferred[Port]:
        self.factories.append(factory)
        return fail(TAKEN) if self.taken else succeed(Port(self._happened, self._name, self.closing))


class Life:
    """A worker and all that happens to it."""

    def __init__(self, *, metrics: bool = False, rhythm: bool = False, bus: bool = False) -> None:
        self.clock = Clock()
        self.answers = WaitingRouter()
        self.world = World(router=self.answers, clock=self.clock)
        self.happened: list[str] = []
        self.pool = Pool(self.happened)
        self.endpoint = Endpoint(self.happened)
        self.metrics = Endpoint(self.happened, "the port of the metrics")
        self.listening: list[object] = []
        self.broken: list[BaseException] = []
        self.beginning: list[BaseException | None] = []
        self.rhythm = Beating(self.happened)
        self.connections = ConnectionFactory(self.world.site.gateway)
        self.worker = Worker(
            self.clock,
            self.pool,
            [],
            ["PREPARE one", "PREPARE two"],
            self.world.site,
            self.connections,
            [self.endpoint],
            drain=DRAIN,
            listening=lambda: self.listening.append(self.endpoint),
            broken=self.broken.append,
            metrics=(self.metrics, "figures") if metrics else None,
            begin=self._begin,
            rhythm=self.rhythm if rhythm else None,
            bus=Bus(self.happened) if bus else None,
        )

    async def _begin(self) -> None:
        """What is to be done first, which goes wrong as often as there are errors in ``beginning``."""
        assert not self.pool.running
        if self.beginning and (error := self.beginning.pop(0)) is not None:
            raise error

    def stop(self) -> Watch:
        return Watch(self.worker.stopService())

    def ask(self) -> Deferred[Any]:
        """Have a command under way over HTTP; what is given answers it."""
        visitor = self.world.visitor()
        visitor.send(request("GET", "/v1/ping"))
        assert self.world.site.in_flight
        return self.answers.answers[-1]


@pytest.fixture
def life() -> Life:
    return Life()


def away() -> Deferred[Session]:
    return fail(Unavailable("The database is away."))


# -- beginning --


def test_it_listens_at_once_and_is_ready_when_the_database_is(life: Life) -> None:
    life.pool.database = lambda: coming
    coming: Deferred[Session] = Deferred()
    life.worker.startService()
    assert (len(life.listening), life.endpoint.factories) == (1, [life.world.site])
    assert not life.worker.ready
    coming.callback(Session([]))
    assert life.worker.ready
    assert life.pool.prepared == ["PREPARE one", "PREPARE two"]


def test_it_tries_again_while_the_database_is_away(life: Life) -> None:
    life.pool.database = away
    life.worker.startService()
    for tries in range(1, 6):
        assert (life.pool.asked, life.worker.ready) == (tries, False)
        life.clock.advance(RETRY_SECONDS)
    life.pool.database = lambda: succeed(Session([]))
    life.clock.advance(RETRY_SECONDS)
    assert life.worker.ready
    life.clock.advance(10 * RETRY_SECONDS)
    assert (life.pool.asked, life.broken) == (7, [])


def test_what_is_to_be_done_first_is_tried_again_too(life: Life) -> None:
    life.beginning += [Unavailable(), Unavailable()]
    life.worker.startService()
    for tries in (1, 2):
        assert (life.pool.asked, life.worker.ready) == (tries, False)
        life.clock.advance(RETRY_SECONDS)
    assert (life.worker.ready, life.beginning, life.broken) == (True, [], [])


def test_a_database_that_it_may_not_touch_is_told_and_not_tried_again(life: Life) -> None:
    life.pool.database = lambda: succeed(Session([(1, "later", "checksum")]))
    life.worker.startService()
    assert [type(error) for error in life.broken] == [MigrationError]
    life.clock.advance(10 * RETRY_SECONDS)
    assert (life.pool.asked, life.pool.running, life.worker.ready) == (1, False, False)


def test_a_port_that_is_taken_is_told(life: Life) -> None:
    life.endpoint.taken = True
    life.worker.startService()
    assert (life.broken, life.listening) == ([TAKEN], [])


def test_what_was_unforeseen_is_told_too(life: Life) -> None:
    unforeseen = ZeroDivisionError("a defect")
    life.pool.database = lambda: fail(unforeseen)
    life.worker.startService()
    assert life.broken == [unforeseen]


def test_it_is_no_longer_ready_when_the_database_goes(life: Life) -> None:
    life.worker.startService()
    life.pool.ready = False
    assert not life.worker.ready


def test_metrics_are_served_on_a_port_of_their_own() -> None:
    life = Life(metrics=True)
    life.worker.startService()
    assert (life.metrics.factories, life.endpoint.factories) == (["figures"], [life.world.site])
    assert len(life.listening) == 1
    life.stop()
    assert {"the port has closed", "the port of the metrics has closed"} < {*life.happened}


def test_a_port_of_metrics_that_is_taken_is_told() -> None:
    life = Life(metrics=True)
    life.metrics.taken = True
    life.worker.startService()
    assert life.broken == [TAKEN]


# -- ending --


def test_when_nothing_is_under_way_it_ends_at_once(life: Life) -> None:
    life.worker.startService()
    assert life.stop().ended
    assert life.happened == ["the port has closed", "the pool has stopped"]
    assert not life.worker.ready
    assert life.clock.getDelayedCalls() == []


def test_it_waits_for_its_port_to_close(life: Life) -> None:
    life.endpoint.closing = Deferred()
    life.worker.startService()
    stopped = life.stop()
    assert not stopped.ended
    life.endpoint.closing.callback(None)
    assert stopped.ended


def test_clients_that_idle_are_sent_away_at_once(life: Life) -> None:
    life.worker.startService()
    idle = life.world.visitor()
    idle.ask("GET", "/healthz")
    life.stop()
    assert idle.closed


def test_who_has_just_connected_is_still_served(life: Life) -> None:
    life.worker.startService()
    visitor = life.world.visitor()
    stopped = life.stop()
    life.clock.advance(ARRIVAL_SECONDS / 2)
    visitor.send(request("GET", "/healthz"))
    assert visitor.answer().status == 200
    life.clock.pump([0.1] * 6)
    assert (visitor.closed, stopped.ended) == (True, True)


def test_who_has_connected_and_says_nothing_is_not_waited_for_long(life: Life) -> None:
    life.worker.startService()
    visitor = life.world.visitor()
    stopped = life.stop()
    life.clock.pump([0.1] * round(ARRIVAL_SECONDS / 0.1 + 1))
    assert (visitor.closed, stopped.ended) == (True, True)


def test_what_is_under_way_is_finished_before_the_pool_stops(life: Life) -> None:
    life.worker.startService()
    under_way = life.ask()
    stopped = life.stop()
    life.clock.advance(DRAIN / 2)
    assert (stopped.ended, life.happened) == (False, ["the port has closed"])
    under_way.callback(Done())
    life.clock.advance(0.1)
    assert stopped.ended
    assert life.happened == ["the port has closed", "the pool has stopped"]


def test_what_takes_too_long_is_waited_for_no_longer_than_agreed(life: Life) -> None:
    life.worker.startService()
    life.ask()
    stopped = life.stop()
    life.clock.pump([0.1] * int(DRAIN / 0.1 - 1))
    assert not stopped.ended
    life.clock.pump([0.1] * 3)
    assert stopped.ended
    assert life.happened[-1] == "the pool has stopped"


def test_one_that_may_not_go_on_says_why_and_waits_for_little(life: Life) -> None:
    life.worker.startService()
    nearly_done, hanging = life.ask(), life.ask()
    over = RuntimeError("the database is another one")
    life.worker.give_up(over)
    assert life.broken == [over]
    stopped = life.stop()
    life.clock.advance(PARTING_SECONDS / 2)
    assert not stopped.ended
    nearly_done.callback(Done())
    life.clock.pump([0.1] * round(PARTING_SECONDS / 0.1))
    assert (stopped.ended, hanging.called) == (True, False)
    assert life.happened[-1] == "the pool has stopped"


def test_one_that_has_ended_does_not_give_up(life: Life) -> None:
    life.worker.startService()
    life.stop()
    life.worker.give_up(RuntimeError())
    assert life.broken == []


def test_one_that_was_never_started_ends_too(life: Life) -> None:
    assert life.stop().ended
    assert life.happened == []


def test_one_whose_port_was_taken_ends_too(life: Life) -> None:
    life.endpoint.taken = True
    life.worker.startService()
    stopped = life.stop()
    assert (stopped.error, stopped.ended) == (None, True)
    assert life.happened == ["the pool has stopped"]


def test_one_that_ends_while_the_database_is_away_stops_trying(life: Life) -> None:
    life.pool.database = away
    life.worker.startService()
    assert life.stop().ended
    life.clock.advance(10 * RETRY_SECONDS)
    assert (life.pool.asked, life.pool.running) == (1, False)


def test_one_that_ends_before_the_database_answers_does_not_begin_after_that(life: Life) -> None:
    life.pool.database = lambda: coming
    coming: Deferred[Session] = Deferred()
    life.worker.startService()
    assert life.stop().ended
    coming.callback(Session([]))
    assert (bool(life.pool.running), life.pool.prepared, life.worker.ready) == (False, [], False)


def test_what_fails_after_its_end_breaks_nothing(life: Life) -> None:
    life.pool.database = lambda: coming
    coming: Deferred[Session] = Deferred()
    life.worker.startService()
    life.stop()
    coming.errback(ZeroDivisionError())
    assert life.broken == []


def test_what_is_done_again_and_again_is_done_while_the_database_is_there() -> None:
    life = Life(rhythm=True)
    coming: Deferred[Session] = Deferred()
    life.pool.database = lambda: coming
    life.worker.startService()
    assert life.happened == []
    coming.callback(Session([]))
    assert life.happened == ["the rhythm has begun"]
    assert life.stop().ended
    assert life.happened[-2:] == ["the rhythm has ended", "the pool has stopped"]


def test_without_a_database_nothing_holds_up_the_end() -> None:
    life = Life(rhythm=True)
    life.worker.startService()
    life.pool.ready = False
    life.rhythm.ending = Deferred()
    stopped = life.stop()
    assert life.happened[-1] == "the pool has stopped"
    life.rhythm.ending.callback(None)
    assert stopped.ended


def test_the_bus_lives_while_the_pool_does_and_longer_than_the_rhythm() -> None:
    life = Life(bus=True, rhythm=True)
    life.worker.startService()
    assert life.happened[:2] == ["the bus has started", "the rhythm has begun"]
    assert life.stop().ended
    assert life.happened[-3:] == ["the rhythm has ended", "the bus has stopped", "the pool has stopped"]


def test_a_bus_that_never_came_to_start_is_not_stopped() -> None:
    life = Life(bus=True)
    life.pool.database = lambda: fail(Unavailable())
    life.worker.startService()
    life.stop()
    life.clock.advance(RETRY_SECONDS)
    assert not [what for what in life.happened if "bus" in what]
