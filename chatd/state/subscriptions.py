"""Who wants to know of whom whether they are online, and what each connection was last told.

A connection is told the difference between what it was told and what is true for it, at most once for each beat of
:meth:`Subscriptions.tell`: what changes to and fro in between is not seen. One that does not read is told nothing, and
the latest when it reads again. Signals say what has changed; since these may be lost, all that is subscribed to
is read again every so often, and so is who may see whom.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from math import ceil
from typing import Any, Literal

from chatd.errors import Invalid
from chatd.interfaces.people import IRelations
from chatd.interfaces.presence import IPresenceStore
from chatd.records.base import Record
from chatd.records.presence import PresenceChanged, PresenceStatus, Seen
from chatd.state.delivery import Delivery, Phase
from chatd.state.hub import Follower
from chatd.state.relations import RelationsChanged
from chatd.wire.events import EphemeralEvent, Outgoing

READ_PEOPLE = 5000
"""How many people are read again in one beat. With more of them than fit in, each is read more rarely."""

READ_PAIRS = 1000
"""In how many subscriptions it is looked up again in one beat whether the one may see the other, which costs more."""

TOLD = 20_000
"""How many connections are told of changes in one beat."""


class Shown(Record, frozen=True, kw_only=True, gc=False):
    """What one person may know of another. ``last_seen`` is of those who are offline."""

    user: str
    status: PresenceStatus | Literal["offline"]
    last_seen: datetime | None = None


class _Subscription:
    """One connection's: whom it may see of those it asked for, and what it was told of each; None: not yet."""

    __slots__ = ("allowed", "delivery", "told", "viewer")

    def __init__(self, viewer: str, delivery: Delivery[Any]) -> None:
        self.viewer = viewer
        self.delivery = delivery
        self.allowed: frozenset[str] = frozenset()
        self.told: dict[str, Shown | None] = {}

    @property
    def listens(self) -> bool:
        """Whether a notice would reach the peer now."""
        return self.delivery.phase is not Phase.IDLE and not self.delivery.paused


