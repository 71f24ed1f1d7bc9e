"""Who may connect: how many sockets there are, in all, from one address, and not yet authenticated."""

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address

from chatd.security.proxies import parse_address


# Each connection has this asked some five times.
@lru_cache(maxsize=8192)
def address_group(host: str) -> str:
    """Whose sockets count together: an IPv4 address, or an IPv6 network of 64 bits, which is one subscriber's."""
    address = parse_address(host)
    if address is None:
        return host
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64)) + "/64"
    return str(address)


class Admission:
    """Counts this worker's sockets. ``room`` is whether the process has room for one more than there are.

    ``refused`` counts who found none, be it on a connection of a proxy's.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        max_per_address: int,
        max_unauthenticated: int,
        room: Callable[[int], bool] = lambda connections: True,
    ) -> None:
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._max_unauthenticated = max_unauthenticated
        self._room = room
        self._by_address: Counter[str] = Counter()
        self.connections = 0
        self.unauthenticated = 0
        self.refused = 0

    def admit(self, host: str | None) -> bool:
        """Count a new socket, which is unauthenticated; False where it has to be refused, and is not counted.

        ``host`` is the address that it counts for, None for none yet: who its client is will be told.
        """
        if (
            self.connections >= self._max_connections
            or self.unauthenticated >= self._max_unauthenticated
            or self.crowded(host)
            or not self._room(self.connections)
        ):
            self.refused += 1
            return False
        self._count(host)
        self.connections += 1
        self.unauthenticated += 1
        return True

    def crowded(self, host: str | None) -> bool:
        """Whether this address has used up its own share."""
        return host is not None and self._by_address[address_group(host)] >= self._max_per_address

    def move(self, before: str | None, after: str | None) -> bool:
        """Let an admitted socket count for another address; False, and it does not, where that one is crowded."""
        if self.crowded(after):
            self.refused += 1
            return False
        self._forget(before)
        self._count(after)
        return True

    def authenticated(self) -> None:
        """A socket has shown a token that holds."""
        self.unauthenticated -= 1

    def left(self, host: str | None, *, was_authenticated: bool) -> None:
        """An admitted socket has gone."""
        self._forget(host)
        self.connections -= 1
        if not was_authenticated:
            self.unauthenticated -= 1

    def _count(self, host: str | None) -> None:
        if host is not None:
            self._by_address[address_group(host)] += 1

    def _forget(self, host: str | None) -> None:
        if host is None:
            return
        group = address_group(host)
        self._by_address[group] -= 1
        if not self._by_address[group]:
            del self._by_address[group]
