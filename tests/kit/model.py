"""The rules of chat in plain Python, for tests to hold the whole of chatd against: who may do what, and what comes of it.

Written from what the commands promise, not from how they are built: there is no sealing, no batch, no store and no
concurrency here. A log is named by what it is: ``alice+bob``, ``group 1``, ``queue of alice``.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

RANKS = ("member", "admin", "owner")
NOWHERE = "nowhere"


class Refused(Exception):
    """The error that a command has to get."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Change:
    """One entry of a log: what an event has to tell at its place."""

    kind: str
    by: str
    text: str = ""
    target: int | None = None


@dataclass
class Message:
    """A message and what has become of it. ``versions`` are its texts and mentions by where they were said."""

    seq: int
    author: str
    versions: dict[int, tuple[str, tuple[str, ...]]]
    reply_to: int | None = None
    thread: int | None = None
    forwarded_from: str | None = None
    deleted: bool = False
    pinned: int | None = None
    hidden_from: set[str] = field(default_factory=set)
    reactions: dict[tuple[str, str], int] = field(default_factory=dict)

    def latest(self, high: int) -> tuple[str, tuple[str, ...]]:
        """Text and mentions for somebody whose log ends at ``high``."""
        return self.versions[max(seq for seq in self.versions if seq == self.seq or seq <= high)]


@dataclass
class Standing:
    """How a person stands to a log: theirs behind ``since`` and up to ``until`` (None: to its end)."""

    kind: str = "outside"
    role: str = "member"
    since: int = 0
    until: int | None = 0
    muted_until: datetime | None = None
    invited_until: datetime | None = None
    invited_by: str = ""
    delivered: int = 0
    read: int = 0
    shown: int = 0
    muted: bool = False
    archived: bool = False
    private: bool = False

    @property
    def inside(self) -> bool:
        return self.kind == "member"


