"""Presence: who is online, as far as others may know."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from chatd.errors import Invalid
from chatd.handlers.caller import Caller
from chatd.records.presence import PresenceStatus
from chatd.state.delivery import Delivery
from chatd.state.leases import Leases
from chatd.state.subscriptions import Shown, Subscriptions
from chatd.wire.commands import Command, Done, Reply, Route, command
from chatd.wire.events import EphemeralEvent
from chatd.wire.types import UserId

People = Annotated[list[UserId], Meta(max_length=500, description="Which people.", examples=[["bob"]])]
Status = Annotated[
    PresenceStatus | Literal["offline"],
    Meta(description="`invisible` is shown to nobody but the person's own devices; to all others that is `offline`."),
]


class PresenceNotice(EphemeralEvent, frozen=True, kw_only=True, tag="presence.changed"):
    """Somebody is to be found otherwise than this connection was last told. ``last_seen`` is of who is offline."""

    user: UserId
    status: Status
    last_seen: datetime | None = None


class PersonPresence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a person is to be found. ``last_seen`` is of who is offline, to the second, where that is known."""

    user: UserId
    status: Status
    last_seen: datetime | None = None


class Set(Command, frozen=True, kw_only=True, tag="presence.set"):
    """``status`` is what this connection says of its person from now on."""

    status: PresenceStatus


class Get(Command, frozen=True, kw_only=True, tag="presence.get"):
    """``users`` are the people to look for."""

    users: People


class Subscribe(Command, frozen=True, kw_only=True, tag="presence.subscribe"):
    """``users`` are added to those whom this connection is told of."""

    users: People


class Unsubscribe(Command, frozen=True, kw_only=True, tag="presence.unsubscribe"):
    """``users`` are taken from those whom this connection is told of."""

    users: People


class PresenceList(Reply, frozen=True, kw_only=True):
    """A person each, in the order asked. Whom one may know nothing of is offline, like whoever does not exist."""

    people: list[PersonPresence]


def notice(shown: Shown) -> PresenceNotice:
    """The event that tells what is shown of a person."""
    return PresenceNotice(user=shown.user, status=shown.status, last_seen=shown.last_seen)


class Presence:
    """The commands about presence."""

    def __init__(self, leases: Leases, subscriptions: Subscriptions) -> None:
        self._leases = leases
        self._subscriptions = subscriptions

    @command(
        Set,
        reply=Done,
        route=Route("POST", "/v1/presence/set"),
        counts_as="passing",
        errors=(Invalid,),
        emits=(PresenceNotice,),
        example={"status": "away"},
    )
    async def set(self, caller: Caller, ask: Set) -> Done:
        """Say whether one is online, away or invisible.

        That is said of one connection and ends with it. A person is online while any of their connections is, away
        while any is away, and otherwise invisible. A connection that says nothing for two seconds is online. It needs
        a WebSocket: over HTTP it is refused with `invalid`.
        """
        self._leases.say(caller.user, _delivery(caller), ask.status)
        return Done()

    @command(
        Get,
        reply=PresenceList,
        route=Route("POST", "/v1/presence/get"),
        counts_as="read",
        errors=(Invalid,),
        example={"users": ["bob"]},
    )
    async def get(self, caller: Caller, ask: Get) -> PresenceList:
        """Ask once who is online.

        That is told of people with whom the caller shares a conversation, and of those who follow each other, unless
        one of the two blocks the other.
        """
        return _list(await self._subscriptions.look(caller.user, ask.users))

    @command(
        Subscribe,
        reply=PresenceList,
        route=Route("POST", "/v1/presence/subscribe"),
        counts_as="passing",
        cost=5,
        errors=(Invalid,),
        emits=(PresenceNotice,),
        ordered_by=lambda caller, ask: "presence",
        example={"users": ["bob"]},
    )
    async def subscribe(self, caller: Caller, ask: Subscribe) -> PresenceList:
        """Ask who is online, and be told on this connection what becomes of it.

        What is told of whom is as with `presence.get`, at any time. It needs a WebSocket: over HTTP it is refused with
        `invalid`, and `presence.get` answers.
        """
        return _list(await self._subscriptions.subscribe(caller.user, _delivery(caller), ask.users))

    @command(
        Unsubscribe,
        reply=Done,
        route=Route("POST", "/v1/presence/unsubscribe"),
        counts_as="passing",
        errors=(Invalid,),
        ordered_by=lambda caller, ask: "presence",
        example={"users": ["bob"]},
    )
    async def unsubscribe(self, caller: Caller, ask: Unsubscribe) -> Done:
        """Be told no more of these people. It needs a WebSocket: over HTTP it is refused with `invalid`."""
        self._subscriptions.unsubscribe(_delivery(caller), ask.users)
        return Done()


def _delivery(caller: Caller) -> Delivery[Any]:
    if caller.delivery is None:
        raise Invalid("This is about a connection: send it over a WebSocket. Over HTTP, ask with `presence.get`.")
    return caller.delivery


def _list(shown: list[Shown]) -> PresenceList:
    return PresenceList(
        people=[PersonPresence(user=one.user, status=one.status, last_seen=one.last_seen) for one in shown]
    )
