"""Keeping order in groups: bans, and mutes of members."""

from collections.abc import Awaitable
from datetime import datetime
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, Unchanged
from chatd.handlers import rosters
from chatd.handlers.caller import Caller
from chatd.handlers.group_changes import GroupChanges, Notice, ordered_by_group
from chatd.handlers.group_events import (
    BANNED,
    MUTED,
    UNBANNED,
    UNMUTED,
    MemberBanned,
    MemberMuted,
    MemberUnbanned,
    MemberUnmuted,
    MuteContent,
    UserContent,
)
from chatd.handlers.group_notices import CONVERSATION_LEFT, ConversationLeft, PartingContent
from chatd.handlers.group_readers import GroupReaders
from chatd.handlers.messages import PageSize
from chatd.handlers.revisions import Changed
from chatd.handlers.rights import Action
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.types import ClientId, ConversationId, UserId

Until = Annotated[datetime, Meta(tz=True, description="A time with its zone.", examples=["2030-01-01T12:00:00Z"])]


class Ban(Command, frozen=True, kw_only=True, tag="member.ban"):
    """``user`` is kept out, whether they are in or not."""

    client_id: ClientId
    conversation: ConversationId
    user: UserId


class Unban(Command, frozen=True, kw_only=True, tag="member.unban"):
    """``user`` is no longer kept out."""

    client_id: ClientId
    conversation: ConversationId
    user: UserId


class ListBans(Command, frozen=True, kw_only=True, tag="ban.list"):
    """``after`` goes on behind a person, as the last page's ``next`` said."""

    conversation: ConversationId
    after: UserId | None = None
    limit: PageSize = 100


class Mute(Command, frozen=True, kw_only=True, tag="member.mute"):
    """``user`` may not speak ``until`` then."""

    client_id: ClientId
    conversation: ConversationId
    user: UserId
    until: Until


class Unmute(Command, frozen=True, kw_only=True, tag="member.unmute"):
    """``user`` may speak again."""

    client_id: ClientId
    conversation: ConversationId
    user: UserId


class BannedPerson(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may not come in, by whom and since when."""

    user: UserId
    by: UserId | None
    banned_at: datetime


class BanPage(Reply, frozen=True, kw_only=True):
    """People in the order of their ids. ``next`` is what the next page begins ``after``, null on the last one."""

    banned: list[BannedPerson]
    next: UserId | None


class Moderation:
    """The commands that keep order."""

    def __init__(self, changes: GroupChanges, readers: GroupReaders) -> None:
        self._changes = changes
        self._readers = readers

    @command(
        Ban,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/bans"),
        errors=(Invalid, Forbidden, NotFound, Conflict, Unchanged),
        emits=(MemberBanned, ConversationLeft),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g9", "user": "eve"},
    )
    async def ban(self, caller: Caller, ban: Ban) -> Awaitable[Changed]:
        """Keep somebody out of a group: they are removed if they are in, and cannot come in again.

        Admins may ban whoever has a lower role than theirs, and owners anybody else.
        """
        if ban.user == caller.user:
            raise Invalid("`user` is yourself: use `member.leave`.")
        roster = await self._changes.roster(ban.conversation, caller.user)
        parting = PartingContent(group=ban.conversation, reason="banned")
        leaving = [Notice(user=ban.user, kind=CONVERSATION_LEFT, content=parting)] if ban.user in roster.members else []
        return await self._changes.in_group(
            caller,
            ban,
            BANNED,
            UserContent(user=ban.user),
            partial(rosters.banned, caller.user, ban.user),
            notices=leaving,
        )

    @command(
        Unban,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/bans/lift"),
        errors=(Invalid, Forbidden, NotFound, Conflict, Unchanged),
        emits=(MemberUnbanned,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g10", "user": "eve"},
    )
    async def unban(self, caller: Caller, unban: Unban) -> Awaitable[Changed]:
        """Lift a ban. It does not bring anybody back in."""
        decide = partial(rosters.unbanned, caller.user, unban.user)
        return await self._changes.in_group(caller, unban, UNBANNED, UserContent(user=unban.user), decide)

    @command(
        ListBans,
        reply=BanPage,
        route=Route("GET", "/v1/groups/{conversation}/bans"),
        errors=(Invalid, Forbidden, NotFound),
    )
    async def bans(self, caller: Caller, ask: ListBans) -> BanPage:
        """List who is banned, for those who may ban."""
        await self._readers.group(ask.conversation, caller.user, Action.BAN)
        page = await self._readers.people(ask.conversation, "banned", ask.after, ask.limit)
        banned = [BannedPerson(user=one.user, by=one.membership.by, banned_at=one.at) for one in page.people]
        return BanPage(banned=banned, next=page.next)

    @command(
        Mute,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/members/mute"),
        errors=(Invalid, Forbidden, NotFound, Conflict, Unchanged),
        emits=(MemberMuted,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g11", "user": "eve", "until": "2030-01-01T12:00:00Z"},
    )
    async def mute(self, caller: Caller, mute: Mute) -> Awaitable[Changed]:
        """Keep a member of a lower role from sending and editing messages until a time.

        Leaving and coming back does not shorten it.
        """
        return await self._changes.in_group(
            caller,
            mute,
            MUTED,
            MuteContent(user=mute.user, until=mute.until),
            partial(rosters.muted, caller.user, mute.user, mute.until, self._changes.now()),
        )

    @command(
        Unmute,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/members/unmute"),
        errors=(Invalid, Forbidden, NotFound, Conflict, Unchanged),
        emits=(MemberUnmuted,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g12", "user": "eve"},
    )
    async def unmute(self, caller: Caller, unmute: Unmute) -> Awaitable[Changed]:
        """Let a member speak again."""
        decide = partial(rosters.unmuted, caller.user, unmute.user, self._changes.now())
        return await self._changes.in_group(caller, unmute, UNMUTED, UserContent(user=unmute.user), decide)
