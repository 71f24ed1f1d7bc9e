"""Rosters after changes of who is in a group: pure functions, from which each command makes its ``decide``.

They hold whatever happens at the same time, since they are asked on the locked, current roster
(:data:`~chatd.records.rosters.Decide`). Whatever a command does to a group's people goes through :func:`changed`, which
keeps the promise that a group has an owner.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from msgspec.structs import replace

from chatd.errors import Forbidden, Invalid, NotFound, TooLarge, Unchanged
from chatd.handlers.rights import Action, check_group, check_may, check_may_upon, rank, role_of
from chatd.records.rosters import Membership, Role, Roster
from chatd.settings.model import Groups

OUTSIDE: Final = Membership(standing="left", until=0)
"""Of whom nothing is known in a group."""

NO_OWNER: Final = "A group has an owner: make somebody else an owner first, or delete the group."


def changed(roster: Roster, people: Mapping[str, Membership], **more: Any) -> Roster:
    """The roster once these stand to it so. Raises Forbidden where nobody would be left who owns the group."""
    members, others = dict(roster.members), dict(roster.others)
    for user, one in people.items():
        members.pop(user, None)
        others.pop(user, None)
        if one.standing == "member":
            members[user] = one
        elif one.standing != "left" or one.muted_until is not None:
            others[user] = one
    owners = [user for user in people if role_of(roster, user) == "owner"]
    if owners and not any(one.role == "owner" for one in members.values()):
        raise Forbidden(NO_OWNER)
    return replace(roster, members=members, others=others, changes=people, **more)


def _joined(roster: Roster, user: str, seq: int) -> Membership:
    """A new member, who sees the log from their own joining on. A mute outlasts leaving and coming back."""
    return Membership(since=seq - 1, muted_until=roster.others.get(user, OUTSIDE).muted_until)


def gone(membership: Membership, seq: int) -> Membership:
    """A former member, to whom the log is what it was up to their going, that itself included."""
    return replace(membership, standing="left", role="member", until=seq)


def _check_room(roster: Roster, coming: int, limits: Groups) -> None:
    if len(roster.members) + coming > limits.max_members:
        raise TooLarge(f"A group may have {limits.max_members} members; this one has {len(roster.members)}.")


def _lapsed(membership: Membership, at: datetime) -> bool:
    return membership.standing == "invited" and membership.expires_at is not None and membership.expires_at <= at


def _swept(roster: Roster, at: datetime, limits: Groups) -> dict[str, Membership]:
    """Whoever has to go from the list of those invited; raises TooLarge where it stays full."""
    lapsed = {
        user: replace(one, standing="left", expires_at=None, by=None)
        for user, one in roster.others.items()
        if _lapsed(one, at)
    }
    if len(roster.others) - len(lapsed) >= limits.max_members:
        raise TooLarge(f"{limits.max_members} people are invited, asking or banned; that is the limit.")
    return lapsed


# Coming


def founded(owner: str, users: Collection[str], rules: Any, roster: Roster, seq: int) -> Roster:
    """The group begins, and what it is called stands in the entry with which it does."""
    people = {owner: Membership(role="owner", since=seq - 1)}
    people |= dict.fromkeys(users, Membership(since=seq - 1))
    return changed(roster, people, rules=rules, profile=seq)


def added(user: str, new: Collection[str], limits: Groups, roster: Roster, seq: int) -> Roster:
    """``user`` adds people. Who is a member already stays as they are."""
    check_may(Action.INVITE, roster, user)
    coming = [one for one in new if one not in roster.members]
    if not coming:
        raise Unchanged("They are members already.")
    for one in coming:
        if roster.others.get(one, OUTSIDE).standing == "banned":
            raise Forbidden("`users` names somebody who is banned: lift the ban first.")
    _check_room(roster, len(coming), limits)
    return changed(roster, {one: _joined(roster, one, seq) for one in coming})


def joined(user: str, limits: Groups, roster: Roster, seq: int) -> Roster:
    """``user`` comes in by themself."""
    _check_outside(roster, user)
    if roster.rules.joining != "open":
        raise NotFound
    _check_room(roster, 1, limits)
    return changed(roster, {user: _joined(roster, user, seq)})


def _check_outside(roster: Roster, user: str) -> None:
    if user in roster.members:
        raise Unchanged("You are a member already.")
    if roster.kind != "group" or roster.closed or roster.others.get(user, OUTSIDE).standing == "banned":
        raise NotFound


# Invitations and requests


def invited(
    user: str, other: str, at: datetime, expires_at: datetime, limits: Groups, roster: Roster, seq: int
) -> Roster:
    """``user`` invites somebody. Whoever asks to be let in is invited as well as anybody."""
    check_may(Action.INVITE, roster, user)
    if other in roster.members:
        raise Unchanged("They are a member already.")
    before = roster.others.get(other, OUTSIDE)
    if before.standing == "banned":
        raise Forbidden("They are banned: lift the ban first.")
    if before.standing == "invited" and not _lapsed(before, at):
        raise Unchanged("They are invited already.")
    swept = _swept(roster, at, limits)
    return changed(roster, {**swept, other: replace(before, standing="invited", expires_at=expires_at, by=user)})


def _invitation(roster: Roster, user: str, at: datetime) -> Membership:
    one = roster.others.get(user, OUTSIDE)
    if one.standing != "invited" or _lapsed(one, at) or roster.closed:
        raise NotFound
    return one


def accepted(user: str, at: datetime, limits: Groups, roster: Roster, seq: int) -> Roster:
    """``user`` comes in by invitation."""
    _invitation(roster, user, at)
    _check_room(roster, 1, limits)
    return changed(roster, {user: _joined(roster, user, seq)})


def _dropped(roster: Roster, user: str, one: Membership) -> Roster:
    return changed(roster, {user: replace(one, standing="left", expires_at=None, by=None)})


def declined(user: str, at: datetime, roster: Roster, seq: int) -> Roster:
    """``user`` does not want to come."""
    return _dropped(roster, user, _invitation(roster, user, at))


def revoked(user: str, other: str, at: datetime, roster: Roster, seq: int) -> Roster:
    """``user`` takes an invitation back: their own, or with the right to it anybody's."""
    check_group(roster, user)
    one = _invitation(roster, other, at)
    if one.by != user:
        check_may(Action.ADMIT, roster, user)
    return _dropped(roster, other, one)


