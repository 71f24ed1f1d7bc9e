"""How what was decided is written: one statement for each table, whatever the size of the batch."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from chatd.records.logs import Draft, Entry
from chatd.records.rosters import Membership
from chatd.store.arrays import bytea_array, nullable_array, plain_array, text_array
from chatd.store.decisions import LogState, Outcome, Place
from chatd.store.effects import write_effects
from chatd.store.entries import EDITED, MESSAGE
from chatd.store.reactions import ERASE
from chatd.store.transaction import Cursor

MESSAGES = """
INSERT INTO chatd.messages (conversation_id, seq, at, author, client_id, sealed, thread_seq)
SELECT conversation_id, seq, %s, author, client_id, sealed, thread_seq
FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::bytea[], %s::bigint[])
    AS m (conversation_id, seq, author, client_id, sealed, thread_seq)
"""
CHANGES = """
INSERT INTO chatd.changes (conversation_id, seq, at, author, client_id, sealed, kind, target_seq)
SELECT conversation_id, seq, %s, author, client_id, sealed, kind, target_seq
FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::bigint[])
    AS c (conversation_id, seq, author, client_id, sealed, kind, target_seq)
"""
RECEIPTS = """
INSERT INTO chatd.receipts (conversation_id, seq, user_id, client_id, digest, at)
SELECT conversation_id, seq, user_id, client_id, digest, %s
FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::bytea[])
    AS r (conversation_id, seq, user_id, client_id, digest)
ORDER BY user_id COLLATE "C", client_id COLLATE "C"
"""
LOGS = """
UPDATE chatd.conversations AS c
SET last_seq = n.last_seq, last_at = CASE WHEN n.last_seq > c.last_seq THEN %s ELSE c.last_at END
FROM unnest(%s::uuid[], %s::bigint[]) AS n (conversation_id, last_seq) WHERE c.conversation_id = n.conversation_id
"""
RIGHTS = """
UPDATE chatd.conversations AS c
SET access = n.access, member_count = n.member_count, profile_seq = n.profile_seq, closed = n.closed,
    blocked = n.blocked,
    posting = n.posting, inviting = n.inviting, editing = n.editing, joining = n.joining, history = n.history
FROM unnest(%s::uuid[], %s::bigint[], %s::int[], %s::bigint[], %s::boolean[], %s::boolean[],
            %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
    AS n (conversation_id, access, member_count, profile_seq, closed, blocked,
          posting, inviting, editing, joining, history)
WHERE c.conversation_id = n.conversation_id
"""
# Whoever has left keeps the part of the log that was theirs, whatever else they are from then on but a member again.
MEMBERSHIPS = """
INSERT INTO chatd.members AS m (conversation_id, user_id, standing, role, since_seq, until_seq, muted_until,
                                expires_at, by_user, blocking)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::timestamptz[],
                     %s::timestamptz[], %s::text[], %s::boolean[])
    AS n (conversation_id, user_id, standing, role, since_seq, until_seq, muted_until, expires_at, by_user, blocking)
ORDER BY conversation_id, user_id COLLATE "C"
ON CONFLICT (conversation_id, user_id) DO UPDATE
SET standing = excluded.standing, role = excluded.role,
    since_seq = CASE WHEN excluded.until_seq = 0 AND m.until_seq > 0 THEN m.since_seq ELSE excluded.since_seq END,
    until_seq = CASE WHEN excluded.until_seq = 0 AND m.until_seq > 0 THEN m.until_seq ELSE excluded.until_seq END,
    muted_until = excluded.muted_until, expires_at = excluded.expires_at,
    by_user = excluded.by_user, blocking = excluded.blocking,
    joined_at = CASE WHEN m.standing = excluded.standing THEN m.joined_at ELSE now() END
"""
# What is deleted is overwritten, in the message, in its edits and in the reactions to it.
REVISED = """
WITH revised AS (
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
        AS r (conversation_id, seq, edited_seq, pinned_seq, deleted_seq)
), erased AS (
    UPDATE chatd.changes AS c SET sealed = '', erased = true FROM revised AS r
    WHERE r.deleted_seq IS NOT NULL AND c.conversation_id = r.conversation_id AND c.target_seq = r.seq
      AND c.kind IN ('message.edited', 'reaction.added', 'reaction.removed')
)
UPDATE chatd.messages AS m
SET edited_seq = r.edited_seq, pinned_seq = r.pinned_seq, deleted_seq = r.deleted_seq,
    sealed = CASE WHEN r.deleted_seq IS NULL THEN m.sealed ELSE '' END
