"""Which tokens are no longer taken, as far as this worker has been told."""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from chatd.records.devices import Revocation
from chatd.records.tokens import Claims

Key = TypeVar("Key", bound=Hashable)


class Revocations:
    """All revocations that may still matter; about 300 bytes each. ``known`` is false until they were first read."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[str, str], Revocation] = {}
        self._devices: dict[tuple[str, str], Revocation] = {}
        self._users: dict[str, Revocation] = {}
        self.known = False
        self._waiting: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._tokens) + len(self._devices) + len(self._users)

    def when_known(self, call: Callable[[], None]) -> None:
        """Call back once they are known, which they are not yet."""
        self._waiting.append(call)

    def learn(self, revocations: Iterable[Revocation]) -> set[str]:
        """Take in what was read, perhaps once more; whose tokens are concerned that were not before."""
        concerned = {one.user for one in revocations if self._keep(one)}
        self.known = True
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()
        return concerned

    def _keep(self, one: Revocation) -> bool:
        if one.token_id is not None:
            return _replace(self._tokens, (one.user, one.token_id), one)
        if one.device is not None:
            return _replace(self._devices, (one.user, one.device), one)
        return _replace(self._users, one.user, one)

    def revoked(self, claims: Claims, device: str) -> bool:
        """Whether a token that says this is no longer taken from that device.

        A token that does not say when it was issued counts as issued before anything.
        """
        user, issued_at = claims.user, claims.issued_at or 0.0
        if claims.token_id is not None and (user, claims.token_id) in self._tokens:
            return True
        of_device = self._devices.get((user, device))
        if of_device is not None and issued_at <= of_device.issued_until:
            return True
        of_user = self._users.get(user)
        if of_user is None or issued_at > of_user.issued_until:
            return False
        return of_user.spared is None or of_user.spared != claims.token_id

    def forget(self, now: float) -> None:
        """Let go of those of which everything has expired."""
        _expire(self._tokens, now)
        _expire(self._devices, now)
        _expire(self._users, now)


def _replace(kept: dict[Key, Revocation], key: Key, one: Revocation) -> bool:
    if kept.get(key) == one:
        return False
    kept[key] = one
    return True


def _expire(kept: dict[Key, Revocation], now: float) -> None:
    for key in [key for key, one in kept.items() if one.kept_until < now]:
        del kept[key]
