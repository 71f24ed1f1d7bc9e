"""How the store in memory writes what changes do besides standing in their log."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from chatd.records.base import Effect
from chatd.records.devices import EndDevices, RevokeTokens
from chatd.records.logs import Entry
from chatd.records.people import ProfileGiven, Related
from chatd.records.personal import Hiding, PersonalSetting
from chatd.records.reactions import Reaction
from chatd.records.reading import MustRead
from chatd.store.memory.devices import end_devices
from chatd.store.memory.groups import add_must_read
from chatd.store.memory.personal import set_personal
from chatd.store.memory.reactions import write_hidden, write_reaction
from chatd.store.memory.token_revocations import revoke_tokens

WRITERS: Final[Mapping[type[Effect], Callable[[Any, Any, Entry], None]]] = {
    Reaction: write_reaction,
    Hiding: write_hidden,
    PersonalSetting: set_personal,
    EndDevices: end_devices,
    MustRead: add_must_read,
    Related: lambda database, effect, entry: database.people.relate(effect, entry),
    ProfileGiven: lambda database, effect, entry: database.people.give_profile(entry),
    RevokeTokens: revoke_tokens,
}
"""By kind: ``(database, effect, entry)``, where ``entry`` is that of the change that has the effect."""
