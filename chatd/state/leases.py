"""Who is connected to this worker and as what, and the lease under which all workers know it.

What is said here within a second or so collapses into the last of it: people are written in batches by
:meth:`Leases.write`, never one by one as they come and go, and only those of whom something has changed. Nobody who
connects waits for that.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from chatd.interfaces.bus import IBus
from chatd.interfaces.presence import IPresenceStore
from chatd.records.presence import Lease, PresenceChanged, PresenceStatus, Seen
from chatd.state.delivery import Delivery
from chatd.state.hub import Follower

ARRIVAL_SECONDS = 2.0
"""How long a new connection has to say its status before it counts as online: who is invisible says so in time."""

GRACE_SECONDS = 5.0
"""How long a connection that has gone still counts: whoever comes back within that time was never away."""

BATCH = 2000
"""People in one statement."""

SIGNAL_BYTES = 6000
"""About the most that one signal takes: a notification of PostgreSQL's holds less than 8000."""

_RANKS: Final[dict[PresenceStatus, int]] = {"online": 0, "away": 1, "invisible": 2}


class _Connection:
    """What one connection says: None as long as it may yet say it. ``delivery`` is None once it has gone."""

    __slots__ = ("delivery", "status")

    def __init__(self, delivery: Delivery[Any]) -> None:
        self.delivery: Delivery[Any] | None = delivery
        self.status: PresenceStatus | None = None


class _Person:
    """One person's connections, those that have ``gone`` and still count, and what the lease says.

    ``certain`` is false while it is not known whether that was written.
    """

    __slots__ = ("certain", "connections", "gone", "leased")

    def __init__(self) -> None:
        # Nearly everybody has one, and a dict would take as much as all else that is kept of them.
        self.connections: tuple[_Connection, ...] = ()
        self.gone: tuple[_Connection, ...] = ()
        self.leased: PresenceStatus | None = None
        self.certain = True

    @property
    def status(self) -> PresenceStatus | None:
        said = [one.status for one in (*self.connections, *self.gone) if one.status is not None]
        return min(said, key=_RANKS.__getitem__, default=None)

    @property
    def forgettable(self) -> bool:
        return not self.connections and not self.gone and self.leased is None and self.certain

    def connection(self, delivery: Delivery[Any]) -> _Connection | None:
        """The one with this delivery, unless it has gone."""
        return next((one for one in self.connections if one.delivery is delivery), None)


