"""What the server says unasked."""

from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from chatd.wire.types import ConversationId, DeviceId, EpochName, Seq, UserId


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="event"):
    """Base of all events."""


class LogEvent(Event, frozen=True, kw_only=True, tag="log"):
    """One change of a conversation's log: delivered exactly once, in the order of ``seq``, and resumable."""

    conversation: ConversationId
    seq: Seq
    time: datetime


class EphemeralEvent(Event, frozen=True, kw_only=True, tag="ephemeral"):
    """A passing notice without ``seq``: the first to go when a reader is slow, and never sent again."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the server takes from one connection."""

    message_bytes: int
    text_chars: int
    metadata_bytes: int
    in_flight: int


class Hello(Event, frozen=True, kw_only=True, tag="hello"):
    """The first event of a connection, and again after a fresh ``auth``.

    ``queue`` is the log of what is addressed to this person and to no conversation: it is synced and acknowledged
    like any other. ``epoch`` is the one that holds now; that of your cursors stood in the reply to the ``sync`` that
    they come from. ``token_expires_in_ms`` is how long the connection lives unless it is given a fresh token.
    """

    session: str
    user: UserId
    device: DeviceId
    queue: ConversationId
    epoch: EpochName
    limits: Limits
    ping_interval_ms: int
    token_expires_in_ms: int
    features: list[str]


class Goaway(Event, frozen=True, kw_only=True, tag="goaway"):
    """This server is about to end, and the connection closes with 1012 once what is under way has been answered.

    Commands without a reply by then are to be sent again, with the same ``client_id``. ``retry_after_ms`` is when to
    come back and resume: another number for each client, so that not all come at once.
    """

    retry_after_ms: int


class TokenExpiring(EphemeralEvent, frozen=True, kw_only=True, tag="token.expiring"):
    """The connection is about to be closed since its token expires: send ``auth`` with a fresh one, and it lives on.

    It comes once for each token, when there is a minute left or what the server is set to, and not for tokens that
    live less than twice as long.
    """

    expires_in_ms: int


class ConversationStale(Event, frozen=True, kw_only=True, tag="conversation.stale"):
    """Events of this conversation are no longer delivered on this connection, most often since it reads too slowly.

    They are not lost: ``sync`` with ``scope`` ``named`` and this conversation's cursor brings them.
    """

    conversation: ConversationId


Encoded = TypeVar("Encoded", covariant=True)
Occurrence = TypeVar("Occurrence", bound=Event, covariant=True)


class Form(Protocol[Encoded]):
    """One way to write events, for instance as frames of one subprotocol."""

    def encode(self, *events: Event) -> Encoded:
        """The events in this form, one behind the other."""


class Outgoing(Generic[Occurrence]):
    """An event on its way to many connections, encoded at most once for each form."""

    __slots__ = ("_encoded", "event")

    def __init__(self, event: Occurrence) -> None:
        self.event = event
        self._encoded: dict[Any, Any] = {}

    def encoded(self, form: Form[Encoded]) -> Encoded:
        """The event in ``form``."""
        encoded: Encoded | None = self._encoded.get(form)
        if encoded is None:
            encoded = self._encoded[form] = form.encode(self.event)
        return encoded
