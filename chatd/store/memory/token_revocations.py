"""Tokens that the product revokes, in memory."""

from typing import Any

from chatd.records.devices import Revocation, RevokeTokens
from chatd.records.logs import Entry
from chatd.store.memory.devices import DeviceTables


def revoke_tokens(database: Any, effect: RevokeTokens, entry: Entry) -> None:
    """Write :class:`~chatd.records.devices.RevokeTokens`."""
    tables: DeviceTables = database.device_tables
    before = tables.revocations.get((effect.user, None, effect.token_id))
    covered = before is None or effect.issued_until >= before[1].issued_until
    tables.revoke(
        entry.time,
        Revocation(
            user=effect.user,
            token_id=effect.token_id,
            issued_until=effect.issued_until,
            kept_until=effect.kept_until,
            spared=None if covered or before is None else before[1].spared,
        ),
    )
