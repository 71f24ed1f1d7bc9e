"""The bus between workers, whatever carries it: what is said is packed and kept until it is carried, what is heard is
checked and handed on.

Those connected to this worker hear everything at once and without the bus. To the others goes the sealed form of a
change, or where it is too large a hint. What the bus has taken is not said again. What it cannot take is kept within
bounds; beyond, all workers are told to look at the log.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, TypeAlias

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.bus import packets
from chatd.bus.packets import Hostile, Message, Packets, Vocabulary
from chatd.bus.sweep import Sweep
from chatd.errors import ChatdError
from chatd.interfaces.bus import IBus
from chatd.records.base import Signal
from chatd.records.logs import Publication
from chatd.security.sealing import AuthorKey
from chatd.state.directory import Directory
from chatd.state.ids import event_queue
from chatd.state.shared import SharedHub
from chatd.store.failures import SessionError
from chatd.wire.events import EphemeralEvent

log = Logger()

MAX_WAITING_BYTES: Final = 16 * 2**20
"""How much is kept for a bus that is away or slow."""

MAX_MESSAGES: Final = 512
"""Messages that are carried at once."""

MAX_PEERS: Final = 10_000

PULSE_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 4 * PULSE_SECONDS
"""After how long a worker that said nothing is taken for dead, with changes that it told nobody of."""

LOOK_SECONDS: Final = 300.0
"""How often a worker looks at the logs, whatever it was told."""

LOADING_ROSTERS: Final = 100
"""For how many passing notices a roster is looked up at once; more are dropped."""

EVERYBODY: Final = ""
"""The topic that every worker listens to; the others are named by conversations, people's event queues among them."""

Carry: TypeAlias = Callable[[Sequence[tuple[str, bytes]]], Awaitable[object]]
"""Takes packets with their channels; raises SessionError where it cannot be sure that they arrived."""


