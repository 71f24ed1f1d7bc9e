"""How the store in memory writes what changes do besides standing in their log."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from chatd.records import Effect, Entry, ProfileGiven, Related

WRITERS: Final[Mapping[type[Effect], Callable[[Any, Any, Entry], None]]] = {
    Related: lambda database, effect, entry: database.people.relate(effect, entry),
    ProfileGiven: lambda database, effect, entry: database.people.give_profile(entry),
}
"""By kind: ``(database, effect, entry)``, where ``entry`` is that of the change that has the effect."""
