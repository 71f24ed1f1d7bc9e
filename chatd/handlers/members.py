"""Members of groups: adding and removing them, leaving, who they are, and what roles they have."""

from collections.abc import Awaitable
from datetime import datetime
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unchanged
from chatd.handlers import rosters
from chatd.handlers.caller import Caller
from chatd.handlers.group_changes import GroupChanges, Notice, ordered_by_group, welcomes
from chatd.handlers.group_events import (
    ADDED,
    LEFT,
    REMOVED,
    ROLE_CHANGED,
    MemberAdded,
    MemberLeft,
    MemberRemoved,
    MemberRoleChanged,
    RoleContent,
    RoleName,
    UserContent,
    UsersContent,
)
from chatd.handlers.group_notices import CONVERSATION_LEFT, ConversationJoined, ConversationLeft, PartingContent
from chatd.handlers.group_readers import GroupReaders
from chatd.handlers.kinds import NoContent
from chatd.handlers.messages import PageSize
from chatd.handlers.revisions import Changed
from chatd.settings.model import Groups as GroupLimits
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.types import ClientId, ConversationId, UserId

SomeUsers = Annotated[
    list[UserId], Meta(min_length=1, max_length=500, description="People, at most 500 at a time.", examples=[["bob"]])
]


class AddMembers(Command, frozen=True, kw_only=True, tag="member.add"):
    """``users`` come in at once, without being asked."""

    client_id: ClientId
    conversation: ConversationId
    users: SomeUsers


class RemoveMember(Command, frozen=True, kw_only=True, tag="member.remove"):
    """``user`` has to go."""

    client_id: ClientId
    conversation: ConversationId
    user: UserId


class LeaveGroup(Command, frozen=True, kw_only=True, tag="member.leave"):
    """The caller goes."""

    client_id: ClientId
    conversation: ConversationId


class ListMembers(Command, frozen=True, kw_only=True, tag="member.list"):
    """``after`` goes on behind a member, as the last page's ``next`` said."""

    conversation: ConversationId
    after: UserId | None = None
    limit: PageSize = 100


class ChangeRole(Command, frozen=True, kw_only=True, tag="member.role"):
    """``user`` has this ``role`` from then on."""

    client_id: ClientId
    conversation: ConversationId
    user: UserId
    role: RoleName


class GroupMember(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A member of a group. ``muted_until``: they may not speak before then."""

    user: UserId
    role: RoleName
    joined_at: datetime
    muted_until: datetime | None = None


class MemberPage(Reply, frozen=True, kw_only=True):
    """Members in the order of their ids. ``next`` is what the next page begins ``after``, null on the last one."""

    members: list[GroupMember]
    next: UserId | None


class Members:
    """The commands about the members of groups."""

    def __init__(self, changes: GroupChanges, readers: GroupReaders, *, limits: GroupLimits) -> None:
        self._changes = changes
        self._readers = readers
        self._limits = limits

    @command(
        AddMembers,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/members"),
        cost=5,
        errors=(Invalid, Forbidden, NotFound, Conflict, Unchanged, TooLarge),
        emits=(MemberAdded, ConversationJoined),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g5", "users": ["carol"]},
    )
    async def add(self, caller: Caller, add: AddMembers) -> Awaitable[Changed]:
        """Add people to a group, all of them or none.

        It takes the role that the group's rule ``inviting`` names. Whoever is a member already stays as they are.
        Nobody is added who is banned, or whom the caller may not write to.
        """
        users = list(dict.fromkeys(add.users))
        roster = await self._changes.roster(add.conversation, caller.user)
        new = [user for user in users if user not in roster.members]
        refusal = await self._changes.bringing(add.conversation, caller.user, users)
        profile = await self._changes.profile(add.conversation, caller.user)
        return await self._changes.in_group(
            caller,
            add,
            ADDED,
            UsersContent(users=users),
            partial(rosters.added, caller.user, users, self._limits),
            notices=welcomes(add.conversation, profile, new),
            refusal=refusal,
        )

    @command(
        RemoveMember,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/members/remove"),
        errors=(Invalid, Forbidden, NotFound, Conflict),
        emits=(MemberRemoved, ConversationLeft),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g6", "user": "bob"},
    )
    async def remove(self, caller: Caller, remove: RemoveMember) -> Awaitable[Changed]:
        """Remove a member of a lower role from a group. Owners may remove anybody else.

        From then on nothing of it reaches them; what was theirs to read by then stays so.
        """
        if remove.user == caller.user:
            raise Invalid("`user` is yourself: use `member.leave`.")
        parting = PartingContent(group=remove.conversation, reason="removed")
        return await self._changes.in_group(
            caller,
            remove,
            REMOVED,
            UserContent(user=remove.user),
            partial(rosters.removed, caller.user, remove.user),
            notices=[Notice(user=remove.user, kind=CONVERSATION_LEFT, content=parting)],
        )

    @command(
        LeaveGroup,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/leave"),
        errors=(Invalid, Forbidden, NotFound, Conflict),
        emits=(MemberLeft,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g7"},
    )
    async def leave(self, caller: Caller, leave: LeaveGroup) -> Awaitable[Changed]:
        """Leave a group. The last owner cannot: make somebody else one before, or delete the group."""
        decide = partial(rosters.left, caller.user)
        return await self._changes.in_group(caller, leave, LEFT, NoContent(), decide)

    @command(
        ListMembers,
        reply=MemberPage,
        route=Route("GET", "/v1/groups/{conversation}/members"),
        errors=(Invalid, NotFound),
    )
    async def list(self, caller: Caller, ask: ListMembers) -> MemberPage:
        """List the members of a group, page by page. Every page costs the same, however many they are."""
        await self._readers.group(ask.conversation, caller.user)
        page = await self._readers.people(ask.conversation, "member", ask.after, ask.limit)
        return MemberPage(
            members=[
                GroupMember(
                    user=one.user,
                    role=one.membership.role,
                    joined_at=one.at,
                    muted_until=one.membership.muted_until,
                )
                for one in page.people
            ],
            next=page.next,
        )

    @command(
        ChangeRole,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/members/role"),
        errors=(Invalid, Forbidden, NotFound, Conflict, Unchanged, TooLarge),
        emits=(MemberRoleChanged,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g8", "user": "bob", "role": "admin"},
    )
    async def role(self, caller: Caller, change: ChangeRole) -> Awaitable[Changed]:
        """Promote or demote a member.

        Owners give and take every role, and everybody may step down. The last owner cannot: a group has one always.
        """
        return await self._changes.in_group(
            caller,
            change,
            ROLE_CHANGED,
            RoleContent(user=change.user, role=change.role),
            partial(rosters.assigned, caller.user, change.user, change.role, self._limits),
        )
