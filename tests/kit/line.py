"""A bus that is a wire in memory: it can be cut, hold things back and be listened in on. Time passes when told to."""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from chatd.bus.remote import RemoteBus
from chatd.bus.wiring import share
from chatd.handlers.assembly import Stores
from chatd.handlers.kinds import Reader
from chatd.records.base import Signal
from chatd.state.authors import SERVER, Authors
from chatd.state.directory import Directory
from chatd.state.shared import SharedHub
from tests.kit.at_once import at_once

ROOM = 1200


class Ring(Signal, frozen=True, kw_only=True, tag="ring"):
    """A signal."""

    what: str


class Line:
    """What one worker says, all hear at once, itself included.

    While ``holding``, it stays in ``held`` until :meth:`let_go`; ``lossy``: nobody hears it. ``heard_in`` is everything
    that ever crossed.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.buses: list[RemoteBus] = []
        self.authors: list[Authors] = []
        self.heard_in: list[bytes] = []
        self.held: list[tuple[str, bytes]] = []
        self.holding = False
        self.lossy = False
        self.refusing: Exception | None = None

    def join(
        self,
        stores: Stores,
        directory: Directory,
        authors: Authors,
        reader: Reader,
        failed: Callable[[BaseException], None],
    ) -> tuple[SharedHub, RemoteBus]:
        """A worker's end of it; still to be linked."""
        shared = share(
            stores,
            directory,
            reader,
            self.clock,
            failed=failed,
            channel_of=lambda topic: "line",
            max_bytes=ROOM,
            signals=(Ring,),
        )
        self.buses.append(shared.bus)
        self.authors.append(authors)
        return shared.hub, shared.bus

    def link(self, bus: RemoteBus) -> None:
        bus.link(at_once(self.authors[self.buses.index(bus)].writing(SERVER)), self._carry)

    def link_all(self) -> None:
        for bus in self.buses:
            self.link(bus)
        self.pass_time(2.0)

    def _carry(self, packets: Sequence[tuple[str, bytes]]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        if self.refusing is not None:
            done.errback(self.refusing)
            return done
        self.heard_in += (packet for _, packet in packets)
        if self.holding:
            self.held += packets
        elif not self.lossy:
            self._bring(packets)
        done.callback(None)
        return done

    def _bring(self, packets: Sequence[tuple[str, bytes]]) -> None:
        for _, packet in packets:
            for bus in self.buses:
                bus.hear(packet)

    def let_go(self, *, backwards: bool = False) -> None:
        """What was held arrives."""
        self.holding, held, self.held = False, self.held, []
        self._bring(held[::-1] if backwards else held)

    def pass_time(self, seconds: float) -> None:
        """In small steps, as it does."""
        self.clock.pump([0.01] * round(seconds * 100))
