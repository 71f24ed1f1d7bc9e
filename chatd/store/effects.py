"""Which statements write what changes do besides standing in their log."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from chatd.records.base import Effect
from chatd.records.devices import EndDevices, RevokeTokens
from chatd.records.logs import Entry
from chatd.records.people import ProfileGiven, Related
from chatd.records.personal import Hiding, PersonalSetting
from chatd.records.reactions import Reaction
from chatd.records.reading import MustRead
from chatd.store.announcements import write_must_reads
from chatd.store.devices import end_devices
from chatd.store.hidden import write_hidden
from chatd.store.personal import write_settings
from chatd.store.profiles import write_profiles
from chatd.store.reactions import write_reactions
from chatd.store.relations import write_ties
from chatd.store.token_revocations import revoke_tokens
from chatd.store.transaction import Cursor

Written = Sequence[tuple[Any, Entry]]
"""Effects of one kind in the order decided, each with the entry of the change that has it."""

Writer = Callable[[Cursor, Written], Awaitable[None]]

WRITERS: Final[Mapping[type[Effect], Writer]] = {
    Reaction: write_reactions,
    Hiding: write_hidden,
    PersonalSetting: write_settings,
    EndDevices: end_devices,
    RevokeTokens: revoke_tokens,
    MustRead: write_must_reads,
    Related: write_ties,
    ProfileGiven: write_profiles,
}
"""In the order in which they run."""


async def write_effects(cursor: Cursor, effects: Sequence[tuple[Effect, Entry]]) -> None:
    """Write everything, one kind after the other; those of a kind in the order decided."""
    if not effects:
        return
    for kind, write in WRITERS.items():
        of_kind = [(effect, entry) for effect, entry in effects if type(effect) is kind]
        if of_kind:
            await write(cursor, of_kind)