@implementer(IBus)
class RemoteBus:
    """One for each worker.

    ``notices`` and ``signals`` are what is let in. ``channel_of`` gives the channel of a topic. ``sender`` is random,
    and no packet takes more than ``max_bytes``. ``clock`` is in seconds, ``failed`` is told of every unforeseen
    exception. What carries it calls :meth:`link`, :meth:`unlink` and :meth:`hear`.
    """

    def __init__(
        self,
        hub: SharedHub,
        directory: Directory,
        sweep: Sweep,
        *,
        notices: Collection[type[EphemeralEvent]],
        signals: Collection[type[Signal]],
        channel_of: Callable[[str], str],
        sender: bytes,
        max_bytes: int,
        clock: Callable[[], float],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._hub = hub
        self._directory = directory
        self._sweep = sweep
        self._notices = Vocabulary(notices, _note_unknown)
        self._signals = Vocabulary(signals, _note_unknown)
        self._channel_of = channel_of
        self._sender = sender
        self._max_bytes = max_bytes
        self._clock = clock
        self._failed = failed
        self._receive: Callable[[Sequence[Publication]], None] = _nobody
        self._notice: Callable[[Collection[str], EphemeralEvent], None] = _nobody
        self._heed: Callable[[Signal], None] = _nobody
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._waiting_bytes = 0
        self._carrying = False
        self._resting: list[Deferred[None]] = []
        self._carry: Carry | None = None
        self._packets: Packets | None = None
        self._peers: dict[bytes, float] = {}
        self._away_since = clock()
        self._overflowed = False
        self._loading = 0
        self._looked_at = clock()
        self._missed_until = clock()
        self.echoed_at = clock()
        self.sent = self.received = self.refused = self.dropped = self.links = 0

    def subscribe(
        self,
        receive: Callable[[Sequence[Publication]], None],
        notice: Callable[[Collection[str], EphemeralEvent], None],
        heed: Callable[[Signal], None],
    ) -> None:
        """See :class:`~chatd.interfaces.bus.IBus`."""
        self._receive, self._notice, self._heed = receive, notice, heed

    # -- what is said --

    def publish(self, publications: Sequence[Publication]) -> None:
        """See :class:`~chatd.interfaces.bus.IBus`."""
        for publication in publications:
            channels = {self._channel_of(topic) for topic in _topics(publication)}
            for message in packets.committed(publication, self._room):
                self._say(channels, message)
        self._receive(publications)

    def notify(self, users: Collection[str], event: EphemeralEvent) -> None:
        """See :class:`~chatd.interfaces.bus.IBus`. It is not kept for a bus that is away."""
        self._notice(users, event)
        if self._carry is None:
            return
        conversation = getattr(event, "conversation", None)
        roster = None if conversation is None else self._directory.known(conversation)
        if roster is not None and len(users) > packets.FEW_NAMES and roster.members.keys() == set(users):
            message = packets.noticed_by_members(roster.conversation, roster.access, event)
            self._say({self._channel_of(roster.conversation)}, message)
            return
        by_channel: dict[str, list[str]] = {}
        for user in users:
            by_channel.setdefault(self._channel_of(event_queue(user)), []).append(user)
        for channel, names in by_channel.items():
            for message in packets.noticed(names, event):
                self._say({channel}, message)

    def signal(self, signal: Signal) -> None:
        """See :class:`~chatd.interfaces.bus.IBus`."""
        self._heed(signal)
        self._say({self._channel_of(EVERYBODY)}, packets.signalled(signal))

    def pulse(self) -> None:
        """To be called every :data:`PULSE_SECONDS`: say that this worker lives, and notice who does not.

        While the bus is away, the log is all that tells of others. Whoever fell silent may have died, or may go on
        without the bus: for a while the log is looked at as if it were away.
        """
        now = self._clock()
        if self._carry is not None:
            self._say({self._channel_of(EVERYBODY)}, packets.ALIVE)
        silent = [peer for peer, heard_at in self._peers.items() if heard_at < now - SILENT_SECONDS]
        for peer in silent:
            del self._peers[peer]
        if silent:
            self._missed_until = now + LOOK_SECONDS
            self._sweep.look_back(SILENT_SECONDS)
        elif self._carry is None or now < self._missed_until:
            self._sweep.look_back(PULSE_SECONDS)
        if now - self._looked_at > LOOK_SECONDS:
            self._looked_at = now
            self._sweep.look_back(LOOK_SECONDS)

    @property
    def peers(self) -> int:
        """How many other workers are heard."""
        return len(self._peers)

    @property
    def _room(self) -> int:
        return self._max_bytes - packets.OVERHEAD

    def _say(self, channels: Collection[str], message: bytes) -> None:
        if len(message) > self._room:
            self.dropped += 1
            return
        for channel in channels:
            self._waiting.append((channel, message))
            self._waiting_bytes += len(message)
        while self._waiting_bytes > MAX_WAITING_BYTES:
            self._waiting_bytes -= len(self._waiting.popleft()[1])
            self.dropped += 1
            self._overflowed = True
        self._carry_on()

    def _carry_on(self) -> None:
        if self._packets is not None and self._carry is not None and self._waiting and not self._carrying:
            self._carrying = True
            Deferred.fromCoroutine(self._run(self._packets, self._carry)).addErrback(self._stopped)

    async def _run(self, made: Packets, carry: Carry) -> None:
        """Hand what waits to the bus, much of it at a time; what it did not take for sure is said again."""
        try:
            while self._waiting and self._carry is carry:
                load = [self._waiting.popleft() for _ in range(min(MAX_MESSAGES, len(self._waiting)))]
                self._waiting_bytes -= sum(len(message) for _, message in load)
                try:
                    await carry(_packed(made, load))
                except Exception:
                    # Whatever it was, they may not have arrived.
                    self._waiting.extendleft(reversed(load))
                    self._waiting_bytes += sum(len(message) for _, message in load)
                    raise
                self.sent += len(load)
        finally:
            self._carrying = False
            resting, self._resting = self._resting, []
            for rested in resting:
                rested.callback(None)

    def _stopped(self, failure: Failure) -> None:
        """Where the bus did not take all, whoever carries has noticed too, and links anew."""
        if isinstance(failure.value, SessionError):
            log.debug("the bus did not take all: {reason}", reason=str(failure.value))
        else:
            self._unforeseen(failure)

    # -- what carries it --

    def link(self, key: AuthorKey, carry: Carry) -> None:
        """The bus is there: this worker hears what others say from now on, and may say something itself."""
        self._packets = Packets(self._sender, key, max_bytes=self._max_bytes)
        self._carry = carry
        self.links += 1
        self.echoed_at = self._clock()
        away = self.echoed_at - self._away_since
        self._sweep.look_back(away)
        if self._overflowed:
            self._overflowed = False
            self._say({self._channel_of(EVERYBODY)}, packets.missed(away))
        self.pulse()
        self._carry_on()

    def unlink(self) -> None:
        """The bus has gone; what nobody heard is found when it is back."""
        if self._carry is not None:
            self._carry = None
            self._away_since = self._clock()
            # Whether they live is not known now, and all is looked at anyway.
            self._peers.clear()

    async def leave(self) -> None:
        """Say what there is to be said, and goodbye."""
        if self._carry is None:
            return
        self._say({self._channel_of(EVERYBODY)}, packets.LEAVING)
        if self._carrying:
            rested: Deferred[None] = Deferred()
            self._resting.append(rested)
            await rested
        self.unlink()

    def look_back(self) -> None:
        """There may be something that was not heard just now: look at the log."""
        self._sweep.look_back(0.0)

    @property
    def linked(self) -> bool:
        """Whether the bus is there."""
        return self._carry is not None

    # -- what is heard --

    def hear(self, packet: bytes) -> None:
        """A packet has come, from whomever."""
        if self._packets is None:
            return
        try:
            sender, messages = self._packets.open(packet)
        except Hostile as hostile:
            self.refused += 1
            if self.refused & (self.refused - 1) == 0:
                log.error("the bus carries what no worker said: {reason}", reason=str(hostile), times=self.refused)
            return
        if sender == self._sender:
            self.echoed_at = self._clock()
            return
        self._peers[sender] = self._clock()
        while len(self._peers) > MAX_PEERS:
            del self._peers[next(iter(self._peers))]
        for message in messages:
            self.received += 1
            try:
                self._take(sender, message)
            except Exception as unforeseen:
                # An edge: what one message does must not keep the others from being heard.
                self._failed(unforeseen)

    def _take(self, sender: bytes, message: Message) -> None:
        if isinstance(message, packets.Committed):
            self._hub.hear(packets.news(message))
        elif isinstance(message, packets.Noticed):
            self._take_notice(message)
        elif isinstance(message, packets.Signalled):
            signal = self._signals.read(message.signal)
            if signal is not None:
                self._heed(signal)
        elif isinstance(message, packets.Missed):
            self._sweep.look_back(message.seconds)
        elif isinstance(message, packets.Leaving):
            self._peers.pop(sender, None)

    def _take_notice(self, message: packets.Noticed) -> None:
        event = self._notices.read(message.event)
        if event is None:
            return
        conversation = message.conversation
        if conversation is None:
            self._notice(message.users, event)
        elif self._hub.interest.log(conversation) is not None:
            roster = self._directory.known(conversation)
            if roster is not None and roster.access >= message.access:
                self._notice(roster.members, event)
            elif self._loading < LOADING_ROSTERS:
                self._loading += 1
                if roster is not None:
                    self._directory.forget(conversation)
                Deferred.fromCoroutine(self._notice_members(conversation, event)).addErrback(self._unforeseen)

    async def _notice_members(self, conversation: str, event: EphemeralEvent) -> None:
        try:
            roster = await self._directory.roster(conversation)
        except ChatdError:
            # It is passing anyway.
            return
        finally:
            self._loading -= 1
        self._notice(roster.members, event)

    def _unforeseen(self, failure: Failure) -> None:
        self._failed(failure.value or RuntimeError("unknown"))


def _topics(publication: Publication) -> set[str]:
    """Who has to hear of it: who follows the log, and whoever cannot do so yet."""
    newcomers = publication.audience if publication.entry.seq == 1 else publication.came
    return {publication.entry.conversation, *map(event_queue, newcomers)}


def _packed(made: Packets, load: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Packets with their channels; what goes to one channel keeps its order."""
    by_channel: dict[str, list[bytes]] = {}
    for channel, message in load:
        by_channel.setdefault(channel, []).append(message)
    return [(channel, packet) for channel, messages in by_channel.items() for packet in made.fill(messages)]


def _note_unknown(name: str) -> None:
    log.warn("another worker said something that is not known here: {name}", name=name)


def _nobody(*news: object) -> None:
    """Hears nothing."""
