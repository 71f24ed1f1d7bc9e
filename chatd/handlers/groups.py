"""Groups as a whole: founding one, what it shows and what its rules are, handing it over, deleting it."""

from collections.abc import Awaitable
from datetime import datetime
from functools import partial
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import asdict, replace

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, Overloaded, TooLarge, Unchanged
from chatd.handlers import rosters
from chatd.handlers.caller import Caller
from chatd.handlers.group_changes import GroupChanges, noticed, ordered_by_group, welcomes
from chatd.handlers.group_events import (
    GROUP_CREATED,
    GROUP_DELETED,
    GROUP_TRANSFERRED,
    GROUP_UPDATED,
    Description,
    FoundedContent,
    GroupContent,
    GroupCreated,
    GroupDeleted,
    GroupRules,
    GroupTransferred,
    GroupUpdated,
    PictureUrl,
    RoleName,
    Title,
    UserContent,
)
from chatd.handlers.group_notices import ConversationJoined
from chatd.handlers.group_profiles import GroupProfile, GroupProfiles
from chatd.handlers.kinds import Content, NoContent, draft
from chatd.handlers.revisions import Changed
from chatd.handlers.rights import Action, check_may
from chatd.interfaces.conversations import IGroupStore
from chatd.records.rosters import Group, Roster, Rules
from chatd.settings.model import Groups as GroupLimits
from chatd.state.ids import group as group_id
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.types import ClientId, ConversationId, UserId

ATTEMPTS = 3
"""How often an update is made anew where another came first."""

Users = Annotated[list[UserId], Meta(max_length=500, description="People, at most 500 at a time.", examples=[["bob"]])]


class RuleChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules of a group: those that are given. See ``GroupRules`` for what they mean."""

    posting: RoleName | None = None
    inviting: RoleName | None = None
    editing: RoleName | None = None
    joining: Literal["invitation", "request", "open"] | None = None
    history: Literal["joined", "all"] | None = None

    @property
    def given(self) -> dict[str, str]:
        """Those that are."""
        return {name: rule for name, rule in asdict(self).items() if rule is not None}


class CreateGroup(Command, frozen=True, kw_only=True, tag="group.create"):
    """``members`` are those besides the caller."""

    client_id: ClientId
    title: Title
    description: Description = ""
    picture: PictureUrl = ""
    rules: RuleChanges = RuleChanges()
    members: Users = []


class UpdateGroup(Command, frozen=True, kw_only=True, tag="group.update"):
    """What is given is changed; an empty description or picture is none from then on."""

    client_id: ClientId
    conversation: ConversationId
    title: Title | None = None
    description: Description | None = None
    picture: PictureUrl | None = None
    rules: RuleChanges | None = None


class GetGroup(Command, frozen=True, kw_only=True, tag="group.get"):
    """One group."""

    conversation: ConversationId


class TransferGroup(Command, frozen=True, kw_only=True, tag="group.transfer"):
    """``user`` is the member who is to own it."""

    client_id: ClientId
    conversation: ConversationId
    user: UserId


class DeleteGroup(Command, frozen=True, kw_only=True, tag="group.delete"):
    """One group."""

    client_id: ClientId
    conversation: ConversationId


class GroupInfo(Reply, frozen=True, kw_only=True):
    """A group. ``role`` and ``muted_until`` are the caller's, if they are a member; ``deleted`` groups are only read.

    ``unreadable`` where what it shows of itself cannot be opened any more: update it.
    """

    conversation: ConversationId
    title: str
    description: str
    picture: str
    rules: GroupRules
    member_count: int
    created_at: datetime
    role: RoleName | None = None
    muted_until: datetime | None = None
    deleted: bool = False
    unreadable: bool = False


class _Asked(Content, frozen=True, kw_only=True, omit_defaults=True):
    """What an update asks for, which tells a repeat from something else; the entry holds more than that."""

    command: str
    conversation: str
    title: str | None = None
    description: str | None = None
    picture: str | None = None
    rules: dict[str, str] = {}


class _Overtaken(Overloaded):
    """Another update came first: what this one was to be put together with is old."""


def _updated(user: str, base: int, before: GroupContent, after: GroupContent, roster: Roster, seq: int) -> Roster:
    """See :data:`~chatd.records.rosters.Decide`."""
    if after.rules != before.rules:
        check_may(Action.RULE, roster, user)
    if replace(after, rules=before.rules) != before or after == before:
        check_may(Action.EDIT, roster, user)
    if roster.profile != base:
        raise _Overtaken
    if after == before:
        raise Unchanged
    return rosters.changed(roster, {}, rules=Rules(**asdict(after.rules)), profile=seq)


def _deleted(user: str, roster: Roster, seq: int) -> Roster:
    """See :data:`~chatd.records.rosters.Decide`."""
    check_may(Action.DELETE, roster, user)
    return rosters.changed(roster, {}, closed=True)


class Groups:
    """The commands about groups as a whole."""

    def __init__(
        self, changes: GroupChanges, store: IGroupStore, profiles: GroupProfiles, *, limits: GroupLimits
    ) -> None:
        self._changes = changes
        self._store = store
        self._profiles = profiles
        self._limits = limits

    @command(
        CreateGroup,
        reply=Changed,
        route=Route("POST", "/v1/groups"),
        cost=10,
        errors=(Invalid, Forbidden, Conflict, TooLarge),
        emits=(GroupCreated, ConversationJoined),
        example={"client_id": "g1", "title": "Choir", "members": ["bob"]},
    )
    async def create(self, caller: Caller, create: CreateGroup) -> Changed:
        """Found a group, which the caller owns.

        Those named as members are so from the start and are told in their event queues; whom the caller may not write
        to cannot be among them. The reply's ``conversation`` is the group.
        """
        self._check_sizes(create.title, create.description)
        others = [user for user in dict.fromkeys(create.members) if user != caller.user]
        if len(others) >= self._limits.max_members:
            raise TooLarge(f"A group may have {self._limits.max_members} members.")
        rules = GroupRules(**create.rules.given)  # type: ignore[arg-type]
        content = FoundedContent(
            title=create.title,
            description=create.description,
            picture=create.picture,
            rules=rules,
            members=[caller.user, *others],
        )
        key, conversation = await self._changes.key(caller.user), group_id(caller.user, create.client_id)
        profile = GroupProfile(title=create.title, picture=create.picture)
        change = draft(
            GROUP_CREATED,
            content,
            author=caller.user,
            client_id=create.client_id,
            key=key,
            roster=Roster(conversation=conversation, kind="group", members={}),
            begins=True,
            decide=partial(rosters.founded, caller.user, others, Rules(**asdict(rules))),
            notices=noticed(caller, create.client_id, key, welcomes(conversation, profile, others)),
        )
        return await (await self._changes.hand_on(change, await self._changes.refusal(caller.user, others)))

    def _check_sizes(self, title: str, description: str) -> None:
        for name, text, limit in (
            ("title", title, self._limits.max_title_chars),
            ("description", description, self._limits.max_description_chars),
        ):
            if len(text) > limit:
                raise TooLarge(f"`{name}` has {len(text)} characters; the limit is {limit}.")

    @command(
        UpdateGroup,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/update"),
        errors=(Invalid, Forbidden, NotFound, Conflict, Unchanged, TooLarge),
        emits=(GroupUpdated,),
        ordered_by=ordered_by_group,
        example={"client_id": "g2", "title": "Chamber choir"},
    )
    async def update(self, caller: Caller, update: UpdateGroup) -> Changed:
        """Change what a group shows of itself, or its rules.

        Its title, description and picture are changed by the role that its rule ``editing`` names, the rules by owners.
        """
        given = {name: getattr(update, name) for name in ("title", "description", "picture")}
        given = {name: text for name, text in given.items() if text is not None}
        rules = update.rules.given if update.rules is not None else {}
        if not given and not rules:
            raise Invalid("Give what is to be changed: `title`, `description`, `picture` or one of the `rules`.")
        self._check_sizes(given.get("title", ""), given.get("description", ""))
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._update(caller, update, given, rules)
            except _Overtaken:
                self._changes.forget(update.conversation)
        return await self._update(caller, update, given, rules)

    async def _update(
        self, caller: Caller, update: UpdateGroup, given: dict[str, str], rules: dict[str, str]
    ) -> Changed:
        """Put the update together with what stands; refused as _Overtaken where that changes meanwhile."""
        roster, key = await self._changes.roster(update.conversation, caller.user), await self._changes.key(caller.user)
        profile = await self._profiles.one(update.conversation, roster.profile)
        shown = {"title": profile.title, "description": profile.description, "picture": profile.picture}
        before = GroupContent(**shown, rules=GroupRules(**asdict(roster.rules)))
        after = GroupContent(**(shown | given), rules=replace(before.rules, **rules))
        change = draft(
            GROUP_UPDATED,
            after,
            author=caller.user,
            client_id=update.client_id,
            key=key,
            asked=_Asked(command="group.update", conversation=update.conversation, rules=rules, **given),
            roster=roster,
            decide=partial(_updated, caller.user, roster.profile, before, after),
        )
        return await (await self._changes.hand_on(change))

    @command(
        GetGroup,
        reply=GroupInfo,
        route=Route("GET", "/v1/groups/{conversation}"),
        errors=(Invalid, NotFound),
    )
    async def get(self, caller: Caller, ask: GetGroup) -> GroupInfo:
        """Describe a group.

        To its members, to those who are invited, and, where people may join or ask to, to everybody who is not banned.
        """
        group = await self._store.group(ask.conversation, caller.user)
        if group is None or not _shows_itself(group, self._changes.now()):
            raise NotFound
        profile = await self._profiles.one(group.conversation, group.profile)
        membership = group.membership
        inside = membership if membership is not None and membership.standing == "member" else None
        return GroupInfo(
            conversation=group.conversation,
            title=profile.title,
            description=profile.description,
            picture=profile.picture,
            rules=GroupRules(**asdict(group.rules)),
            member_count=group.member_count,
            created_at=group.created_at,
            role=None if inside is None else inside.role,
            muted_until=None if inside is None else inside.muted_until,
            deleted=group.closed,
            unreadable=profile.unreadable,
        )

    @command(
        TransferGroup,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/transfer"),
        errors=(Invalid, Forbidden, NotFound, Conflict, Unchanged, TooLarge),
        emits=(GroupTransferred,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g3", "user": "bob"},
    )
    async def transfer(self, caller: Caller, transfer: TransferGroup) -> Awaitable[Changed]:
        """Make another member an owner in one's own place; the caller becomes an admin."""
        return await self._changes.in_group(
            caller,
            transfer,
            GROUP_TRANSFERRED,
            UserContent(user=transfer.user),
            partial(rosters.transferred, caller.user, transfer.user, self._limits),
        )

    @command(
        DeleteGroup,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/delete"),
        errors=(Invalid, Forbidden, NotFound, Conflict),
        emits=(GroupDeleted,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g4"},
    )
    async def delete(self, caller: Caller, delete: DeleteGroup) -> Awaitable[Changed]:
        """Close a group for good.

        Nobody may write into it or change anything about it any more. Its members may go on reading what was theirs.
        """
        decide = partial(_deleted, caller.user)
        return await self._changes.in_group(caller, delete, GROUP_DELETED, NoContent(), decide)


def _shows_itself(group: Group, at: datetime) -> bool:
    """Whether a group lets itself be seen by whoever stands to it so."""
    one = group.membership
    standing = "left" if one is None else one.standing
    if standing == "member":
        return True
    if standing == "banned" or group.closed:
        return False
    invited = one is not None and standing == "invited" and one.expires_at is not None and one.expires_at > at
    return invited or group.rules.joining != "invitation"
