"""Invitations into groups: they wait in the event queue of the invited, until answered, taken back or lapsed."""

from collections.abc import Awaitable
from datetime import datetime, timedelta
from functools import partial

import msgspec

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unchanged
from chatd.handlers import rosters
from chatd.handlers.caller import Caller
from chatd.handlers.group_changes import GroupChanges, ordered_by_group
from chatd.handlers.group_events import JOINED, MemberJoined, PictureUrl
from chatd.handlers.group_notices import (
    DECLINED,
    INVITED,
    REVOKED,
    AskContent,
    InvitationContent,
    InvitationDeclined,
    InvitationRevoked,
    InvitationSent,
)
from chatd.handlers.group_profiles import GroupProfiles
from chatd.handlers.group_readers import GroupReaders
from chatd.handlers.kinds import NoContent
from chatd.handlers.messages import PageSize
from chatd.handlers.revisions import Changed
from chatd.handlers.rights import Action
from chatd.interfaces.conversations import IGroupStore
from chatd.records.rosters import Membership
from chatd.settings.model import Groups as GroupLimits
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.types import ClientId, ConversationId, UserId


class Invite(Command, frozen=True, kw_only=True, tag="invitation.send"):
    """``user`` is invited."""

    client_id: ClientId
    conversation: ConversationId
    user: UserId


class AcceptInvitation(Command, frozen=True, kw_only=True, tag="invitation.accept"):
    """Come in."""

    client_id: ClientId
    conversation: ConversationId


class DeclineInvitation(Command, frozen=True, kw_only=True, tag="invitation.decline"):
    """Stay out."""

    client_id: ClientId
    conversation: ConversationId


class RevokeInvitation(Command, frozen=True, kw_only=True, tag="invitation.revoke"):
    """``user`` is no longer invited."""

    client_id: ClientId
    conversation: ConversationId
    user: UserId


class ListInvitations(Command, frozen=True, kw_only=True, tag="invitation.list"):
    """The caller's own, or with ``conversation`` those of a group. ``after`` is what the last page's ``next`` said."""

    conversation: ConversationId | None = None
    after: UserId | None = None
    limit: PageSize = 100


class PendingInvitation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An invitation of ``user``. The group's ``title`` and ``picture`` are shown to the invited."""

    conversation: ConversationId
    user: UserId
    by: UserId | None
    invited_at: datetime
    expires_at: datetime | None
    title: str = ""
    picture: PictureUrl = ""


class InvitationPage(Reply, frozen=True, kw_only=True):
    """``next`` is what the next page begins ``after``, null on the last one."""

    invitations: list[PendingInvitation]
    next: str | None


