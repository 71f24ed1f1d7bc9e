"""Tokens that the product revokes, in PostgreSQL."""

from collections.abc import Sequence

from chatd.records.devices import RevokeTokens
from chatd.records.logs import Entry
from chatd.store.transaction import Cursor

# A token that an ending spared is spared no longer where all that it refused is refused anew.
REVOKE = """
INSERT INTO chatd.revocations AS r (user_id, device_id, token_id, issued_until, kept_until)
VALUES (%(user)s, '', %(token_id)s, to_timestamp(%(issued_until)s), to_timestamp(%(kept_until)s))
ON CONFLICT (user_id, device_id, token_id) DO UPDATE
SET issued_until = greatest(r.issued_until, excluded.issued_until),
    spared = CASE WHEN excluded.issued_until < r.issued_until THEN r.spared ELSE '' END,
    kept_until = greatest(r.kept_until, excluded.kept_until), at = now()
"""


async def revoke_tokens(cursor: Cursor, effects: Sequence[tuple[RevokeTokens, Entry]]) -> None:
    """Write :class:`~chatd.records.devices.RevokeTokens`, one after the other: there are few."""
    for effect, _ in effects:
        await cursor.execute(
            REVOKE,
            {
                "user": effect.user,
                "token_id": effect.token_id or "",
                "issued_until": effect.issued_until,
                "kept_until": effect.kept_until,
            },
        )
