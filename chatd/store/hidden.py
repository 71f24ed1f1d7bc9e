"""What people have deleted for themselves, in PostgreSQL: how it is written. It is read with the messages."""

from collections.abc import Sequence

from chatd.records.logs import Entry
from chatd.records.personal import Hiding
from chatd.store.arrays import plain_array, text_array
from chatd.store.transaction import Cursor

# Two devices may hide one message at once: the second changes nothing.
HIDE = """
INSERT INTO chatd.hidden (conversation_id, user_id, seq)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::bigint[]) ON CONFLICT DO NOTHING
"""


async def write_hidden(cursor: Cursor, written: Sequence[tuple[Hiding, Entry]]) -> None:
    """Write what the authors of these changes no longer want to be shown."""
    await cursor.execute(
        HIDE,
        (
            plain_array(hiding.conversation for hiding, _ in written),
            text_array(entry.author for _, entry in written),
            plain_array(hiding.seq for hiding, _ in written),
        ),
    )