class Leases(Follower):
    """This worker's people. ``seconds`` is monotonic time, ``new_id`` makes ids of workers.

    ``beat``, ``write`` and ``sweep`` are to be called about once a second, each when it has ended; ``heartbeat`` says
    how often ``beat`` renews the lease, which runs for ``lease`` seconds.
    """

    def __init__(
        self,
        store: IPresenceStore,
        bus: IBus,
        seconds: Callable[[], float],
        new_id: Callable[[], str],
        *,
        heartbeat: float,
        lease: float,
    ) -> None:
        self._store = store
        self._bus = bus
        self._seconds = seconds
        self._new_id = new_id
        self._heartbeat = heartbeat
        self._lease = lease
        self._people: dict[str, _Person] = {}
        self._changed: dict[str, None] = {}
        self._arriving: deque[tuple[float, str, _Connection]] = deque()
        self._leaving: deque[tuple[float, str, _Connection]] = deque()
        self._worker: str | None = None
        self._renewed: float | None = None
        self._next_beat = self._steady_from = seconds()

    @property
    def people(self) -> int:
        """How many count as present here, or may soon."""
        return len(self._people)

    @property
    def steady(self) -> bool:
        """Whether other workers' leases can be judged: after an outage of the database all of them have run out."""
        return self._seconds() >= self._steady_from

    def arrived(self, user: str, delivery: Delivery[Any]) -> None:
        """See :class:`~chatd.state.hub.Follower`."""
        person, connection = self._people.setdefault(user, _Person()), _Connection(delivery)
        person.connections = (*person.connections, connection)
        self._arriving.append((self._seconds() + ARRIVAL_SECONDS, user, connection))

    def say(self, user: str, delivery: Delivery[Any], status: PresenceStatus) -> None:
        """A connection says its status. It outweighs what connections that have gone had said."""
        person = self._people.get(user)
        connection = None if person is None else person.connection(delivery)
        if person is not None and connection is not None:
            connection.status = status
            person.gone = ()
            self._changed[user] = None

    def left(self, user: str, delivery: Delivery[Any]) -> None:
        """See :class:`~chatd.state.hub.Follower`."""
        person = self._people.get(user)
        connection = None if person is None else person.connection(delivery)
        if person is None or connection is None:
            return
        connection.delivery = None
        person.connections = tuple(one for one in person.connections if one is not connection)
        if connection.status is not None:
            person.gone = (*person.gone, connection)
            self._leaving.append((self._seconds() + GRACE_SECONDS, user, connection))
        elif person.forgettable:
            del self._people[user]

    def _settle(self) -> None:
        """Whose time to say something is over counts as online; whose grace is over counts no longer."""
        now = self._seconds()
        while self._arriving and self._arriving[0][0] <= now:
            _, user, connection = self._arriving.popleft()
            if connection.delivery is not None and connection.status is None:
                connection.status = "online"
                self._changed[user] = None
        while self._leaving and self._leaving[0][0] <= now:
            _, user, connection = self._leaving.popleft()
            person = self._people.get(user)
            if person is not None and connection in person.gone:
                person.gone = tuple(one for one in person.gone if one is not connection)
                self._changed[user] = None

    async def beat(self) -> None:
        """Renew the lease if it is time, and begin a new one if it has run out."""
        now = self._seconds()
        if now < self._next_beat:
            return
        if self._worker is not None and not await self._store.renew(self._worker, self._lease):
            self._begin_anew()
        if self._worker is None:
            worker = self._new_id()
            await self._store.begin(worker, self._lease)
            self._worker = worker
        if self._renewed is not None and now - self._renewed > self._lease:
            self._steady_from = now + 2 * self._heartbeat
        self._renewed = now
        self._next_beat = now + self._heartbeat

    def _begin_anew(self) -> None:
        """What was written under the old lease counts no longer."""
        self._worker = None
        self._next_beat = self._seconds()
        for person in self._people.values():
            person.leased, person.certain = None, True
        self._changed.update(dict.fromkeys(self._people))

    async def write(self) -> None:
        """Write as what people count, and signal it."""
        self._settle()
        while self._worker is not None and self._changed:
            await self._write(self._worker, list(islice(self._changed, BATCH)))

    async def _write(self, worker: str, users: Sequence[str]) -> None:
        for user in users:
            del self._changed[user]
        leases = [Lease(user=user, status=person.status) for user, person in self._differing(users)]
        if not leases:
            return
        done = None
        try:
            for lease in leases:
                self._people[lease.user].certain = False
            done = await self._store.write(worker, leases)
        finally:
            if done is None:
                self._changed.update(dict.fromkeys(users))
        if worker != self._worker:
            return
        if not done:
            self._begin_anew()
            return
        for lease in leases:
            person = self._people[lease.user]
            person.leased, person.certain = lease.status, True
            self._forget(lease.user, person)
        await self._tell([lease.user for lease in leases])

    def _differing(self, users: Sequence[str]) -> Iterator[tuple[str, _Person]]:
        for user in users:
            person = self._people.get(user)
            if person is not None and (person.status != person.leased or not person.certain):
                yield user, person
            elif person is not None:
                self._forget(user, person)

    def _forget(self, user: str, person: _Person) -> None:
        if person.forgettable:
            del self._people[user]

    async def sweep(self) -> None:
        """Remove what workers have left that live no longer, and signal it."""
        swept = [""] * BATCH
        while self.steady and len(swept) == BATCH:
            swept = await self._store.sweep(BATCH)
            if swept:
                await self._tell(swept)

    async def _tell(self, users: Sequence[str]) -> None:
        """Signal how people are to be found now. Each change is followed by a reading, so the latest tells them all."""
        for people in _portions(await self._store.read(users)):
            self._bus.signal(PresenceChanged(people=people))

    async def retire(self) -> None:
        """Let the lease run out after the grace that one connection has: most of these people are on their way back."""
        if self._worker is not None:
            worker, self._worker = self._worker, None
            await self._store.renew(worker, min(GRACE_SECONDS, self._lease))


def _portions(people: Sequence[Seen]) -> Iterator[tuple[Seen, ...]]:
    """Split into what fits into one signal."""
    portion: list[Seen] = []
    size = 0
    for seen in people:
        size += 2 * len(seen.user.encode()) + 120
        if portion and size > SIGNAL_BYTES:
            yield tuple(portion)
            portion, size = [], 2 * len(seen.user.encode()) + 120
        portion.append(seen)
    if portion:
        yield tuple(portion)
