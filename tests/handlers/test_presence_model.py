"""Several workers, and all that may happen to them: what people are told of each other is true once things settle.

The model is the list of connections that live, and what each has said.
"""

from dataclasses import dataclass
from typing import Any

from hypothesis import settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chatd.bus.local import LocalBus
from chatd.errors import Unavailable
from chatd.handlers.presence import PresenceNotice
from chatd.records.base import Signal
from chatd.records.rosters import plain_roster
from chatd.settings.model import PresenceSettings
from tests.kit.stores import new_id
from tests.kit.world import Chat, Connection

FRIENDS = ("alice", "bob", "carol")
EVERYBODY = (*FRIENDS, "mallory")
"""Mallory shares nothing with the others."""

RANKS = ("online", "away", "invisible")
PROMISED_SECONDS = 15.0
COUNTS_AFTER_SECONDS = 4.0
SETTLED_AFTER_SECONDS = 60.0


class Air:
    """What the buses of all workers share. It may lose what is told to others than oneself."""

    def __init__(self) -> None:
        self.buses: list[AirBus] = []
        self.loses = False


class AirBus(LocalBus):
    """One worker's bus."""

    def __init__(self, air: Air) -> None:
        super().__init__()
        self.air = air
        air.buses.append(self)

    def signal(self, signal: Signal) -> None:
        for bus in self.air.buses:
            if bus is self or not self.air.loses:
                LocalBus.signal(bus, signal)


