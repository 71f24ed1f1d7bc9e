"""How changes are committed that are more than a message at the end of a log: edits, memberships, blocks and the like.

One transaction for a batch: lock the logs, load what :mod:`~chatd.store.decisions` asks for, decide, write.

Rows of conversations are locked in the order of their ids, event queues last, as everywhere in chatd. What begins is
inserted before: nobody else can have locked it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg2

from chatd.errors import ChatdError, Conflict
from chatd.records.logs import Appended, Draft, MessageState
from chatd.records.rosters import Membership, Roster, Rules
from chatd.store.arrays import nullable_array, plain_array, text_array
from chatd.store.decisions import LogState, Place, beginnings, decide, named, pairs, targets
from chatd.store.outcomes import write
from chatd.store.pool import Pool
from chatd.store.prepared import UNFIT
from chatd.store.reacted import reactors
from chatd.store.reactions import present
from chatd.store.refusals import Refused, Repeated
from chatd.store.relations import load_ties
from chatd.store.transaction import Cursor

BEGIN = """
INSERT INTO chatd.conversations (conversation_id, kind, opened)
SELECT conversation_id, kind, opened FROM unnest(%s::uuid[], %s::text[], %s::boolean[])
    AS b (conversation_id, kind, opened)
ORDER BY conversation_id ON CONFLICT (conversation_id) DO NOTHING RETURNING conversation_id
"""

LOCK = """
SELECT conversation_id, kind, access, posting, inviting, editing, joining, history, profile_seq, opened, closed,
       last_seq, now()
