"""What the model of chat knows: logs, the people in them, and messages with all that has become of them."""

from dataclasses import dataclass, field
from datetime import datetime


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
    """A message and what has become of it. ``versions`` are its texts and mentions by where they were said.

    ``confirmed`` is who has confirmed an announcement that must be read.
    """

    seq: int
    author: str
    versions: dict[int, tuple[str, tuple[str, ...]]]
    reply_to: int | None = None
    thread: int | None = None
    forwarded_from: str | None = None
    confirmed: set[str] | None = None
    deleted: bool = False
    pinned: int | None = None
    hidden_from: set[str] = field(default_factory=set)
    reactions: dict[tuple[str, str], int] = field(default_factory=dict)

    def latest(self, high: int) -> tuple[str, tuple[str, ...]]:
        """Text and mentions for somebody whose log ends at ``high``."""
        return self.versions[self._latest(high)]

    def origin(self, high: int) -> str | None:
        """Who said it first, of what was forwarded; once it is edited, those are no longer another's words."""
        return self.forwarded_from if self._latest(high) == self.seq else None

    def settled(self, high: int) -> bool:
        """Whether it was not edited any more behind ``high``."""
        return max(self.versions) <= max(high, self.seq)

    def _latest(self, high: int) -> int:
        return max(seq for seq in self.versions if seq == self.seq or seq <= high)


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
    quiet_until: datetime | None = None
    archived: bool = False
    private: bool = False

    @property
    def inside(self) -> bool:
        return self.kind == "member"

    def quiet(self, now: datetime) -> bool:
        """Whether they have muted it themselves, and the mute has not ended."""
        return self.muted and (self.quiet_until is None or now < self.quiet_until)


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
