"""How the store in memory writes what changes do besides standing in their log."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from chatd.devices import EndDevices
from chatd.records import Effect, Entry
from chatd.store.memory_devices import end_devices

WRITERS: Final[Mapping[type[Effect], Callable[[Any, Any, Entry], None]]] = {EndDevices: end_devices}
"""By kind: ``(database, effect, entry)``, where ``entry`` is that of the change that has the effect."""