FROM chatd.conversations WHERE conversation_id = ANY (%s::uuid[])
ORDER BY kind = 'queue', conversation_id FOR UPDATE
"""

QUEUES = """
WITH queue AS (
    SELECT * FROM unnest(%s::uuid[], %s::text[]) AS q (conversation_id, reader)
), reading AS (
    INSERT INTO chatd.members (conversation_id, user_id)
    SELECT conversation_id, reader FROM queue ORDER BY conversation_id ON CONFLICT DO NOTHING
)
INSERT INTO chatd.conversations AS c (conversation_id, kind)
SELECT conversation_id, 'queue' FROM queue ORDER BY conversation_id
ON CONFLICT (conversation_id) DO UPDATE SET last_at = c.last_at
RETURNING conversation_id, last_seq, now()
"""

ROSTERS = """
SELECT conversation_id, user_id, standing, role, since_seq, until_seq, muted_until, expires_at, by_user, blocking
FROM chatd.members WHERE conversation_id = ANY (%s::uuid[]) AND (standing <> 'left' OR muted_until > now())
"""

STATES = """
SELECT m.conversation_id, m.seq, m.author, m.at, m.thread_seq, m.edited_seq, m.pinned_seq, m.deleted_seq
FROM unnest(%s::uuid[], %s::bigint[]) AS t (conversation_id, seq)
JOIN chatd.messages AS m ON m.conversation_id = t.conversation_id AND m.seq = t.seq
"""

REPEATS = """
SELECT d.n, r.conversation_id, r.seq, r.at, r.digest
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS d (author, client_id, n)
JOIN chatd.receipts AS r ON r.user_id = d.author AND r.client_id = d.client_id
"""

Verdict = Appended | ChatdError


async def change(pool: Pool, drafts: Sequence[Draft]) -> list[Verdict]:
    """Decide on ``drafts`` and commit what is allowed; see :class:`~chatd.interfaces.log.ILogStore`."""
    try:
        return await pool.interact(_change, drafts)
    except UNFIT as error:
        if is_repeat(error):
            raise Repeated from error
        raise Refused from error


def is_repeat(cause: BaseException | None) -> bool:
    """Whether this is what the unique index of the receipts says to a ``client_id`` that was used before."""
    return isinstance(cause, psycopg2.errors.UniqueViolation) and cause.diag.constraint_name == "receipts_pkey"


async def _change(cursor: Cursor, drafts: Sequence[Draft]) -> list[Verdict]:
    logs, now = await _locked(cursor, drafts)
    known = verdicts(await cursor.query(REPEATS, names(drafts)), drafts)
    states = await _states(cursor, targets(drafts))
    marks, ties = await present(cursor, reactors(drafts)), await load_ties(cursor, pairs(drafts))
    outcome = decide(drafts, known, logs, states, now, marks, ties)
    await write(cursor, outcome, logs)
    return outcome.verdicts


def names(drafts: Iterable[Draft]) -> tuple[str, str]:
    """The parameters of ``REPEATS``."""
    drafts = list(drafts)
    return text_array(draft.author for draft in drafts), text_array(draft.client_id for draft in drafts)


def verdicts(rows: Sequence[tuple[Any, ...]], drafts: Sequence[Draft]) -> list[Verdict | None]:
    """What the rows of ``REPEATS`` say of each draft: where it stands already, or that its name is taken."""
    found: list[Verdict | None] = [None] * len(drafts)
    for n, conversation, seq, at, digest in rows:
        same = bytes(digest) == drafts[n - 1].digest
        found[n - 1] = Appended(conversation=conversation, seq=seq, time=at) if same else Conflict()
    return found


async def _locked(cursor: Cursor, drafts: Sequence[Draft]) -> tuple[dict[str, LogState], datetime]:
    """All logs that the drafts name and that are there, locked, with their rights."""
    begun = beginnings(drafts)
    new = await _begin(cursor, [roster for roster in begun.values() if roster.kind != "queue"])
    queues = {id: roster for id, roster in begun.items() if roster.kind == "queue"}
    rows = await cursor.query(LOCK, (plain_array(sorted(named(drafts) - queues.keys())),))
    # What would have begun unopened may be there, open, with its first rights.
    at_hand = {_version(roster): roster for roster in (*(draft.roster for draft in drafts), *begun.values())}
    unknown = [row[0] for row in rows if row[0] not in new and (row[0], row[2], row[9]) not in at_hand]
    loaded = await _load_rosters(cursor, unknown, rows)
    logs, now = {}, None
    for row in rows:
        conversation, access, opened, last_seq, now = row[0], row[2], row[9], row[11], row[12]
        roster = loaded.get(conversation) or at_hand.get((conversation, access, opened)) or begun[conversation]
        logs[conversation] = LogState(roster, last_seq, begun=conversation in new)
    if queues:
        readers = text_array(next(iter(roster.members)) for roster in queues.values())
        for row in await cursor.query(QUEUES, (plain_array(queues), readers)):
            logs[row[0]], now = LogState(queues[row[0]], row[1]), row[2]
    if now is None:
        [[now]] = await cursor.query("SELECT now()")
    return logs, now


def _version(roster: Roster) -> tuple[str, int, bool]:
    """What is the same of two rosters only where they are the same."""
    return roster.conversation, roster.access, roster.opened


async def _begin(cursor: Cursor, rosters: Sequence[Roster]) -> set[str]:
    if not rosters:
        return set()
    rows = await cursor.query(
        BEGIN,
        (
            plain_array(roster.conversation for roster in rosters),
            plain_array(roster.kind for roster in rosters),
            plain_array(roster.opened for roster in rosters),
        ),
    )
    return {conversation for (conversation,) in rows}


async def _load_rosters(
    cursor: Cursor, conversations: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> dict[str, Roster]:
    """The rights in ``conversations``, whose own rows are among ``rows``, with the columns of ``LOCK``."""
    if not conversations:
        return {}
    found = await cursor.query(ROSTERS, (plain_array(conversations),))
    wanted = set(conversations)
    return rosters([row for row in rows if row[0] in wanted], found)


def rosters(rows: Iterable[tuple[Any, ...]], people: Iterable[tuple[Any, ...]]) -> dict[str, Roster]:
    """Rosters by conversation from the rows of ``LOCK`` and ``ROSTERS``."""
    members: dict[str, dict[str, Membership]] = {}
    others: dict[str, dict[str, Membership]] = {}
    for conversation, user, *columns in people:
        membership = read_membership(columns)
        side = members if membership.standing == "member" else others
        side.setdefault(conversation, {})[user] = membership
    found = {}
    for conversation, kind, access, *rules, profile, opened, closed in (row[:11] for row in rows):
        posting, inviting, editing, joining, history = rules
        found[conversation] = Roster(
            conversation=conversation,
            kind=kind,
            access=access,
            members=dict(sorted(members.get(conversation, {}).items())),
            others=others.get(conversation, {}),
            rules=Rules(posting=posting, inviting=inviting, editing=editing, joining=joining, history=history),
            profile=profile,
            opened=opened,
            closed=closed,
        )
    return found


def read_membership(columns: Sequence[Any]) -> Membership:
    """From the columns of ``ROSTERS`` behind the names."""
    standing, role, since, until, muted_until, expires_at, by, blocking = columns
    return Membership(
        standing=standing,
        role=role,
        since=since,
        until=until,
        muted_until=muted_until,
        expires_at=expires_at,
        by=by,
        blocking=blocking,
    )


async def _states(cursor: Cursor, places: Sequence[Place]) -> Mapping[Place, MessageState]:
    if not places:
        return {}
    rows = await cursor.query(
        STATES, (plain_array(conversation for conversation, _ in places), nullable_array(seq for _, seq in places))
    )
    return {(row[0], row[1]): message_state(row[2:]) for row in rows}


def message_state(columns: Sequence[Any]) -> MessageState:
    """From author, time, and the four places."""
    author, time, thread, edited, pinned, deleted = columns
    return MessageState(author=author, time=time, thread=thread, edited=edited, pinned=pinned, deleted=deleted)