class Invitations:
    """The commands about invitations."""

    def __init__(
        self,
        changes: GroupChanges,
        readers: GroupReaders,
        store: IGroupStore,
        profiles: GroupProfiles,
        *,
        limits: GroupLimits,
    ) -> None:
        self._changes = changes
        self._readers = readers
        self._store = store
        self._profiles = profiles
        self._limits = limits

    @command(
        Invite,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/invitations"),
        cost=5,
        errors=(Invalid, Forbidden, NotFound, Conflict, Unchanged, TooLarge),
        emits=(InvitationSent,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g13", "user": "carol"},
    )
    async def send(self, caller: Caller, invite: Invite) -> Awaitable[Changed]:
        """Invite somebody into a group.

        It takes the role that the group's rule ``inviting`` names; nobody can be invited whom the caller may not write
        to. The invitation stands in the event queues of both, not in the group's log, and lapses after a time that is a
        setting of the server. The reply tells the place in the caller's own queue.
        """
        # First: strangers learn nothing of a group, not even by how long they wait.
        await self._changes.roster(invite.conversation, caller.user)
        now = self._changes.now()
        expires_at = now + timedelta(seconds=self._limits.invitation_seconds)
        refusal = await self._changes.bringing(invite.conversation, caller.user, [invite.user])
        profile = await self._changes.profile(invite.conversation, caller.user)
        content = InvitationContent(group=invite.conversation, user=invite.user)
        told = msgspec.structs.replace(content, title=profile.title, picture=profile.picture, expires_at=expires_at)
        return await self._changes.beside(
            caller,
            invite,
            INVITED,
            content,
            partial(rosters.invited, caller.user, invite.user, now, expires_at, self._limits),
            others=[invite.user],
            told=told,
            refusal=refusal,
        )

    @command(
        AcceptInvitation,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/invitations/accept"),
        errors=(Invalid, NotFound, Conflict, TooLarge),
        emits=(MemberJoined,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g14"},
    )
    async def accept(self, caller: Caller, accept: AcceptInvitation) -> Awaitable[Changed]:
        """Become a member of a group that one is invited to."""
        decide = partial(rosters.accepted, caller.user, self._changes.now(), self._limits)
        return await self._changes.in_group(caller, accept, JOINED, NoContent(), decide)

    @command(
        DeclineInvitation,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/invitations/decline"),
        errors=(Invalid, NotFound, Conflict),
        emits=(InvitationDeclined,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g15"},
    )
    async def decline(self, caller: Caller, decline: DeclineInvitation) -> Awaitable[Changed]:
        """Decline an invitation; whoever sent it is told."""
        content = AskContent(group=decline.conversation, user=caller.user)
        group = await self._store.group(decline.conversation, caller.user)
        one = None if group is None else group.membership
        others = [] if one is None or one.by is None else [one.by]
        decide = partial(rosters.declined, caller.user, self._changes.now())
        return await self._changes.beside(caller, decline, DECLINED, content, decide, others=others)

    @command(
        RevokeInvitation,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/invitations/revoke"),
        errors=(Invalid, Forbidden, NotFound, Conflict),
        emits=(InvitationRevoked,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g16", "user": "carol"},
    )
    async def revoke(self, caller: Caller, revoke: RevokeInvitation) -> Awaitable[Changed]:
        """Take an invitation back: one's own, or as an admin anybody's. The invited is told."""
        content = AskContent(group=revoke.conversation, user=revoke.user)
        decide = partial(rosters.revoked, caller.user, revoke.user, self._changes.now())
        return await self._changes.beside(caller, revoke, REVOKED, content, decide, others=[revoke.user])

    @command(
        ListInvitations,
        reply=InvitationPage,
        route=Route("GET", "/v1/invitations"),
        errors=(Invalid, Forbidden, NotFound),
    )
    async def list(self, caller: Caller, ask: ListInvitations) -> InvitationPage:
        """List the invitations that wait for the caller's answer, or those into a group, for those who may invite."""
        if ask.conversation is None:
            return await self._own(caller, ask)
        await self._readers.group(ask.conversation, caller.user, Action.INVITE)
        page = await self._readers.people(ask.conversation, "invited", ask.after, ask.limit)
        found = [_pending(ask.conversation, one.user, one.membership, one.at) for one in page.people]
        return InvitationPage(invitations=found, next=page.next)

    async def _own(self, caller: Caller, ask: ListInvitations) -> InvitationPage:
        after = None if ask.after is None else _group_id(ask.after)
        found = await self._store.invitations(caller.user, after, self._changes.now(), ask.limit + 1)
        page = found[: ask.limit]
        profiles = await self._profiles.of((one.conversation, one.profile) for one in page)
        return InvitationPage(
            invitations=[
                PendingInvitation(
                    conversation=one.conversation,
                    user=caller.user,
                    by=one.by,
                    invited_at=one.at,
                    expires_at=one.expires_at,
                    title=profiles[one.conversation].title,
                    picture=profiles[one.conversation].picture,
                )
                for one in page
            ],
            next=page[-1].conversation if len(found) > ask.limit else None,
        )


def _pending(group: str, user: str, membership: Membership, at: datetime) -> PendingInvitation:
    return PendingInvitation(
        conversation=group, user=user, by=membership.by, invited_at=at, expires_at=membership.expires_at
    )


def _group_id(after: str) -> str:
    try:
        return msgspec.convert(after, ConversationId)
    except msgspec.ValidationError:
        raise Invalid("`after` is nothing that a page of this list ended with.") from None