def asking(user: str, at: datetime, limits: Groups, roster: Roster, seq: int) -> Roster:
    """``user`` asks to be let in."""
    _check_outside(roster, user)
    if roster.rules.joining != "request":
        raise NotFound
    before = roster.others.get(user, OUTSIDE)
    if before.standing == "asking":
        raise Unchanged("You have asked already.")
    if before.standing == "invited" and not _lapsed(before, at):
        raise Unchanged("You are invited: accept that.")
    swept = _swept(roster, at, limits)
    return changed(roster, {**swept, user: replace(before, standing="asking", expires_at=None, by=None)})


def _request(roster: Roster, user: str) -> Membership:
    one = roster.others.get(user, OUTSIDE)
    if one.standing != "asking" or roster.closed:
        raise NotFound
    return one


def approved(user: str, other: str, limits: Groups, roster: Roster, seq: int) -> Roster:
    """``user`` lets somebody in who has asked."""
    check_may(Action.ADMIT, roster, user)
    _request(roster, other)
    _check_room(roster, 1, limits)
    return changed(roster, {other: _joined(roster, other, seq)})


def denied(user: str, other: str, roster: Roster, seq: int) -> Roster:
    """``user`` does not let somebody in who has asked."""
    check_may(Action.ADMIT, roster, user)
    return _dropped(roster, other, _request(roster, other))


def withdrawn(user: str, roster: Roster, seq: int) -> Roster:
    """``user`` asks no longer."""
    return _dropped(roster, user, _request(roster, user))


# Going


def left(user: str, roster: Roster, seq: int) -> Roster:
    """``user`` leaves."""
    return changed(roster, {user: gone(check_group(roster, user), seq)})


def removed(user: str, other: str, roster: Roster, seq: int) -> Roster:
    """``user`` puts somebody out."""
    return changed(roster, {other: gone(check_may_upon(Action.REMOVE, roster, user, other), seq)})


def banned(user: str, other: str, roster: Roster, seq: int) -> Roster:
    """``user`` keeps somebody out, whether they are in or not."""
    check_may(Action.BAN, roster, user)
    if other in roster.members:
        one = gone(check_may_upon(Action.BAN, roster, user, other), seq)
    else:
        one = roster.others.get(other, OUTSIDE)
    if one.standing == "banned":
        raise Unchanged("They are banned already.")
    return changed(roster, {other: replace(one, standing="banned", expires_at=None, by=user)})


def unbanned(user: str, other: str, roster: Roster, seq: int) -> Roster:
    """``user`` lifts a ban; who was banned may come back like anybody else."""
    check_may(Action.BAN, roster, user)
    one = roster.others.get(other, OUTSIDE)
    if one.standing != "banned":
        raise Unchanged("They are not banned.")
    return _dropped(roster, other, one)


# Roles and mutes


def assigned(user: str, other: str, role: Role, limits: Groups, roster: Roster, seq: int) -> Roster:
    """``user`` gives somebody a role, or steps down to one."""
    if other == user and rank(role) < rank(check_group(roster, user).role):
        one = roster.members[user]
    else:
        one = check_may_upon(Action.ASSIGN, roster, user, other)
    if one.role == role:
        raise Unchanged("They have this role already.")
    return changed(roster, {other: _with_role(roster, one, role, limits)})


def _with_role(roster: Roster, one: Membership, role: Role, limits: Groups) -> Membership:
    if one.role == "member":
        leading = sum(other.role != "member" for other in roster.members.values())
        if leading >= limits.max_admins:
            raise TooLarge(f"A group may have {limits.max_admins} admins and owners; that many it has.")
    return replace(one, role=role)


def transferred(user: str, other: str, limits: Groups, roster: Roster, seq: int) -> Roster:
    """``user`` hands the ownership over and becomes an admin."""
    mine = check_may(Action.TRANSFER, roster, user)
    theirs = check_may_upon(Action.TRANSFER, roster, user, other)
    if theirs.role == "owner":
        raise Unchanged("They own this group already.")
    return changed(roster, {other: _with_role(roster, theirs, "owner", limits), user: replace(mine, role="admin")})


def muted(user: str, other: str, until: datetime, at: datetime, roster: Roster, seq: int) -> Roster:
    """``user`` keeps somebody from speaking for a while."""
    one = check_may_upon(Action.MUTE, roster, user, other)
    if until <= at:
        raise Invalid("`until` is in the past.")
    if one.muted_until == until:
        raise Unchanged("They are muted until then already.")
    return changed(roster, {other: replace(one, muted_until=until)})


def unmuted(user: str, other: str, at: datetime, roster: Roster, seq: int) -> Roster:
    """``user`` lets somebody speak again."""
    one = check_may_upon(Action.MUTE, roster, user, other)
    if one.muted_until is None or one.muted_until <= at:
        raise Unchanged("They are not muted.")
    return changed(roster, {other: replace(one, muted_until=None)})
