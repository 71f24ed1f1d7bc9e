"""What the stores in memory share."""

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec.structs import replace

from chatd.records.keys import WrappedKey
from chatd.records.logs import Appended, Draft, Entry, MessageState
from chatd.records.rosters import Conversation, ConversationKind, Membership, Roster, plain_roster
from chatd.store.entries import EDITED, MESSAGE, REACTED, placed
from chatd.store.memory.devices import DeviceTables
from chatd.store.memory.people import People
from chatd.store.memory.personal import Personal
from chatd.store.memory.reactions import Reacted


class KeptLog:
    """One conversation. The entry with ``seq`` n stands at index n - 1."""

    def __init__(self, roster: Roster, at: datetime) -> None:
        self.roster = roster
        self.created_at = self.last_at = at
        self.entries: list[Entry] = []
        self.people: dict[str, Membership] = {**roster.members, **roster.others}
        self.since = dict.fromkeys(self.people, at)
        self.marks = dict.fromkeys(sorted(roster.members), 0)
        self.cursors: dict[tuple[str, str], int] = {}
        self.states: dict[int, MessageState] = {}
        self.mentions: dict[int, tuple[str, ...]] = {}
        self.tokens: dict[int, frozenset[int]] = {}

    @property
    def conversation(self) -> str:
        return self.roster.conversation

    def add(self, draft: Draft, at: datetime, thread: int | None = None) -> Entry:
        entry = placed(draft, len(self.entries) + 1, at)
        self.entries.append(entry)
        self.last_at = at
        if draft.kind == MESSAGE:
            self.states[entry.seq] = MessageState(author=draft.author, time=at, thread=thread)
            self.mentions[entry.seq] = draft.mentions
            self.tokens[entry.seq] = frozenset(draft.tokens)
        elif draft.kind == EDITED and draft.revision is not None:
            self.mentions[draft.revision.target] = draft.mentions
            self.tokens[draft.revision.target] = frozenset(draft.tokens)
        return entry

    def stand(self, user: str, membership: Membership, at: datetime) -> None:
        """How somebody stands to it from now on. Whoever has left keeps the part of the log that was theirs."""
        before = self.people.get(user)
        if membership.until == 0 and before is not None and before.until:
            membership = replace(membership, since=before.since, until=before.until)
        if before is None or before.standing != membership.standing:
            self.since[user] = at
        self.people[user] = membership
        self.marks.setdefault(user, 0)

    def revise(self, seq: int, state: MessageState) -> None:
        """What becomes of a message; a deleted one is overwritten, and its edits and the reactions to it too."""
        self.states[seq] = state
        if state.deleted is not None:
            self.mentions.pop(seq, None)
            self.tokens.pop(seq, None)
            self.entries = [
                replace(entry, sealed=b"", erased=True) if entry.seq == seq or _goes_with(entry, seq) else entry
                for entry in self.entries
            ]

    def visible(self, user: str, *, history: bool = False) -> tuple[int, int]:
        """The log is theirs behind the first and up to the second."""
        membership = self.people.get(user)
        if membership is None:
            return 0, 0
        everything = history and self.roster.rules.history == "all" and membership.standing == "member"
        end = len(self.entries)
        return 0 if everything else membership.since, end if membership.until is None else min(end, membership.until)

    @property
    def row(self) -> Conversation:
        return Conversation(
            conversation=self.conversation,
            kind=self.roster.kind,
            members=() if self.roster.kind == "group" else tuple(sorted(self.people)),
            member_count=len(self.roster.members),
            profile=self.roster.profile,
            last_seq=len(self.entries),
            created_at=self.created_at,
            last_at=self.last_at,
        )


def _goes_with(entry: Entry, seq: int) -> bool:
    """Whether it says something that goes when the message does."""
    return (entry.kind == EDITED or entry.kind in REACTED) and entry.target == seq


class MemoryDatabase:
    """What the three stores share. ``now`` gives times that know their zone; order never depends on them."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.logs: dict[str, KeptLog] = {}
        self.receipts: dict[tuple[str, str], tuple[Appended, bytes]] = {}
        self.keys: dict[str, WrappedKey] = {}
        self.keys_destroyed: dict[str, datetime] = {}
        self.reactions: dict[tuple[str, int], Reacted] = {}
        self.hidden: set[tuple[str, str, int]] = set()
        self.reads: dict[tuple[str, str], tuple[int, int]] = {}
        self.personal: dict[tuple[str, str], Personal] = {}
        self.device_tables = DeviceTables()
        self.must_reads: dict[tuple[str, int], dict[str, datetime]] = {}
        self.people = People(now)

    def create(self, conversation: str, kind: ConversationKind, members: Sequence[str]) -> KeptLog:
        return self.begin(plain_roster(conversation, kind, sorted(members)))

    def begin(self, roster: Roster) -> KeptLog:
        log = self.logs[roster.conversation] = KeptLog(roster, self.now())
        return log

    def logs_of(self, user: str) -> list[KeptLog]:
        """The logs that a person has to do with, the latest first."""
        found = [log for log in self.logs.values() if user in log.people]
        return sorted(found, key=lambda log: (log.last_at, log.conversation), reverse=True)
