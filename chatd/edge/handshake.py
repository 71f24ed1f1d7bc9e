"""What a WebSocket handshake has to show before anything else is looked at."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from chatd.edge.gateway import Gateway
from chatd.errors import Invalid, Unauthorized
from chatd.records.tokens import Claims
from chatd.security.origins import check_origin
from chatd.wire.session import DEFAULT_DEVICE
from chatd.wire.types import DeviceId

_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class Handshake:
    """What the handshake settled. Without ``claims`` the first message must be ``auth``."""

    subprotocol: str
    claims: Claims | None
    device: str


def bearer_token(header: str | None) -> str | None:
    """The token of an Authorization header (RFC 6750, section 2.1); raises Unauthorized for any other scheme."""
    if header is None:
        return None
    match = _BEARER.fullmatch(header.strip())
    if match is None:
        raise Unauthorized("The Authorization header must be `Bearer` and a token.")
    return match[1]


def device_name(header: str | None) -> str:
    """The device that a Chatd-Device header names; raises Invalid."""
    if header is None:
        return DEFAULT_DEVICE
    try:
        return msgspec.convert(header.strip(), DeviceId)
    except msgspec.ValidationError:
        raise Invalid("`Chatd-Device` takes 1 to 64 of the characters A-Z a-z 0-9 . _ -") from None


async def shake_hands(
    gateway: Gateway,
    headers: Mapping[str, str],
    offered: Sequence[str],
    spoken: Sequence[str],
    secure: bool,
    client: str,
) -> Handshake:
    """Check origin, subprotocol and token, shown from the address ``client``. ``headers`` by lower-case name.

    Raises a ChatdError.
    """
    check_origin(headers.get("origin"), headers.get("host", ""), secure, gateway.settings.origins.allowed)
    subprotocol = next((name for name in offered if name in spoken), None)
    if subprotocol is None:
        raise Invalid(f"Offer one of the subprotocols {', '.join(spoken)}.")
    token, device = bearer_token(headers.get("authorization")), device_name(headers.get("chatd-device"))
    claims = None if token is None else await gateway.identify(token, device, client)
    return Handshake(subprotocol=subprotocol, claims=claims, device=device)
