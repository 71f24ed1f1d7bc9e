"""How the store in memory writes what changes do besides standing in their log."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from chatd.devices import EndDevices, RevokeTokens
from chatd.records import Effect, Entry
from chatd.store.memory_devices import end_devices
from chatd.store.memory_token_revocations import revoke_tokens

WRITERS: Final[Mapping[type[Effect], Callable[[Any, Any, Entry], None]]] = {
    EndDevices: end_devices,
    RevokeTokens: revoke_tokens,
}
"""By kind: ``(database, effect, entry)``, where ``entry`` is that of the change that has the effect."""
