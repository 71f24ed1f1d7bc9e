"""Who may connect: how many sockets there are, in all, from one address, of one person, and not yet authenticated."""

from collections.abc import Callable
from typing import Literal

from chatd.edge.clients import Clients
from chatd.security.counts import KeyedCount
from chatd.settings.limits import Limits


class Admission:
    """Counts sockets: all that this worker has, and those of each address and person on all workers.

    ``key`` says as what an address or a person is counted. ``room`` is whether the process has room for one more than
    there are. ``refused`` counts who found none, be it on a connection of a proxy's; ``parting`` are those of them that
    stay for a while to read why.
    """

    def __init__(
        self,
        limits: Limits,
        clients: Clients,
        key: Callable[[Literal["user", "address"], str], bytes],
        *,
        room: Callable[[int], bool] = lambda connections: True,
    ) -> None:
        self._max_connections = limits.max_connections
        self._max_unauthenticated = limits.max_unauthenticated
        self._clients = clients
        self._key = key
        self._room = room
        self.addresses = KeyedCount("connections_per_address", limits.max_connections_per_address)
        self.people = KeyedCount("connections_per_user", limits.max_connections_per_user)
        self.connections = 0
        self.parting = 0
        self.unauthenticated = 0
        self.refused = 0

    @property
    def shared(self) -> tuple[KeyedCount, ...]:
        """What is counted across workers."""
        return (self.addresses, self.people)

    def admit(self, host: str | None) -> bool:
        """Count a new socket, which is unauthenticated; False where it has to be refused, and is not counted.

        ``host`` is the address that it counts for, None for none yet: who its client is will be told.
        """
        if (
            self.connections >= self._max_connections
            or self.unauthenticated >= self._max_unauthenticated
            or not self.has_room
            or not self._enter(self._address(host))
        ):
            self.refused += 1
            return False
        self.connections += 1
        self.unauthenticated += 1
        return True

    @property
    def has_room(self) -> bool:
        """Whether the process has room for one more socket, be it only to be told that it is refused."""
        return self._room(self.connections + self.parting)

    def crowded(self, host: str | None) -> bool:
        """Whether this address has used up its own share."""
        address = self._address(host)
        return bool(address) and self.addresses.full(address)

    def move(self, before: str | None, after: str | None) -> bool:
        """Let an admitted socket count for another address; False, and it does not, where that one is crowded."""
        old, new = self._address(before), self._address(after)
        if old == new:
            return True
        if not self._enter(new):
            self.refused += 1
            return False
        self._forget(old)
        return True

    def count_for_person(self, user: str) -> bool:
        """Let an admitted socket count for this person too; False, and it does not, where they have too many."""
        if not self.people.enter(self._key("user", user)):
            self.refused += 1
            return False
        return True

    def authenticated(self) -> None:
        """A socket has shown a token that holds."""
        self.unauthenticated -= 1

    def left(self, host: str | None, user: str | None = None, *, was_authenticated: bool) -> None:
        """An admitted socket has gone, which was counted for that person."""
        self._forget(self._address(host))
        if user is not None:
            self.people.leave(self._key("user", user))
        self.connections -= 1
        if not was_authenticated:
            self.unauthenticated -= 1

    def _address(self, host: str | None) -> bytes:
        """As what it is counted; empty where it is not."""
        group = self._clients.rated(host or "")
        return self._key("address", group) if group else b""

    def _enter(self, address: bytes) -> bool:
        return not address or self.addresses.enter(address)

    def _forget(self, address: bytes) -> None:
        if address:
            self.addresses.leave(address)
