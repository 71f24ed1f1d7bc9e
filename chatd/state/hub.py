"""Who is connected to this worker, and the way of an event to them."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from enum import Enum, auto
from typing import Any

from chatd.records.logs import Cursor, Entry, Publication
from chatd.state.delivery import Delivery, Start
from chatd.wire.events import EphemeralEvent, LogEvent, Outgoing

REMEMBERED_LOGS = 100_000
"""Of how many logs a worker remembers which part it has seen."""


class _Arrival(Enum):
    """How a publication stands to those of its log that came before."""

    FIRST = auto()
    NEXT = auto()
    KNOWN = auto()
    OUT_OF_TURN = auto()


class Follower:
    """Whoever has to know what happens at a hub; of this, what it does not override is nothing to it."""

    def arrived(self, user: str, delivery: Delivery[Any]) -> None:
        """A connection of this person's has been authenticated."""

    def left(self, user: str, delivery: Delivery[Any]) -> None:
        """It has gone."""

    def received(self, publications: Sequence[Publication]) -> None:
        """These were offered to whoever is connected."""


class Hub:
    """A lone worker's connections by user. ``event_of`` makes the event of an entry and its content.

    Everything is published here, but for what was committed unheard, and what was found again comes out of turn. So
    the hub remembers of each log the range that it has seen. What is in it was dealt with; what follows it is offered;
    anything else shows that something was missed, and then whoever follows the log has to read it. The first that is
    seen of a log is believed to be in its turn. Among several workers that would not hold: see
    :class:`~chatd.state.shared.SharedHub`.
    """

    def __init__(self, event_of: Callable[[Entry, object], LogEvent]) -> None:
        self._event_of = event_of
        self._users: dict[str, tuple[Delivery[Any], ...]] = {}
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._followers: list[Follower] = []

    def follow(self, follower: "Follower") -> None:
        """Tell ``follower`` from now on who comes and goes, and what has been offered."""
        self._followers.append(follower)

    def attach(self, user: str, delivery: Delivery[Any]) -> None:
        """From now on this connection is offered what is addressed to ``user``."""
        self._users[user] = (*self._users.get(user, ()), delivery)
        for follower in self._followers:
            follower.arrived(user, delivery)

    def detach(self, user: str, delivery: Delivery[Any]) -> None:
        """The connection has gone."""
        others = tuple(one for one in self._users.pop(user, ()) if one is not delivery)
        if others:
            self._users[user] = others
        for follower in self._followers:
            follower.left(user, delivery)

    def begin(self, user: str, delivery: Delivery[Any]) -> None:
        """The positions of ``user``'s logs are about to be read; :meth:`settle` or :meth:`interrupt` follows."""

    def settle(self, user: str, delivery: Delivery[Any], starts: Sequence[Start]) -> list[Cursor]:
        """See :meth:`Delivery.settle <chatd.state.delivery.Delivery.settle>`."""
        return delivery.settle(starts)

    def interrupt(self, delivery: Delivery[Any]) -> None:
        """See :meth:`Delivery.interrupted <chatd.state.delivery.Delivery.interrupted>`."""
        delivery.interrupted()

    def receive(self, publications: Sequence[Publication]) -> None:
        """Offer committed changes to those whom they concern, each once.

        An event is made once, and only if somebody is there. Where a log may hold what was never published, or the
        content is not at hand, the log is stale for everybody: they read it.
        """
        for publication in publications:
            arrival = self._arrival(publication.entry)
            if arrival is _Arrival.KNOWN:
                continue
            targets = self._connections(publication.audience)
            if not targets:
                continue
            missed = arrival is _Arrival.OUT_OF_TURN or (arrival is _Arrival.FIRST and publication.doubtful)
            if missed or publication.content is None:
                for delivery in targets:
                    delivery.lost(publication.entry.conversation)
            else:
                outgoing = Outgoing(self._event_of(publication.entry, publication.content))
                for delivery in targets:
                    delivery.offer(outgoing)
        self._tell(publications)

    def _tell(self, publications: Sequence[Publication]) -> None:
        for follower in self._followers:
            follower.received(publications)

    def _connections(self, audience: Collection[str]) -> list[Delivery[Any]]:
        """Of these people, whoever is connected: at the cost of those or of these, whichever are less."""
        users = self._users
        if len(audience) <= len(users):
            return [delivery for user in audience for delivery in users.get(user, ())]
        return [delivery for user, deliveries in users.items() if user in audience for delivery in deliveries]

    def _arrival(self, entry: Entry) -> _Arrival:
        seen, conversation, seq = self._seen, entry.conversation, entry.seq
        low, high = seen.get(conversation, (0, 0))
        if low <= seq <= high:
            return _Arrival.KNOWN
        # After something out of turn the range covers what was missed too: by then it is read from the log.
        seen[conversation] = (min(low or seq, seq), max(high, seq))
        seen.move_to_end(conversation)
        if len(seen) > REMEMBERED_LOGS:
            seen.popitem(last=False)
        if not high:
            return _Arrival.FIRST
        return _Arrival.NEXT if seq == high + 1 else _Arrival.OUT_OF_TURN

    def notice(self, users: Collection[str], event: EphemeralEvent) -> None:
        """Tell people something passing."""
        outgoing = Outgoing(event)
        for delivery in self._connections(users):
            delivery.notice(outgoing)
