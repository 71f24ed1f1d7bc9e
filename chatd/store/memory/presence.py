"""Who is online, in memory."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace
from zope.interface import implementer

from chatd.interfaces.presence import IPresenceStore
from chatd.records.base import Record
from chatd.records.people import Tie
from chatd.records.presence import Lease, PresenceStatus, Seen
from chatd.store.memory.database import MemoryDatabase


class WorkerRow(Record, frozen=True, kw_only=True, gc=False):
    """A worker's lease."""

    renewed_at: datetime
    expires_at: datetime


@implementer(IPresenceStore)
class MemoryPresence:
    """See :class:`~chatd.interfaces.presence.IPresenceStore`. ``now`` gives times that know their zone."""

    def __init__(self, database: MemoryDatabase, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now
        self.workers: dict[str, WorkerRow] = {}
        self.leases: dict[str, dict[str, PresenceStatus]] = {}
        self.last_seen: dict[str, datetime] = {}

    def age(self, worker: str, seconds: float) -> None:
        """Have a lease be so much older."""
        row, back = self.workers[worker], timedelta(seconds=seconds)
        self.workers[worker] = replace(row, renewed_at=row.renewed_at - back, expires_at=row.expires_at - back)

    def _lives(self, worker: str) -> bool:
        row = self.workers.get(worker)
        return row is not None and row.expires_at > self._now()

    def _lease(self, worker: str, seconds: float) -> None:
        now = self._now()
        self.workers[worker] = WorkerRow(renewed_at=now, expires_at=now + timedelta(seconds=seconds))

    async def begin(self, worker: str, seconds: float) -> None:
        """See :class:`~chatd.interfaces.presence.IPresenceStore`."""
        self._lease(worker, seconds)

    async def renew(self, worker: str, seconds: float) -> bool:
        """See :class:`~chatd.interfaces.presence.IPresenceStore`."""
        lives = self._lives(worker)
        if lives:
            self._lease(worker, seconds)
        return lives

    async def write(self, worker: str, leases: Sequence[Lease]) -> bool:
        """See :class:`~chatd.interfaces.presence.IPresenceStore`."""
        if not self._lives(worker):
            return False
        for lease in leases:
            former = self._remove(lease.user, worker)
            if lease.status is not None:
                self.leases.setdefault(lease.user, {})[worker] = lease.status
            if former in ("online", "away") and lease.status in (None, "invisible"):
                self._saw(lease.user, self._now())
        return True

    def _remove(self, user: str, worker: str) -> PresenceStatus | None:
        leases = self.leases.get(user, {})
        status = leases.pop(worker, None)
        if not leases:
            self.leases.pop(user, None)
        return status

    def _saw(self, user: str, at: datetime) -> None:
        at = at.replace(microsecond=0)
        self.last_seen[user] = max(self.last_seen.get(user, at), at)

    async def sweep(self, limit: int) -> list[str]:
        """See :class:`~chatd.interfaces.presence.IPresenceStore`."""
        expired = [worker for worker in self.workers if not self._lives(worker)]
        if not expired:
            return []
        worker = min(expired, key=lambda one: self.workers[one].expires_at)
        removed = [user for user, leases in self.leases.items() if worker in leases][:limit]
        for user in removed:
            if self._remove(user, worker) != "invisible":
                self._saw(user, self.workers[worker].renewed_at)
        if len(removed) < limit:
            del self.workers[worker]
        return removed

    async def read(self, users: Sequence[str]) -> list[Seen]:
        """See :class:`~chatd.interfaces.presence.IPresenceStore`."""
        as_of = self._now().timestamp()
        return [self._seen(user, as_of) for user in dict.fromkeys(users)]

    def _seen(self, user: str, as_of: float) -> Seen:
        leases = self.leases.get(user, {})
        found = {status for worker, status in leases.items() if self._lives(worker)}
        status = next((status for status in _BY_RANK if status in found), None)
        # Whoever is left of a dead worker was last seen as the sweep will say.
        left = [
            self.workers[worker].renewed_at.replace(microsecond=0)
            for worker, said in leases.items()
            if said != "invisible" and not self._lives(worker)
        ]
        last_seen = max([*left, *filter(None, [self.last_seen.get(user)])], default=None)
        return Seen(user=user, status=status or "offline", last_seen=last_seen, as_of=as_of)

    async def acquainted(self, pairs: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """See :class:`~chatd.interfaces.presence.IPresenceStore`."""
        rosters = [log.roster for log in self._database.logs.values() if log.roster.opened and not log.roster.closed]
        ties = self._database.people.ties(pairs)
        return {
            pair
            for pair in pairs
            if any(roster.members.keys() >= set(pair) for roster in rosters) or _friends(ties.get(pair))
        }


def _friends(tie: Tie | None) -> bool:
    return tie is not None and tie.follows and tie.followed


_BY_RANK: tuple[PresenceStatus, ...] = ("online", "away", "invisible")
