"""Which statements write what changes do besides standing in their log."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from chatd.devices import EndDevices, RevokeTokens
from chatd.records import Effect, Entry
from chatd.store.devices import end_devices
from chatd.store.token_revocations import revoke_tokens
from chatd.store.transaction import Cursor

Written = Sequence[tuple[Any, Entry]]
"""Effects of one kind in the order decided, each with the entry of the change that has it."""

Writer = Callable[[Cursor, Written], Awaitable[None]]

WRITERS: Final[Mapping[type[Effect], Writer]] = {EndDevices: end_devices, RevokeTokens: revoke_tokens}
"""In the order in which they run."""


async def write_effects(cursor: Cursor, effects: Sequence[tuple[Effect, Entry]]) -> None:
    """Write everything, one kind after the other; those of a kind in the order decided."""
    if not effects:
        return
    for kind, write in WRITERS.items():
        of_kind = [(effect, entry) for effect, entry in effects if type(effect) is kind]
        if of_kind:
            await write(cursor, of_kind)
