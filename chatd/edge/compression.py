"""Compression of WebSocket messages (RFC 7692)."""

from collections.abc import Sequence
from typing import Any

from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from chatd.settings.limits import Limits


def accept(limits: Limits, offers: Sequence[Any]) -> Any:
    """Which of a client's offers is taken, as Autobahn asks for it; None for none.

    Compression costs memory for each connection, so it is off unless asked for; inflated sizes are bounded.
    """
    if not limits.compression:
        return None
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(  # type: ignore[no-untyped-call] # Autobahn's
                offer,
                request_no_context_takeover=True,
                no_context_takeover=True,
                max_message_size=limits.max_message_bytes,
            )
    return None
