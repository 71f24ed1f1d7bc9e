"""What people set for themselves about conversations: one statement for many."""

from collections.abc import Iterator, Sequence

from chatd.records.logs import Entry
from chatd.records.personal import PersonalSetting
from chatd.store.arrays import nullable_array, plain_array, text_array
from chatd.store.transaction import Cursor

# Whether a conversation is archived, from its row "c" and the person's settings "p": it was, and then no message came,
# unless it came during a mute. Only the latest message is looked at, since none came later, and only where the rows do
# not tell. Of mutes that came one after the other each settles what was before it, below.
ARCHIVED = """
(p.archived_seq IS NOT NULL AND (
    p.archived_seq >= c.last_seq OR (p.muted AND p.muted_until IS NULL) OR NOT coalesce((
        SELECT l.seq > p.archived_seq AND (NOT p.muted OR l.at >= p.muted_until) FROM chatd.messages AS l
        WHERE l.conversation_id = c.conversation_id AND l.seq <= c.last_seq ORDER BY l.seq DESC LIMIT 1
    ), false)
))
"""

# Each change settles what has become of the archive until now, so that what is set from here on counts from here on.
SET = f"""
WITH change AS (
    SELECT * FROM unnest(%s::text[], %s::uuid[], %s::text[], %s::timestamptz[])
        AS s (user_id, conversation_id, change, until)
), settled AS (
    SELECT change.*, c.last_seq, CASE WHEN {ARCHIVED} THEN c.last_seq END AS archived_seq,
           coalesce(p.muted, false) AS muted, p.muted_until, coalesce(p.private_reading, false) AS private_reading
    FROM change JOIN chatd.conversations AS c USING (conversation_id)
    LEFT JOIN chatd.personal AS p ON p.user_id = change.user_id AND p.conversation_id = change.conversation_id
)
INSERT INTO chatd.personal AS p (user_id, conversation_id, muted, muted_until, archived_seq, private_reading)
SELECT user_id, conversation_id,
       CASE change WHEN 'mute' THEN true WHEN 'unmute' THEN false ELSE muted END,
       CASE change WHEN 'mute' THEN until WHEN 'unmute' THEN NULL ELSE muted_until END,
       CASE change WHEN 'archive' THEN last_seq WHEN 'unarchive' THEN NULL ELSE archived_seq END,
       CASE change WHEN 'read privately' THEN true WHEN 'read openly' THEN false ELSE private_reading END
FROM settled ORDER BY user_id COLLATE "C", conversation_id
ON CONFLICT (user_id, conversation_id) DO UPDATE
SET muted = excluded.muted, muted_until = excluded.muted_until, archived_seq = excluded.archived_seq,
    private_reading = excluded.private_reading
"""


async def write_settings(cursor: Cursor, written: Sequence[tuple[PersonalSetting, Entry]]) -> None:
    """Write settings in the order decided."""
    for settings in _rounds([setting for setting, _ in written]):
        await cursor.execute(
            SET,
            (
                text_array(setting.user for setting in settings),
                plain_array(setting.conversation for setting in settings),
                text_array(setting.change for setting in settings),
                nullable_array(setting.until for setting in settings),
            ),
        )


def _rounds(settings: list[PersonalSetting]) -> Iterator[list[PersonalSetting]]:
    """Split where a row would be written twice by one statement: all rows for the first time, for the second, ..."""
    while settings:
        firsts: dict[tuple[str, str], PersonalSetting] = {}
        later = []
        for setting in settings:
            if firsts.setdefault((setting.user, setting.conversation), setting) is not setting:
                later.append(setting)
        yield list(firsts.values())
        settings = later
