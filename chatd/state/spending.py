"""Workers tell each other what was had of their limits, so that these hold for all workers together.

Every so often each tells, of those who had most, what they had here since it was told before; the others take that from
their own buckets. Nobody waits for it, and what is lost on the way only lets somebody have a little more.
docs/design/limits.rst says how much.
"""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chatd.interfaces.bus import IBus, IRhythm
from chatd.records.base import Signal
from chatd.state.exchange import Exchange
from chatd.state.throttle import KEY_BYTES, Throttle

BEAT_SECONDS: Final = 0.25
MOST: Final = 50
"""Of how many is told at a time, for each limit; all together fit into one packet of any bus."""

Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
Amount = Annotated[int, Meta(ge=0, le=10**9)]


class Had(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """So much of a limit was had, by each of these; only digests are told of who they are."""

    limit: Annotated[str, Meta(max_length=64)]
    amounts: Annotated[tuple[tuple[Key, Amount], ...], Meta(max_length=MOST)]


class Spent(Signal, frozen=True, kw_only=True, tag="limits.spent"):
    """What was had at ``worker``, which is random and hears itself as well."""

    worker: Annotated[bytes, Meta(max_length=16)]
    had: Annotated[tuple[Had, ...], Meta(max_length=64)]


class Spending:
    """One worker's part in it, from when ``rhythm`` is begun. ``worker`` is random and no other worker's."""

    def __init__(
        self,
        throttle: Throttle,
        bus: IBus,
        exchange: Exchange,
        rhythm: IRhythm,
        worker: bytes,
        clock: Callable[[], float],
    ) -> None:
        self._limits = {limit.name: limit for limit in throttle.shared}
        self._bus = bus
        self._worker = worker
        self._clock = clock
        exchange.listen(Spent, self.heed)
        rhythm.every(BEAT_SECONDS, self.tell)

    async def tell(self) -> None:
        """Tell the others, where there is anything to tell."""
        told = ((name, limit.tell(MOST)) for name, limit in self._limits.items())
        if had := tuple(Had(limit=name, amounts=tuple(amounts)) for name, amounts in told if amounts):
            self._bus.signal(Spent(worker=self._worker, had=had))

    def heed(self, spent: Spent) -> None:
        """Take what was had elsewhere. A limit that is not known here is one of another version of chatd."""
        if spent.worker == self._worker:
            return
        now = self._clock()
        for had in spent.had:
            limit = self._limits.get(had.limit)
            if limit is not None:
                for key, amount in had.amounts:
                    limit.charge(limit.bucket(key, now), amount, now)
