"""Devices and revoked tokens in PostgreSQL."""

from collections.abc import Callable, Sequence
from functools import partial

from zope.interface import implementer

from chatd.interfaces.devices import IDeviceStore
from chatd.records.devices import Device, EndDevices, Revocation, Sighting
from chatd.records.logs import Entry
from chatd.store.arrays import plain_array, text_array
from chatd.store.batcher import Batcher, Waiting
from chatd.store.pool import Pool
from chatd.store.prepared import execute
from chatd.store.transaction import Cursor

# Two workers that note the same device touch its row first, in one order. What has expired for an hour goes.
SIGHTED = """
PREPARE chatd_sighted (text[], text[], text[], float8[]) AS
WITH seen AS MATERIALIZED (
    SELECT user_id, device_id, token_id, to_timestamp(max(expires_at)) AS expires_at
    FROM unnest($1, $2, $3, $4) AS s (user_id, device_id, token_id, expires_at) GROUP BY user_id, device_id, token_id
), device AS MATERIALIZED (
    INSERT INTO chatd.devices AS d (user_id, device_id)
    SELECT DISTINCT user_id COLLATE "C", device_id COLLATE "C" FROM seen ORDER BY 1, 2
    ON CONFLICT (user_id, device_id) DO UPDATE SET last_at = now()
    RETURNING user_id, device_id
), expired AS (
    DELETE FROM chatd.shown_tokens AS t USING device AS d
    WHERE t.user_id = d.user_id AND t.device_id = d.device_id AND t.expires_at < now() - interval '1 hour'
)
INSERT INTO chatd.shown_tokens AS t (user_id, device_id, token_id, expires_at)
SELECT user_id, device_id, token_id, expires_at FROM seen JOIN device USING (user_id, device_id)
WHERE token_id <> '' ORDER BY user_id COLLATE "C", device_id COLLATE "C", token_id COLLATE "C"
ON CONFLICT (user_id, device_id, token_id) DO NOTHING
"""

DEVICES = 'SELECT device_id, first_at, last_at FROM chatd.devices WHERE user_id = %s ORDER BY device_id COLLATE "C"'

REVOCATIONS = """
SELECT user_id, nullif(device_id, ''), nullif(token_id, ''), nullif(spared, ''),
       extract(epoch FROM issued_until)::float8, extract(epoch FROM kept_until)::float8
FROM chatd.revocations
"""
NEW = REVOCATIONS + "WHERE at > now() - %s * interval '1 second'"
ALL = REVOCATIONS + "WHERE kept_until > now()"
PRUNE = "DELETE FROM chatd.revocations WHERE kept_until < now() - interval '1 hour'"

# What the device has shown, one by one, since its tokens might come back under another device's name.
END = """
WITH device AS (
    DELETE FROM chatd.devices WHERE user_id = %(user)s AND device_id = %(device)s
), shown AS (
    DELETE FROM chatd.shown_tokens WHERE user_id = %(user)s AND device_id = %(device)s RETURNING token_id, expires_at
)
INSERT INTO chatd.revocations AS r (user_id, device_id, token_id, issued_until, kept_until)
SELECT %(user)s, '', token_id, to_timestamp(%(issued_until)s), expires_at FROM shown WHERE token_id <> %(spared)s
UNION ALL SELECT %(user)s, %(device)s, '', to_timestamp(%(issued_until)s), to_timestamp(%(kept_until)s)
ON CONFLICT (user_id, device_id, token_id) DO UPDATE
SET issued_until = greatest(r.issued_until, excluded.issued_until),
    kept_until = greatest(r.kept_until, excluded.kept_until), at = now()
"""
END_OTHERS = """
WITH device AS (
    DELETE FROM chatd.devices WHERE user_id = %(user)s AND device_id <> %(kept)s
), shown AS (
    DELETE FROM chatd.shown_tokens WHERE user_id = %(user)s AND token_id <> %(spared)s
)
INSERT INTO chatd.revocations AS r (user_id, device_id, token_id, issued_until, spared, kept_until)
VALUES (%(user)s, '', '', to_timestamp(%(issued_until)s), %(spared)s, to_timestamp(%(kept_until)s))
ON CONFLICT (user_id, device_id, token_id) DO UPDATE
SET issued_until = greatest(r.issued_until, excluded.issued_until), spared = excluded.spared,
    kept_until = greatest(r.kept_until, excluded.kept_until), at = now()
"""

PREPARED = (SIGHTED,)


@implementer(IDeviceStore)
class PostgresDevices:
    """See :class:`~chatd.interfaces.devices.IDeviceStore`. Sightings are committed in batches, like acks."""

    def __init__(self, pool: Pool, *, max_waiting: int, failed: Callable[[BaseException], None]) -> None:
        self._pool = pool
        self._sightings: Batcher[Sighting, bool] = Batcher(partial(_note, pool), max_waiting=max_waiting, failed=failed)

    async def note(self, sighting: Sighting) -> None:
        """See :class:`~chatd.interfaces.devices.IDeviceStore`."""
        await self._sightings.submit(sighting)

    async def devices(self, user: str) -> list[Device]:
        """See :class:`~chatd.interfaces.devices.IDeviceStore`."""
        rows = await self._pool.query(DEVICES, (user,))
        return [Device(device=device, first_at=first_at, last_at=last_at) for device, first_at, last_at in rows]

    async def revocations(self, within: float | None = None) -> list[Revocation]:
        """See :class:`~chatd.interfaces.devices.IDeviceStore`."""
        rows = await (self._pool.query(ALL) if within is None else self._pool.query(NEW, (within,)))
        return [
            Revocation(
                user=user,
                device=device,
                token_id=token_id,
                spared=spared,
                issued_until=issued_until,
                kept_until=kept_until,
            )
            for user, device, token_id, spared, issued_until, kept_until in rows
        ]

    async def prune(self) -> None:
        """See :class:`~chatd.interfaces.devices.IDeviceStore`."""
        await self._pool.query(PRUNE, writes=True, retry=True)


async def _note(pool: Pool, batch: Sequence[Waiting[Sighting, bool]]) -> None:
    sightings = [waiting.item for waiting in batch]
    await execute(
        pool,
        "chatd_sighted",
        text_array(sighting.user for sighting in sightings),
        text_array(sighting.device for sighting in sightings),
        text_array(sighting.token_id or "" for sighting in sightings),
        plain_array(sighting.expires_at for sighting in sightings),
    )
    for waiting in batch:
        waiting.settle(True)


async def end_devices(cursor: Cursor, effects: Sequence[tuple[EndDevices, Entry]]) -> None:
    """Write :class:`~chatd.records.devices.EndDevices`, one after the other: there are few."""
    for effect, _ in effects:
        parameters = {
            "user": effect.user,
            "device": effect.device,
            "kept": effect.kept,
            "spared": effect.spared or "",
            "issued_until": effect.issued_until,
            "kept_until": effect.kept_until,
        }
        await cursor.execute(END_OTHERS if effect.device is None else END, parameters)
