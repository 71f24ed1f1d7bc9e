"""What crosses between workers, and what is let in.

A packet is bytes that anybody who reaches the bus may have written::

    16 bytes  sender, random for each start of a worker
    16 bytes  HMAC-SHA-256 under the installation's own key, cut short, of everything else
    n bytes   a MessagePack array of messages

Packets of another key are dropped unread, so whoever can write to the bus but has no key can take up room, repeat what
was said once, or hold it back: no more than a bus may do anyway. Messages are checked by type all the same. Entries are
sealed as they are in the database.
"""

import hmac
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Annotated, Any, Final, TypeAlias, Union

import msgspec
from msgspec import Meta

from chatd.records.base import Signal
from chatd.records.bus import News
from chatd.records.logs import Entry, Publication
from chatd.security.sealing import DIGEST_BYTES, AuthorKey
from chatd.wire.events import EphemeralEvent
from chatd.wire.types import ConversationId, Seq

SENDER_BYTES: Final = 16
HEADER_BYTES: Final = SENDER_BYTES + DIGEST_BYTES
OVERHEAD: Final = HEADER_BYTES + 5
"""What a packet takes besides its messages, at most."""

MANY_NAMES: Final = 64
"""How many people a message names at most."""

NAMES_BYTES: Final = 2_048
"""How much their names take at most; two of the longest have room."""

FEW_NAMES: Final = 8
"""Up to how many people are named where a roster would say the same."""

Short = Annotated[str, Meta(max_length=255)]
Names = Annotated[tuple[Short, ...], Meta(max_length=MANY_NAMES)]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class Stored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an entry consists of besides its place."""

    time: datetime
    author: Short
    client_id: Short
    kind: Short
    sealed: bytes
    target: Seq | None


class Committed(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """See :class:`~chatd.records.bus.News`."""

    conversation: ConversationId
    seq: Seq
    access: Count
    audience: Names | None
    came: Names
    gone: Names
    entry: Stored | None


class Noticed(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """Something passing, for these people or for the members of a conversation as of ``access``."""

    users: Names
    conversation: ConversationId | None
    access: Count
    event: msgspec.Raw


class Signalled(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """For every worker."""

    signal: msgspec.Raw


class Alive(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """The sender is there."""


class Leaving(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    """The sender goes, and has said all."""


class Missed(msgspec.Struct, frozen=True, array_like=True, tag=6, gc=False):
    """Within so many seconds the sender may have committed what it could not say."""

    seconds: Annotated[float, Meta(ge=0, le=1e7)]


Message: TypeAlias = Committed | Noticed | Signalled | Alive | Leaving | Missed

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Message]).decode


class Hostile(Exception):
    """Not a packet of a worker's of this installation."""


class Packets:
    """Makes and opens packets under ``key``. ``sender`` names this worker, and so its own packets."""

    def __init__(self, sender: bytes, key: AuthorKey, *, max_bytes: int) -> None:
        self.sender = sender
        self.max_bytes = max_bytes
        self._key = key

    def wrap(self, messages: Sequence[bytes]) -> bytes:
        """One packet of encoded messages."""
        body = _encode([msgspec.Raw(message) for message in messages])
        return self.sender + self._digest(self.sender, body) + body

    def fill(self, messages: Iterable[bytes]) -> Iterator[bytes]:
        """As few packets as hold these in their order."""
        room = self.max_bytes - OVERHEAD
        waiting: list[bytes] = []
        size = 0
        for message in messages:
            if waiting and size + len(message) > room:
                yield self.wrap(waiting)
                waiting, size = [], 0
            waiting.append(message)
            size += len(message)
        if waiting:
            yield self.wrap(waiting)

    def open(self, packet: bytes) -> tuple[bytes, list[Message]]:
        """The sender and what it says; raises :exc:`Hostile`. One's own packets say nothing."""
        if not HEADER_BYTES < len(packet) <= self.max_bytes:
            raise Hostile(f"{len(packet)} bytes are no packet")
        sender, digest, body = packet[:SENDER_BYTES], packet[SENDER_BYTES:HEADER_BYTES], packet[HEADER_BYTES:]
        if sender == self.sender:
            return sender, []
        if not hmac.compare_digest(digest, self._digest(sender, body)):
            raise Hostile("it was not made with this installation's key")
        try:
            return sender, _decode(body)
        except msgspec.DecodeError as error:
            raise Hostile(str(error)) from error

    def _digest(self, sender: bytes, body: bytes) -> bytes:
        return self._key.digest(b"chatd/bus/1\0" + sender + body)


