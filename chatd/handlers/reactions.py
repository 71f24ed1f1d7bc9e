"""Reactions: an emoji that somebody puts to a message."""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from functools import partial

import msgspec

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, Unchanged
from chatd.handlers.access import Access, check_sees, check_unblocked
from chatd.handlers.caller import Caller
from chatd.handlers.emojis import check_emoji, mark_of
from chatd.handlers.kinds import Content, Kind, Reader, draft
from chatd.handlers.messages import MessageId, PageSize
from chatd.handlers.revisions import Changed, changed
from chatd.handlers.rights import check_unmuted
from chatd.handlers.seen import seen
from chatd.interfaces.log import ILog, ILogStore
from chatd.interfaces.messages import IReactionStore
from chatd.records.logs import Entry, MessageState, Revision
from chatd.records.reactions import CheckReaction, Reaction
from chatd.records.rosters import Roster
from chatd.state.authors import SERVER, Authors
from chatd.state.ids import message_id
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.events import LogEvent
from chatd.wire.types import ClientId, ConversationId, Emoji, Place, Seq, UserId


class ReactionContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """What is sealed of a reaction."""

    emoji: str


class ReactionAdded(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="reaction.added"):
    """Somebody reacts to a message. ``deleted`` where the message has been deleted since; then there is no emoji."""

    message_id: MessageId
    by: UserId
    emoji: str = ""
    deleted: bool = False
    unreadable: bool = False


class ReactionRemoved(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="reaction.removed"):
    """Somebody no longer reacts like this to a message. ``deleted`` as in ``reaction.added``."""

    message_id: MessageId
    by: UserId
    emoji: str = ""
    deleted: bool = False
    unreadable: bool = False


def _tells(event: type[ReactionAdded | ReactionRemoved]) -> Callable[[Entry, ReactionContent | None], LogEvent]:
    """How an entry is told: by an event that says who did it, to which message, and with which emoji."""

    def tell(entry: Entry, content: ReactionContent | None) -> LogEvent:
        return event(
            conversation=entry.conversation,
            seq=entry.seq,
            time=entry.time,
            message_id=message_id(entry.conversation, entry.target or 0),
            by=entry.author,
            emoji=content.emoji if content else "",
            deleted=entry.erased,
            unreadable=content is None and not entry.withheld,
        )

    return tell


ADDED = Kind("reaction.added", ReactionContent, _tells(ReactionAdded))
REMOVED = Kind("reaction.removed", ReactionContent, _tells(ReactionRemoved))


class AddReaction(Command, frozen=True, kw_only=True, tag="reaction.add"):
    """``seq`` is where the message stands."""

    client_id: ClientId
    conversation: ConversationId
    seq: Place
    emoji: Emoji


class RemoveReaction(Command, frozen=True, kw_only=True, tag="reaction.remove"):
    """``seq`` is where the message stands."""

    client_id: ClientId
    conversation: ConversationId
    seq: Place
    emoji: Emoji


class ListReactions(Command, frozen=True, kw_only=True, tag="reaction.list"):
    """``seq`` is where the message stands, ``after`` goes on behind a reaction; with ``emoji``, only those with it."""

    conversation: ConversationId
    seq: Place
    emoji: Emoji | None = None
    after: Seq = 0
    limit: PageSize = 50


class Reacting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One person's reaction, which stands at ``seq`` in the log."""

    user: UserId
    seq: Seq
    time: datetime
    emoji: str = ""
    unreadable: bool = False


class ReactionList(Reply, frozen=True, kw_only=True):
    """Reactions in the order in which they were added. ``newer`` is false where there are no more."""

    reactions: list[Reacting]
    newer: bool


def _may_react(user: str, at: datetime, target: int, roster: Roster, seq: int) -> Roster:
    """See :data:`~chatd.records.rosters.Decide`. One may react where one may not write, in groups for announcements."""
    check_sees(roster, user, target)
    check_unblocked(roster)
    check_unmuted(roster, user, at)
    return roster


def _stays(state: MessageState, seq: int) -> MessageState:
    """See :data:`~chatd.records.logs.Revise`: nothing becomes of a message by what others put to it."""
    if state.deleted is not None:
        raise NotFound
    return state


def _may_remove(mark: bytes, own: Collection[bytes], all: Collection[bytes]) -> None:
    """See :data:`~chatd.records.reactions.CheckReaction`."""
    if mark not in own:
        raise Unchanged