FROM revised AS r WHERE m.conversation_id = r.conversation_id AND m.seq = r.seq
"""
FORGET = """
WITH rewritten AS (
    SELECT * FROM unnest(%s::uuid[], %s::bigint[]) AS r (conversation_id, seq)
), found_no_more AS (
    DELETE FROM chatd.search_tokens AS t USING rewritten AS r
    WHERE t.conversation_id = r.conversation_id AND t.seq = r.seq
)
DELETE FROM chatd.mentions AS m USING rewritten AS r
WHERE m.conversation_id = r.conversation_id AND m.seq = r.seq
"""
MENTIONS = """
INSERT INTO chatd.mentions (conversation_id, user_id, seq)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::bigint[]) ON CONFLICT DO NOTHING
"""
TOKENS = """
INSERT INTO chatd.search_tokens (conversation_id, token, at, seq)
SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[], %s::bigint[])
"""


async def write(cursor: Cursor, outcome: Outcome, logs: Mapping[str, LogState]) -> None:
    """Write everything; nothing but the database changes. All rows of it are locked or new."""
    if not outcome.entries:
        return
    now = outcome.entries[0].time
    await _write_entries(cursor, outcome, now)
    await _write_logs(cursor, logs, outcome, now)
    if outcome.revised:
        await _write_revisions(cursor, outcome)
    await _write_what_is_said(cursor, outcome)
    await write_effects(cursor, outcome.effects)
    deleted = [place for place, state in outcome.revised.items() if state.deleted is not None]
    if deleted:
        await cursor.execute(ERASE, _places(deleted))


async def _write_entries(cursor: Cursor, outcome: Outcome, now: datetime) -> None:
    messages = [entry for entry in outcome.entries if entry.kind == MESSAGE]
    changes = [entry for entry in outcome.entries if entry.kind != MESSAGE]
    if messages:
        threads = (outcome.threads.get((entry.conversation, entry.seq)) for entry in messages)
        await cursor.execute(MESSAGES, (now, *_columns(messages), nullable_array(threads)))
    if changes:
        kinds, targets = text_array(e.kind for e in changes), nullable_array(e.target for e in changes)
        await cursor.execute(CHANGES, (now, *_columns(changes), kinds, targets))
    await cursor.execute(
        RECEIPTS,
        (
            now,
            plain_array(entry.conversation for _, entry in outcome.receipts),
            plain_array(entry.seq for _, entry in outcome.receipts),
            text_array(entry.author for _, entry in outcome.receipts),
            text_array(entry.client_id for _, entry in outcome.receipts),
            bytea_array(draft.digest for draft, _ in outcome.receipts),
        ),
    )


def _columns(entries: Iterable[Entry]) -> tuple[str, ...]:
    entries = list(entries)
    return (
        plain_array(entry.conversation for entry in entries),
        plain_array(entry.seq for entry in entries),
        text_array(entry.author for entry in entries),
        text_array(entry.client_id for entry in entries),
        bytea_array(entry.sealed for entry in entries),
    )


async def _write_logs(cursor: Cursor, logs: Mapping[str, LogState], outcome: Outcome, now: datetime) -> None:
    grown = {id: log.last_seq for id, log in logs.items() if log.grown}
    await cursor.execute(LOGS, (now, plain_array(grown), plain_array(grown.values())))
    altered = [log.roster for log in logs.values() if log.altered]
    if altered:
        await cursor.execute(
            RIGHTS,
            (
                plain_array(roster.conversation for roster in altered),
                plain_array(roster.access for roster in altered),
                plain_array(len(roster.members) for roster in altered),
                plain_array(roster.profile for roster in altered),
                plain_array(roster.closed for roster in altered),
                plain_array(roster.blocked for roster in altered),
                *(plain_array(getattr(roster.rules, name) for roster in altered) for name in RULES),
            ),
        )
    people = {(log.roster.conversation, user): one for log in logs.values() for user, one in log.first_members}
    people |= outcome.memberships
    if people:
        await _write_memberships(cursor, people)


RULES = ("posting", "inviting", "editing", "joining", "history")


async def _write_memberships(cursor: Cursor, people: Mapping[tuple[str, str], Membership]) -> None:
    columns = ("role", "since", "until", "muted_until", "expires_at", "by", "blocking")
    await cursor.execute(
        MEMBERSHIPS,
        (
            plain_array(conversation for conversation, _ in people),
            text_array(user for _, user in people),
            text_array(one.standing for one in people.values()),
            *(nullable_array(getattr(one, name) for one in people.values()) for name in columns),
        ),
    )


async def _write_revisions(cursor: Cursor, outcome: Outcome) -> None:
    places, states = list(outcome.revised), list(outcome.revised.values())
    await cursor.execute(
        REVISED,
        (
            *_places(places),
            nullable_array(state.edited for state in states),
            nullable_array(state.pinned for state in states),
            nullable_array(state.deleted for state in states),
        ),
    )
    rewritten = [draft_place(draft) for draft in outcome.written if draft.kind == EDITED]
    rewritten += [place for place, state in outcome.revised.items() if state.deleted is not None]
    if rewritten:
        await cursor.execute(FORGET, _places(rewritten))


def draft_place(draft: Draft) -> Place:
    """The message that a revision concerns."""
    assert draft.revision is not None
    return draft.conversation, draft.revision.target


def _places(places: Iterable[Place]) -> tuple[str, str]:
    places = list(places)
    return plain_array(conversation for conversation, _ in places), plain_array(seq for _, seq in places)


async def _write_what_is_said(cursor: Cursor, outcome: Outcome) -> None:
    """Who is mentioned, and what it is found by: in a message, or in what it became by its last edit."""
    latest: dict[Place, tuple[Draft, datetime]] = {}
    for draft, entry in zip(outcome.written, outcome.entries, strict=True):
        if draft.kind == MESSAGE:
            latest[entry.conversation, entry.seq] = draft, entry.time
        elif draft.kind == EDITED:
            latest[draft_place(draft)] = draft, outcome.revised[draft_place(draft)].time
    kept = {place: said for place, said in latest.items() if not _deleted(outcome, place)}
    mentions = [(place, user) for place, (draft, _) in kept.items() for user in draft.mentions]
    if mentions:
        conversations, seqs = _places(place for place, _ in mentions)
        await cursor.execute(MENTIONS, (conversations, text_array(user for _, user in mentions), seqs))
    tokens = [(place, token, at) for place, (draft, at) in kept.items() for token in draft.tokens]
    if tokens:
        conversations, seqs = _places(place for place, _, _ in tokens)
        hashes, times = plain_array(token for _, token, _ in tokens), nullable_array(at for _, _, at in tokens)
        await cursor.execute(TOKENS, (conversations, hashes, times, seqs))


def _deleted(outcome: Outcome, place: Place) -> bool:
    state = outcome.revised.get(place)
    return state is not None and state.deleted is not None
