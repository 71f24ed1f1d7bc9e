"""The rules of chat in plain Python, for tests to hold the whole of chatd against: who may do what, and what follows.

Written from what the commands promise, not from how they are built: there is no sealing, no batch, no store and no
concurrency here. A log is named by what it is: ``alice+bob``, ``group 1``, ``queue of alice``.
"""

from datetime import datetime

from tests.kit.model_logs import Change, Log, Refused, Standing
from tests.kit.model_talk import RANKS, Talk


class Model(Talk):
    """Everybody, and everything that was said. Each command is a method that gives its place in a log, or refuses."""

    # -- groups --

    def _group(self, conversation: str, user: str) -> Log:
        """An open group that somebody is a member of."""
        log = self._log(conversation, user)
        if log.kind != "group" or log.closed:
            raise Refused("forbidden")
        return log

    def _other(self, log: Log, user: str, other: str) -> Standing:
        """A member to whom somebody may do something that takes a higher role."""
        if not log.of(other).inside:
            raise Refused("not_found")
        mine, theirs = log.of(user).role, log.of(other).role
        if mine != "owner" and RANKS.index(theirs) >= RANKS.index(mine):
            raise Refused("forbidden")
        return log.of(other)

    def _come(self, log: Log, user: str) -> None:
        """A new member sees the log from their own coming on."""
        one = log.of(user)
        one.kind, one.role, one.since, one.until = "member", "member", log.end, None
        one.invited_by, one.invited_until = "", None

    def _go(self, log: Log, user: str, kind: str = "outside") -> None:
        """A former member sees the log up to their own going."""
        one = log.of(user)
        one.kind, one.role, one.until = kind, "member", log.end + 1

    def _stay_out(self, log: Log, user: str, kind: str = "outside") -> None:
        one = log.of(user)
        one.kind, one.invited_by, one.invited_until = kind, "", None

    def _check_owned(self, log: Log, loses: str) -> None:
        if log.of(loses).role == "owner" and log.owners == 1:
            raise Refused("forbidden")

    def group_create(
        self, user: str, title: str, members: list[str], rules: dict[str, str] | None = None
    ) -> tuple[str, int]:
        others = [one for one in dict.fromkeys(members) if one != user]
        if any(self.apart(user, one) for one in others):
            raise Refused("forbidden")
        number = 1 + sum(log.kind == "group" for log in self.logs.values())
        defaults = {"posting": "member", "inviting": "admin", "editing": "admin", "joining": "invitation"}
        log = Log(f"group {number}", "group", title=title, rules={**defaults, "history": "joined", **(rules or {})})
        self.logs[log.name] = log
        for one in (user, *others):
            self._come(log, one)
            self._tell(one, "conversation.joined", user)
        log.of(user).role = "owner"
        return self._write(log, Change("group.created", user, title))

    def group_update(
        self, user: str, conversation: str, title: str | None = None, rules: dict[str, str] | None = None
    ) -> tuple[str, int]:
        if title is None and not rules:
            raise Refused("invalid")
        log = self._group(conversation, user)
        after = {**log.rules, **(rules or {})}
        title = log.title if title is None else title
        if after != log.rules:
            self._check_right(log, user, "owner")
        if title != log.title or after == log.rules:
            self._check_right(log, user, log.rules["editing"])
        if (title, after) == (log.title, log.rules):
            raise Refused("unchanged")
        log.title, log.rules = title, after
        return self._write(log, Change("group.updated", user, title))

    def group_transfer(self, by: str, conversation: str, user: str) -> tuple[str, int]:
        log = self._group(conversation, by)
        self._check_right(log, by, "owner")
        if self._other(log, by, user).role == "owner":
            raise Refused("unchanged")
        log.of(by).role, log.of(user).role = "admin", "owner"
        return self._write(log, Change("group.transferred", by, user))

    def group_delete(self, user: str, conversation: str) -> tuple[str, int]:
        log = self._group(conversation, user)
        self._check_right(log, user, "owner")
        log.closed = True
        return self._write(log, Change("group.deleted", user))

    def member_add(self, by: str, conversation: str, users: list[str]) -> tuple[str, int]:
        log = self._bringing(by, conversation, users)
        coming = [one for one in dict.fromkeys(users) if not log.of(one).inside]
        if not coming:
            raise Refused("unchanged")
        if any(log.of(one).kind == "banned" for one in coming):
            raise Refused("forbidden")
        for one in coming:
            self._come(log, one)
            self._tell(one, "conversation.joined", by)
        return self._write(log, Change("member.added", by, ",".join(dict.fromkeys(users))))

    def _bringing(self, by: str, conversation: str, users: list[str]) -> Log:
        """A group that somebody may bring these into."""
        log = self._log(conversation, by)
        if log.kind != "group" or any(self.apart(by, one) for one in users):
            raise Refused("not_found" if log.kind != "group" else "forbidden")
        self._check_right(log, by, log.rules["inviting"])
        return log

    def member_remove(self, by: str, conversation: str, user: str) -> tuple[str, int]:
        self._check_other(by, user)
        log = self._group(conversation, by)
        self._check_right(log, by, "admin")
        self._other(log, by, user)
        self._go(log, user)
        self._tell(user, "conversation.left", by)
        return self._write(log, Change("member.removed", by, user))

    def member_leave(self, user: str, conversation: str) -> tuple[str, int]:
        log = self._group(conversation, user)
        self._check_owned(log, user)
        self._go(log, user)
        return self._write(log, Change("member.left", user))

    def member_role(self, by: str, conversation: str, user: str, role: str) -> tuple[str, int]:
        log = self._group(conversation, by)
        if by != user or RANKS.index(role) >= RANKS.index(log.of(by).role):
            self._check_right(log, by, "owner")
            if self._other(log, by, user).role == role:
                raise Refused("unchanged")
        if role != "owner":
            self._check_owned(log, user)
        log.of(user).role = role
        return self._write(log, Change("member.role_changed", by, f"{user} {role}"))

    def member_ban(self, by: str, conversation: str, user: str) -> tuple[str, int]:
        self._check_other(by, user)
        log = self._group(conversation, by)
        self._check_right(log, by, "admin")
        if log.of(user).inside:
            self._other(log, by, user)
            self._go(log, user, "banned")
            self._tell(user, "conversation.left", by)
        elif log.of(user).kind == "banned":
            raise Refused("unchanged")
        self._stay_out(log, user, "banned")
        return self._write(log, Change("member.banned", by, user))

    def member_unban(self, by: str, conversation: str, user: str) -> tuple[str, int]:
        log = self._group(conversation, by)
        self._check_right(log, by, "admin")
        if log.of(user).kind != "banned":
            raise Refused("unchanged")
        self._stay_out(log, user)
        return self._write(log, Change("member.unbanned", by, user))

    def member_mute(self, by: str, conversation: str, user: str, until: datetime) -> tuple[str, int]:
        log = self._group(conversation, by)
        self._check_right(log, by, "admin")
        one = self._other(log, by, user)
        if until <= self.now:
            raise Refused("invalid")
        if one.muted_until == until:
            raise Refused("unchanged")
        one.muted_until = until
        return self._write(log, Change("member.muted", by, user))

    def member_unmute(self, by: str, conversation: str, user: str) -> tuple[str, int]:
        log = self._group(conversation, by)
        self._check_right(log, by, "admin")
        one = self._other(log, by, user)
        if one.muted_until is None or one.muted_until <= self.now:
            raise Refused("unchanged")
        one.muted_until = None
        return self._write(log, Change("member.unmuted", by, user))

    # -- coming in --

    def _invited(self, log: Log, user: str) -> bool:
        until = log.of(user).invited_until
        return log.of(user).kind == "invited" and until is not None and until > self.now

    def _beside(self, user: str, kind: str, log: Log, *told: str) -> tuple[str, int]:
        """What stands in somebody's queue, and in those of others who are told."""
        for one in told:
            self._tell(one, kind, user)
        return self._write(self.queue(user), Change(kind, user, log.name))

    def invitation_send(self, by: str, conversation: str, user: str) -> tuple[str, int]:
        log = self._bringing(by, conversation, [user])
        one = log.of(user)
        if one.inside or self._invited(log, user):
            raise Refused("unchanged")
        if one.kind == "banned":
            raise Refused("forbidden")
        one.kind, one.invited_by, one.invited_until = "invited", by, self.now + self._invitation
        return self._beside(by, "invitation.sent", log, user)

    def _invitation_of(self, user: str, conversation: str) -> Log:
        log = self.logs.get(conversation)
        if log is None or log.closed or not self._invited(log, user):
            raise Refused("not_found")
        return log

    def invitation_accept(self, user: str, conversation: str) -> tuple[str, int]:
        log = self._invitation_of(user, conversation)
        self._come(log, user)
        return self._write(log, Change("member.joined", user))

    def invitation_decline(self, user: str, conversation: str) -> tuple[str, int]:
        log = self._invitation_of(user, conversation)
        inviter = log.of(user).invited_by
        self._stay_out(log, user)
        return self._beside(user, "invitation.declined", log, inviter)

    def invitation_revoke(self, by: str, conversation: str, user: str) -> tuple[str, int]:
        log = self._group(conversation, by)
        self._invitation_of(user, conversation)
        if log.of(user).invited_by != by:
            self._check_right(log, by, "admin")
        self._stay_out(log, user)
        return self._beside(by, "invitation.revoked", log, user)

    def _deciders(self, log: Log) -> list[str]:
        return [user for user, one in log.members.items() if one.role != "member"]

    def join_request(self, user: str, conversation: str) -> tuple[str, int]:
        log = self.logs.get(conversation)
        if log is None or log.kind != "group":
            raise Refused("not_found")
        one = log.of(user)
        if one.inside:
            raise Refused("unchanged")
        if log.closed or one.kind == "banned" or log.rules["joining"] == "invitation":
            raise Refused("not_found")
        if log.rules["joining"] == "open":
            self._come(log, user)
            return self._write(log, Change("member.joined", user))
        if one.kind == "asking" or self._invited(log, user):
            raise Refused("unchanged")
        self._stay_out(log, user, "asking")
        return self._beside(user, "join.requested", log, *self._deciders(log))

    def _request_of(self, user: str, conversation: str) -> Log:
        log = self.logs.get(conversation)
        if log is None or log.closed or log.of(user).kind != "asking":
            raise Refused("not_found")
        return log

    def join_cancel(self, user: str, conversation: str) -> tuple[str, int]:
        log = self._request_of(user, conversation)
        self._stay_out(log, user)
        return self._beside(user, "join.cancelled", log, *self._deciders(log))

    def join_approve(self, by: str, conversation: str, user: str) -> tuple[str, int]:
        log = self._group(conversation, by)
        self._check_right(log, by, "admin")
        self._request_of(user, conversation)
        self._come(log, user)
        self._tell(user, "conversation.joined", by)
        return self._write(log, Change("member.added", by, user))

    def join_deny(self, by: str, conversation: str, user: str) -> tuple[str, int]:
        log = self._group(conversation, by)
        self._check_right(log, by, "admin")
        self._request_of(user, conversation)
        self._stay_out(log, user)
        return self._beside(by, "join.denied", log, user)