class Subscriptions(Follower):
    """This worker's subscriptions to presence. ``event_of`` makes the event that tells what is shown.

    ``tell`` and ``refresh`` are to be called about once in ``beat`` seconds, the latter when it has ended; then all is
    read again within ``reread`` seconds. ``steady`` is whether what is read can be believed to be whole. One
    connection subscribes to at most ``most`` people.
    """

    def __init__(
        self,
        store: IPresenceStore,
        relations: IRelations,
        event_of: Callable[[Shown], EphemeralEvent],
        steady: Callable[[], bool],
        *,
        beat: float,
        reread: float,
        most: int,
    ) -> None:
        self._store = store
        self._relations = relations
        self._event_of = event_of
        self._steady = steady
        self._share = beat / reread
        self._most = most
        # Both in the order in which it will be their turn to be read again.
        self._subscriptions: OrderedDict[Delivery[Any], _Subscription] = OrderedDict()
        self._watchers: OrderedDict[str, dict[_Subscription, None]] = OrderedDict()
        self._current: dict[str, Seen] = {}
        self._changed: dict[str, None] = {}
        self._unheard: dict[_Subscription, None] = {}
        self._doubted: dict[_Subscription, None] = {}
        self.pairs = 0

    # -- what connections ask for --

    async def look(self, viewer: str, users: Iterable[str]) -> list[Shown]:
        """What ``viewer`` may know of these people now."""
        wanted = list(dict.fromkeys(users))
        visible = await self._visible([(viewer, user) for user in wanted])
        found = {seen.user: seen for seen in await self._store.read(wanted)}
        return [_shown(viewer, user, found.get(user) if (viewer, user) in visible else None) for user in wanted]

    async def subscribe(self, viewer: str, delivery: Delivery[Any], users: Iterable[str]) -> list[Shown]:
        """The same, and from now on what becomes of it; raises Invalid where that is more than one may ask for."""
        wanted = list(dict.fromkeys(users))
        subscription = self._subscription(viewer, delivery)
        new = [user for user in wanted if user not in subscription.told]
        if len(subscription.told) + len(new) > self._most:
            raise Invalid(f"One connection subscribes to at most {self._most} people: unsubscribe from some.")
        for user in new:
            self._watch(subscription, user)
        done = False
        try:
            await self._judge({subscription: wanted})
            await self._read(wanted)
            done = True
        finally:
            if not done:
                self.unsubscribe(delivery, new)
            if delivery.phase is Phase.ENDED:
                self.left(viewer, delivery)
        shown = [self._shown(subscription, user) for user in wanted]
        for one in shown:
            if one.user in subscription.told:
                subscription.told[one.user] = one
        return shown

    def _watch(self, subscription: _Subscription, user: str) -> None:
        subscription.told[user] = None
        self.pairs += 1
        self._watchers.setdefault(user, {})[subscription] = None

    def _subscription(self, viewer: str, delivery: Delivery[Any]) -> _Subscription:
        subscription = self._subscriptions.get(delivery)
        if subscription is None:
            subscription = self._subscriptions[delivery] = _Subscription(viewer, delivery)
        return subscription

    def unsubscribe(self, delivery: Delivery[Any], users: Iterable[str]) -> None:
        """Nothing more of these."""
        subscription = self._subscriptions.get(delivery)
        if subscription is None:
            return
        for user in list(users):
            if user not in subscription.told:
                continue
            del subscription.told[user]
            self.pairs -= 1
            watchers = self._watchers[user]
            del watchers[subscription]
            if not watchers:
                del self._watchers[user]
                self._current.pop(user, None)
                self._changed.pop(user, None)
        if not subscription.told:
            del self._subscriptions[delivery]
            self._unheard.pop(subscription, None)
            self._doubted.pop(subscription, None)

    def left(self, user: str, delivery: Delivery[Any]) -> None:
        """See :class:`~chatd.state.hub.Follower`."""
        subscription = self._subscriptions.get(delivery)
        if subscription is not None:
            self.unsubscribe(delivery, subscription.told)

    # -- what has changed --

    def heed(self, signal: PresenceChanged) -> None:
        """People are to be found otherwise than before."""
        for seen in signal.people:
            self._learn(seen)

    def _learn(self, seen: Seen) -> None:
        """The latest counts, in whatever order it comes."""
        if seen.user not in self._watchers:
            return
        known = self._current.get(seen.user)
        if known is None or known.as_of <= seen.as_of:
            self._current[seen.user] = seen
            self._changed[seen.user] = None

    def part(self, signal: RelationsChanged) -> None:
        """Some of these may be apart: their connections are told nothing more until that is known."""
        users = frozenset(signal.users)
        for user in users:
            for subscription in self._watchers.get(user, ()):
                if subscription.viewer in users:
                    subscription.allowed -= {user}
                    self._doubted[subscription] = None

    async def refresh(self) -> None:
        """Look up again what is in doubt, and read again some of what is not."""
        subscriptions = self._next_subscriptions()
        doubted = [subscription for subscription in subscriptions if subscription in self._doubted]
        for subscription in doubted:
            del self._doubted[subscription]
        done = False
        try:
            await self._judge({subscription: list(subscription.told) for subscription in subscriptions})
            done = True
        finally:
            if not done:
                self._doubted.update(dict.fromkeys(one for one in doubted if one.told))
        for subscription in subscriptions:
            self._compare(subscription)
        await self._read(self._next_people())

    def _next_subscriptions(self) -> list[_Subscription]:
        chosen = dict.fromkeys(islice(self._doubted, max(READ_PAIRS // self._most, 1)))
        pairs = min(READ_PAIRS, ceil(self.pairs * self._share))
        due = []
        for subscription in self._subscriptions.values():
            if pairs <= 0:
                break
            due.append(subscription)
            pairs -= len(subscription.told)
        for subscription in due:
            self._subscriptions.move_to_end(subscription.delivery)
        return [*(chosen | dict.fromkeys(due))]

    def _next_people(self) -> list[str]:
        wanted = min(READ_PEOPLE, ceil(len(self._watchers) * self._share)) if self._steady() else 0
        people = list(islice(self._watchers, wanted))
        for user in people:
            self._watchers.move_to_end(user)
        return people

    async def _read(self, users: Sequence[str]) -> None:
        for seen in await self._store.read(users):
            self._learn(seen)

    async def _judge(self, wanted: Mapping[_Subscription, Sequence[str]]) -> None:
        """Find out whom of these each may see. What has come into doubt meanwhile stays in doubt."""
        visible = await self._visible([(one.viewer, user) for one, users in wanted.items() for user in users])
        for subscription, asked in wanted.items():
            if subscription not in self._doubted:
                seeing = {user for user in asked if (subscription.viewer, user) in visible}
                subscription.allowed = subscription.allowed.difference(asked) | seeing

    async def _visible(self, pairs: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of ``(viewer, user)`` where the one may know of the other.

        People know each other by a conversation that they share, or by following each other. Whoever is apart by a
        block sees nothing.
        """
        others = [(viewer, user) for viewer, user in pairs if viewer != user]
        visible = await self._store.acquainted(others)
        # Of every viewer, whoever they know: or it would take longer where there is a block to be found.
        for viewer in {viewer for viewer, _ in others}:
            apart = await self._relations.apart(viewer)
            visible.difference_update([(viewer, other) for other in apart])
        return visible | {(viewer, user) for viewer, user in pairs if viewer == user}

    # -- what is told --

    async def tell(self) -> None:
        """Tell the connections what has become otherwise for them, as far as they read."""
        for subscription in [one for one in self._unheard if one.listens]:
            del self._unheard[subscription]
            self._compare(subscription)
        room = TOLD
        while self._changed and room > 0:
            user = next(iter(self._changed))
            del self._changed[user]
            notices: dict[Shown, Outgoing[EphemeralEvent]] = {}
            for subscription in self._watchers.get(user, ()):
                self._tell_of(subscription, user, notices)
                room -= 1

    def _compare(self, subscription: _Subscription) -> None:
        notices: dict[Shown, Outgoing[EphemeralEvent]] = {}
        for user in subscription.told:
            self._tell_of(subscription, user, notices)

    def _tell_of(self, subscription: _Subscription, user: str, notices: dict[Shown, Outgoing[EphemeralEvent]]) -> None:
        told, shown = subscription.told[user], self._shown(subscription, user)
        if told is None or told == shown or subscription in self._doubted:
            return
        if not subscription.listens:
            self._unheard[subscription] = None
            return
        subscription.told[user] = shown
        if shown not in notices:
            notices[shown] = Outgoing(self._event_of(shown))
        subscription.delivery.notice(notices[shown])

    def _shown(self, subscription: _Subscription, user: str) -> Shown:
        seen = self._current.get(user) if user in subscription.allowed else None
        return _shown(subscription.viewer, user, seen)


def _shown(viewer: str, user: str, seen: Seen | None) -> Shown:
    """What is shown of ``seen``, which is None where ``viewer`` may know nothing."""
    if seen is None:
        return Shown(user=user, status="offline")
    if seen.status == "offline" or (seen.status == "invisible" and viewer != user):
        return Shown(user=user, status="offline", last_seen=seen.last_seen)
    return Shown(user=user, status=seen.status)
