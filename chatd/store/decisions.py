"""What becomes of changes that are not plain messages: decided one after the other, on locked and current state.

The callers lock the logs that a batch names, load what is asked for here, have it decided, and write the outcome in
one transaction. So every rule that a draft brings with it (its ``decide`` and ``revise``) holds under concurrency:
nobody else can change a log's rights, its counter or its messages between the look and the leap. This file is pure.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from chatd.errors import ChatdError, NotFound
from chatd.records.base import Effect
from chatd.records.logs import Appended, Draft, Entry, MessageState
from chatd.records.people import STRANGERS, Related, Tie
from chatd.records.rosters import Membership, Roster
from chatd.state.queues import queue_roster
from chatd.store.entries import MESSAGE, placed
from chatd.store.reacted import Marks, reactions

Place = tuple[str, int]
"""A conversation and a ``seq`` in it."""


Pair = tuple[str, str]
"""Two people: how the first stands to the second."""


class LogState:
    """A locked log: how far it is numbered, and its rights. ``begun``: it begins with this batch, with its people."""

    def __init__(self, roster: Roster, last_seq: int, *, begun: bool = False) -> None:
        self.roster = roster
        self.last_seq = last_seq
        self._before = (roster, last_seq)
        self._begun = begun

    @property
    def grown(self) -> bool:
        """Whether anything has been put into it since."""
        return self.last_seq > self._before[1]

    @property
    def altered(self) -> bool:
        """Whether its rights have changed since, or are new."""
        return self._begun or self.roster is not self._before[0]

    @property
    def first_members(self) -> Iterable[tuple[str, Membership]]:
        """Those with whom it began just now."""
        return self._before[0].members.items() if self._begun else ()


@dataclass
class Outcome:
    """What is to be written. Everything is in the order decided."""

    verdicts: list[Appended | ChatdError]
    written: list[Draft] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    receipts: list[tuple[Draft, Entry]] = field(default_factory=list)
    threads: dict[Place, int] = field(default_factory=dict)
    memberships: dict[tuple[str, str], Membership] = field(default_factory=dict)
    revised: dict[Place, MessageState] = field(default_factory=dict)
    effects: list[tuple[Effect, Entry]] = field(default_factory=list)


def targets(drafts: Iterable[Draft]) -> list[Place]:
    """The messages that have to be loaded: what is revised, and what is replied to."""
    found: dict[Place, None] = {}
    for draft in drafts:
        if draft.revision is not None:
            found[draft.conversation, draft.revision.target] = None
        if draft.reply_to is not None:
            found[draft.conversation, draft.reply_to] = None
    return list(found)


def beginnings(drafts: Iterable[Draft]) -> dict[str, Roster]:
    """The conversations that begin with this batch, unless they are there, each with what it begins with."""
    found: dict[str, Roster] = {}
    for draft in drafts:
        if draft.begins:
            found.setdefault(draft.conversation, draft.roster)
        for elsewhere in draft.elsewhere:
            found.setdefault(elsewhere.roster.conversation, elsewhere.roster)
        for notice in draft.notices:
            found.setdefault(notice.conversation, notice.roster)
        if draft.relating is not None:
            queue = queue_roster(draft.relating.other)
            found.setdefault(queue.conversation, queue)
    return found


def pairs(drafts: Iterable[Draft]) -> list[Pair]:
    """Whose ties have to be loaded."""
    return list(dict.fromkeys((draft.author, draft.relating.other) for draft in drafts if draft.relating))


def named(drafts: Iterable[Draft]) -> set[str]:
    """All conversations that have to be locked."""
    drafts = list(drafts)
    return {draft.conversation for draft in drafts} | beginnings(drafts).keys()


def decide(
    drafts: Sequence[Draft],
    known: Sequence[Appended | ChatdError | None],
    logs: Mapping[str, LogState],
    messages: Mapping[Place, MessageState],
    now: datetime,
    marks: Mapping[Place, Marks],
    ties: Mapping[Pair, Tie],
) -> Outcome:
    """Decide on ``drafts`` in their order. ``known`` are the verdicts on those that stand in the log already.

    ``logs`` are advanced as they will stand; ``messages`` are those of :func:`targets` that exist, ``ties`` those of
    :func:`pairs`. ``marks`` are the reactions to whatever messages the drafts react to.
    """
    outcome = Outcome(verdicts=[])
    current, reacted, related = dict(messages), defaultdict(Marks, marks), dict(ties)
    for draft, verdict in zip(drafts, known, strict=True):
        if verdict is None:
            try:
                verdict = _decide(draft, logs, current, reacted, related, now, outcome)
            except ChatdError as refusal:
                verdict = refusal
        outcome.verdicts.append(verdict)
    return outcome


def _decide(
    draft: Draft,
    logs: Mapping[str, LogState],
    current: dict[Place, MessageState],
    reacted: Mapping[Place, Marks],
    related: dict[Pair, Tie],
    now: datetime,
    outcome: Outcome,
) -> Appended:
    """Everything that may refuse comes first; only then is anything changed."""
    log = logs.get(draft.conversation)
    if log is None:
        raise NotFound
    seq = log.last_seq + 1
    before, roster = log.roster, draft.decide(log.roster, seq)
    tie = None if draft.relating is None else draft.relating.relate(related.get(_pair(draft), STRANGERS))
    thread = _thread(draft, current)
    revised = _revised(draft, current, seq)
    others = [(logs[one.roster.conversation], one) for one in draft.elsewhere]
    altered = [(other, one.decide(other.roster, other.last_seq)) for other, one in others]
    for reaction in reactions(draft):
        reacted[draft.conversation, reaction.target].check(draft.author, reaction)

    log.last_seq = seq
    _alter(log, roster, outcome)
    for other, changed in altered:
        _alter(other, changed, outcome)
    if revised is not None:
        place = draft.conversation, _target(draft)
        current[place] = outcome.revised[place] = revised
    for reaction in reactions(draft):
        reacted[draft.conversation, reaction.target].apply(draft.author, reaction)
    if draft.kind == MESSAGE:
        current[draft.conversation, seq] = MessageState(author=draft.author, time=now, thread=thread)
        if thread is not None:
            outcome.threads[draft.conversation, seq] = thread
    entry = placed(draft, seq, now)
    outcome.written.append(draft)
    outcome.entries.append(entry)
    outcome.receipts.append((draft, entry))
    outcome.effects += ((effect, entry) for effect in draft.effects)
    if tie is not None:
        _relate(*_pair(draft), tie, related)
        outcome.effects.append((Related(user=draft.author, other=_pair(draft)[1], tie=tie), entry))
    return Appended(
        conversation=draft.conversation,
        seq=seq,
        time=now,
        roster=log.roster,
        audience=log.roster.members if log.roster is before else _audience(before, log.roster),
        notices=tuple(_noticed(notice, logs, now, outcome) for notice in draft.notices),
        elsewhere=tuple(other.roster for other, _ in others),
        changed=() if log.roster is before else tuple(log.roster.changes),
    )


def _thread(draft: Draft, current: Mapping[Place, MessageState]) -> int | None:
    """The message that began the thread which a reply belongs to."""
    if draft.reply_to is None:
        return None
    state = current.get((draft.conversation, draft.reply_to))
    if state is None:
        raise NotFound("There is no such message to reply to.")
    return state.thread or draft.reply_to


def _revised(draft: Draft, current: Mapping[Place, MessageState], seq: int) -> MessageState | None:
    """What becomes of the message that it concerns, if anything does."""
    if draft.revision is None:
        return None
    state = current.get((draft.conversation, draft.revision.target))
    if state is None:
        raise NotFound("There is no such message.")
    revised = draft.revision.revise(state, seq)
    return None if revised is state else revised


def _pair(draft: Draft) -> Pair:
    assert draft.relating is not None
    return draft.author, draft.relating.other


def _relate(user: str, other: str, tie: Tie, related: dict[Pair, Tie]) -> None:
    """Both see it: the next change in the batch may be the other's."""
    related[user, other] = tie
    related[other, user] = mirrored(tie)


