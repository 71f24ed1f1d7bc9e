"""Who the client is: the one place that says whose address counts, for limits and for logs.

=================================== ================================================================================
who is connected                    whose address counts
=================================== ================================================================================
no trusted proxy                    its own, whatever it says about others
a trusted proxy, PROXY protocol on  the one that its header names; unknown where it names none
a trusted proxy, by X-Forwarded-For for each request the one that the header names; its own where there is none
a UNIX socket, not trusted          unknown
=================================== ================================================================================

An address is a text, empty where it is unknown; what is unknown is not limited by address. ``docs/design/proxies.rst``
says why.
"""

from dataclasses import dataclass

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.web.http_headers import Headers
from zope.interface import implementer

from chatd.security.proxies import TrustedProxies, address_group
from chatd.settings.model import Settings


@implementer(IAddress)
@dataclass(frozen=True, slots=True)
class Unnamed:
    """Of a connection whose proxy has not named a client in its PROXY header; it is nobody's, and not to be trusted."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is connected. ``proxy`` is whether it is believed about whom it speaks for."""

    host: str
    proxy: bool


class Clients:
    """One worker's. ``awaited`` are connections whose PROXY header is still to come."""

    def __init__(self, settings: Settings) -> None:
        self._trusted = TrustedProxies(settings.proxies.trusted)
        # All come from a proxy that is not asked for whom: limited together they would all wait for the busiest.
        self._one_for_all = settings.behind_proxy and not settings.proxies.trusted
        self.awaited: set[object] = set()

    def peer(self, address: object) -> Peer:
        """Who is connected from ``address``, as a transport gives it."""
        if isinstance(address, Unnamed):
            return Peer("", False)
        host = address.host if isinstance(address, IPv4Address | IPv6Address) else ""
        return Peer(host, self._trusted.trusts(host))

    def rated(self, host: str) -> str:
        """The address, or the subscriber's network, that what comes from ``host`` counts for; empty for none."""
        return address_group(host) if host and not self._one_for_all else ""

    def behind(self, peer: Peer, headers: Headers) -> str:
        """Whose a request with these ``headers`` is."""
        if not peer.proxy:
            return peer.host
        values = headers.getRawHeaders(b"X-Forwarded-For", [])
        return self._trusted.client(peer.host, b",".join(values).decode("latin-1"))