class Reactions:
    """The commands about reactions.

    At most ``max_own`` different ones of one person are on a message, and ``max_all`` different ones of all people.
    """

    def __init__(
        self,
        log: ILog,
        messages: ILogStore,
        store: IReactionStore,
        access: Access,
        authors: Authors,
        reader: Reader,
        now: Callable[[], datetime],
        *,
        max_own: int,
        max_all: int,
    ) -> None:
        self._log = log
        self._messages = messages
        self._store = store
        self._access = access
        self._authors = authors
        self._reader = reader
        self._now = now
        self._max_own = max_own
        self._max_all = max_all

    @command(
        AddReaction,
        reply=Changed,
        route=Route("POST", "/v1/conversations/{conversation}/messages/{seq}/reactions/add"),
        errors=(Invalid, Forbidden, NotFound, Conflict, Unchanged),
        emits=(ReactionAdded,),
        ordered_by=lambda caller, ask: ask.conversation,
        hands_on=True,
        example={"client_id": "c6", "seq": 1, "emoji": "\U0001f44d"},
    )
    async def add(self, caller: Caller, ask: AddReaction) -> Awaitable[Changed]:
        """React to a message with an emoji.

        One may react to a message with several emojis, and with each of them once; how many different ones there may
        be is a setting of the server.
        """
        mark = await self._mark(ask.conversation, ask.seq, ask.emoji)
        return await self._react(caller, ask, ADDED, mark, partial(self._may_add, mark))

    @command(
        RemoveReaction,
        reply=Changed,
        route=Route("POST", "/v1/conversations/{conversation}/messages/{seq}/reactions/remove"),
        errors=(Invalid, Forbidden, NotFound, Conflict, Unchanged),
        emits=(ReactionRemoved,),
        ordered_by=lambda caller, ask: ask.conversation,
        hands_on=True,
        example={"client_id": "c7", "seq": 1, "emoji": "\U0001f44d"},
    )
    async def remove(self, caller: Caller, ask: RemoveReaction) -> Awaitable[Changed]:
        """Take back a reaction of one's own."""
        mark = await self._mark(ask.conversation, ask.seq, ask.emoji)
        return await self._react(caller, ask, REMOVED, mark, partial(_may_remove, mark))

    async def _mark(self, conversation: str, seq: int, emoji: str) -> bytes:
        check_emoji(emoji)
        key = await self._authors.writing(SERVER)
        return mark_of(key, conversation, seq, emoji)

    def _may_add(self, mark: bytes, own: Collection[bytes], all: Collection[bytes]) -> None:
        """See :data:`~chatd.records.reactions.CheckReaction`."""
        if mark in own:
            raise Unchanged
        if len(own) >= self._max_own:
            raise Forbidden(f"You have put {len(own)} emojis to this message: take one back first.")
        if mark not in all and len(all) >= self._max_all:
            raise Forbidden(f"There are {len(all)} different emojis on this message: choose one of them.")

    async def _react(
        self, caller: Caller, ask: AddReaction | RemoveReaction, kind: Kind, mark: bytes, check: CheckReaction
    ) -> Awaitable[Changed]:
        roster = await self._access.roster(ask.conversation, caller.user)
        key = await self._authors.writing(caller.user)
        change = draft(
            kind,
            ReactionContent(emoji=ask.emoji),
            author=caller.user,
            client_id=ask.client_id,
            key=key,
            roster=roster,
            decide=partial(_may_react, caller.user, self._now(), ask.seq),
            revision=Revision(target=ask.seq, revise=_stays),
            effects=(Reaction(target=ask.seq, mark=mark, added=kind is ADDED, check=check),),
        )
        return changed(self._log.append(change))

    @command(
        ListReactions,
        reply=ReactionList,
        route=Route("GET", "/v1/conversations/{conversation}/messages/{seq}/reactions"),
        errors=(Invalid, NotFound),
        example={"seq": 1},
    )
    async def list(self, caller: Caller, ask: ListReactions) -> ReactionList:
        """Read who reacts to a message, and with what."""
        mark = None if ask.emoji is None else await self._mark(ask.conversation, ask.seq, ask.emoji)
        message = await seen(self._messages, caller.user, ask.conversation, ask.seq)
        if message is None or message.entry.withheld:
            raise NotFound
        found = await self._store.reactions(ask.conversation, ask.seq, after=ask.after, limit=ask.limit + 1, mark=mark)
        entries = found[: ask.limit]
        contents = await self._reader.contents(entries)
        return ReactionList(
            reactions=[_reacting(*one) for one in zip(entries, contents, strict=True)],
            newer=len(found) > ask.limit,
        )


def _reacting(entry: Entry, content: ReactionContent | None) -> Reacting:
    return Reacting(
        user=entry.author,
        seq=entry.seq,
        time=entry.time,
        emoji=content.emoji if content else "",
        unreadable=content is None and not entry.withheld,
    )
