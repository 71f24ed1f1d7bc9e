"""People's profiles in PostgreSQL."""

from collections.abc import Sequence

from zope.interface import implementer

from chatd.interfaces.people import IProfileStore
from chatd.records.logs import Entry
from chatd.records.people import ProfileGiven
from chatd.state.ids import event_queue
from chatd.store.arrays import bytea_array, plain_array, text_array
from chatd.store.entries import PROFILE
from chatd.store.pool import Pool
from chatd.store.transaction import Cursor

# A profile's time grows with each change, even where the clock was set back, or one transaction has several.
GIVEN = """
INSERT INTO chatd.profiles AS p (user_id, seq, at, client_id, sealed)
SELECT user_id, seq, now(), client_id, sealed FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::bytea[])
    AS g (user_id, seq, client_id, sealed)
ON CONFLICT (user_id) DO UPDATE
SET seq = excluded.seq, at = greatest(excluded.at, p.at + interval '1 microsecond'),
    client_id = excluded.client_id, sealed = excluded.sealed
"""
CLAIMED = """
INSERT INTO chatd.profiles AS p (user_id, seq, at, client_id, sealed) VALUES (%s, 0, now(), %s, %s)
ON CONFLICT (user_id) DO UPDATE
SET at = greatest(excluded.at, p.at + interval '1 microsecond'),
    client_id = excluded.client_id, sealed = excluded.sealed
WHERE p.seq = 0 RETURNING user_id
"""
PROFILES = "SELECT user_id, seq, at, client_id, sealed FROM chatd.profiles WHERE user_id = ANY (%s::text[])"


async def write_profiles(cursor: Cursor, written: Sequence[tuple[ProfileGiven, Entry]]) -> None:
    """Keep these entries as their authors' profiles, of each author's the last."""
    latest = {entry.author: entry for _, entry in written}
    await cursor.execute(
        GIVEN,
        (
            text_array(latest),
            plain_array(entry.seq for entry in latest.values()),
            text_array(entry.client_id for entry in latest.values()),
            bytea_array(entry.sealed for entry in latest.values()),
        ),
    )


@implementer(IProfileStore)
class PostgresProfiles:
    """See :class:`~chatd.interfaces.people.IProfileStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def profiles(self, users: Sequence[str]) -> list[Entry]:
        """See :class:`~chatd.interfaces.people.IProfileStore`."""
        rows = await self._pool.query(PROFILES, (text_array(users),))
        return [
            Entry(
                conversation=event_queue(user),
                seq=seq,
                time=at,
                author=user,
                client_id=client_id,
                kind=PROFILE,
                sealed=bytes(sealed),
            )
            for user, seq, at, client_id, sealed in rows
        ]

    async def claim(self, profile: Entry) -> bool:
        """See :class:`~chatd.interfaces.people.IProfileStore`."""
        values = profile.author, profile.client_id, profile.sealed
        return bool(await self._pool.query(CLAIMED, values, writes=True, retry=True))
