"""Who may do what in a group: one table.

- Only members may do anything; to everybody else a group is not there.
- What takes a role is open to that role and to those above it: member, admin, owner. Where the table names a rule, the
  group has decided which role that is.
- What is done to another member takes a higher role than theirs as well, except that owners may do it to anybody.
- In a deleted group nobody may do anything but read.
- Direct conversations have no roles: both may do everything in them.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Final, Literal, get_args

from chatd.errors import Forbidden, NotFound
from chatd.records.rosters import MEMBER, Membership, Role, Roster, Rules

Rule = Literal["posting", "inviting", "editing"]


class Action(Enum):
    """What somebody does, as errors and the documentation say it."""

    POST = "send messages, and edit one's own"
    ANNOUNCE = "post announcements, and see who has read them"
    PIN = "pin and unpin messages"
    MODERATE = "delete other people's messages"
    INVITE = "add and invite people, and see who is invited"
    ADMIT = "decide on requests to join, and take back other people's invitations"
    REMOVE = "remove members"
    BAN = "ban people, lift bans, and see who is banned"
    MUTE = "mute members"
    EDIT = "change the title, the description and the picture"
    RULE = "change the rules"
    ASSIGN = "change roles"
    TRANSFER = "hand the ownership over"
    DELETE = "delete the group"


RIGHTS: Final[Mapping[Action, Role | Rule]] = {
    Action.POST: "posting",
    Action.ANNOUNCE: "admin",
    Action.PIN: "editing",
    Action.MODERATE: "admin",
    Action.INVITE: "inviting",
    Action.ADMIT: "admin",
    Action.REMOVE: "admin",
    Action.BAN: "admin",
    Action.MUTE: "admin",
    Action.EDIT: "editing",
    Action.RULE: "owner",
    Action.ASSIGN: "owner",
    Action.TRANSFER: "owner",
    Action.DELETE: "owner",
}
"""The least role that each takes, or the rule that says which."""

ROLES: Final[tuple[Role, ...]] = get_args(Role)


def rank(role: Role) -> int:
    """Higher for the roles that may do more."""
    return ROLES.index(role)


def least_role(action: Action, rules: Rules) -> Role:
    """The least role that may do it."""
    right = RIGHTS[action]
    if right == "posting":
        return rules.posting
    if right == "inviting":
        return rules.inviting
    return rules.editing if right == "editing" else right


def allows(action: Action, rules: Rules, role: Role) -> bool:
    """Whether this role may do it."""
    return rank(role) >= rank(least_role(action, rules))


def check_role(action: Action, rules: Rules, role: Role) -> None:
    """Raise Forbidden unless this role may do it."""
    if not allows(action, rules, role):
        raise Forbidden(f"Here it takes the role {least_role(action, rules)} to {action.value}.")


def check_group(roster: Roster, user: str) -> Membership:
    """How a member stands to a group that is open; raises NotFound for anybody else, Forbidden where it is none."""
    membership = roster.members.get(user)
    if membership is None or not roster.opened:
        raise NotFound
    if roster.kind != "group":
        raise Forbidden("This conversation is no group.")
    check_open(roster)
    return membership


def check_open(roster: Roster) -> None:
    """Raise Forbidden where the group has been deleted."""
    if roster.closed:
        raise Forbidden("This group was deleted; it can only be read.")


def check_may(action: Action, roster: Roster, user: str) -> Membership:
    """How a member who may do this in a group stands to it; raises NotFound or Forbidden."""
    membership = check_group(roster, user)
    check_role(action, roster.rules, membership.role)
    return membership


def check_may_upon(action: Action, roster: Roster, user: str, other: str) -> Membership:
    """How another member stands to a group in which ``user`` may do this to them; raises NotFound or Forbidden."""
    role = check_may(action, roster, user).role
    if other not in roster.members:
        raise NotFound("There is no such member.")
    theirs = roster.members[other]
    if role != "owner" and rank(theirs.role) >= rank(role):
        raise Forbidden(f"To {action.value} takes a higher role than theirs.")
    return theirs


def check_posts(roster: Roster, user: str, at: datetime) -> None:
    """Raise Forbidden where a member may not speak in a group at present. Elsewhere everybody may."""
    if roster.kind != "group":
        return
    check_may(Action.POST, roster, user)
    check_unmuted(roster, user, at)


def check_unmuted(roster: Roster, user: str, at: datetime) -> None:
    """Raise Forbidden where a group was deleted or has muted this member at present."""
    check_open(roster)
    muted_until = roster.members[user].muted_until if user in roster.members else None
    if muted_until is not None and at < muted_until:
        raise Forbidden(f"You are muted here until {muted_until.isoformat()}.")


def check_may_in_group(action: Action, roster: Roster, user: str) -> None:
    """Raise Forbidden where this is a group in which a member may not do it. Elsewhere everybody may."""
    if roster.kind == "group":
        check_may(action, roster, user)


def role_of(roster: Roster, user: str) -> Role:
    """A member's role; the least for anybody else."""
    return roster.members.get(user, MEMBER).role
