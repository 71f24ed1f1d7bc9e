"""Which web pages may ask over HTTP, and what they are let read of the answer (the Fetch standard's CORS protocol).

Pages may ask whose origin is configured, or, where none is, those that come from the very address they ask. They show
their token in a header, as everybody does. There is no ``Access-Control-Allow-Credentials``: cookies count for nothing
here, and a browser that is told to send them shows the page nothing.
"""

from collections.abc import Sequence
from typing import Final

from chatd.edge.request import ChatRequest
from chatd.security.origins import check_origin

PREFLIGHT_SECONDS: Final = b"600"
"""How long a browser may remember what it was told; some remember no longer."""

ASKED_WITH: Final = b"Authorization, Content-Type, Chatd-Device"
"""Headers that a page may send. ``Chatd-On-Behalf-Of`` is for the product's back end, which is no page."""

READ: Final = b"RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id"
"""Headers of an answer that a page may read, where it has them."""


def admit(request: ChatRequest, allowed: Sequence[str]) -> None:
    """Let the page that asks read the answer; raises Forbidden for one that may not ask. Others than pages may."""
    request.set_header(b"Vary", b"Origin")
    origin = request.header(b"Origin")
    if origin is None:
        return
    check_origin(origin, request.header(b"Host") or "", request.secure, allowed)
    request.set_header(b"Access-Control-Allow-Origin", origin.encode())
    request.set_header(b"Access-Control-Expose-Headers", READ)


def tell_preflight(request: ChatRequest, methods: bytes) -> None:
    """Where this is a browser's question before the request itself, tell it what may be asked."""
    if request.requestHeaders.hasHeader(b"Access-Control-Request-Method"):
        request.set_header(b"Access-Control-Allow-Methods", methods)
        request.set_header(b"Access-Control-Allow-Headers", ASKED_WITH)
        request.set_header(b"Access-Control-Max-Age", PREFLIGHT_SECONDS)