class Reach:
    """One worker's way to the store that all share; without it, it can do nothing."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.cut = False

    def __getattr__(self, name: str) -> Any:
        async def ask(*arguments: Any) -> Any:
            if self.cut:
                raise Unavailable
            return await getattr(self.store, name)(*arguments)

        return ask


@dataclass(eq=False)
class Device:
    """A connection, what it has said and since when, and what it has been told."""

    worker: "Worker"
    connection: Connection
    since: float
    said: str = "online"
    told: dict[str, str] | None = None

    def read(self) -> None:
        for event in self.connection.of(PresenceNotice):
            assert self.told is not None, "told unasked"
            assert self.told[event.user] != event.status or event.status == "offline", "told twice"
            self.told[event.user] = event.status
        self.connection.got.clear()


class Worker:
    """One worker, and its way to the store."""

    def __init__(self, air: Air, first: "Worker | None") -> None:
        self.bus = AirBus(air)
        self.chat = Chat(
            beside=first.chat if first else None, bus=self.bus, reach=Reach, presence=PresenceSettings(reread=20)
        )
        self.reach: Reach = self.chat.reach


class Presences(RuleBasedStateMachine):
    """Everything that may happen."""

    @initialize(loses=strategies.booleans())
    def begin(self, loses: bool) -> None:
        """Two workers, with two friends at each."""
        self.air = Air()
        self.air.loses = loses
        self.first = Worker(self.air, None)
        self.workers = [self.first, Worker(self.air, self.first)]
        self.devices: list[Device] = []
        self.gone: dict[str, float] = dict.fromkeys(EVERYBODY, -1000.0)
        self.shaken = -1000.0
        self.first.chat.database.begin(plain_roster(new_id(), "group", FRIENDS))
        for worker in self.workers:
            for user in FRIENDS[:2]:
                self._connect(worker, user)

    @property
    def now(self) -> float:
        return self.first.chat.clock.seconds()

    # -- what happens --

    @rule(data=strategies.data(), gently=strategies.booleans())
    def replace_worker(self, data: Any, gently: bool) -> None:
        worker = data.draw(strategies.sampled_from(self.workers))
        self.workers.append(Worker(self.air, self.first))
        self.workers.remove(worker)
        if gently:
            worker.chat.rhythm.stopService()
        worker.reach.cut = True
        self.air.buses.remove(worker.bus)
        # Whoever was killed does nothing more either: without the store it has no farewell to say.
        worker.chat.rhythm.stopService()
        for device in [device for device in self.devices if device.worker is worker]:
            self._lose(device)

    def _lose(self, device: Device) -> None:
        self.devices.remove(device)
        self.gone[device.connection.user] = self.now

    @rule(data=strategies.data(), user=strategies.sampled_from(EVERYBODY))
    def connect(self, data: Any, user: str) -> None:
        self._connect(data.draw(strategies.sampled_from(self.workers)), user)

    def _connect(self, worker: Worker, user: str) -> None:
        device = Device(worker, worker.chat.connect(user), self.now)
        self.devices.append(device)
        self._subscribe(device)

    @precondition(lambda self: self.devices)
    @rule(data=strategies.data())
    def hang_up(self, data: Any) -> None:
        device = data.draw(strategies.sampled_from(self.devices))
        device.connection.hang_up()
        self._lose(device)

    @precondition(lambda self: self.devices)
    @rule(data=strategies.data(), status=strategies.sampled_from(RANKS), everywhere=strategies.booleans())
    def say(self, data: Any, status: str, everywhere: bool) -> None:
        chosen = data.draw(strategies.sampled_from(self.devices))
        for device in self.devices:
            if device is chosen or (everywhere and device.connection.user == chosen.connection.user):
                device.connection.ask("presence.set", status=status)
                device.said, device.since = status, self.now

    @precondition(lambda self: self.devices)
    @rule(data=strategies.data())
    def subscribe_again(self, data: Any) -> None:
        self._subscribe(data.draw(strategies.sampled_from(self.devices)))

    def _subscribe(self, device: Device) -> None:
        device.read()
        reply = device.connection.ask("presence.subscribe", users=EVERYBODY)
        device.told = {person.user: person.status for person in reply.people}

    @precondition(lambda self: self.devices)
    @rule(data=strategies.data())
    def read_or_not(self, data: Any) -> None:
        outbox = data.draw(strategies.sampled_from(self.devices)).connection.outbox
        outbox.resume() if outbox.paused else outbox.pause()

    @rule()
    def lose_signals_or_not(self) -> None:
        self.air.loses = not self.air.loses

    @rule(seconds=strategies.sampled_from([0.25, 1.0, 3.0, 7.0, 16.0]))
    def pass_time(self, seconds: float) -> None:
        self.first.chat.pass_time(seconds)

    @rule(seconds=strategies.sampled_from([2.0, 6.0, 20.0]))
    def lose_the_database(self, seconds: float) -> None:
        for worker in self.workers:
            worker.reach.cut = True
        self.first.chat.pass_time(seconds)
        for worker in self.workers:
            worker.reach.cut = False
        self.shaken = self.now

    # -- what holds --

    def truth(self, user: str) -> str:
        said = [device.said for device in self.devices if device.connection.user == user]
        return min(said, key=RANKS.index, default="offline")

    def shown(self, viewer: str, user: str) -> str:
        truth = self.truth(user)
        if viewer == user:
            return truth
        acquainted = viewer in FRIENDS and user in FRIENDS
        return truth if acquainted and truth != "invisible" else "offline"

    @invariant()
    def whoever_asks_hears_the_truth_but_for_the_promised_seconds(self) -> None:
        if self.now - self.shaken < PROMISED_SECONDS:
            return
        for person in self.workers[0].chat.http("alice").ask("presence.get", users=EVERYBODY).people:
            mine = [device for device in self.devices if device.connection.user == person.user]
            latest = max([self.gone[person.user], *(device.since for device in mine)])
            counts = any(one.said == "online" and self.now - one.since > COUNTS_AFTER_SECONDS for one in mine)
            if counts or self.now - latest > PROMISED_SECONDS:
                assert person.status == self.shown("alice", person.user)

    @invariant()
    def nobody_is_told_what_is_not_for_them(self) -> None:
        for device in self.devices:
            device.read()
            for user, status in (device.told or {}).items():
                own = user == device.connection.user
                assert own or status != "invisible"
                assert own or status == "offline" or "mallory" not in (user, device.connection.user)

    @rule()
    def settle(self) -> None:
        for device in self.devices:
            device.connection.outbox.resume()
        self.first.chat.pass_time(SETTLED_AFTER_SECONDS)
        for device in self.devices:
            device.read()
            for user in device.told or ():
                assert device.told[user] == self.shown(device.connection.user, user), (user, device)

    def teardown(self) -> None:
        if hasattr(self, "workers"):
            self.settle()
            assert [worker.chat.failed for worker in self.workers] == [[] for _ in self.workers]


def test_whatever_happens_to_workers_what_is_told_comes_true() -> None:
    run_state_machine_as_test(Presences, settings=settings(max_examples=30, stateful_step_count=40, deadline=None))