@dataclass
class Log:
    """One conversation, or an event queue. ``moved`` orders the lists of conversations."""

    name: str
    kind: str
    opened: bool = True
    closed: bool = False
    title: str = ""
    rules: dict[str, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    messages: dict[int, Message] = field(default_factory=dict)
    people: dict[str, Standing] = field(default_factory=dict)
    moved: int = 0

    @property
    def end(self) -> int:
        return len(self.changes)

    def of(self, user: str) -> Standing:
        return self.people.setdefault(user, Standing())

    @property
    def members(self) -> dict[str, Standing]:
        return {user: one for user, one in sorted(self.people.items()) if one.inside}

    @property
    def owners(self) -> int:
        return sum(one.role == "owner" for one in self.members.values())

    def range(self, user: str, *, history: bool = False) -> tuple[int, int]:
        """Behind which and up to which ``seq`` somebody sees the log: its events or, with ``history``, its messages."""
        one = self.of(user)
        everything = history and one.inside and self.rules.get("history") == "all"
        return 0 if everything else one.since, self.end if one.until is None else one.until

    def sees(self, user: str, seq: int, *, history: bool = True) -> bool:
        low, high = self.range(user, history=history)
        return self.opened and low < seq <= high

    def reads(self, user: str) -> bool:
        """Whether there is anything that somebody may read."""
        low, high = self.range(user)
        return self.opened and user in self.people and (self.of(user).until is None or high > low)

    def unread(self, user: str) -> list[Message]:
        """What others have said since somebody last read."""
        one = self.of(user)
        low = max(one.read, one.since)
        behind = [message for seq, message in self.messages.items() if seq > low]
        return [m for m in behind if m.author != user and not m.deleted and user not in m.hidden_from]


class Model:
    """Everybody, and everything that was said. Each command is a method that gives its place in a log, or refuses."""

    def __init__(self, now: datetime, *, max_reactions: int, max_emojis: int, invitation: Any, edit: Any) -> None:
        self.now = now
        self.logs: dict[str, Log] = {}
        self.blocks: set[tuple[str, str]] = set()
        self.follows: set[tuple[str, str]] = set()
        self.times: dict[tuple[str, int], datetime] = {}
        self._moves = 0
        self._max_reactions = max_reactions
        self._max_emojis = max_emojis
        self._invitation = invitation
        self._edit = edit

    # -- what there is --

    def queue(self, user: str) -> Log:
        name = f"queue of {user}"
        if name not in self.logs:
            self.logs[name] = Log(name, "queue", people={user: Standing("member", until=None)})
        return self.logs[name]

    def apart(self, one: str, other: str) -> bool:
        return (one, other) in self.blocks or (other, one) in self.blocks

    def listed(self, user: str, *, archived: bool) -> list[str]:
        """The names of somebody's conversations, the latest first."""
        found = [
            log
            for log in self.logs.values()
            if log.kind != "queue" and log.changes and log.of(user).inside and log.of(user).archived is archived
        ]
        return [log.name for log in sorted(found, key=lambda log: -log.moved)]

    def _log(self, name: str, user: str) -> Log:
        """A log that somebody is a member of."""
        log = self.logs.get(name)
        if log is None or not log.opened or not log.of(user).inside:
            raise Refused("not_found")
        return log

    def _write(self, log: Log, change: Change) -> tuple[str, int]:
        self._moves += 1
        log.moved = self._moves
        log.changes.append(change)
        return log.name, log.end

    def _tell(self, user: str, kind: str, by: str) -> None:
        if user != by:
            self._write(self.queue(user), Change(kind, by))

    # -- messages --

    def _direct(self, user: str, other: str) -> Log:
        """Their conversation, opened if need be."""
        name = "+".join(sorted((user, other)))
        log = self.logs.get(name)
        if log is None or not log.opened:
            if self.apart(user, other):
                raise Refused("forbidden")
            people = {one: Standing("member", until=None) for one in (user, other)}
            log = self.logs[name] = Log(name, "direct", people=people)
            for one in {user, other}:
                self._write(self.queue(one), Change("conversation.created", user))
        return log

    def _check_apart(self, log: Log) -> None:
        if log.kind == "direct" and self.apart(*log.name.split("+")):
            raise Refused("forbidden")

    def _check_right(self, log: Log, user: str, least: str) -> None:
        """Somebody who is a member has to have at least this role, where there are roles."""
        if log.kind != "group":
            return
        if log.closed or RANKS.index(log.of(user).role) < RANKS.index(least):
            raise Refused("forbidden")

    def _check_speaks(self, log: Log, user: str, least: str = "member") -> None:
        self._check_right(log, user, least)
        until = log.of(user).muted_until
        if log.kind == "group" and until is not None and self.now < until:
            raise Refused("forbidden")

    def _check_mentions(self, log: Log, mentions: list[str]) -> None:
        if not all(log.of(user).inside for user in mentions):
            raise Refused("invalid")

    def _say(self, log: Log, user: str, text: str, mentions: list[str], **more: Any) -> tuple[str, int]:
        place = self._write(log, Change("message.created", user, text))
        log.messages[log.end] = Message(log.end, user, {log.end: (text, tuple(mentions))}, **more)
        for one in log.people.values():
            if not one.muted:
                one.archived = False
        return place

    def message_send(
        self,
        user: str,
        text: str,
        to: str | None = None,
        conversation: str | None = None,
        reply_to: int | None = None,
        mentions: list[str] | None = None,
        forwarded_from: str | None = None,
    ) -> tuple[str, int]:
        if (to is None) is (conversation is None):
            raise Refused("invalid")
        mentions = list(dict.fromkeys(mentions or []))
        log = self._direct(user, to) if to is not None else self._log(str(conversation), user)
        if log.kind == "queue":
            raise Refused("forbidden")
        if reply_to is not None and not self._reaches(log, user, reply_to):
            raise Refused("not_found")
        self._check_speaks(log, user, log.rules.get("posting", "member"))
        self._check_apart(log)
        self._check_mentions(log, mentions)
        thread = None
        if reply_to is not None:
            if reply_to not in log.messages:
                raise Refused("not_found")
            thread = log.messages[reply_to].thread or reply_to
        return self._say(log, user, text, mentions, reply_to=reply_to, thread=thread, forwarded_from=forwarded_from)

    def _reaches(self, log: Log, user: str, seq: int) -> bool:
        """Whether a place is not behind where somebody came in."""
        return seq > log.range(user, history=True)[0]

    def announcement_post(self, user: str, conversation: str, text: str) -> tuple[str, int]:
        log = self._group(conversation, user)
        self._check_speaks(log, user, "admin")
        return self._say(log, user, text, [])

    def message_forward(
        self, user: str, conversation: str, seq: int, to: str | None = None, into: str | None = None
    ) -> tuple[str, int]:
        if (to is None) is (into is None):
            raise Refused("invalid")
        source = self.seen(user, conversation, seq)
        if source is None or source.deleted or user in source.hidden_from:
            raise Refused("not_found")
        high = self.logs[conversation].range(user)[1]
        author = source.forwarded_from or source.author
        return self.message_send(user, source.latest(high)[0], to, into, forwarded_from=author)

    def seen(self, user: str, conversation: str, seq: int) -> Message | None:
        """A message that somebody may see."""
        log = self.logs.get(conversation)
        return log.messages.get(seq) if log is not None and log.sees(user, seq) else None

    def _alterable(self, user: str, conversation: str, seq: int) -> Log:
        log = self._log(conversation, user)
        if not self._reaches(log, user, seq):
            raise Refused("not_found")
        self._check_apart(log)
        return log

    def _standing_message(self, log: Log, seq: int) -> Message:
        message = log.messages.get(seq)
        if message is None or message.deleted:
            raise Refused("not_found")
        return message

    def message_edit(
        self, user: str, conversation: str, seq: int, text: str, mentions: list[str] | None = None
    ) -> tuple[str, int]:
        log = self._alterable(user, conversation, seq)
        self._check_speaks(log, user, log.rules.get("posting", "member"))
        mentions = list(dict.fromkeys(mentions or []))
        self._check_mentions(log, mentions)
        message = self._standing_message(log, seq)
        if message.author != user or self.times[conversation, seq] < self.now - self._edit:
            raise Refused("forbidden")
        place = self._write(log, Change("message.edited", user, text, seq))
        message.versions[log.end] = text, tuple(mentions)
        return place

    def message_delete(self, user: str, conversation: str, seq: int) -> tuple[str, int]:
        log = self._alterable(user, conversation, seq)
        there = log.messages.get(seq)
        anothers = there is not None and there.author != user
        self._check_right(log, user, "admin" if anothers else "member")
        message = self._standing_message(log, seq)
        if anothers and log.kind != "group":
            raise Refused("forbidden")
        message.deleted, message.pinned = True, None
        message.reactions.clear()
        return self._write(log, Change("message.deleted", user, target=seq))

    def message_hide(self, user: str, conversation: str, seq: int) -> tuple[str, int]:
        message = self.seen(user, conversation, seq)
        if message is None:
            raise Refused("not_found")
        if user in message.hidden_from:
            raise Refused("unchanged")
        message.hidden_from.add(user)
        return self._write(self.queue(user), Change("message.hidden", user, conversation, seq))

    def _pinning(self, user: str, conversation: str, seq: int, pinned: bool) -> tuple[str, int]:
        log = self._alterable(user, conversation, seq)
        self._check_right(log, user, log.rules.get("editing", "member"))
        message = self._standing_message(log, seq)
        if (message.pinned is not None) is pinned:
            raise Refused("unchanged")
        place = self._write(log, Change("message.pinned" if pinned else "message.unpinned", user, target=seq))
        message.pinned = log.end if pinned else None
        return place

    def message_pin(self, user: str, conversation: str, seq: int) -> tuple[str, int]:
        return self._pinning(user, conversation, seq, True)

    def message_unpin(self, user: str, conversation: str, seq: int) -> tuple[str, int]:
        return self._pinning(user, conversation, seq, False)

    def _reactable(self, user: str, conversation: str, seq: int, emoji: str) -> tuple[Log, Message]:
        if emoji.isascii():
            raise Refused("invalid")
        log = self._alterable(user, conversation, seq)
        self._check_speaks(log, user)
        return log, self._standing_message(log, seq)

    def reaction_add(self, user: str, conversation: str, seq: int, emoji: str) -> tuple[str, int]:
        log, message = self._reactable(user, conversation, seq, emoji)
        if (emoji, user) in message.reactions:
            raise Refused("unchanged")
        own = sum(who == user for _, who in message.reactions)
        there = {one for one, _ in message.reactions}
        if own >= self._max_reactions or (emoji not in there and len(there) >= self._max_emojis):
            raise Refused("forbidden")
        message.reactions[emoji, user] = log.end + 1
        return self._write(log, Change("reaction.added", user, emoji, seq))

    def reaction_remove(self, user: str, conversation: str, seq: int, emoji: str) -> tuple[str, int]:
        log, message = self._reactable(user, conversation, seq, emoji)
        if message.reactions.pop((emoji, user), None) is None:
            raise Refused("unchanged")
        return self._write(log, Change("reaction.removed", user, emoji, seq))

    # -- what people have of conversations --

    def ack(self, user: str, conversation: str, seq: int) -> None:
        log = self.logs.get(conversation)
        if log is None or not log.reads(user):
            raise Refused("not_found")
        if seq > log.range(user)[1]:
            raise Refused("invalid")
        log.of(user).delivered = max(log.of(user).delivered, seq)

    def read(self, user: str, conversation: str, seq: int, private: bool = False) -> None:
        log = self._log(conversation, user)
        if seq > log.end:
            raise Refused("invalid")
        one = log.of(user)
        one.read, one.delivered = max(one.read, seq), max(one.delivered, seq)
        if not private and not one.private:
            one.shown = max(one.shown, seq)

    def _set(self, user: str, conversation: str, name: str, value: bool, kind: str) -> tuple[str, int]:
        log = self._log(conversation, user)
        if log.kind == "queue":
            raise Refused("invalid")
        if getattr(log.of(user), name) is value and kind != "conversation.muted":
            raise Refused("unchanged")
        setattr(log.of(user), name, value)
        return self._write(self.queue(user), Change(kind, user, conversation))

    def conversation_mute(self, user: str, conversation: str) -> tuple[str, int]:
        return self._set(user, conversation, "muted", True, "conversation.muted")

    def conversation_unmute(self, user: str, conversation: str) -> tuple[str, int]:
        return self._set(user, conversation, "muted", False, "conversation.unmuted")

    def conversation_archive(self, user: str, conversation: str) -> tuple[str, int]:
        return self._set(user, conversation, "archived", True, "conversation.archived")

    def conversation_unarchive(self, user: str, conversation: str) -> tuple[str, int]:
        return self._set(user, conversation, "archived", False, "conversation.unarchived")

    def reading_hide(self, user: str, conversation: str) -> tuple[str, int]:
        return self._set(user, conversation, "private", True, "reading.hidden")

    def reading_show(self, user: str, conversation: str) -> tuple[str, int]:
        return self._set(user, conversation, "private", False, "reading.shown")

    # -- people --

    def _relate(self, user: str, other: str, kind: str, ties: set[tuple[str, str]], there: bool) -> tuple[str, int]:
        if ((user, other) in ties) is there:
            raise Refused("unchanged")
        (ties.add if there else ties.discard)((user, other))
        return self._write(self.queue(user), Change(kind, user, other))

    def _check_other(self, user: str, other: str) -> None:
        if user == other:
            raise Refused("invalid")

    def user_follow(self, by: str, user: str) -> tuple[str, int]:
        self._check_other(by, user)
        if self.apart(by, user):
            raise Refused("forbidden")
        place = self._relate(by, user, "following.added", self.follows, True)
        self._tell(user, "user.followed", by)
        return place

    def user_unfollow(self, by: str, user: str) -> tuple[str, int]:
        self._check_other(by, user)
        return self._relate(by, user, "following.removed", self.follows, False)

    def user_block(self, by: str, user: str) -> tuple[str, int]:
        self._check_other(by, user)
        place = self._relate(by, user, "block.added", self.blocks, True)
        self.follows -= {(by, user), (user, by)}
        return place

    def user_unblock(self, by: str, user: str) -> tuple[str, int]:
        self._check_other(by, user)
        return self._relate(by, user, "block.removed", self.blocks, False)

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
