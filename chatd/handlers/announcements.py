"""Announcements: what admins tell everybody, and who has confirmed that they have read it."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

import msgspec

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from chatd.handlers.access import Access, check_mentions
from chatd.handlers.caller import Caller
from chatd.handlers.group_changes import ordered_by_group
from chatd.handlers.group_readers import GroupReaders
from chatd.handlers.kinds import draft
from chatd.handlers.messages import MESSAGE, MessageContent, MessageCreated, PageSize, Sent, Sizes, sent
from chatd.handlers.rights import Action, check_may, check_unmuted
from chatd.interfaces.bus import IBus
from chatd.interfaces.conversations import IAnnouncementStore
from chatd.interfaces.log import ILog
from chatd.records.reading import MustRead
from chatd.records.rosters import Roster
from chatd.state.authors import Authors
from chatd.wire.commands import Command, Done, Reply, Route, command
from chatd.wire.events import EphemeralEvent
from chatd.wire.types import ClientId, ConversationId, Mentions, Metadata, Place, Text, UserId


class Announce(Command, frozen=True, kw_only=True, tag="announcement.post"):
    """With ``must_read`` every member is asked to confirm that they have read it."""

    client_id: ClientId
    conversation: ConversationId
    text: Text
    metadata: Metadata = {}
    mentions: Mentions = []
    must_read: bool = False


class Confirm(Command, frozen=True, kw_only=True, tag="announcement.read"):
    """``seq`` is where the announcement stands."""

    conversation: ConversationId
    seq: Place
    client_id: ClientId | None = None


class ListReaders(Command, frozen=True, kw_only=True, tag="announcement.readers"):
    """``seq`` is where the announcement stands; ``after`` is what the last page's ``next`` said."""

    conversation: ConversationId
    seq: Place
    after: UserId | None = None
    limit: PageSize = 100


class AnnouncementConfirmed(EphemeralEvent, frozen=True, kw_only=True, tag="announcement.confirmed"):
    """You have confirmed an announcement, perhaps on another device."""

    conversation: ConversationId
    seq: Place


class AnnouncementReader(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who has confirmed, and when."""

    user: UserId
    read_at: datetime


class ReaderPage(Reply, frozen=True, kw_only=True):
    """Readers in the order of their ids. ``next`` is what the next page begins ``after``, null on the last one.

    ``read`` is how many have confirmed altogether, former members among them; ``members`` how many members there are.
    """

    readers: list[AnnouncementReader]
    next: UserId | None
    read: int
    members: int


def _may_announce(user: str, at: datetime, mentions: tuple[str, ...], roster: Roster, seq: int) -> Roster:
    """See :data:`~chatd.records.rosters.Decide`."""
    check_may(Action.ANNOUNCE, roster, user)
    check_unmuted(roster, user, at)
    check_mentions(roster, mentions)
    return roster


class Announcements:
    """The commands about announcements."""

    def __init__(
        self,
        log: ILog,
        store: IAnnouncementStore,
        readers: GroupReaders,
        access: Access,
        authors: Authors,
        bus: IBus,
        now: Callable[[], datetime],
        *,
        sizes: Sizes,
    ) -> None:
        self._log = log
        self._store = store
        self._readers = readers
        self._access = access
        self._authors = authors
        self._bus = bus
        self._now = now
        self._sizes = sizes

    @command(
        Announce,
        reply=Sent,
        route=Route("POST", "/v1/groups/{conversation}/announcements"),
        cost=5,
        errors=(Invalid, Forbidden, NotFound, Conflict, TooLarge),
        emits=(MessageCreated,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "a1", "text": "The concert is on Friday", "must_read": True},
    )
    async def post(self, caller: Caller, post: Announce) -> Awaitable[Sent]:
        """Announce something in a group, as an admin or owner of it.

        It is a message like any other, marked as an announcement. Clients show it even where the member has muted the
        group. Where only admins may post at all (the rule ``posting``), members may do everything else with it.
        """
        self._sizes.check(post.text, post.metadata)
        mentions = tuple(dict.fromkeys(post.mentions))
        content = MessageContent(
            text=post.text, metadata=post.metadata, mentions=mentions, announcement=True, must_read=post.must_read
        )
        message = draft(
            MESSAGE,
            content,
            author=caller.user,
            client_id=post.client_id,
            key=await self._authors.writing(caller.user),
            roster=await self._access.roster(post.conversation, caller.user),
            decide=partial(_may_announce, caller.user, self._now(), mentions),
            effects=(MustRead(),) if post.must_read else (),
            mentions=mentions,
        )
        return sent(self._log.append(message))

    @command(
        Confirm,
        reply=Done,
        route=Route("POST", "/v1/groups/{conversation}/announcements/{seq}/read"),
        errors=(Invalid, NotFound),
        emits=(AnnouncementConfirmed,),
        example={"seq": 1},
    )
    async def read(self, caller: Caller, confirm: Confirm) -> Done:
        """Confirm that one has read an announcement that must be read.

        Doing it again changes nothing, so repeats need no ``client_id``; one is accepted for uniformity. It takes no
        place in the log; the caller's other devices are told in passing.
        """
        if await self._store.confirm(confirm.conversation, confirm.seq, caller.user):
            event = AnnouncementConfirmed(conversation=confirm.conversation, seq=confirm.seq)
            self._bus.notify((caller.user,), event)
        return Done()

    @command(
        ListReaders,
        reply=ReaderPage,
        route=Route("GET", "/v1/groups/{conversation}/announcements/{seq}/readers"),
        errors=(Invalid, Forbidden, NotFound),
        example={"seq": 1},
    )
    async def readers(self, caller: Caller, ask: ListReaders) -> ReaderPage:
        """List who has read an announcement that must be read, for those who may post announcements."""
        group = await self._readers.group(ask.conversation, caller.user, Action.ANNOUNCE)
        read = await self._store.confirmed(ask.conversation, ask.seq)
        if read is None:
            raise NotFound
        found = await self._store.confirmations(ask.conversation, ask.seq, ask.after or "", ask.limit + 1)
        page = found[: ask.limit]
        return ReaderPage(
            readers=[AnnouncementReader(user=one.user, read_at=one.at) for one in page],
            next=page[-1].user if len(found) > ask.limit else None,
            read=read,
            members=group.member_count,
        )
