"""Errors over HTTP: problem details (RFC 9457) with the members that the same error has on a WebSocket."""

from http import HTTPStatus
from math import ceil

import msgspec

from chatd.edge import quotas
from chatd.edge.headers import COMMON, Headers
from chatd.errors import ChatdError
from chatd.security.limits import OverLimit
from chatd.wire.codec import ErrorBody, error_body

CONTENT_TYPE = b"application/problem+json"


class Problem(ErrorBody, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong. ``code`` tells it to programs: it is the same as in a WebSocket's ``error``.

    ``type`` is always ``about:blank``: there is no page for each code, and ``title`` is what HTTP calls the status.
    ``retry_after_ms`` is given where waiting helps, and then ``Retry-After`` says the same in whole seconds.
    """

    type: str
    title: str


_encode = msgspec.json.Encoder().encode


def problem(error: ChatdError) -> Problem:
    """The published face of ``error``."""
    members = msgspec.structs.asdict(error_body(error))
    return Problem(type="about:blank", title=HTTPStatus(error.status).phrase, **members)


def body(error: ChatdError) -> bytes:
    """``error`` as the body of a response."""
    return _encode(problem(error))


def headers(error: ChatdError) -> list[tuple[bytes, bytes]]:
    """The headers that belong to ``error``, but for those that only its place knows, such as ``Allow``."""
    found = [(b"Content-Type", CONTENT_TYPE)]
    if error.status == HTTPStatus.UNAUTHORIZED:
        # RFC 6750, section 3.
        found.append((b"WWW-Authenticate", b"Bearer"))
    if error.retry_after_ms is not None:
        found.append((b"Retry-After", b"%d" % ceil(error.retry_after_ms / 1000)))
    if isinstance(error, OverLimit):
        found.extend(quotas.fields(error.standing))
    return found


def last_response(error: ChatdError, common: Headers = COMMON) -> bytes:
    """A whole response to what is no request, after which the connection is closed."""
    content = body(error)
    lines = [
        b"HTTP/1.1 %d %b" % (error.status, HTTPStatus(error.status).phrase.encode()),
        *(b"%b: %b" % header for header in headers(error)),
        *(b"%b: %b" % header for header in common),
        b"Content-Length: %d" % len(content),
        b"Connection: close",
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + content
