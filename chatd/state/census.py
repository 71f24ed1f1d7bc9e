"""Workers tell each other how many connections there are of each address and person, so that limits on these hold for
all workers together.

What has changed is told a few times a second, and from time to time all of it anew: whatever is lost or comes late is
made up for by then. Nobody waits for it, and whoever falls silent is not counted with any more.
docs/design/limits.rst says what that lets through.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chatd.interfaces.bus import IBus, IRhythm
from chatd.records.base import Signal
from chatd.security.counts import KeyedCount
from chatd.state.exchange import Exchange
from chatd.state.spending import Amount, Key

BEAT_SECONDS: Final = 0.25
MOST: Final = 150
"""Of how many is told at a time, for each limit; all together fit into one packet of any bus."""

ALIVE_SECONDS: Final = 2.0
"""How often whoever counts anything says so, be there nothing new."""

SILENT_SECONDS: Final = 3 * ALIVE_SECONDS
"""After how long a worker that said nothing is taken for dead, and its connections with it."""

REVIEW_SECONDS: Final = 10.0
"""How often all is told anew; the next time does not begin before the last one has ended."""


class Counted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """So many there are, of each of these; only digests are told of who they are."""

    limit: Annotated[str, Meta(max_length=64)]
    amounts: Annotated[tuple[tuple[Key, Amount], ...], Meta(max_length=MOST)]


class Present(Signal, frozen=True, kw_only=True, tag="limits.present"):
    """What there is at ``worker``, which is random and hears itself as well.

    ``number`` grows by one with each. What was told before that of number ``since``, and not again, holds no longer.
    """

    worker: Annotated[bytes, Meta(max_length=16)]
    number: Annotated[int, Meta(ge=1)]
    since: Annotated[int, Meta(ge=1)]
    counted: Annotated[tuple[Counted, ...], Meta(max_length=64)]


class _Peer:
    """Another worker: the last that it said, and when that was heard. From ``whole`` on no word was missed."""

    __slots__ = ("heard_at", "number", "whole")

    def __init__(self, number: int, heard_at: float) -> None:
        self.number = self.whole = number
        self.heard_at = heard_at


class Census:
    """One worker's part in it, from when ``rhythm`` is begun. ``worker`` is random and no other worker's."""

    def __init__(
        self,
        counts: Sequence[KeyedCount],
        bus: IBus,
        exchange: Exchange,
        rhythm: IRhythm,
        worker: bytes,
        clock: Callable[[], float],
    ) -> None:
        self._counts = {count.name: count for count in counts}
        self._bus = bus
        self._worker = worker
        self._clock = clock
        self._peers: dict[bytes, _Peer] = {}
        self._next = self._since = self._review_began = 1
        self._said_at = self._review_at = clock()
        exchange.listen(Present, self.heed)
        rhythm.every(BEAT_SECONDS, self.tell)
        rhythm.at_end(self.leave)

    async def tell(self) -> None:
        """Tell the others, where there is anything to tell; forget whoever tells nothing any more."""
        now = self._clock()
        for worker in [worker for worker, peer in self._peers.items() if now - peer.heard_at > SILENT_SECONDS]:
            self._forget(worker)
        workers = 1 + len(self._peers)
        if now >= self._review_at and self._since == self._review_began:
            self._review_at = now + REVIEW_SECONDS
            self._review_began = self._next
            for count in self._counts.values():
                count.review(workers)
        told = ((name, count.tell(MOST, workers)) for name, count in self._counts.items())
        counted = tuple(Counted(limit=name, amounts=tuple(amounts)) for name, amounts in told if amounts)
        if not any(count.reviewing for count in self._counts.values()):
            self._since = self._review_began
        alive = now - self._said_at >= ALIVE_SECONDS and any(count.any_here for count in self._counts.values())
        # The first word has the others tell a newcomer what they have.
        if counted or alive or self._next == 1:
            self._say(counted, now)

    async def leave(self) -> None:
        """Nothing is here any more."""
        self._since = self._next + 1
        self._say((), self._clock())

    def _say(self, counted: tuple[Counted, ...], now: float) -> None:
        self._said_at = now
        self._bus.signal(Present(worker=self._worker, number=self._next, since=self._since, counted=counted))
        self._next += 1

    def heed(self, present: Present) -> None:
        """Take what is told elsewhere. A limit that is not known here is one of another version of chatd."""
        if present.worker == self._worker:
            return
        now = self._clock()
        peer = self._peers.get(present.worker)
        if peer is None:
            peer = self._peers[present.worker] = _Peer(present.number, now)
            # It knows of nothing that was told before it came, or was heard again.
            self._review_at = now
        elif present.number <= peer.number:
            return
        else:
            if present.number > peer.number + 1:
                peer.whole = present.number
            peer.number, peer.heard_at = present.number, now
        for counted in present.counted:
            count = self._counts.get(counted.limit)
            if count is not None:
                count.learn(present.worker, present.number, counted.amounts)
        # What was told in a word that got lost was told nevertheless.
        if present.since >= peer.whole:
            for count in self._counts.values():
                count.outdate(present.worker, present.since)
        if present.since > present.number:
            self._forget(present.worker)

    def _forget(self, worker: bytes) -> None:
        del self._peers[worker]
        for count in self._counts.values():
            count.forget(worker)
