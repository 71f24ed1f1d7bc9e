"""How the store in memory writes what changes do besides standing in their log."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from chatd.records import Effect, Entry, MustRead
from chatd.store.memory_groups import add_must_read

WRITERS: Final[Mapping[type[Effect], Callable[[Any, Any, Entry], None]]] = {MustRead: add_must_read}
"""By kind: ``(database, effect, entry)``, where ``entry`` is that of the change that has the effect."""
