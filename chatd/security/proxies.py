"""Whom to believe about whom they speak for, and which addresses count together: pure logic on addresses, as texts."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from chatd.settings.networks import trusted_network

MOST_HOPS = 32
"""Entries of X-Forwarded-For that are looked at, from the right. No honest chain of proxies is as long."""

Address = IPv4Address | IPv6Address


def parse_address(text: str) -> Address | None:
    """The address as it is compared: an IPv4 address in IPv6's clothes is IPv4, and zones are left out."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


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


class TrustedProxies:
    """Those of the settings; raises ValueError for an entry that is none."""

    def __init__(self, entries: Iterable[str]) -> None:
        networks = [trusted_network(entry) for entry in entries]
        self._networks = [network for network in networks if network is not None]
        self._unix = None in networks

    def trusts(self, host: str) -> bool:
        """Whether what connects from ``host`` is one of them; empty for a UNIX socket."""
        if not host:
            return self._unix
        address = parse_address(host)
        return address is not None and self._knows(address)

    def _knows(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def client(self, proxy: str, forwarded: str) -> str:
        """Who it is that ``proxy``, a trusted one, speaks for, by all values of its X-Forwarded-For.

        Each proxy puts whom it hears at the right. So the list is read from there as long as what has written an entry
        is trusted: the first address that is none of a trusted proxy's is the client's, and what stands to the left of
        it anybody may have written. Where an entry is no address, the last one that was read is what is known; where
        there is none at all, the proxy speaks for itself.
        """
        known = proxy
        for entry in reversed(forwarded.rsplit(",", MOST_HOPS)[-MOST_HOPS:]):
            address = _hop(entry.strip(" \t"))
            if address is None:
                break
            known = str(address)
            if not self._knows(address):
                break
        return known


def _hop(text: str) -> Address | None:
    """An entry's address, without the port that some proxies write behind it."""
    host = text
    if text.startswith("["):
        host, _, behind = text[1:].partition("]")
        if behind and not behind.startswith(":"):
            return None
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    return parse_address(host)
