"""What the parent and a worker tell each other, on a socket pair that nobody else has an end of.

============ ================== ====================================================================
from         message            what follows
============ ================== ====================================================================
parent       ``Begin``          the first message, once: the worker starts
parent       ``Look``           the worker answers ``Status`` at once, as long as its reactor turns
parent       ``Measure``        the worker answers ``Measured``
parent       ``Stop``           the worker drains and ends
worker       ``Status``         an answer to ``Look``
worker       ``Measured``       an answer to ``Measure``
worker       ``Logged``         a line for the log, at any time
either       end of file        the other one is gone; a worker without a parent drains and ends
============ ================== ====================================================================

Each message is MessagePack behind its length in four bytes.
"""

# Twisted's protocols are only partly annotated.
# mypy: allow-untyped-calls

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

from chatd.records.condition import Dependency
from chatd.workers.orders import Order, from_wire, to_wire

LONGEST = 2**26
"""Bytes of one message. Both sides are ours; the length only has to be finite."""


class Control(msgspec.Struct, frozen=True, kw_only=True, tag_field="is"):
    """Base of all messages."""


class Begin(Control, frozen=True, kw_only=True, tag="begin"):
    """``worker`` counts from 1; ``descriptors`` are the listening sockets that the worker inherited."""

    worker: int
    order: Order
    descriptors: tuple[int, ...]


class Look(Control, frozen=True, kw_only=True, tag="look"):
    """How do you do?"""


class Measure(Control, frozen=True, kw_only=True, tag="measure"):
    """Asks for the figures; ``number`` comes back with them."""

    number: int


class Stop(Control, frozen=True, kw_only=True, tag="stop"):
    """Drain and end."""


class Status(Control, frozen=True, kw_only=True, tag="status"):
    """``ready`` is whether commands can be carried out now; ``dependencies`` are how what that takes is, by name."""

    ready: bool
    dependencies: dict[str, Dependency] = {}


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One figure of a family."""

    name: str
    labels: dict[str, str]
    value: float


class Family(msgspec.Struct, frozen=True, array_like=True):
    """Figures of one name, as Prometheus groups them."""

    name: str
    help: str
    type: str
    samples: tuple[Sample, ...]


class Measured(Control, frozen=True, kw_only=True, tag="measured"):
    """A worker's figures."""

    number: int
    families: tuple[Family, ...]


class Logged(Control, frozen=True, kw_only=True, tag="logged"):
    """One event of a log: seconds since the epoch, its level's name, where it comes from, and its text.

    ``failure`` is the traceback, if there is one; ``ids`` are those of a connection, a request and so on.
    """

    time: float
    level: str
    namespace: str
    text: str
    failure: str = ""
    ids: dict[str, str | int] = {}


FromParent = Begin | Look | Measure | Stop
FromWorker = Status | Measured | Logged

_encoder = msgspec.msgpack.Encoder(enc_hook=to_wire)
_from_parent: msgspec.msgpack.Decoder[FromParent] = msgspec.msgpack.Decoder(FromParent, dec_hook=from_wire)
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker, dec_hook=from_wire)


class Listener(Protocol):
    """Who is told what comes over a channel."""

    def heard(self, message: Any) -> None:
        """A message of the other side's."""

    def hung_up(self) -> None:
        """The other side has gone, or the channel was closed."""

    def congested(self, congested: bool) -> None:
        """Whether the other side is behind with reading."""


class Channel(Int32StringReceiver):
    """One end. ``decode`` makes a message of the other side's."""

    MAX_LENGTH = LONGEST
    transport: Any

    def __init__(self, listener: Listener, decode: Callable[[bytes], Control]) -> None:
        self._listener = listener
        self._decode = decode

    @classmethod
    def of_parent(cls, listener: Listener) -> "Channel":
        """The end that the parent keeps."""
        return cls(listener, _from_worker.decode)

    @classmethod
    def of_worker(cls, listener: Listener) -> "Channel":
        """The end that a worker inherits."""
        return cls(listener, _from_parent.decode)

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)

    def tell(self, *messages: Control) -> None:
        """Send messages; to one who has gone they are lost."""
        for message in messages:
            self.sendString(_encoder.encode(message))

    def stringReceived(self, string: bytes) -> None:
        self._listener.heard(self._decode(string))

    def close(self) -> None:
        """Send what is still to be sent, and hang up."""
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._listener.hung_up()

    # -- backpressure, as the transport tells it --

    def pauseProducing(self) -> None:
        self._listener.congested(True)

    def resumeProducing(self) -> None:
        self._listener.congested(False)

    def stopProducing(self) -> None:
        """The channel is closing: ``connectionLost`` follows."""
