"""What may stand among the trusted proxies."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

UNIX = "unix"
"""Whoever connects to a UNIX socket, which has no address."""

Network = IPv4Network | IPv6Network


def trusted_network(text: str) -> Network | None:
    """The network that an entry of the trusted names, None for :data:`UNIX`; raises ValueError with what is wrong."""
    if text == UNIX:
        return None
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'must be an address, a network such as 10.0.0.0/8, or "{UNIX}", not {text!r}') from None
    if not network.prefixlen:
        raise ValueError(f"{text} trusts everybody: name the proxies' own addresses")
    if str(network.network_address) != str(ip_address(text.partition("/")[0])):
        raise ValueError(f"{text} is an address within {network}: write one or the other")
    return network
