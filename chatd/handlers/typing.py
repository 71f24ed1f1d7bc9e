"""Typing: telling in passing who is about to say something."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from chatd.errors import Forbidden, Invalid, NotFound
from chatd.handlers.access import Access
from chatd.handlers.caller import Caller
from chatd.handlers.messages import MESSAGE, check_speaks
from chatd.interfaces.bus import IBus
from chatd.interfaces.people import IRelations
from chatd.records.logs import Publication
from chatd.records.presence import TypingShown
from chatd.records.rosters import Roster
from chatd.state.delivery import Delivery
from chatd.state.hub import Follower
from chatd.state.relations import RelationsChanged
from chatd.state.typing import EXPIRES_SECONDS, Typists
from chatd.wire.commands import Command, Done, Route, command
from chatd.wire.events import EphemeralEvent
from chatd.wire.types import ConversationId, UserId


class TypingStarted(EphemeralEvent, frozen=True, kw_only=True, tag="typing.started"):
    """A member types. Show it no longer than ``expires_in_ms`` from now, unless it comes again."""

    conversation: ConversationId
    user: UserId
    expires_in_ms: Annotated[int, Meta(ge=1)]


class TypingStopped(EphemeralEvent, frozen=True, kw_only=True, tag="typing.stopped"):
    """A member types no longer."""

    conversation: ConversationId
    user: UserId


class Start(Command, frozen=True, kw_only=True, tag="typing.start"):
    """Where the caller types."""

    conversation: ConversationId


class Stop(Command, frozen=True, kw_only=True, tag="typing.stop"):
    """Where the caller types no longer."""

    conversation: ConversationId


class Typing(Follower):
    """The commands about typing. ``seconds`` is monotonic time; ``expire`` is to be called about once a second.

    In groups of more than ``damped_above`` members a few at a time are told to type, above ``silent_above`` nobody.
    """

    def __init__(
        self,
        access: Access,
        relations: IRelations,
        bus: IBus,
        now: Callable[[], datetime],
        seconds: Callable[[], float],
        *,
        damped_above: int,
        silent_above: int,
    ) -> None:
        self._access = access
        self._relations = relations
        self._bus = bus
        self._now = now
        self._typists = Typists(seconds, self._tell_stopped)
        self._damped_above = damped_above
        self._silent_above = silent_above

    @command(
        Start,
        reply=Done,
        route=Route("POST", "/v1/conversations/{conversation}/typing/start"),
        counts_as="passing",
        errors=(Invalid, Forbidden, NotFound),
        emits=(TypingStarted, TypingStopped),
        example={},
    )
    async def start(self, caller: Caller, ask: Start) -> Done:
        """Tell the other members that one types.

        Send it again every few seconds while that lasts: it expires by itself after six, and what is sent within
        three seconds of the last that was told is not told again. A message of the caller's ends it, as does the end
        of the connection. In large groups only a few are told of at a time, and in very large ones nobody.
        """
        roster = await self._access.shared(ask.conversation, caller.user)
        check_speaks(roster, caller.user, self._now())
        if len(roster.members) <= self._silent_above and self._typists.is_due(ask.conversation, caller.user):
            apart = await self._relations.apart(caller.user)
            self._start(caller, roster, frozenset(roster.members.keys() - apart - {caller.user}))
        return Done()

    def _start(self, caller: Caller, roster: Roster, audience: frozenset[str]) -> None:
        conversation, user = roster.conversation, caller.user
        damped = len(roster.members) > self._damped_above
        if not audience or (damped and self._typists.is_crowded(conversation, user)):
            return
        if self._typists.start(conversation, user, caller.delivery, audience):
            if damped:
                self._typists.shown(conversation, user)
                self._bus.signal(TypingShown(conversation=conversation, user=user))
            self._bus.notify(
                audience,
                TypingStarted(conversation=conversation, user=user, expires_in_ms=round(EXPIRES_SECONDS * 1000)),
            )

    @command(
        Stop,
        reply=Done,
        route=Route("POST", "/v1/conversations/{conversation}/typing/stop"),
        counts_as="passing",
        errors=(Invalid, NotFound),
        emits=(TypingStopped,),
        example={},
    )
    async def stop(self, caller: Caller, ask: Stop) -> Done:
        """Tell those who were told that one types that it is over."""
        await self._access.shared(ask.conversation, caller.user)
        self._typists.stop(ask.conversation, caller.user)
        return Done()

    def _tell_stopped(self, conversation: str, user: str, audience: Collection[str]) -> None:
        self._bus.notify(audience, TypingStopped(conversation=conversation, user=user))

    async def expire(self) -> None:
        """End what was not said again in time."""
        self._typists.expire()

    def left(self, user: str, delivery: Delivery[Any]) -> None:
        """See :class:`~chatd.state.hub.Follower`."""
        self._typists.left(delivery)

    def received(self, publications: Sequence[Publication]) -> None:
        """See :class:`~chatd.state.hub.Follower`: whoever has sent a message types no longer."""
        if self._typists.anybody:
            for publication in publications:
                if publication.entry.kind == MESSAGE.name:
                    self._typists.stop(publication.entry.conversation, publication.entry.author)

    def heed(self, signal: TypingShown) -> None:
        """In a large group somebody is shown to type, by whichever worker."""
        self._typists.shown(signal.conversation, signal.user)

    def part(self, signal: RelationsChanged) -> None:
        """Some of these may be apart."""
        self._typists.part(signal.users)