def mirrored(tie: Tie) -> Tie:
    """The same, as the other sees it."""
    return Tie(follows=tie.followed, followed=tie.follows, blocks=tie.blocked, blocked=tie.blocks)


def _target(draft: Draft) -> int:
    assert draft.revision is not None
    return draft.revision.target


def _alter(log: LogState, after: Roster, outcome: Outcome) -> None:
    """Count a change of rights, and note whom it concerns."""
    if after is log.roster:
        return
    log.roster = replace(after, access=log.roster.access + 1)
    for user, membership in after.changes.items():
        outcome.memberships[after.conversation, user] = membership


def _audience(before: Roster, after: Roster) -> Collection[str]:
    """Whoever goes hears that they go, and whoever comes that they have come.

    A change names all who come or go by it. So most often it is one of the two as they are, and nobody is copied.
    """
    coming = {user: after.members[user] for user in after.changes if user in after.members}
    if all(user in coming or user not in before.members for user in after.changes):
        return after.members
    return {**before.members, **coming} if coming else before.members


def _noticed(notice: Draft, logs: Mapping[str, LogState], now: datetime, outcome: Outcome) -> Entry:
    queue = logs[notice.conversation]
    queue.last_seq += 1
    entry = placed(notice, queue.last_seq, now)
    outcome.written.append(notice)
    outcome.entries.append(entry)
    return entry