def committed(publication: Publication, room: int) -> Iterator[bytes]:
    """The messages of at most ``room`` bytes that tell of a change: the first tells most."""
    entry, audience = publication.entry, publication.audience
    named = [*_portions(audience)] if len(audience) <= FEW_NAMES else []
    moved = [*zip_longest(_portions(publication.came), _portions(publication.gone), fillvalue=())] or [((), ())]
    for came, gone in moved:
        message = Committed(
            conversation=entry.conversation,
            seq=entry.seq,
            access=publication.access,
            audience=named[0] if len(named) == 1 else None,
            came=came,
            gone=gone,
            # Where not all are named who came or went, it has to be read who may see it.
            entry=None if publication.content is None or len(moved) > 1 else _stored(entry),
        )
        encoded = _encode(message)
        if len(encoded) > room:
            encoded = _encode(msgspec.structs.replace(message, entry=None))
        yield encoded


def _portions(names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """As many at a time as one message has room for."""
    portion: list[str] = []
    size = 0
    for name in names:
        length = len(name.encode())
        if portion and (size + length > NAMES_BYTES or len(portion) == MANY_NAMES):
            yield tuple(portion)
            portion, size = [], 0
        portion.append(name)
        size += length
    if portion:
        yield tuple(portion)


def _stored(entry: Entry) -> Stored:
    return Stored(
        time=entry.time,
        author=entry.author,
        client_id=entry.client_id,
        kind=entry.kind,
        sealed=entry.sealed,
        target=entry.target,
    )


def news(message: Committed) -> News:
    """What a worker makes of it."""
    stored = message.entry
    return News(
        conversation=message.conversation,
        seq=message.seq,
        entry=None
        if stored is None
        else Entry(
            conversation=message.conversation,
            seq=message.seq,
            time=stored.time,
            author=stored.author,
            client_id=stored.client_id,
            kind=stored.kind,
            sealed=stored.sealed,
            target=stored.target,
        ),
        audience=message.audience,
        access=message.access,
        came=message.came,
        gone=message.gone,
    )


def noticed(users: Collection[str], event: EphemeralEvent) -> Iterator[bytes]:
    """The messages that bring something passing to these people."""
    raw = msgspec.Raw(_encode(event))
    for names in _portions(users):
        yield _encode(Noticed(users=names, conversation=None, access=0, event=raw))


def noticed_by_members(conversation: str, access: int, event: EphemeralEvent) -> bytes:
    """The message that brings something passing to all members of a conversation."""
    return _encode(Noticed(users=(), conversation=conversation, access=access, event=msgspec.Raw(_encode(event))))


def signalled(signal: Signal) -> bytes:
    """The message that brings a signal to all workers."""
    return _encode(Signalled(signal=msgspec.Raw(_encode(signal))))


ALIVE: Final = _encode(Alive())
LEAVING: Final = _encode(Leaving())


def missed(seconds: float) -> bytes:
    """The message that has all workers look at the log."""
    return _encode(Missed(seconds=seconds))


class _Nothing(msgspec.Struct, tag_field="type", tag=""):
    """No notice or signal: a union has to have a member."""


class Vocabulary:
    """What passes as a notice or a signal: ``types``. Anything else is told to ``unknown``, once for each name."""

    def __init__(self, types: Iterable[type[msgspec.Struct]], unknown: Callable[[str], None]) -> None:
        kinds: Any = Union[(_Nothing, *dict.fromkeys(types))]  # of as many as there are
        self._decode = msgspec.msgpack.Decoder(kinds).decode
        self._unknown = unknown
        self._told: set[str] = set()

    def read(self, raw: msgspec.Raw) -> Any:
        """The notice or signal, or None where it is not known here: a newer worker may know more."""
        try:
            return self._decode(raw)
        except msgspec.DecodeError:
            name = _name(raw)
            if name not in self._told and len(self._told) < 100:
                self._told.add(name)
                self._unknown(name)
            return None


class _Named(msgspec.Struct):
    type: Annotated[str, Meta(max_length=64)]


def _name(raw: msgspec.Raw) -> str:
    try:
        return msgspec.msgpack.decode(raw, type=_Named).type
    except msgspec.DecodeError:
        return "?"
