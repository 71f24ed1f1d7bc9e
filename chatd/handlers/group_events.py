"""What stands in a group's log beside messages, and how it is told.

An entry tells who did it (``by``, or ``user`` where somebody does it to themself), and what is sealed in it. Where that
cannot be opened any more the event is ``unreadable``: ask ``group.get`` or ``member.list`` for what is so now.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chatd.handlers.kinds import Content, Kind, NoContent, told_as
from chatd.records.rosters import Role
from chatd.wire.events import LogEvent
from chatd.wire.types import NO_NUL, UserId

Title = Annotated[
    str,
    Meta(min_length=1, pattern=NO_NUL, description="What a group is called.", examples=["Choir"]),
]
Description = Annotated[str, Meta(pattern=NO_NUL, description="What a group is about; empty for none.")]
PictureUrl = Annotated[
    str,
    Meta(
        max_length=2048,
        pattern="^(https?://[!-~]+)?$(?!\\n)",
        description="Where a picture is: an absolute URL of the product's own storage; empty for none.",
        examples=["https://cdn.example.com/choir.png"],
    ),
]
RoleName = Annotated[Role, Meta(description="Each may what those before it may: member, admin, owner.")]


class GroupRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a group has decided.

    ``posting``, ``inviting`` and ``editing``: the least role that may send messages, add and invite people, and change
    what the group shows. ``joining``: whether one comes in by invitation only, may ask to, or just may. ``history``:
    whether members may read what was said before they joined.
    """

    posting: RoleName = "member"
    inviting: RoleName = "admin"
    editing: RoleName = "admin"
    joining: Literal["invitation", "request", "open"] = "invitation"
    history: Literal["joined", "all"] = "joined"


class GroupContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """All that a group shows of itself, so that one entry tells it."""

    title: str
    description: str = ""
    picture: str = ""
    rules: GroupRules = GroupRules()


class FoundedContent(GroupContent, frozen=True, kw_only=True, omit_defaults=True):
    """With whom a group began, its owner first."""

    members: list[str] = []


class UserContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """Whom a change concerns."""

    user: str


class UsersContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """Whom a change concerns, where there may be several."""

    users: list[str]


class RoleContent(UserContent, frozen=True, kw_only=True, omit_defaults=True):
    """A member's new role."""

    role: Role


class MuteContent(UserContent, frozen=True, kw_only=True, omit_defaults=True):
    """How long somebody may not speak."""

    until: datetime


class GroupCreated(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="group.created"):
    """A group begins, with these members. ``by`` owns it."""

    by: UserId
    title: str = ""
    description: str = ""
    picture: str = ""
    rules: GroupRules = GroupRules()
    members: list[UserId] = []
    unreadable: bool = False


class GroupUpdated(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="group.updated"):
    """This is all that the group shows of itself from now on, whatever of it has changed."""

    by: UserId
    title: str = ""
    description: str = ""
    picture: str = ""
    rules: GroupRules = GroupRules()
    unreadable: bool = False


class GroupDeleted(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="group.deleted"):
    """The group was deleted. Its members may go on reading what was theirs; nothing follows this."""

    by: UserId
    unreadable: bool = False


class GroupTransferred(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="group.transferred"):
    """``user`` is an owner of the group from now on, and ``by`` an admin."""

    by: UserId
    user: UserId | None = None
    unreadable: bool = False


class MemberAdded(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="member.added"):
    """These are members from now on: they were added, or let in. Who was one before stays as they were."""

    by: UserId
    users: list[UserId] = []
    unreadable: bool = False


class MemberJoined(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="member.joined"):
    """Somebody came in, by invitation or since everybody may."""

    user: UserId
    unreadable: bool = False


class MemberLeft(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="member.left"):
    """Somebody left."""

    user: UserId
    unreadable: bool = False


class MemberRemoved(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="member.removed"):
    """A member was removed."""

    by: UserId
    user: UserId | None = None
    unreadable: bool = False


class MemberBanned(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="member.banned"):
    """Somebody may not come in, and is a member no longer if they were one."""

    by: UserId
    user: UserId | None = None
    unreadable: bool = False


class MemberUnbanned(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="member.unbanned"):
    """Somebody may come in again as others may."""

    by: UserId
    user: UserId | None = None
    unreadable: bool = False


class MemberRoleChanged(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="member.role_changed"):
    """A member has another role."""

    by: UserId
    user: UserId | None = None
    role: RoleName | None = None
    unreadable: bool = False


class MemberMuted(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="member.muted"):
    """A member may not speak until then."""

    by: UserId
    user: UserId | None = None
    until: datetime | None = None
    unreadable: bool = False


class MemberUnmuted(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="member.unmuted"):
    """A member may speak again."""

    by: UserId
    user: UserId | None = None
    unreadable: bool = False


GROUP_CREATED = Kind("group.created", FoundedContent, told_as(GroupCreated))
GROUP_UPDATED = Kind("group.updated", GroupContent, told_as(GroupUpdated))
GROUP_DELETED = Kind("group.deleted", NoContent, told_as(GroupDeleted))
GROUP_TRANSFERRED = Kind("group.transferred", UserContent, told_as(GroupTransferred))
ADDED = Kind("member.added", UsersContent, told_as(MemberAdded))
JOINED = Kind("member.joined", NoContent, told_as(MemberJoined, author="user"))
LEFT = Kind("member.left", NoContent, told_as(MemberLeft, author="user"))
REMOVED = Kind("member.removed", UserContent, told_as(MemberRemoved))
BANNED = Kind("member.banned", UserContent, told_as(MemberBanned))
UNBANNED = Kind("member.unbanned", UserContent, told_as(MemberUnbanned))
ROLE_CHANGED = Kind("member.role_changed", RoleContent, told_as(MemberRoleChanged))
MUTED = Kind("member.muted", MuteContent, told_as(MemberMuted))
UNMUTED = Kind("member.unmuted", UserContent, told_as(MemberUnmuted))

GROUP_KINDS = (
    GROUP_CREATED,
    GROUP_UPDATED,
    GROUP_DELETED,
    GROUP_TRANSFERRED,
    ADDED,
    JOINED,
    LEFT,
    REMOVED,
    BANNED,
    UNBANNED,
    ROLE_CHANGED,
    MUTED,
    UNMUTED,
)
